"""The command that runs an app: its consumers and read models, in one process or in several."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Annotated, Any

import typer

from messagedb import App, AsyncApp, ValidationError, run_consumers, run_consumers_async
from messagedb._app.members import divide
from messagedb._metrics.prometheus import render_process
from messagedb.app import AsyncOpenedApp, OpenedApp
from messagedb.consumers import ConsumerStatus

from ._banner import log_banner
from ._exit import exit_error, show_user_tracebacks
from ._health import serve_health
from ._help import RUN, add_command
from ._load_target import load_app, run_loop
from ._logging import FormatOption, LevelOption, LogFormat, LogLevel, configure_logging
from ._reload import run_reloading
from ._store import StoreTarget
from ._wait_for_store import wait_for_store, wait_for_store_async
from ._workers import run_workers, stop_with_parent

Only = Annotated[
    list[str] | None,
    typer.Option("--only", help="Only this consumer or read model; may be repeated."),
]
Workers = Annotated[
    int, typer.Option(min=1, help="Processes, which divide the consumers among them.")
]
Health = Annotated[
    int | None,
    typer.Option(
        min=0, max=65535, help="Serve /live, /ready, /metrics over HTTP at this port; 0: any."
    ),
]
Reload = Annotated[
    bool,
    typer.Option("--reload", help="For development: start again when a Python file changes."),
]
ReloadFolders = Annotated[
    list[Path] | None,
    typer.Option(
        "--reload-dir",
        exists=True,
        file_okay=False,
        help="Watch this folder for --reload; may be repeated. Default: the current one.",
    ),
]


def add_to(app: typer.Typer) -> None:
    """Add the command of this file."""
    add_command(
        app,
        run,
        RUN,
        "messagedb run bank:app",
        "messagedb run bank:app --only statements --health 8080",
        "messagedb run bank:app --reload",
    )


def run(
    ctx: typer.Context,
    target: Annotated[
        str, typer.Argument(help="module:name of an app, or of a function that makes it.")
    ],
    only: Only = None,
    workers: Workers = 1,
    reload: Reload = False,
    reload_dir: ReloadFolders = None,
    until_caught_up: Annotated[
        bool,
        typer.Option(
            "--until-caught-up", help="End when every message that is there now is handled."
        ),
    ] = False,
    stop_timeout: Annotated[
        float,
        typer.Option(min=0.001, help="Seconds that handlers have to finish after a signal."),
    ] = 10.0,
    wait: Annotated[
        float | None,
        typer.Option(
            min=0, help="Seconds to wait for an unavailable store at the start. Default: no limit."
        ),
    ] = None,
    health: Health = None,
    log_level: LevelOption = LogLevel.INFO,
    log_format: FormatOption = LogFormat.TEXT,
    parent: Annotated[int, typer.Option(hidden=True, help="The process that began it.")] = 0,
) -> None:
    """Run the consumers and read models of an app until a signal.

    After SIGTERM or Ctrl-C the current messages are finished; a second signal ends the process
    immediately. The schema and the other options of the client are those of the app. Logs go to
    standard error.
    """
    store: StoreTarget = ctx.obj
    if reload:
        raise typer.Exit(_run_reloading(ctx, store.url))
    with show_user_tracebacks():
        app = load_app(target)
        if workers > 1:
            if health is not None:
                raise ValidationError(
                    "--health is for one process: run several of them, each with --only and a port"
                )
            names = app.select_names(only)
            commands = [_build_command(ctx, part) for part in divide(names, workers)]
            configure_logging(log_level, log_format)
            raise typer.Exit(run_workers(commands, store.url))
        configure_logging(log_level, log_format)
        if parent:
            stop_with_parent(parent)
        runner = _Runner(store, only, until_caught_up, stop_timeout, wait, health)
        try:
            if isinstance(app, App):
                runner.run(app)
            else:
                run_loop(lambda: runner.run_async(app))
        except TimeoutError as error:  # that of a handler is raised as a HandlerError
            raise exit_error(str(error)) from None


class _Runner:
    """Runs an app of either variant with the options of the command."""

    def __init__(
        self,
        store: StoreTarget,
        only: list[str] | None,
        until_caught_up: bool,
        stop_timeout: float,
        wait: float | None,
        health: int | None,
    ) -> None:
        self._store = store
        self._only = only
        self._options: dict[str, Any] = {
            "until": "caught_up" if until_caught_up else None,
            "stop_timeout": stop_timeout,
        }
        self._wait = wait
        self._health = health

    def run(self, app: App) -> None:
        """Run an App."""
        with app.open(self._store.url, only=self._only) as opened:
            wait_for_store(opened.client, self._store.output, limit=self._wait)
            with self._serve_health(opened) as port:
                log_banner(opened.client, opened.list_members(), port)
                run_consumers(*opened.list_members(), **self._options)

    async def run_async(self, app: AsyncApp) -> None:
        """Run an AsyncApp."""
        async with app.open(self._store.url, only=self._only) as opened:
            await wait_for_store_async(opened.client, self._store.output, limit=self._wait)
            with self._serve_health(opened) as port:
                log_banner(opened.client, opened.list_members(), port)
                await run_consumers_async(*opened.list_members(), **self._options)

    def _serve_health(
        self, opened: OpenedApp | AsyncOpenedApp
    ) -> AbstractContextManager[int | None]:
        if self._health is None:
            return nullcontext()
        consumers = opened.list_consumers()

        def read_statuses() -> list[ConsumerStatus]:
            return [each.status() for each in consumers]

        def render_metrics() -> str:
            return render_process(read_statuses(), opened.client.pool_stats(), "messagedb")

        return serve_health(self._health, read_statuses, render_metrics)


def _run_reloading(ctx: typer.Context, url: str) -> int:
    """Run it in a process that starts again when a file changes; return its exit code.

    The application is loaded there only, as its files may have errors.
    """
    given = ctx.params
    if given["workers"] > 1:
        raise ValidationError("--reload is for one process: leave --workers out")
    configure_logging(given["log_level"], given["log_format"])
    health = [] if given["health"] is None else ["--health", str(given["health"])]
    command = [*_build_command(ctx, given["only"] or ()), *health]
    folders = given["reload_dir"] or [Path.cwd()]
    return run_reloading(command, url, folders, given["stop_timeout"])


def _build_command(ctx: typer.Context, names: Sequence[str]) -> list[str]:
    """Return the arguments for a process: the same options, and its part of the names."""
    given = ctx.params
    return [
        *("run", given["target"]),
        *("--stop-timeout", str(given["stop_timeout"])),
        *("--log-level", given["log_level"].value),
        *("--log-format", given["log_format"].value),
        *(["--until-caught-up"] if given["until_caught_up"] else []),
        *(["--wait", str(given["wait"])] if given["wait"] is not None else []),
        *(word for name in names for word in ("--only", name)),
    ]
