"""The pages that the navigation lists."""

from __future__ import annotations

from typing import Final

import msgspec


class NavigationItem(msgspec.Struct, frozen=True):
    """One entry: the path of its page, its title, and the pages that belong to it."""

    path: str
    title: str
    others: tuple[str, ...] = ()


NAVIGATION: Final = (
    NavigationItem("/", "Overview"),
    NavigationItem("/categories", "Categories", ("/category", "/stream", "/message", "/trace")),
    NavigationItem("/consumers", "Consumers", ("/consumer", "/consumer/reset")),
    NavigationItem(
        "/parked", "Parked", ("/parked/message", "/parked/replay", "/parked/discard", "/parked/job")
    ),
    NavigationItem("/health", "Health"),
)
