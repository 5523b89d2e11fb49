"""A plugin of pytest that runs a sample: of each file that a glob names, the first test only.

``pytest -p tests.support.sampling --first-of='tests/killing/*'``; the run ends with how many
tests were left out, and of which files. With ``--one-case-of`` each function of the files runs with
its first parameters only.
"""

from __future__ import annotations

import fnmatch
from typing import Any

import pytest

Counts = dict[str, tuple[int, int]]  # by glob: the tests that run, and all that there are
COUNTS = pytest.StashKey[Counts]()
NO_COUNTS: Counts = {}


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the option that makes the run a sample."""
    parser.addoption(
        "--first-of",
        action="append",
        default=[],
        metavar="GLOB",
        help="run the first test only of each file whose path from the root matches; repeatable",
    )
    parser.addoption(
        "--one-case-of",
        action="append",
        default=[],
        metavar="GLOB",
        help="run each function once in each file whose path from the root matches; repeatable",
    )


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Deselect all but the first test of each file, or function, that a glob names."""
    by_file: list[str] = config.getoption("--first-of") or []
    by_function: list[str] = config.getoption("--one-case-of") or []
    globs = [*by_file, *by_function]
    counts: Counts = dict.fromkeys(globs, (0, 0))
    kept: list[pytest.Item] = []
    left_out: list[pytest.Item] = []
    begun: set[str] = set()
    for item in items:
        name = item.path.relative_to(config.rootpath).as_posix()
        glob = next((glob for glob in globs if fnmatch.fnmatchcase(name, glob)), "")
        function = item.nodeid.partition("[")[0]
        unit = function if glob in by_function and glob not in by_file else name
        is_left_out = glob != "" and unit in begun
        (left_out if is_left_out else kept).append(item)
        begun.add(unit)
        if glob:
            run, all_of_them = counts[glob]
            counts[glob] = (run + (not is_left_out), all_of_them + 1)
    items[:] = kept
    config.hook.pytest_deselected(items=left_out)
    config.stash[COUNTS] = counts


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Pass the counts of a pytest-xdist worker to the process that reports."""
    output: dict[str, Any] | None = getattr(session.config, "workeroutput", None)
    if output is not None:
        output["sampling"] = session.config.stash.get(COUNTS, NO_COUNTS)


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """Take the counts of a worker: all of them collect the same tests."""
    output: dict[str, Any] = getattr(node, "workeroutput", {})
    if "sampling" in output:
        node.config.stash[COUNTS] = output["sampling"]


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    """Print how many tests were left out."""
    for glob, (run, all_of_them) in config.stash.get(COUNTS, NO_COUNTS).items():
        terminalreporter.write_line(f"sample: {run} of the {all_of_them} tests in {glob}")
