"""The causes of a failed connection: the message, the advice, and whether the cause is transient.

For a failed connection libpq reports no SQLSTATE, only a message; the server's part of it may be in
another language. An unknown message counts as a transient cause.
"""

from __future__ import annotations

import functools
import re
from typing import Final

import msgspec
import psycopg


class Refusal(msgspec.Struct, frozen=True):
    """The reason of a failed connection.

    Attributes:
        text: the message in one line: of one server, or of each of several.
        advice: the action to take.
        is_transient: whether the same attempt may succeed later without a change here or in the
            server's configuration.
    """

    text: str
    advice: str
    is_transient: bool


class _Cause(msgspec.Struct, frozen=True):
    text: str
    advice: str
    is_transient: bool


def _build_cause(text: str, advice: str, *, is_transient: bool = False) -> _Cause:
    return _Cause(text, advice, is_transient)


_UNKNOWN: Final = _build_cause(
    "", "Check that the server runs, and its host and port.", is_transient=True
)

# The first match counts. The messages are those of libpq and of the server in English.
_CAUSES: Final = (
    _build_cause(
        "too many clients already|too many connections for|remaining connection slots",
        "The server has no connection left: wait for one, lower max_size of its clients, or raise "
        "max_connections, or the CONNECTION LIMIT of the role or database.",
        is_transient=True,
    ),
    _build_cause(
        "database system is (starting up|shutting down|in recovery mode|not yet accepting|"
        "not accepting)|is not currently accepting connections|Hot standby mode is disabled",
        "The server runs, but does not accept connections now: wait until it does; its log reports "
        "the reason.",
        is_transient=True,
    ),
    _build_cause(
        "(server|session|database) is (not )?(read-only|in hot standby mode)",
        "The server does not match target_session_attrs: name one that does, or change "
        "target_session_attrs. After a failover the server may match later.",
        is_transient=True,
    ),
    _build_cause(
        "does not support SSL, but SSL was required",
        "TLS is disabled on the server: set ssl = on there, or change sslmode in the connection "
        "string.",
    ),
    _build_cause(
        "no pg_hba.conf entry .*no encryption|pg_hba.conf rejects .*no encryption",
        "The server accepts this user from here with TLS only, or not at all: use "
        "sslmode=require, or add a line to its pg_hba.conf.",
    ),
    _build_cause(
        "root certificate file .* does not exist|could not read root certificate",
        "sslrootcert must name the file of the authority that signed the server's certificate; "
        "sslrootcert=system uses those of the operating system.",
    ),
    _build_cause(
        "certificate verify failed",
        "The server's certificate is not signed by an authority in sslrootcert, or has expired: "
        "name the right file, or renew the certificate.",
    ),
    _build_cause(
        "does not match host name",
        "The server's certificate is for another name: connect by a name in it, or use "
        "sslmode=verify-ca, which does not check names.",
    ),
    _build_cause(
        "private key file|could not (load|read|open|get) .*certificate file|certificate present",
        "Check the client's certificate: sslcert and sslkey must name files that belong together, "
        "and no other user may be able to read the key (chmod 600).",
    ),
    _build_cause(
        "requires a valid client certificate|certificate authentication failed|"
        "alert (unknown ca|bad certificate|certificate (required|expired|revoked|unknown))",
        "The server requires a client certificate that it trusts, issued to this user: set "
        "sslcert and sslkey.",
    ),
    _build_cause(
        "invalid response to SSL negotiation|expected authentication request|"
        "unsupported frontend protocol",
        "The program at this address is not a PostgreSQL server: check host and port.",
        is_transient=True,
    ),
    _build_cause(
        "protocols? (available|version)|unsupported protocol|no shared cipher|handshake failure|"
        "wrong version number",
        "Client and server have no version of TLS in common: check ssl_min_protocol_version and "
        "ssl_max_protocol_version of both.",
    ),
    _build_cause(
        "SSL error|SSL SYSCALL",
        "The TLS connection to the server failed: see the server's log, and check "
        "sslnegotiation and the network in between.",
        is_transient=True,
    ),
    _build_cause(
        "channel binding required|authentication method requirement",
        "The server requires another authentication method than channel_binding or require_auth "
        "of the connection string allow.",
    ),
    _build_cause(
        "(LDAP|RADIUS|PAM|BSD|GSSAPI|SSPI) authentication failed",
        "Check user and password, and that the authentication service of the server is available.",
        is_transient=True,
    ),
    _build_cause(
        "password|authentication failed|pg_hba",
        "Check user and password, and the server's pg_hba.conf.",
    ),
    _build_cause(
        "is not permitted to log in",
        "The role may not log in: run ALTER ROLE … LOGIN, or connect as a role that may.",
    ),
    _build_cause(
        "permission denied for database",
        "Run GRANT CONNECT ON DATABASE … TO the role, or connect as a role that may.",
    ),
    _build_cause(
        '(role|database) ".*" does not exist',
        "Check the names of database and role in the connection string.",
    ),
    _build_cause(
        "accepting connections on that socket",
        "Check that the server runs, and its socket's folder (host) and port.",
        is_transient=True,
    ),
    _build_cause(
        "timeout expired",
        "No answer within the timeout: check host and port, and firewalls in between.",
        is_transient=True,
    ),
    _build_cause(
        "resolve host|translate host name",
        "Check the host name and the name resolution.",
        is_transient=True,
    ),
    _build_cause(
        "closed the connection unexpectedly",
        "The peer closed the connection during setup: see the log of the server, or of the pooler "
        "or proxy in between.",
        is_transient=True,
    ),
    _build_cause("^invalid .* value", "Correct that part of the connection string."),
)


