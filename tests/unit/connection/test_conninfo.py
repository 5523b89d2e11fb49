"""Connection strings are shown without their passwords."""

from __future__ import annotations

from typing import Any

import pytest

from messagedb import AsyncClient, Client, ValidationError
from messagedb._connection.conninfo import Address, conceal_password

SECRET = "s3cret"


@pytest.mark.parametrize(
    ("conninfo", "shown"),
    [
        (f"postgresql://u:{SECRET}@h:5433/d", "<h port 5433 database 'd' as 'u'>"),
        (f"host=h dbname=d password={SECRET}", "<h database 'd'>"),
        (f"postgresql://u:{SECRET}@@h/d", "<an unknown address>"),
        (f"nonsense {SECRET}", "<an unknown address>"),
        ("embedded:./folder", "<embedded:./folder>"),
        ("", "<the default host>"),
    ],
)
def test_the_repr_of_an_address(conninfo: str, shown: str) -> None:
    address = conceal_password(conninfo)
    assert repr(address) == shown
    assert address == conninfo
    assert conceal_password(None) is None


@pytest.mark.parametrize("kind", [Client, AsyncClient])
def test_nothing_of_a_client_shows_its_password(kind: type[Client] | type[AsyncClient]) -> None:
    client: Any = kind(f"postgresql://u:{SECRET}@h/d")
    held: list[Any] = [client, client.__dict__, client._session_config.__dict__]
    held.append(client._lifecycle.__dict__)
    assert SECRET not in repr(held)
    assert SECRET in str(client._lifecycle.settings.conninfo)
    assert isinstance(client._lifecycle.settings.conninfo, Address)


def test_a_refused_address_is_in_no_frame_of_the_library() -> None:
    with pytest.raises(ValidationError) as caught:
        Client(f"postgresql://u:{SECRET}@@h/d")
    frames = [entry.frame for entry in caught.traceback[1:]]
    assert len(frames) > 1
    assert all(SECRET not in repr(dict(frame.f_locals)) for frame in frames)


def test_a_client_that_was_refused_can_be_shown() -> None:
    wrong: Any = object()
    with pytest.raises(ValidationError, match="pool must be") as caught:
        Client(pool=wrong)
    shown = [repr(dict(entry.frame.f_locals)) for entry in caught.traceback[1:]]
    assert any("<Client pool None (not opened)>" in each for each in shown)
