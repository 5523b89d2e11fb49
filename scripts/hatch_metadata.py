"""Hatchling's hook for the metadata: the description that PyPI shows, and the project's links.

The environment variable MESSAGEDB_REPOSITORY is the address of the repository on GitHub, as
.github/workflows/release.yml sets it. Without it the distributions have no links.
"""

from __future__ import annotations

import os
import sys
from typing import Any

from hatchling.metadata.plugin.interface import MetadataHookInterface

VARIABLE = "MESSAGEDB_REPOSITORY"


class Metadata(MetadataHookInterface):
    """Sets the fields that pyproject.toml calls dynamic."""

    def update(self, metadata: dict[str, Any]) -> None:
        """Set ``readme`` and ``urls``."""
        sys.path.insert(0, os.path.join(self.root, "scripts"))
        from pypi_description import find_site, list_links, render_description

        repository = os.environ.get(VARIABLE, "").rstrip("/")
        tag = f"v{metadata['version']}"
        with open(os.path.join(self.root, "README.md"), encoding="utf-8") as file:
            text = render_description(file.read(), repository, tag)
        metadata["readme"] = {"content-type": "text/markdown", "text": text}
        path = os.path.join(self.root, "src", "messagedb", "_errors.py")
        with open(path, encoding="utf-8") as file:
            site = find_site(file.read())
        metadata["urls"] = list_links(repository, tag, site)