@functools.cache
def _compile_causes() -> list[tuple[re.Pattern[str], _Cause]]:
    # At the first refusal: to compile them takes a tenth of the time of ``import messagedb``.
    return [(re.compile(cause.text, re.I), cause) for cause in _CAUSES]


# psycopg's report of several attempts, after the message of the last one.
_SEVERAL: Final = "Multiple connection attempts failed. All failures were:"
_ATTEMPT: Final = re.compile(r"^- host: (.+?), port: (.+?), hostaddr: .+?: ", re.M)

_PREFIX: Final = re.compile(r"^connection (failed|is bad): ")
_PLACE: Final = re.compile(r'^connection to server (at|on socket) ".*?"(, port \d+)? failed: ')


def parse_refusal(error: psycopg.Error) -> Refusal:
    """Return the reason of a failed connection.

    It is transient if one of several attempts is: of several hosts, or several addresses of one.
    """
    primary = error.diag.message_primary
    found = [("", primary)] if primary is not None else _split_attempts(str(error).strip())
    if not found:
        return Refusal(type(error).__name__, _UNKNOWN.advice, _UNKNOWN.is_transient)
    by_reason = {_PLACE.sub("", text): (where, text) for where, text in found}
    causes = {text: _find_cause(text) for _, text in by_reason.values()}
    if len(by_reason) == 1:
        ((_, text),) = by_reason.values()
    else:
        text = "; ".join(
            f"{where}: {reason}" if where else reason for reason, (where, _) in by_reason.items()
        )
    advice = " ".join(dict.fromkeys(cause.advice for cause in causes.values()))
    return Refusal(text, advice, any(cause.is_transient for cause in causes.values()))


def _split_attempts(text: str) -> list[tuple[str, str]]:
    """Return each attempt's most informative line, with its place if there were several."""
    _, several, rest = text.partition(_SEVERAL)
    if several:
        parts = _ATTEMPT.split(rest)[1:]
        return [
            (_format_address(host, port), line)
            for host, port, said in zip(parts[0::3], parts[1::3], parts[2::3], strict=True)
            if (line := _select_lines(said))
        ]
    line = _select_lines(text)
    return [("", line)] if line else []


def _format_address(host: str, port: str) -> str:
    where = f"host {host}"
    return where if port == "None" else f"{where} port {port.strip(chr(39))}"


def _select_lines(text: str) -> str:
    """Return the line with the reason: libpq tries with and without TLS, and reports both."""
    lines = [_PREFIX.sub("", line.strip()) for line in text.splitlines() if line.strip()]
    tries = [line for line in lines if _PLACE.match(line)] or lines
    telling = [line for line in tries if "no encryption" not in line] or tries
    return telling[0] if telling else ""


def _find_cause(text: str) -> _Cause:
    reason = _PLACE.sub("", text)
    return next((cause for pattern, cause in _compile_causes() if pattern.search(reason)), _UNKNOWN)
