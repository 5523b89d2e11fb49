"""Hosts that the UI answers to, and requests that other sites have caused."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Final
from urllib.parse import urlsplit

LOOPBACK: Final = ("127.0.0.1", "localhost", "[::1]")
"""The allowed hosts unless others are given."""

SAFE_METHODS: Final = ("GET", "HEAD")


def is_allowed_host(hosts: Sequence[str], allowed: Collection[str]) -> bool:
    """Return True if the Host header names an allowed host, at any port.

    A web page of another site can let its name point to this machine (DNS rebinding): the browser
    then sends that name.

    Args:
        hosts: the values of the header; there has to be one.
        allowed: names in lower case without ports; ``*`` for every one.
    """
    if len(hosts) != 1:
        return False
    return "*" in allowed or remove_port(hosts[0]) in allowed


def remove_port(host: str) -> str:
    """Return the name in a Host header, in lower case.

    Example::

        remove_port("[::1]:8000")  # '[::1]'
    """
    name, colon, port = host.strip().lower().rpartition(":")
    is_port = colon and (not port or (port.isascii() and port.isdigit()))
    return name if is_port and not name.endswith(":") else host.strip().lower()


def find_foreign_reason(
    method: str, host: str, fetch_site: str | None, origin: str | None
) -> str | None:
    """Return why a request may come from another site; None if it comes from this one.

    Args:
        method: requests that only read may come from anywhere.
        host: the Host header.
        fetch_site: the header Sec-Fetch-Site, which browsers send over HTTPS and to loopback.
        origin: the header Origin, for all other requests.
    """
    if method in SAFE_METHODS:
        return None
    if fetch_site is not None:
        if fetch_site == "same-origin":
            return None
        return f"the browser says that it comes from another place (Sec-Fetch-Site: {fetch_site})"
    if origin is None or origin == "null":
        return (
            "the browser does not say where it comes from: open this page by https:// or on "
            "127.0.0.1, where browsers do"
        )
    try:
        netloc = urlsplit(origin).netloc
    except ValueError:
        netloc = ""
    return None if netloc.lower() == host.strip().lower() else f"it comes from {origin}"
