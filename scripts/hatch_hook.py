"""Build hook of wheels and editable installs: the sync variant, and the pages about errors."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class MakeSyncHook(BuildHookInterface[Any]):
    """Run the converter; a refusal fails the build with the converter's text."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Write ``src/messagedb/_sync`` for a "standard" and for an "editable" build."""
        sys.path.insert(0, str(Path(self.root, "scripts")))
        import make_sync

        make_sync.make_package(Path(self.root))
        if version == "standard":  # an editable install has the tree, with the pages in docs
            build_data["force_include"]["docs/errors"] = "messagedb/cli/_error_pages"
