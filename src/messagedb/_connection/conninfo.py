"""Connection strings: their validity, and the parts of them that may be shown."""

from __future__ import annotations

import re
from typing import Any

import psycopg
from psycopg.conninfo import conninfo_to_dict

from .._errors import ValidationError


class Address(str):
    """A connection string whose ``repr`` has no password: tracebacks with locals contain it."""

    __slots__ = ()

    def __repr__(self) -> str:
        """Name the server, or nothing if it cannot be distinguished from the password."""
        return f"<{redact_conninfo(self)}>"


def redact_conninfo(conninfo: Any) -> str:
    """Return the parts of an address that may be shown; it may also be invalid."""
    if not isinstance(conninfo, str):
        return "no address"
    if conninfo.startswith("embedded:"):
        return conninfo
    return describe_target(conninfo) if _is_valid(conninfo) else "an unknown address"


def conceal_password(conninfo: Any) -> Any:
    """Return a connection string as an `Address`; another value unchanged."""
    return Address(conninfo) if isinstance(conninfo, str) else conninfo


def check_conninfo(conninfo: Any) -> None:
    """Refuse an invalid connection string, without showing it: it may contain a password.

    Raises:
        ValidationError: it describes the required form. Nothing was sent.
    """
    if not isinstance(conninfo, str):
        raise ValidationError(f"conninfo must be a str, not {type(conninfo).__name__}")
    if not _is_valid(conninfo):
        # libpq's error quotes the part that it could not parse, perhaps a piece of the password.
        raise ValidationError(
            "conninfo is not a connection string that libpq understands (it is not shown, as it "
            "may contain a password). Use 'postgresql://user:password@host:port/dbname', with "
            "special characters percent-encoded, or 'host=… dbname=… user=…'. A client also "
            "accepts 'embedded:' and 'embedded:./folder'."
        )


def describe_target(conninfo: str) -> str:
    """Return the server and database of a connection string, for messages: never a password."""
    values = conninfo_to_dict(conninfo)
    host = values.get("host") or values.get("hostaddr") or "the default host"
    port = f" port {values['port']}" if values.get("port") else ""
    database = f" database {values['dbname']!r}" if values.get("dbname") else ""
    user = f" as {values['user']!r}" if values.get("user") else ""
    return f"{host}{port}{database}{user}"


def _is_valid(conninfo: str) -> bool:
    if "\0" in conninfo:
        return False
    # A password with a raw '/', '@' or '?' is parsed into other parts of the URL, which would be
    # shown in messages.
    scheme, separator, address = conninfo.partition("://")
    if separator and scheme in ("postgresql", "postgres"):
        authority = re.split(r"[/?]", address, maxsplit=1)[0]
        if authority.count("@") > 1 or ("@" not in authority and "@" in address):
            return False
    try:
        values = conninfo_to_dict(conninfo)
    except (psycopg.ProgrammingError, UnicodeError):
        return False
    ports = str(values.get("port") or "").split(",")
    if not all(port.strip().isdecimal() for port in ports if port):
        return False
    # The user's part in place of a host; a host that begins with "@" is a socket.
    return "@" not in str(values.get("host") or "")[1:]
