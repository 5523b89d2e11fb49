"""Changes that people make on pages: each is logged, and passed to the application."""

from __future__ import annotations

import inspect
import logging
from typing import Any

from .._subscriptions.log_texts import escape_line
from .page import Page
from .settings import Change
from .site import Site

_logger = logging.getLogger("messagedb.ui")


def describe_user(page: Page) -> tuple[str, str]:
    """Return who sends a request, and from where."""
    scope: Any = page.request.scope
    user = scope.get("user")
    name = getattr(user, "display_name", "") or getattr(user, "username", "") or ""
    if not name:
        name = "token" if page.site.settings.authorize is None else "unknown"
    client = page.request.client
    return str(name), client.host if client else "unknown"


async def record_change(page: Page, action: str, target: str, count: int) -> None:
    """Log a change that was made, in one line, and call ``on_change``.

    An error of ``on_change`` is logged, as the change has been made.
    """
    user, address = describe_user(page)
    change = Change(user=user, address=address, action=action, target=target, count=count)
    await record(page.site, change)


async def record(site: Site, change: Change) -> None:
    """Log a change, and call ``on_change``."""
    _logger.info(
        "change: user=%s address=%s action=%s target=%s count=%d",
        *map(escape_line, (change.user, change.address, change.action, change.target)),
        change.count,
    )
    on_change = site.settings.on_change
    if on_change is None:
        return
    try:
        result = on_change(change)
        if inspect.isawaitable(result):
            await result
    except Exception:
        _logger.exception("on_change failed; the change was made")
