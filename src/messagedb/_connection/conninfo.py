"""Connection strings: whether they are any, and the part of them that may be shown."""

from __future__ import annotations

import re
from typing import Any

import psycopg
from psycopg.conninfo import conninfo_to_dict

from .._errors import ValidationError


class Address(str):
    """A connection string whose ``repr`` has no password: it stands in tracebacks with locals."""

    __slots__ = ()

    def __repr__(self) -> str:
        """Name the server, or nothing where it cannot be told apart from the password."""
        return f"<{shown(self)}>"


def shown(conninfo: Any) -> str:
    """What may be shown of an address, also of one that is none."""
    if not isinstance(conninfo, str):
        return "no address"
    if conninfo.startswith("embedded:"):
        return conninfo
    return where(conninfo) if _is_understood(conninfo) else "an unknown address"


def concealed(conninfo: Any) -> Any:
    """The same connection string, as an `Address`; what is none as it is."""
    return Address(conninfo) if isinstance(conninfo, str) else conninfo


def check_conninfo(conninfo: Any) -> None:
    """Refuse what is no connection string, without showing it: it may hold a password.

    Raises:
        ValidationError: the text says what it should be. Nothing was sent.
    """
    if not isinstance(conninfo, str):
        raise ValidationError(f"conninfo must be text, not {type(conninfo).__name__}")
    if not _is_understood(conninfo):
        # libpq's own text quotes the part that it stumbled over, perhaps a piece of the password.
        raise ValidationError(
            "conninfo is not a connection string that libpq understands (it is not shown, as it "
            "may hold a password). Give 'postgresql://user:password@host:port/dbname', with "
            "special characters percent-encoded, or 'host=… dbname=… user=…'. For a client it may "
            "be 'embedded:' or 'embedded:./folder', too."
        )


def where(conninfo: str) -> str:
    """The server and database that a connection string names, for texts: never a password."""
    given = conninfo_to_dict(conninfo)
    host = given.get("host") or given.get("hostaddr") or "the default host"
    port = f" port {given['port']}" if given.get("port") else ""
    database = f" database {given['dbname']!r}" if given.get("dbname") else ""
    user = f" as {given['user']!r}" if given.get("user") else ""
    return f"{host}{port}{database}{user}"


def _is_understood(conninfo: str) -> bool:
    if "\0" in conninfo:
        return False
    # A password with a raw '/', '@' or '?' ends up in other parts of the URL, which texts would
    # show.
    scheme, found, rest = conninfo.partition("://")
    if found and scheme in ("postgresql", "postgres"):
        authority = re.split(r"[/?]", rest, maxsplit=1)[0]
        if authority.count("@") > 1 or ("@" not in authority and "@" in rest):
            return False
    try:
        given = conninfo_to_dict(conninfo)
    except (psycopg.ProgrammingError, UnicodeError):
        return False
    ports = str(given.get("port") or "").split(",")
    if not all(port.strip().isdecimal() for port in ports if port):
        return False
    # An address of a user in the place of a host's; a host that begins with "@" is a socket.
    return "@" not in str(given.get("host") or "")[1:]
