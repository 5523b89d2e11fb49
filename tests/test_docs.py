"""The examples of the pages in docs/ run as they stand, and print what the page says."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

DOCS = Path(__file__).parents[1] / "docs"
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.S | re.M)


def examples() -> list[tuple[str, str, str]]:
    """Give a name, the code, and what it prints, for each Python block of each page."""
    found: list[tuple[str, str, str]] = []
    for page in sorted(DOCS.glob("*.md")):
        blocks: list[tuple[str, str]] = BLOCK.findall(page.read_text())
        for number, (language, code) in enumerate(blocks):
            if language == "python":
                follower, text = blocks[number + 1] if number + 1 < len(blocks) else ("", "")
                if follower != "text":
                    assert "print(" not in code, f"what block {number} of {page.name} prints?"
                    text = ""
                found.append((f"{page.stem}-{number}", code, text))
    return found


EXAMPLES = examples()


@pytest.mark.parametrize(
    ("code", "printed"), [example[1:] for example in EXAMPLES], ids=[name for name, *_ in EXAMPLES]
)
def test_an_example_prints_what_the_page_says(code: str, printed: str, tmp_path: Path) -> None:
    command = ["-W", "error", "-c", code]
    if found := re.match(r"# (test_\w+\.py)\n", code):  # a file of tests, and not a program
        Path(tmp_path, found[1]).write_text(code)
        command = ["-m", "pytest", "-q", "-o", "asyncio_default_fixture_loop_scope=function"]
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
        assert done.stdout == printed


def test_links_between_the_pages_lead_somewhere() -> None:
    for page in [*DOCS.glob("**/*.md"), DOCS.parent / "README.md"]:
        for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text()):
            assert (page.parent / target).exists(), f"{page.name} links to {target}"


def test_the_files_and_cases_that_the_pages_name_are_there() -> None:
    tests = "".join(path.read_text() for path in (DOCS.parent / "tests").glob("**/test_*.py"))
    for page in DOCS.glob("*.md"):
        text = page.read_text()
        for name in re.findall(r"`(test_\w+)`", text):
            assert f"def {name}(" in tests, f"{page.name} names {name}"
        for name in re.findall(r"`(tests/[\w/]+\.py)`", text):
            assert (DOCS.parent / name).exists(), f"{page.name} names {name}"
