"""Try an installed messagedb: both variants write and read on an embedded server.

Run by ``nox -s package`` with the Python of an environment that has the wheel and nothing else.
"""

from __future__ import annotations

import asyncio
import sysconfig
from importlib.metadata import version
from importlib.resources import files
from pathlib import Path

import messagedb
from messagedb import AsyncClient, Client, NewMessage


def check(truth: bool, what: str) -> None:
    """Exit with *what* unless the condition is true; unlike assert, also under ``python -O``."""
    if not truth:
        raise SystemExit(f"the installed messagedb fails: {what}")


def sync_half() -> None:
    """Write and read through Client."""
    with Client("embedded:") as client:
        position = client.write_message("account-1", NewMessage("Deposited", {"amount": 1}))
        (message,) = client.get_stream_messages("account-1")
        check(position == 0, "the first position is 0")
        check(message.data == {"amount": 1}, "Client reads what it wrote")
        check(client.message_store_version() == "1.3.0", "the interface is that of 1.3.0")


async def async_half() -> None:
    """Write and read through AsyncClient."""
    async with AsyncClient("embedded:") as client:
        position = await client.write_message("account-1", NewMessage("Deposited", {"amount": 1}))
        (message,) = await client.get_stream_messages("account-1")
        check(position == 0, "the first position is 0")
        check(message.data == {"amount": 1}, "AsyncClient reads what it wrote")


def main() -> None:
    """Check its location and contents, and that both variants work."""
    here = Path(messagedb.__file__)
    check(here.is_relative_to(sysconfig.get_path("purelib")), f"it is in site-packages, not {here}")
    for package in ("messagedb", "_messagedb_async"):
        check(files(package).joinpath("py.typed").is_file(), f"{package} has py.typed")
    sql = [entry.name for entry in files("messagedb._schema").joinpath("sql").iterdir()]
    check(any(name.endswith(".sql") for name in sql), "messagedb._schema has its SQL files")
    sync_half()
    asyncio.run(async_half())
    print(f"messagedb {version('messagedb')}: both variants write and read; {len(sql)} SQL files")


if __name__ == "__main__":
    main()
