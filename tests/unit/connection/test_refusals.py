"""Errors of libpq and the server for a failed connection, and our errors for them."""

from __future__ import annotations

import psycopg
import pytest

from messagedb._connection.connect_errors import parse_refusal

AT = 'connection failed: connection to server at "10.0.0.1", port 5432 failed: '


def of(text: str) -> tuple[str, str, bool]:
    found = parse_refusal(psycopg.OperationalError(text))
    return found.text, found.advice, found.is_transient


@pytest.mark.parametrize(
    ("text", "advice", "comes_back"),
    [
        ("FATAL:  sorry, too many clients already", "no connection left", True),
        ('FATAL:  too many connections for role "a"', "CONNECTION LIMIT", True),
        (
            "FATAL:  remaining connection slots are reserved for roles with SUPERUSER",
            "max_connections",
            True,
        ),
        ("FATAL:  the database system is starting up", "does not accept connections now", True),
        ("FATAL:  the database system is shutting down", "does not accept connections now", True),
        ('FATAL:  database "b" is not currently accepting connections', "wait until", True),
        ("server is not in hot standby mode", "target_session_attrs", True),
        ("session is read-only", "target_session_attrs", True),
        ("server does not support SSL, but SSL was required", "ssl = on", False),
        (
            'FATAL:  no pg_hba.conf entry for host "h", user "u", database "d", no encryption',
            "sslmode=require",
            False,
        ),
        (
            'FATAL:  no pg_hba.conf entry for host "h", user "u", database "d", SSL encryption',
            "pg_hba.conf",
            False,
        ),
        ('root certificate file "/root.crt" does not exist', "sslrootcert=system", False),
        ('could not read root certificate file "/x": no certificate', "sslrootcert", False),
        ("SSL error: certificate verify failed", "not signed by an authority", False),
        (
            'server certificate for "db.example" does not match host name "10.0.0.1"',
            "sslmode=verify-ca",
            False,
        ),
        ('certificate present, but not private key file "/k"', "sslcert and sslkey", False),
        ('could not load private key file "/k": key values mismatch', "belong together", False),
        ('private key file "/k" has group or world access; file must', "chmod 600", False),
        ("FATAL:  connection requires a valid client certificate", "sslcert and sslkey", False),
        ('FATAL:  certificate authentication failed for user "u"', "issued to this user", False),
        ("SSL error: tlsv1 alert unknown ca", "a client certificate that it trusts", False),
        ("SSL error: sslv3 alert certificate expired", "sslcert and sslkey", False),
        ("SSL error: tlsv13 alert certificate required", "sslcert and sslkey", False),
        ("SSL error: no protocols available", "ssl_min_protocol_version", False),
        ("SSL error: unexpected eof while reading", "server's log", True),
        ("received invalid response to SSL negotiation: H", "not a PostgreSQL server", True),
        ("expected authentication request from server, but received H", "not a PostgreSQL", True),
        ("channel binding required, but server authenticated client without", "channel_b", False),
        ('FATAL:  password authentication failed for user "u"', "user and password", False),
        ("fe_sendauth: no password supplied", "user and password", False),
        ('FATAL:  Peer authentication failed for user "u"', "pg_hba.conf", False),
        ('FATAL:  LDAP authentication failed for user "u"', "authentication service", True),
        ('FATAL:  role "u" is not permitted to log in', "ALTER ROLE", False),
        ('FATAL:  permission denied for database "d"', "GRANT CONNECT", False),
        ('FATAL:  role "u" does not exist', "names of database and role", False),
        ('FATAL:  database "d" does not exist', "names of database and role", False),
        ("Connection refused", "that the server runs", True),
        ("server closed the connection unexpectedly", "closed the connection during", True),
        ("FATAL:  etwas in einer anderen Sprache", "that the server runs", True),
    ],
)
def test_each_cause_has_its_advice(text: str, advice: str, comes_back: bool) -> None:
    said, told, can_come_back = of(AT + text + "\n\tand a hint of libpq")
    assert said == AT.removeprefix("connection failed: ") + text
    assert advice in told
    assert can_come_back is comes_back


@pytest.mark.parametrize(
    ("text", "advice", "comes_back"),
    [
        ("connection timeout expired", "No answer within the timeout", True),
        ("failed to resolve host 'db': [Errno -2] Name or service not known", "host name", True),
        ('invalid sslmode value: "x"', "connection string", False),
        (
            'connection is bad: connection to server on socket "/s/.s.PGSQL.1" failed: No such '
            "file or directory\n\tIs the server running locally and accepting connections on that "
            "socket?",
            "that the server runs",
            True,
        ),
    ],
)
def test_a_refusal_without_an_address_is_explained(
    text: str, advice: str, comes_back: bool
) -> None:
    said, told, can_come_back = of(text)
    assert said in text
    assert advice in told
    assert can_come_back is comes_back


def test_of_an_attempt_with_tls_and_one_without_the_first_counts() -> None:
    wanted = f"{AT}FATAL:  connection requires a valid client certificate"
    other = AT.removeprefix("connection failed: ") + (
        'FATAL:  no pg_hba.conf entry for host "h", user "u", database "d", no encryption'
    )
    assert of(f"{wanted}\n{other}")[0] == wanted.removeprefix("connection failed: ")
    # sslmode=allow tries without TLS first.
    assert of(f"connection failed: {other}\n{wanted.removeprefix('connection failed: ')}")[
        0
    ] == wanted.removeprefix("connection failed: ")


def several(*attempts: tuple[str, str, str]) -> str:
    lines = [attempts[-1][2], "Multiple connection attempts failed. All failures were:"]
    lines += [
        f"- host: {host!r}, port: {port!r}, hostaddr: '10.0.0.1': {said}"
        for host, port, said in attempts
    ]
    return "\n".join(lines)


def test_of_several_hosts_each_says_its_cause() -> None:
    said, advice, comes_back = of(
        several(
            ("a", "5432", f"{AT}Connection refused\n\tIs the server running?"),
            ("b", "5433", f'{AT}FATAL:  password authentication failed for user "u"'),
        )
    )
    assert said == (
        "host 'a' port 5432: Connection refused; "
        "host 'b' port 5433: FATAL:  password authentication failed for user \"u\""
    )
    assert "that the server runs" in advice
    assert "user and password" in advice
    assert comes_back  # the first one may be the one that lets us in


def test_several_hosts_that_all_refuse_do_not_come_back() -> None:
    wrong = f'{AT}FATAL:  password authentication failed for user "u"'
    said, advice, comes_back = of(several(("a", "5432", wrong), ("b", "5432", wrong)))
    assert said.endswith('FATAL:  password authentication failed for user "u"')
    assert advice.count("user and password") == 1
    assert not comes_back


def test_two_addresses_of_one_host_are_one_cause() -> None:
    said, _, comes_back = of(
        several(
            ("localhost", "5432", f"{AT}Connection refused"),
            ("localhost", "5432", f"{AT.replace('10.0.0.1', '::1')}Connection refused"),
        )
    )
    assert said.endswith("failed: Connection refused")
    assert comes_back


def test_an_empty_text() -> None:
    assert of("") == (
        "OperationalError",
        "Check that the server runs, and its host and port.",
        True,
    )
