"""A browser UI for a store, as an ASGI application: ``messagedb ui`` serves it, too."""

from __future__ import annotations

import sys as _sys

from . import _public_names

try:
    from ._ui.app import create_app
    from ._ui.settings import Change, ReplayConsumer
except ModuleNotFoundError as _error:
    if (_error.name or "").partition(".")[0] not in ("jinja2", "markupsafe", "starlette"):
        raise
    raise ModuleNotFoundError(
        f'{_error}: messagedb.ui needs more packages, pip install "messagedb[ui]"',
        name=_error.name,
    ) from _error

__all__ = ["Change", "ReplayConsumer", "create_app"]

_public_names.publish_names(_sys.modules[__name__])
