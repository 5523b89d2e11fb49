"""The URLs of an embedded server, independent of libpq's variables in the environment."""

from __future__ import annotations

from urllib.parse import quote

import psycopg

# PostgreSQL's default; the number is only a part of the socket's file name.
PORT = 5432

# libpq takes values that a URL omits from PG* variables in the client's environment. Each value
# here overrides one of them that was seen to break, or to redirect, a connection to a Unix socket.
# An empty value counts as set.
_EXPLICIT = {
    "port": str(PORT),
    "hostaddr": "",
    "client_encoding": "UTF8",
    "sslmode": "disable",
    "sslrootcert": "",
    "gssencmode": "disable",
    "channel_binding": "disable",
    "target_session_attrs": "any",
    "requirepeer": "",
}
# Keywords that an older libpq would refuse, with the version that introduced them.
_SINCE = {
    "require_auth": (160000, ""),
    "sslcertmode": (160000, "disable"),
    "load_balance_hosts": (160000, "disable"),
    "sslnegotiation": (170000, "postgres"),
}


def url(
    socket_directory: str, user: str, database: str, *, search_path: str = "message_store,public"
) -> str:
    """Compose the URL of the server at a socket, for the libpq of this process."""
    version = psycopg.pq.version()
    parameters = {"host": socket_directory} | _EXPLICIT
    parameters["options"] = f"-csearch_path={search_path}"
    parameters |= {name: value for name, (since, value) in _SINCE.items() if version >= since}
    query = "&".join(f"{name}={quote(value, safe='/,')}" for name, value in parameters.items())
    return f"postgresql://{user}@/{database}?{query}"
