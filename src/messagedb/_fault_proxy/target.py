"""The server behind a fault proxy: its address, and the strings that lead to it by the proxy."""

from __future__ import annotations

import socket
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import quote, urlencode

import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from .._errors import ValidationError

__all__ = ["Target", "parse_target"]

_HOST: Final = "127.0.0.1"
# They choose among several hosts, or need the server's own address.
_OF_HOSTS: Final = frozenset(
    {"host", "hostaddr", "port", "target_session_attrs", "load_balance_hosts", "requirepeer"}
)
_NOT_STARTED: Final = "No proxy was started."
_OF_ENCRYPTION: Final = ("ssl", "gss", "krb", "channel_binding", "requiressl")
_MODES_WITH_TLS: Final = ("require", "verify-ca", "verify-full")


@dataclass(frozen=True)
class Target:
    """A server, and the parameters of a connection to it.

    Attributes:
        host: its name, its address, or the folder of its Unix socket.
        hostaddr: its address, if the connection string has both.
        port: its port.
        parameters: the other parameters of libpq.
        uses_tls: whether clients are to encrypt, so that the proxy cannot read along.
    """

    host: str
    hostaddr: str
    port: int
    parameters: dict[str, str]
    uses_tls: bool

    def address(self) -> tuple[int, str | tuple[Any, ...]]:
        """Return the family and the address of the server's socket."""
        if self.host.startswith(("/", "@")) and not self.hostaddr:
            path = f"{self.host}/.s.PGSQL.{self.port}"
            return socket.AF_UNIX, path.replace("@", "\0", 1) if path[0] == "@" else path
        place = (self.hostaddr or self.host, self.port)
        family, _, _, _, address = socket.getaddrinfo(*place, type=socket.SOCK_STREAM)[0]
        return family, address

    def through(self, port: int) -> dict[str, str]:
        """Return the parameters of a connection by a proxy on a port of this machine."""
        if not self.uses_tls:
            way = {"host": _HOST, "port": str(port), "sslmode": "disable", "gssencmode": "disable"}
            return self.parameters | way
        # The name is that of the certificate; the address is the proxy's.
        return self.parameters | {"host": self.host, "hostaddr": _HOST, "port": str(port)}


def parse_target(conninfo: object) -> Target:
    """Return the server that a connection string names.

    Raises:
        ValidationError: it is not a connection string, or names no server or several.
    """
    if not isinstance(conninfo, str):
        raise ValidationError(
            f"target must be a connection string, not {type(conninfo).__name__}. {_NOT_STARTED}"
        )
    if conninfo.startswith("embedded:"):
        raise ValidationError(
            "target must be the connection string of a running server: start one with "
            f"messagedb.embedded.start(), and pass its url. {_NOT_STARTED}"
        )
    try:
        values = conninfo_to_dict(conninfo)
    except psycopg.ProgrammingError as error:
        raise ValidationError(
            f"target is not a connection string: {str(error).strip()}. {_NOT_STARTED}"
        ) from error
    given = {name: str(value) for name, value in values.items() if value is not None}
    host, hostaddr, port = (given.get(name, "") for name in ("host", "hostaddr", "port"))
    if not host and not hostaddr:
        raise ValidationError(
            "target must name the host of the server; variables such as PGHOST and services are "
            f"not looked up. {_NOT_STARTED}"
        )
    if "," in host + hostaddr + port:
        raise ValidationError(
            f"target must name one server, not several ({host or hostaddr!r}): start a proxy for "
            f"each of them. {_NOT_STARTED}"
        )
    if port and not port.isdecimal():
        raise ValidationError(
            f"target must have a number as its port, not {port!r}. {_NOT_STARTED}"
        )
    # On a Unix socket libpq does not encrypt.
    uses_tls = given.get("sslmode") in _MODES_WITH_TLS and not host.startswith(("/", "@"))
    kept = {
        name: value
        for name, value in given.items()
        if name not in _OF_HOSTS and (uses_tls or not name.startswith(_OF_ENCRYPTION))
    }
    return Target(host or hostaddr, hostaddr, int(port or 5432), kept, uses_tls)


def build_conninfo(parameters: dict[str, str]) -> str:
    """Return parameters as a string of ``key=value`` pairs."""
    return make_conninfo("", **parameters)


def build_url(parameters: dict[str, str]) -> str:
    """Return parameters as a URL, which drivers of most languages take."""
    rest = dict(parameters)
    user, password, dbname, host, port = (
        rest.pop(name, "") for name in ("user", "password", "dbname", "host", "port")
    )
    login = quote(user, safe="") + (f":{quote(password, safe='')}" if password else "")
    host = f"[{host}]" if ":" in host else host
    query = f"?{urlencode(rest, quote_via=quote)}" if rest else ""
    place = f"{login}{'@' if login else ''}{host}:{port}"
    return f"postgresql://{place}/{quote(dbname, safe='')}{query}"
