"""The role ``{example}``: a link to the archive of a folder of examples/, which the site has."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import example_files
from docutils import nodes
from sphinx.util.docutils import SphinxRole

if TYPE_CHECKING:
    from sphinx.application import Sphinx

FOLDER = "_downloads"


class Example(SphinxRole):
    """A role whose text is the name of a folder, or ``examples`` for all."""

    def run(self) -> tuple[list[nodes.Node], list[nodes.system_message]]:
        """Return the link, or an error for a name that is not one of a folder."""
        name = self.text
        if name not in (example_files.ALL, *example_files.folder_names()):
            message = self.inliner.reporter.error(f"there is no folder examples/{name}")
            return [], [message]
        up = "../" * self.env.docname.count("/")
        link = nodes.reference("", "", refuri=f"{up}{FOLDER}/{name}.zip", internal=True)
        link += nodes.literal("", f"{name}.zip")
        return [link], []


def write_archives(app: Sphinx, exception: Exception | None) -> None:
    """Write the archives beside the pages."""
    if exception is None and app.builder.format == "html":
        example_files.write_archives(Path(app.outdir, FOLDER))


def setup(app: Sphinx) -> dict[str, bool]:
    """Connect the role and the function with Sphinx."""
    app.add_role("example", Example())
    app.connect("build-finished", write_archives)
    return {"parallel_read_safe": True}
