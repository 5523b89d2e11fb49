"""The check of worn-out words finds them in pages and in code, and nothing else."""

from __future__ import annotations

from pathlib import Path

import check_words
import pytest
from check_words import Finding, check_file, main


def findings(folder: Path, name: str, source: str, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    path = folder / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(source)
    monkeypatch.setattr(check_words, "ROOT", folder)
    found: list[Finding] = list(check_file(path))
    return [f"{each.line} {each.words}" for each in found]


def test_a_page_is_checked_across_line_ends_and_without_its_code(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = (
        "It is passed\nover, `anew` is a name.\n\n"
        "```sh\necho anew\n```\n\n"
        "```python\nx = 'made anew'  # mend it\n```\n"
    )
    found = findings(tmp_path, "page.md", page, monkeypatch)
    assert sorted(found) == ["1 passed over", "9 anew", "9 mend"]


def test_docstrings_comments_and_strings_of_code_are_checked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    code = (
        '"""Whether it works."""\n\n'
        "# One comment, at\n# once on two lines.\n"
        "told = f\"is a text, not {'of nobody'}\"\n\n\n"
        'def f() -> None:\n    """Give a thing\n\n    anew.\n    """\n    user = "nobody"\n'
    )
    found = findings(tmp_path, "code.py", code, monkeypatch)
    assert sorted(found) == sorted(
        ["1 Whether …", "3 at once", "5 a text", "5 nobody", "9 Give …", "11 anew"]
    )


def test_strings_of_tests_are_not_checked_but_their_docstrings_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    code = 'def test_f() -> None:\n    """Nobody waits."""\n    assert "a text"\n'
    assert findings(tmp_path, "tests/test_f.py", code, monkeypatch) == ["2 Nobody"]


@pytest.mark.parametrize(
    "sentence",
    [
        "x is None, and there is none.",
        "A text file, the error texts.",
        "Half of the messages, a stream of its own events.",
        "He writes by hand; run it once.",
    ],
)
def test_ordinary_uses_are_allowed(
    sentence: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert findings(tmp_path, "page.md", sentence, monkeypatch) == []


@pytest.mark.parametrize(("name", "count"), [("CONTRIBUTING.md", 1), ("README.md", 3)])
def test_only_the_lists_may_quote_refused_words(
    name: str, count: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = "<!-- words: off -->\nanew\ntwin\n<!-- words: on -->\nanew\n"
    assert len(findings(tmp_path, name, page, monkeypatch)) == count


def test_it_fails_when_a_word_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    Path(tmp_path, "page.md").write_text("anew")
    Path(tmp_path, "other.md").write_text("again")
    monkeypatch.setattr(check_words, "ROOT", tmp_path)
    assert (main(["other.md"]), main(["."])) == (0, 1)
    assert "page.md:1: 'anew': write again" in capsys.readouterr().out
