"""The fragments of the changelog have names that towncrier knows, and hold an entry."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[1]
FRAGMENTS = [path for path in ROOT.glob("changelog.d/*") if path.name != "README.md"]


def test_fragments_are_of_a_kind_and_hold_an_entry() -> None:
    settings = tomllib.loads(Path(ROOT, "pyproject.toml").read_text())["tool"]["towncrier"]
    kinds = "|".join(kind["directory"] for kind in settings["type"])
    for path in FRAGMENTS:
        assert re.fullmatch(rf"([0-9]+|\+[\w-]+)\.({kinds})\.md", path.name), path
        assert path.read_text().strip(), path
    assert settings["start_string"] in Path(ROOT, settings["filename"]).read_text()
