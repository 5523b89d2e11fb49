"""The examples of the pages in docs/ run as they stand, and print what the page says."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

DOCS = Path(__file__).parents[1] / "docs"
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.S | re.M)
NAME = re.compile(r"# (\w+\.py)\n")


class Example(NamedTuple):
    """A block of Python, what it prints, and the files of its page that it may import."""

    name: str
    code: str
    printed: str
    files: dict[str, str]


def examples() -> list[Example]:
    found: list[Example] = []
    for page in sorted(DOCS.glob("**/*.md")):
        title = page.relative_to(DOCS).with_suffix("").as_posix()
        blocks: list[tuple[str, str]] = BLOCK.findall(page.read_text())
        files: dict[str, str] = {}
        for number, (language, code) in enumerate(blocks):
            if language == "python":
                follower, text = blocks[number + 1] if number + 1 < len(blocks) else ("", "")
                if follower != "text":
                    assert "print(" not in code, f"what block {number} of {title} prints?"
                    text = ""
                found.append(Example(f"{title}-{number}", code, text, dict(files)))
                if (name := NAME.match(code)) and not name[1].startswith(("test_", "conftest")):
                    files[name[1]] = code
    return found


@pytest.mark.parametrize("example", [pytest.param(each, id=each.name) for each in examples()])
def test_an_example_prints_what_the_page_says(example: Example, tmp_path: Path) -> None:
    for name, code in example.files.items():
        Path(tmp_path, name).write_text(code)
    command = ["-W", "error", "-c", example.code]
    found = NAME.match(example.code)
    if found and found[1].startswith("test_"):  # a file of tests, and not a program
        Path(tmp_path, found[1]).write_text(example.code)
        command = ["-m", "pytest", "-q", "-o", "asyncio_default_fixture_loop_scope=function"]
        command += ["-p", "no:cacheprovider"]
    else:
        found = None
    done = subprocess.run(
        [sys.executable, *command],
        cwd=tmp_path,
        # Some show a module of examples/.
        env={**os.environ, "PYTHONPATH": str(DOCS.parent)},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (done.returncode, done.stderr) == (0, "")
    if found:
        assert " passed" in done.stdout
    else:
        assert done.stdout == example.printed


def test_the_files_and_cases_that_the_pages_name_are_there() -> None:
    tests = "".join(path.read_text() for path in (DOCS.parent / "tests").glob("**/test_*.py"))
    for page in DOCS.glob("**/*.md"):
        text = page.read_text()
        for name in re.findall(r"`(test_\w+)`", text):
            assert f"def {name}(" in tests, f"{page.name} names {name}"
        for name in re.findall(r"`(tests/[\w/]+\.py)`", text):
            assert (DOCS.parent / name).exists(), f"{page.name} names {name}"
