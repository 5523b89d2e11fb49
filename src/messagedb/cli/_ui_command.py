"""The command that serves the browser UI."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Annotated, Any
from urllib.parse import quote

import typer

from messagedb import App, AsyncApp, MessageRegistry, ValidationError

from ._exit import exit_error, show_user_tracebacks
from ._help import RUN, add_command
from ._load_target import load, load_app
from ._logging import FormatOption, LevelOption, LogFormat, LogLevel, configure_logging
from ._store import StoreTarget

if TYPE_CHECKING:
    from starlette.applications import Starlette


Token = Annotated[
    str | None,
    typer.Option(
        help="The token that a browser needs; better set by the environment variable. Default:"
        " a random one, which is printed."
    ),
]
AllowedHosts = Annotated[
    list[str] | None,
    typer.Option(
        "--allowed-host",
        help="Another host name that is answered; may be repeated. Default: this machine's.",
    ),
]

_LOOPBACK = ("127.0.0.1", "localhost", "::1", "[::1]")


def add_to(app: typer.Typer) -> None:
    """Add the command of this file."""
    add_command(app, ui, RUN, "messagedb ui", "messagedb ui --port 9000 --allow-changes")


def ui(
    ctx: typer.Context,
    host: Annotated[
        str, typer.Option(help="The address to listen at. Others than 127.0.0.1: see the page.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="The port; 0: any port.")] = 8030,
    token: Token = None,
    allowed_host: AllowedHosts = None,
    allow_changes: Annotated[
        bool, typer.Option("--allow-changes", help="Let pages change the store.")
    ] = False,
    registry: Annotated[
        str | None,
        typer.Option(help="module:name of a MessageRegistry, to decode messages with."),
    ] = None,
    app: Annotated[
        str | None,
        typer.Option(
            "--app", help="module:name of an App or an AsyncApp: its handlers replay messages."
        ),
    ] = None,
    name: Annotated[str, typer.Option(help="A name of the store, on every page.")] = "",
    production: Annotated[
        bool, typer.Option("--production", help="Show a bar that says PRODUCTION on every page.")
    ] = False,
    hide_data: Annotated[
        bool,
        typer.Option(
            "--hide-data", help="Show no data and no metadata of messages, and no text of errors."
        ),
    ] = False,
    time_limit: Annotated[
        float, typer.Option(min=0.1, help="Seconds that a query of a page may take.")
    ] = 5.0,
    log_level: LevelOption = LogLevel.INFO,
    log_format: FormatOption = LogFormat.TEXT,
) -> None:
    """Show the store in a browser, until Ctrl-C.

    Prints one line: the address to open, with a token that the browser needs.
    """
    store: StoreTarget = ctx.obj
    configure_logging(log_level, log_format)
    with show_user_tracebacks():
        loaded = None if app is None else load_app(app)
        registered = None if registry is None else _load_registry(registry)
    if registered is None and loaded is not None:
        registered = loaded.registry
    if host not in _LOOPBACK:
        store.output.print_note(
            f"other machines may reach {host}, without TLS: put a server with HTTPS before it"
        )
    options: dict[str, Any] = {
        "token": token,
        "allowed_hosts": [*_LOOPBACK, _build_host(host), *(allowed_host or ())],
        "allow_changes": allow_changes,
        "registry": registered,
        "name": name,
        "production": production,
        "redact": _hide if hide_data else None,
        "time_limit": time_limit,
    }
    asyncio.run(_serve(store, host, port, options, loaded, is_printed=token is None))


def _load_registry(target: str) -> MessageRegistry:
    found = load(target)
    if not isinstance(found, MessageRegistry):
        raise ValidationError(
            f"{target} is {type(found).__name__}, and should be a MessageRegistry"
        )
    return found


@asynccontextmanager
async def _open_consumers(app: App | AsyncApp | None, url: str) -> AsyncGenerator[list[Any]]:
    """Create the consumers of an app for a block, with a client of its variant. None is run."""
    if app is None:
        yield []
    elif isinstance(app, AsyncApp):
        async with app.open(url) as opened:
            yield opened.list_consumers()
    else:
        with app.open(url) as opened:
            yield opened.list_consumers()


async def _serve(
    store: StoreTarget,
    host: str,
    port: int,
    options: dict[str, Any],
    app: App | AsyncApp | None,
    *,
    is_printed: bool,
) -> None:
    try:
        from messagedb import ui as pages
    except ModuleNotFoundError as error:
        raise exit_error(str(error)) from None
    async with (
        store.open_async_client() as client,
        _open_consumers(app, store.url) as consumers,
    ):
        site = pages.create_app(client, consumers=consumers, **options)
        with socket.create_server((host, port), family=_get_family(host)) as listening:
            address = f"http://{_build_host(host)}:{listening.getsockname()[1]}/"
            typer.echo(f"{address}?token={quote(site.state.token)}" if is_printed else address)
            await _run_server(site, listening)


async def _run_server(app: Starlette, listening: socket.socket) -> None:
    try:
        import uvicorn
    except ModuleNotFoundError as error:
        raise exit_error(f'{error}: pip install "messagedb[ui]"') from None

    class Server(uvicorn.Server):
        async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
            """End the streams that are followed, for which uvicorn would wait."""
            app.state.stop_following()
            await super().shutdown(sockets)

    # The address may hold a token: no access log.
    config = uvicorn.Config(
        app,
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=5,
    )
    await Server(config).serve(sockets=[listening])


def _build_host(address: str) -> str:
    """Return an address as it is in a URL."""
    return f"[{address}]" if ":" in address else address


def _hide(message_type: str, value: Any) -> str:
    return "(hidden)"


def _get_family(host: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in host else socket.AF_INET
