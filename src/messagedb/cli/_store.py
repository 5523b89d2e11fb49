"""The store of a command, and the client that it opens."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import platformdirs

from messagedb import AsyncClient, Client, embedded
from messagedb._connection.conninfo import concealed

from ._output import Output
from ._wait_for_store import wait_for, wait_for_async


class Store:
    """The store of this run of the CLI, and the writer of its output."""

    def __init__(self, url: str, *, schema: str, command_timeout: float, output: Output) -> None:
        self.is_default = not url
        self.url: str = concealed(url or f"embedded:{default_folder()}")
        self.schema = schema
        self.command_timeout = command_timeout
        self.output = output

    @contextmanager
    def client(self, *, max_size: int = 4, waits: bool = False) -> Generator[Client]:
        """Open a client, and name the store on standard error if no option named it.

        Args:
            max_size: the largest number of connections.
            waits: whether to wait for an unavailable store.
        """
        self._tell()
        client = Client(
            self.url,
            schema=self.schema,
            command_timeout=self.command_timeout,
            max_size=max_size,
            decimals=True,
        )
        try:
            if waits:
                wait_for(client, self.output)
            client.open()
            yield client
        finally:
            client.close()

    @asynccontextmanager
    async def async_client(self, *, waits: bool = False) -> AsyncGenerator[AsyncClient]:
        """Open a client of the async variant, with the same note."""
        self._tell()
        client = AsyncClient(
            self.url, schema=self.schema, command_timeout=self.command_timeout, decimals=True
        )
        try:
            if waits:
                await wait_for_async(client, self.output)
            await client.open()
            yield client
        finally:
            await client.close()

    def _tell(self) -> None:
        if self.is_default:
            self.output.note(f"store: {self.url} (no --url and no MESSAGEDB_URL)")

    @contextmanager
    def owner_url(self) -> Generator[str]:
        """Return the URL of a role that may change the schema: a superuser's in an embedded store.

        Raises:
            EmbeddedServerError: the embedded server cannot be started.
        """
        with self._server() as server:
            yield self.url if server is None else server.admin_url

    @contextmanager
    def user_url(self) -> Generator[str]:
        """Return the URL in PostgreSQL's form.

        Raises:
            EmbeddedServerError: the embedded server cannot be started.
        """
        self._tell()
        with self._server() as server:
            yield self.url if server is None else server.url

    @contextmanager
    def _server(self) -> Generator[embedded.EmbeddedServer | None]:
        kind, _, folder = self.url.partition(":")
        if kind != "embedded":
            yield None
            return
        with embedded.start(folder or None) as server:
            yield server


def default_folder() -> Path:
    """Return the folder of the default embedded store."""
    return Path(platformdirs.user_data_dir("messagedb", appauthor=False)) / "store"
