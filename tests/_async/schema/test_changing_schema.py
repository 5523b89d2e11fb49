"""A schema is installed, upgraded and removed: in both variants."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from messagedb import AsyncClient, IncompatibleServerError, NewMessage, ValidationError
from messagedb.schema import install_async, uninstall_async, upgrade_async

NewDatabase = Callable[..., str]


async def test_it_comes_and_goes(new_database: NewDatabase) -> None:
    url = new_database(install=False)
    with pytest.raises(IncompatibleServerError, match="no Message DB"):
        await upgrade_async(url)
    assert await install_async(url)
    assert not await upgrade_async(url)
    async with AsyncClient(url) as client:
        assert await client.write_message("account-1", NewMessage("Deposited")) == 0
    with pytest.raises(ValidationError, match="contains messages"):
        await uninstall_async(url)
    assert await uninstall_async(url, drop_messages=True)
    assert not await uninstall_async(url)
    with pytest.raises(ValidationError, match="schema"):
        await uninstall_async(url, schema="")
