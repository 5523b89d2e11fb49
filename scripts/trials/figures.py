"""The figures of a run: counted, printed at its end, and kept as JSON."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ZERO = "(0)"
"""The end of the description of a figure that has to be 0."""


class Figures:
    """Counts by name.

    Args:
        descriptions: what each counts. One that ends with ``(0)`` has to be 0, and of each other
            there has to be something: a run that tried nothing has failed.
    """

    def __init__(self, descriptions: Mapping[str, str]) -> None:
        self._descriptions = dict(descriptions)
        self.counts = dict.fromkeys(descriptions, 0)

    def add(self, **counts: int) -> None:
        """Add to these counts."""
        for name, count in counts.items():
            self.counts[name] += count

    def lines(self) -> list[str]:
        """Return a line for each figure."""
        return [f"{self.counts[name]:>12,}  {text}" for name, text in self._descriptions.items()]

    def problems(self) -> list[str]:
        """Describe each figure that is not as it has to be."""
        found: list[str] = []
        for name, text in self._descriptions.items():
            count = self.counts[name]
            if text.endswith(ZERO) and count:
                found.append(f"not zero: {text}: {count}")
            elif not text.endswith(ZERO) and not count:
                found.append(f"nothing was tried: {text}: 0")
        return found


@dataclass
class Part:
    """A part of a run, and what was measured in it."""

    name: str
    seconds: float = 0.0
    measured: dict[str, Any] = field(default_factory=dict[str, Any])

    def __str__(self) -> str:
        """Return the line that is printed when the part has ended."""
        values = ", ".join(f"{value:,} {name}" for name, value in self.measured.items())
        return f"{self.seconds:7.1f} s  {self.name}{': ' if values else ''}{values}"


class Run:
    """One run of a command.

    Args:
        command: its name.
        short: True for the short form.
        figures: its figures.
        **facts: others that the JSON has to say, such as the seed.
    """

    def __init__(self, command: str, short: bool, figures: Figures, **facts: Any) -> None:
        self.figures = figures
        self.failed: list[str] = []
        self.parts: list[Part] = []
        self._command = command
        self._form = "short" if short else "long"
        self._facts = facts
        self._begun = time.monotonic()

    @property
    def seconds(self) -> float:
        """The seconds since the run began."""
        return time.monotonic() - self._begun

    @contextmanager
    def part(self, name: str) -> Generator[Part]:
        """Run a block as a part: its error is printed, and fails the run at its end."""
        part, begun = Part(name), time.monotonic()
        try:
            yield part
        except Exception as error:
            self.fail(f"{name}: {type(error).__name__}: {error}")
        finally:
            part.seconds = round(time.monotonic() - begun, 1)
            self.parts.append(part)
            print(part, flush=True)

    def add_fact(self, name: str, value: Any) -> None:
        """Add something that the JSON has to say beside the figures."""
        self._facts[name] = value

    def fail(self, problem: str) -> None:
        """Record a problem, and print it."""
        self.failed.append(problem)
        print(f"failed: {problem}", file=sys.stderr, flush=True)

    def finish(self, environment: Mapping[str, str], path: Path | None) -> int:
        """Print the closing lines, write the JSON, and return the exit status."""
        seconds = round(self.seconds, 1)
        problems = [*self.failed, *self.figures.problems()]
        print()
        print("\n".join(self.figures.lines()))
        print(f"{seconds:12,.1f}  seconds")
        for problem in problems:
            print(f"FAILED: {problem}")
        if path is not None:
            result = {
                "command": self._command,
                "form": self._form,
                **environment,
                **self._facts,
                "seconds": seconds,
                "figures": self.figures.counts,
                "failed": problems,
                "parts": [
                    {"name": part.name, "seconds": part.seconds, **part.measured}
                    for part in self.parts
                ],
            }
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(json.dumps(result, indent=1, ensure_ascii=False) + "\n", "utf-8")
            print(f"written: {path}")
        return 1 if problems else 0
