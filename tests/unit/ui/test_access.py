"""Decisions about access to the UI: sessions, hosts and origins."""

from __future__ import annotations

import pytest

from messagedb._ui.security.origins import (
    find_foreign_reason,
    is_allowed_host,
    remove_port,
)
from messagedb._ui.security.signing import SESSION_SECONDS, Signer, is_equal

SIGNER = Signer(b"a secret of many bytes", "a token")


def test_a_session_is_known_until_it_ends() -> None:
    session, cookie = SIGNER.start_session(1000.0)
    assert SIGNER.read_session(cookie, 1000.0) == session
    assert SIGNER.read_session(cookie, 1000.0 + SESSION_SECONDS - 1) == session
    assert SIGNER.read_session(cookie, 1000.0 + SESSION_SECONDS) is None


def test_no_part_of_a_cookie_can_be_changed() -> None:
    _, cookie = SIGNER.start_session(1000.0)
    for at, character in enumerate(cookie):
        changed = cookie[:at] + ("1" if character != "1" else "2") + cookie[at + 1 :]
        assert SIGNER.read_session(changed, 1000.0) is None
    for wrong in (None, "", ":", "::", "a:b:c", cookie + "0", cookie[:-1], "é:9999999999:x"):
        assert SIGNER.read_session(wrong, 1000.0) is None


def test_another_secret_or_token_accepts_nothing() -> None:
    session, cookie = SIGNER.start_session(1000.0)
    for other in (
        Signer(b"another secret of bytes", "a token"),
        Signer(b"a secret of many bytes", "b"),
    ):
        assert other.read_session(cookie, 1000.0) is None
        assert other.build_form_token(session) != SIGNER.build_form_token(session)
        assert other.cookie_name != SIGNER.cookie_name


def test_the_token_of_a_form_is_no_session() -> None:
    session, cookie = SIGNER.start_session(1000.0)
    assert SIGNER.build_form_token(session) not in cookie


def test_strings_of_any_kind_are_compared() -> None:
    assert is_equal("a\udc00é", "a\udc00é")
    assert not is_equal("a", "")


@pytest.mark.parametrize(
    ("host", "name"),
    [
        ("example.com", "example.com"),
        ("Example.com:80", "example.com"),
        ("[::1]", "[::1]"),
        ("[::1]:8000", "[::1]"),
        ("127.0.0.1:", "127.0.0.1"),
        ("a:b", "a:b"),
        ("evil:80:80", "evil:80"),
        ("", ""),
    ],
)
def test_the_port_is_removed_from_a_host(host: str, name: str) -> None:
    assert remove_port(host) == name


def test_one_allowed_host_is_needed() -> None:
    allowed = {"localhost"}
    assert is_allowed_host(["localhost:1"], allowed)
    assert is_allowed_host(["anything"], {"*"})
    for hosts in ([], ["localhost", "evil"], ["evil"], ["localhost.evil"], ["localhost@evil"]):
        assert not is_allowed_host(hosts, allowed)
    assert not is_allowed_host([], {"*"})


@pytest.mark.parametrize(
    ("site", "origin", "is_foreign"),
    [
        ("same-origin", None, False),
        ("same-origin", "http://evil", False),
        ("cross-site", "http://host:1", True),
        ("none", None, True),
        (None, "http://host:1", False),
        (None, "https://HOST:1", False),
        (None, "http://host", True),
        (None, "http://[", True),
        (None, "null", True),
        (None, None, True),
    ],
)
def test_a_change_has_to_come_from_the_same_origin(
    site: str | None, origin: str | None, is_foreign: bool
) -> None:
    assert (find_foreign_reason("POST", "host:1", site, origin) is not None) == is_foreign
    assert find_foreign_reason("GET", "host:1", site, origin) is None
