"""Commands that export messages from a store to a file, and import them into another."""

from __future__ import annotations

import gzip
import sys
import time
import zlib
from collections.abc import Generator, Iterable
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Annotated, BinaryIO, cast

import psycopg
import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

from messagedb import ValidationError

from ._complete import complete_name
from ._exit import ExitCode, exit_error
from ._export import find_range, get_position_column, iter_blocks, open_target, read_last_position
from ._help import OPERATE, add_command
from ._import import APPEND_CHUNK_SIZE, RESTORE_CHUNK_SIZE, Restorer, append_chunk, iter_chunks
from ._import import ImportProgress as Count
from ._store import StoreTarget


def add_to(app: typer.Typer) -> None:
    """Add the commands of this file."""
    add_command(
        app,
        export_messages,
        OPERATE,
        "messagedb export accounts.ndjson account",
        "messagedb export accounts.ndjson account --resume",
        name="export",
    )
    add_command(
        app,
        import_messages,
        OPERATE,
        "messagedb import accounts.ndjson --url embedded:copy",
        name="import",
    )


def export_messages(
    ctx: typer.Context,
    file: Annotated[str, typer.Argument(help="The file to write, or - for standard output.")],
    name: Annotated[
        str | None,
        typer.Argument(
            help="A stream or a category; default: the whole store.", autocompletion=complete_name
        ),
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Continue after the last complete line of the file.")
    ] = False,
) -> None:
    """Write messages to a file, one JSON object per line.

    All stored fields are there. It exports the messages that were written when it began. Later
    messages need --resume.
    """
    store: StoreTarget = ctx.obj
    first: int | None = None
    with ExitStack() as stack:
        client = stack.enter_context(store.open_client(max_size=1))
        if resume and file != "-" and Path(file).exists():
            found = read_last_position(Path(file), get_position_column(name))
            first = None if found is None else found + 1
        wanted = find_range(client, name, first)
        out = sys.stdout.buffer if file == "-" else stack.enter_context(open_target(file, resume))
        begun, count, size = time.perf_counter(), 0, 0
        total = wanted.last - wanted.first + 1
        is_mixed = file == "-" and sys.stdout.isatty()
        with _show_progress("exporting", total, is_mixed=is_mixed) as advance:
            for block, position in iter_blocks(client, store.schema, wanted):
                out.write(block)
                count += block.count(b"\n")
                size += len(block)
                advance(position - wanted.first + 1)
        out.flush()
    _report_end(store, "exported", {"exported": count, "bytes": size}, begun, on_error=file == "-")


def import_messages(
    ctx: typer.Context,
    file: Annotated[
        str, typer.Argument(help="A file that export has written, also .gz; - for standard input.")
    ],
    append: Annotated[
        bool,
        typer.Option(
            "--append",
            help="Write the messages after the existing ones: with their ids, and new positions"
            " and times. Messages that are already there stay once.",
        ),
    ] = False,
) -> None:
    """Import the messages of a file into a store.

    They are unchanged: ids, positions, times. The store must be empty, or hold the first part of
    the same file, as after an interrupted import; and the role must own the table. Other
    writers wait, for one part at a time.
    """
    store: StoreTarget = ctx.obj
    count = Count()
    with ExitStack() as stack:
        source, size = _open_source(stack, file)
        begun = time.perf_counter()
        advance = stack.enter_context(_show_progress("importing", size))
        try:
            if append:
                client = stack.enter_context(store.open_client(max_size=1))
                for chunk in iter_chunks(source, APPEND_CHUNK_SIZE, count):
                    append_chunk(client, chunk, count)
                    advance(count.read)
            else:
                _run_restore(stack, store, source, count, advance)
        except ValidationError as error:
            raise exit_error(f"{error}{_format_progress(count)}") from None
        except (OSError, EOFError, zlib.error) as error:
            raise exit_error(
                f"{file} cannot be read to its end ({error}).{_format_progress(count)}"
            ) from None
        except psycopg.errors.InsufficientPrivilege as error:
            raise exit_error(
                f"the role may not write positions and times ({error.diag.message_primary}):"
                f" connect as the owner of the table, or use --append.{_format_progress(count)}"
            ) from None
        except psycopg.OperationalError as error:
            raise exit_error(f"{error}{_format_progress(count)}", ExitCode.UNAVAILABLE) from None
        except psycopg.Error as error:
            raise exit_error(
                f"the server refused a line: {error}{_format_progress(count)}"
            ) from None
    _report_end(store, "imported", {"imported": count.imported, "skipped": count.skipped}, begun)


def _run_restore(
    stack: ExitStack,
    store: StoreTarget,
    source: Iterable[bytes],
    count: Count,
    advance: _ProgressUpdater,
) -> None:
    with store.open_client(max_size=1):
        pass  # an embedded store is created, and a database without Message DB is refused
    url = stack.enter_context(store.open_owner_url())
    conn = stack.enter_context(psycopg.connect(url, autocommit=True, client_encoding="UTF8"))
    restoring = Restorer(conn, store.schema)
    for chunk in iter_chunks(source, RESTORE_CHUNK_SIZE, count):
        restoring.import_chunk(chunk, count)
        advance(count.read)
    restoring.finish()


def _open_source(stack: ExitStack, file: str) -> tuple[Iterable[bytes], int | None]:
    if file == "-":
        return sys.stdin.buffer, None
    try:
        if file.endswith(".gz"):
            return cast("BinaryIO", stack.enter_context(gzip.open(file, "rb"))), None
        return stack.enter_context(open(file, "rb", 1 << 20)), Path(file).stat().st_size
    except OSError as error:
        raise ValidationError(f"{file} cannot be read ({error.strerror})") from None


def _format_progress(count: Count) -> str:
    if not count.imported:
        return ""
    return f" {count.imported:,} messages were imported before it, and stay: import the file again."


def _report_end(
    store: StoreTarget, word: str, row: dict[str, int], begun: float, *, on_error: bool = False
) -> None:
    seconds = time.perf_counter() - begun
    rate = round(row[word] / seconds) if seconds else 0
    if on_error or not store.output.is_json:
        numbers = ", ".join(f"{value:,} {name.replace('_', ' ')}" for name, value in row.items())
        store.output.print_note(f"{numbers}, {seconds:.1f} s, {rate:,} a second")
        return
    store.output.print_json({**row, "seconds": round(seconds, 3), "per_second": rate})


class _ProgressUpdater:
    """Callable that updates a progress bar."""

    def __init__(self, progress: Progress, total: int | None, title: str) -> None:
        self._progress = progress
        self._task = progress.add_task(title, total=total)

    def __call__(self, completed: int) -> None:
        self._progress.update(self._task, completed=completed)


@contextmanager
def _show_progress(
    title: str, total: int | None, *, is_mixed: bool = False
) -> Generator[_ProgressUpdater]:
    """Show a progress bar on standard error, if that is a terminal that shows nothing else."""
    console = Console(stderr=True)
    is_shown = console.is_terminal and not is_mixed
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TaskProgressColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, transient=True, disable=not is_shown) as bar:
        yield _ProgressUpdater(bar, total, title)
