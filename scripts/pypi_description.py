"""The description and the links that PyPI shows: README.md with absolute links."""

from __future__ import annotations

import re

_IMAGE = re.compile(r"!\[([^\]]*)\]\((?!https?:)([^)]+)\)\n*")
_SITE = re.compile(r'^DOCS_URL: Final = "(.*)"$', re.MULTILINE)
_LINK = re.compile(r"\[([^\]]+)\]\((?!https?:)([^)#]+)(#[^)]*)?\)")


def render_description(readme: str, repository: str, tag: str) -> str:
    """Return the README with absolute links, as PyPI has none of the files.

    Args:
        readme: the text of README.md.
        repository: the address of the repository; if it is empty, links become plain words,
            and pictures are left out.
        tag: the tag of the version whose files the links lead to.
    """
    if not repository:
        return _LINK.sub(r"\1", _IMAGE.sub("", readme))
    # GitHub sends an SVG as a picture only if it is asked to sanitize it.
    readme = _IMAGE.sub(rf"![\1]({repository}/raw/{tag}/\2?sanitize=true)\n\n", readme)
    return _LINK.sub(rf"[\1]({repository}/blob/{tag}/\2\3)", readme)


def find_site(errors: str) -> str:
    """Return the address of the site, which ``src/messagedb/_errors.py`` has: "" without one."""
    (address,) = _SITE.findall(errors)
    return str(address)


def list_links(repository: str, tag: str, site: str = "") -> dict[str, str]:
    """Return the links that PyPI shows beside the description.

    Without a site, the documentation is the repository's folder of pages.
    """
    if not repository:
        return {}
    return {
        "Homepage": repository,
        "Documentation": site or f"{repository}/blob/{tag}/docs/index.md",
        "Changelog": f"{repository}/blob/{tag}/CHANGELOG.md",
        "Issues": f"{repository}/issues",
    }
