"""The style, the script and the icon, from the package."""

from __future__ import annotations

import hashlib
from importlib.resources import files
from typing import Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from ..security.headers import STATIC_CACHE

_TYPES: Final = {
    "icon.svg": "image/svg+xml",
    "ui.css": "text/css; charset=utf-8",
    "ui.js": "text/javascript; charset=utf-8",
}

_CONTENTS: Final = {
    name: files("messagedb._ui").joinpath("static", name).read_bytes() for name in _TYPES
}

STATIC_VERSIONS: Final = {
    name: hashlib.sha256(content).hexdigest()[:12] for name, content in _CONTENTS.items()
}
"""The hash in the address of each file, so that a new version is loaded."""


def build_static_route() -> Route:
    """Return the route of the files. They need no access: they are the same for everyone."""
    return Route("/static/{name}", _send_file, methods=["GET"], name="static")


async def _send_file(request: Request) -> Response:
    name = request.path_params["name"]
    if name not in _CONTENTS:
        return Response("there is no such file", 404, media_type="text/plain")
    return Response(
        _CONTENTS[name], media_type=_TYPES[name], headers={"Cache-Control": STATIC_CACHE}
    )
