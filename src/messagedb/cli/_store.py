"""The store of a command, and the client that it opens."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import platformdirs

from messagedb import AsyncClient, Client, embedded
from messagedb._connection.conninfo import conceal_password

from ._output import Output
from ._wait_for_store import wait_for_store, wait_for_store_async


class StoreTarget:
    """The store of this run of the CLI, and the writer of its output."""

    def __init__(self, url: str, *, schema: str, command_timeout: float, output: Output) -> None:
        self.is_default = not url
        self.url: str = conceal_password(url or f"embedded:{get_default_folder()}")
        self.schema = schema
        self.command_timeout = command_timeout
        self.output = output

    @contextmanager
    def open_client(self, *, max_size: int = 4, waits: bool = False) -> Generator[Client]:
        """Open a client, and name the store on standard error if no option named it.

        Args:
            max_size: the largest number of connections.
            waits: whether to wait for an unavailable store.
        """
        self._announce_default()
        client = Client(
            self.url,
            schema=self.schema,
            command_timeout=self.command_timeout,
            max_size=max_size,
            decimals=True,
        )
        try:
            if waits:
                wait_for_store(client, self.output)
            client.open()
            yield client
        finally:
            client.close()

    @asynccontextmanager
    async def open_async_client(self, *, waits: bool = False) -> AsyncGenerator[AsyncClient]:
        """Open a client of the async variant, with the same note."""
        self._announce_default()
        client = AsyncClient(
            self.url, schema=self.schema, command_timeout=self.command_timeout, decimals=True
        )
        try:
            if waits:
                await wait_for_store_async(client, self.output)
            await client.open()
            yield client
        finally:
            await client.close()

    def _announce_default(self) -> None:
        if self.is_default:
            self.output.print_note(f"store: {self.url} (no --url and no MESSAGEDB_URL)")

    @contextmanager
    def open_owner_url(self) -> Generator[str]:
        """Return the URL of a role that may change the schema: a superuser's in an embedded store.

        Raises:
            EmbeddedServerError: the embedded server cannot be started.
        """
        with self._start_embedded() as server:
            yield self.url if server is None else server.admin_url

    @contextmanager
    def open_user_url(self) -> Generator[str]:
        """Return the URL in PostgreSQL's form.

        Raises:
            EmbeddedServerError: the embedded server cannot be started.
        """
        self._announce_default()
        with self._start_embedded() as server:
            yield self.url if server is None else server.url

    @contextmanager
    def _start_embedded(self) -> Generator[embedded.EmbeddedServer | None]:
        kind, _, folder = self.url.partition(":")
        if kind != "embedded":
            yield None
            return
        with embedded.start(folder or None) as server:
            yield server


def get_default_folder() -> Path:
    """Return the folder of the default embedded store."""
    return Path(platformdirs.user_data_dir("messagedb", appauthor=False)) / "store"
