"""The description on PyPI: README.md, whose links lead to the files of the version."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

from pypi_description import find_site, list_links, render_description

from messagedb._errors import DOCS_URL

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
REPOSITORY = "https://github.com/someone/messagedb"
TARGET = re.compile(r"\]\(([^)]+)\)")


def test_each_link_is_absolute_and_leads_to_a_file_of_the_version() -> None:
    text = render_description(README, REPOSITORY, "v1.2.3")
    targets = TARGET.findall(text)
    assert len(targets) == len(TARGET.findall(README)) > 10
    ours = [target for target in targets if target.startswith(REPOSITORY)]
    assert len(ours) > 10
    for target in targets:
        assert target.startswith("https://"), target
    for target in ours:
        place = re.fullmatch(rf"{REPOSITORY}/(?:raw|blob)/v1.2.3/([^?#]+)(\?\S+)?", target)
        assert place is not None, target
        assert (ROOT / place[1]).is_file(), target


def test_without_a_repository_no_link_leads_nowhere() -> None:
    text = render_description(README, "", "v1.2.3")
    assert all(target.startswith("https://") for target in TARGET.findall(text))
    assert "![" not in text
    words = re.sub(r"!\[[^\]]*\]\([^)]*\)", "", README)
    assert re.sub(r"\]\([^)]*\)|[\[\]\s]", "", text) == re.sub(r"\]\([^)]*\)|[\[\]\s]", "", words)


def test_the_links_beside_it() -> None:
    assert list_links("", "v1.2.3") == {}
    links = list_links(REPOSITORY, "v1.2.3")
    assert links["Changelog"] == f"{REPOSITORY}/blob/v1.2.3/CHANGELOG.md"
    for name in ("Documentation", "Changelog"):
        assert (ROOT / links[name].removeprefix(f"{REPOSITORY}/blob/v1.2.3/")).is_file()


def test_the_documentation_is_the_site_whose_address_errors_have() -> None:
    errors = (ROOT / "src" / "messagedb" / "_errors.py").read_text(encoding="utf-8")
    assert find_site(errors) == DOCS_URL
    site = find_site('A = 1\nDOCS_URL: Final = "https://docs.example/"\n')
    assert list_links(REPOSITORY, "v1.2.3", site)["Documentation"] == "https://docs.example/"


def test_the_metadata_are_made_by_the_hook() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    assert project["project"]["dynamic"] == ["readme", "urls"]
    hook = project["tool"]["hatch"]["metadata"]["hooks"]["custom"]["path"]
    assert (ROOT / hook).is_file()
