"""The examples of the pages in docs/ run as they stand, and print what the page says."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import typer
from docs_blocks import DOCS, Block, async_blocks, blocks_of, title_of

from messagedb import errors
from messagedb.cli._app import app

# The async variants are made from the sync ones, and type-checked: all of them run in
# ``nox -s docs_async``, and here one for each rule that types do not show.
SAMPLE = {"consumers-4", "read-models-4", "telemetry-3", "tutorial-9"}


class Example(NamedTuple):
    """A block of Python, what it prints, and the files of its page that it may import."""

    name: str
    code: str
    printed: str
    files: dict[str, str]


def examples() -> list[Example]:
    """Return the blocks of all pages, and then the async variant of those that have two."""
    found: list[Example] = []
    for page in sorted(DOCS.glob("**/*.md")):
        title, blocks = title_of(page), blocks_of(page)
        written = examples_of(title, blocks)
        found += written
        variants = examples_of(title, async_blocks(blocks))
        pairs = zip(written, variants, strict=True)
        found += [
            new._replace(name=f"{new.name}-async")
            for old, new in pairs
            if new != old and (new.name in SAMPLE or "MESSAGEDB_ALL_DOCS" in os.environ)
        ]
    return found


def examples_of(title: str, blocks: list[Block]) -> list[Example]:
    found: list[Example] = []
    files: dict[str, str] = {}
    for number, block in enumerate(blocks):
        if block.language == "python":
            follower = blocks[number + 1] if number + 1 < len(blocks) else None
            printed = follower.text if follower and follower.language == "text" else ""
            if not (follower and follower.language == "text"):
                assert "print(" not in block.text, f"what block {number} of {title} prints?"
            found.append(Example(f"{title}-{number}", block.text, printed, dict(files)))
            if block.file and not block.file.startswith(("test_", "conftest")):
                files[block.file] = block.text
    return found


@pytest.mark.parametrize("example", [pytest.param(each, id=each.name) for each in examples()])
def test_an_example_prints_what_the_page_says(example: Example, tmp_path: Path) -> None:
    for name, code in example.files.items():
        Path(tmp_path, name).write_text(code)
    command = ["-W", "error", "-c", example.code]
    file = Block(0, "python", example.code).file
    is_test = file is not None and file.startswith("test_")  # a file of tests, and not a program
    if file is not None and is_test:
        Path(tmp_path, file).write_text(example.code)
        command = ["-m", "pytest", "-q", "-o", "asyncio_default_fixture_loop_scope=function"]
        command += ["-p", "no:cacheprovider"]
    env = {**os.environ, "PYTHONPATH": str(DOCS.parent)}  # some show a module of examples/
    env.pop("MESSAGEDB_TEST_URL", None)  # to the plugin that they try it is the address of a store
    done = subprocess.run(
        [sys.executable, *command],
        cwd=tmp_path,
        env=env,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (done.returncode, done.stderr) == (0, "")
    if is_test:
        assert " passed" in done.stdout
    else:
        assert done.stdout == example.printed


def test_the_quick_start_can_be_run_again(tmp_path: Path) -> None:
    blocks = blocks_of(DOCS / "quick-start.md")
    sync_block, async_block = examples_of("a", blocks)[0], examples_of("b", async_blocks(blocks))[0]
    assert '"embedded:./data"' in sync_block.code  # a store that stays
    for example in (sync_block, sync_block, async_block):
        test_an_example_prints_what_the_page_says(example, tmp_path)


def test_the_files_and_cases_that_the_pages_name_are_there() -> None:
    root = DOCS.parent
    files = [*root.glob("tests/**/test_*.py"), *root.glob("examples/**/test_*.py")]
    tests = "".join(path.read_text() for path in files)
    for page in DOCS.glob("**/*.md"):
        text = page.read_text()
        for name in re.findall(r"`(test_\w+)`", text):
            assert f"def {name}(" in tests, f"{page.name} names {name}"
        for name in re.findall(r"`((?:tests|examples)/[\w/]+\.\w+)`", text):
            assert (root / name).exists(), f"{page.name} names {name}"


def test_the_statuses_that_pages_name_are_those_of_the_errors() -> None:
    found = 0
    for page in sorted(DOCS.glob("**/*.md")):
        for name, status in re.findall(r"`(\w+Error)`(?: is|:)? (\d{3})\b", page.read_text()):
            found += 1
            assert getattr(errors, name).http_status == int(status), f"{page.name}: {name}"
    assert found


def test_the_commands_that_pages_name_are_there() -> None:
    program: Any = typer.main.get_command(app)
    found = 0
    for page in sorted(DOCS.glob("**/*.md")):
        for words in re.findall(r"`messagedb ([a-z][^`]*)`", page.read_text()):
            group = program
            for word in words.split():
                if not hasattr(group, "commands"):
                    break
                name = word.partition("|")[0]
                if not re.fullmatch(r"[a-z][a-z-]*", name):
                    break
                assert name in group.commands, f"{page.name}: messagedb {words}"
                group = group.commands[name]
                found += 1
    assert found > 20
