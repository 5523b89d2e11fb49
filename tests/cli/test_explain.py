"""The page of an error class, in a terminal and a pipe."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from messagedb import errors
from messagedb.cli import _explanations
from tests.cli.conftest import Command
from tests.cli.test_terminal import see, without_colors

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("name", errors.__all__)
def test_every_error_is_explained_as_text_in_a_pipe(
    command: Command, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_explanations, "DOCS_URL", "")
    shown = command("explain", name)
    assert (shown.code, shown.err) == (0, "")
    assert shown.out.startswith(f"# {name}\n\n")
    for heading in ("Why", "What is true in the database", "What to do"):
        assert f"\n\n## {heading}\n\n" in shown.out
    assert "](" not in shown.out  # no link
    assert "```" not in shown.out  # its lines would be joined
    assert "docs/" not in shown.out  # an installation has no such folder
    for title in re.findall(r"\(in the documentation, page \"([^\"]*)\"\)", shown.out):
        assert title in _explanations.TITLES.values()


def test_a_page_is_named_by_its_title() -> None:
    titles = {
        page: (ROOT / "docs" / page).read_text("utf-8").partition("\n")[0].removeprefix("# ")
        for page in _explanations.TITLES
    }
    assert titles == _explanations.TITLES


def test_all_errors_are_listed_with_one_line_each(command: Command) -> None:
    rows = command("explain").rows
    assert [row["error"] for row in rows] == sorted(errors.__all__)
    assert {"error": "ValidationError", "summary": "A value was refused."} in rows
    assert command("explain", "--format", "table").out.count("\n") == len(rows) + 1


def test_a_name_is_found_in_any_case_and_as_a_traceback_has_it(command: Command) -> None:
    wanted = command("explain", "ServerError").out
    assert command("explain", "servererror").out == wanted
    assert command("explain", "messagedb.errors.ServerError").out == wanted
    (row,) = command("explain", "SERVERERROR", "--json").rows
    assert (row["error"], row["page"]) == ("ServerError", wanted.strip())


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("outcomeunknown", "no error 'outcomeunknown'. Did you mean OutcomeUnknownError? All"),
        ("LostHistroyError", "Did you mean LostHistoryError?"),
        ("../cli", "messagedb has no error '../cli'. All of them: messagedb explain."),
        ("\x1b[2J", r"messagedb has no error '\x1b[2J'. All"),
    ],
)
def test_an_unknown_name_gets_a_suggestion(command: Command, name: str, text: str) -> None:
    refused = command("explain", name)
    assert (refused.code, refused.out) == (2, "")
    assert text in refused.err


def test_on_a_terminal_the_page_fits_its_width(
    process: Callable[..., subprocess.Popen[str]],
) -> None:
    colored = see(process, 60, "explain", "OutcomeUnknownError")
    lines = [line.rstrip() for line in without_colors(colored).splitlines()]
    assert lines[0] == "OutcomeUnknownError"
    assert "Why" in lines
    assert max(map(len, lines)) <= 60
    assert "`" not in colored
    assert "\x1b[1mWhy" in colored


def test_a_link_is_the_pages_address_where_the_site_has_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(_explanations, "DOCS_URL", "https://docs.example/")
    page = _explanations.find_explanation("OutcomeUnknownError").page
    assert "(https://docs.example/transactions.html#when-the-connection-is-lost)." in page


RAISE = "import messagedb; messagedb._errors.DOCS_URL = ''; messagedb.NewMessage('')"


def test_the_command_of_a_traceback_explains_the_error() -> None:
    raised = subprocess.run(
        [sys.executable, "-c", RAISE],
        capture_output=True,
        text=True,
        timeout=60,
    )
    last = raised.stderr.splitlines()[-1]
    assert last == "help: messagedb explain ValidationError"
    words = last.removeprefix("help: messagedb ").split()
    done = subprocess.run(
        [sys.executable, "-m", "messagedb", *words], capture_output=True, text=True, timeout=60
    )
    assert done.stdout.startswith("# ValidationError\n\nA value was refused.")
