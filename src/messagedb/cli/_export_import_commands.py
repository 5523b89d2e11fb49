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

from ._exit import ExitCode, fail
from ._export import blocks, column_of, last_position, opened, range_of
from ._import import APPENDED, CHUNK, Restoring, append_chunk, chunks
from ._import import Progress as Count
from ._store import Store


def add_to(app: typer.Typer) -> None:
    """Add the commands of this file."""
    app.command("export")(export_messages)
    app.command("import")(import_messages)


def export_messages(
    ctx: typer.Context,
    file: Annotated[str, typer.Argument(help="The file to write, or - for standard output.")],
    name: Annotated[
        str | None, typer.Argument(help="A stream or a category; default: the whole store.")
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Continue after the last complete line of the file.")
    ] = False,
) -> None:
    """Write messages to a file, one JSON object per line, with all their stored fields.

    It exports the messages that were written when it began. Later messages need --resume.
    """
    store: Store = ctx.obj
    first: int | None = None
    with ExitStack() as stack:
        client = stack.enter_context(store.client(max_size=1))
        if resume and file != "-" and Path(file).exists():
            found = last_position(Path(file), column_of(name))
            first = None if found is None else found + 1
        wanted = range_of(client, name, first)
        out = sys.stdout.buffer if file == "-" else stack.enter_context(opened(file, resume))
        begun, count, size = time.perf_counter(), 0, 0
        total = wanted.last - wanted.first + 1
        is_mixed = file == "-" and sys.stdout.isatty()
        with _bar("exporting", total, is_mixed=is_mixed) as advance:
            for block, position in blocks(client, store.schema, wanted):
                out.write(block)
                count += block.count(b"\n")
                size += len(block)
                advance(position - wanted.first + 1)
        out.flush()
    _tell(store, "exported", {"exported": count, "bytes": size}, begun, on_error=file == "-")


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
    """Import the messages of a file into a store unchanged: ids, positions, times.

    The store must be empty, or hold the first part of the same file, as after an interrupted
    import;
    and the role must own the table. Other writers wait, for one part at a time.
    """
    store: Store = ctx.obj
    count = Count()
    with ExitStack() as stack:
        source, size = _source(stack, file)
        begun = time.perf_counter()
        advance = stack.enter_context(_bar("importing", size))
        try:
            if append:
                client = stack.enter_context(store.client(max_size=1))
                for chunk in chunks(source, APPENDED, count):
                    append_chunk(client, chunk, count)
                    advance(count.read)
            else:
                _restore(stack, store, source, count, advance)
        except ValidationError as error:
            raise fail(f"{error}{_so_far(count)}") from None
        except (OSError, EOFError, zlib.error) as error:
            raise fail(f"{file} cannot be read to its end ({error}).{_so_far(count)}") from None
        except psycopg.errors.InsufficientPrivilege as error:
            raise fail(
                f"the role may not write positions and times ({error.diag.message_primary}):"
                f" connect as the owner of the table, or use --append.{_so_far(count)}"
            ) from None
        except psycopg.OperationalError as error:
            raise fail(f"{error}{_so_far(count)}", ExitCode.UNAVAILABLE) from None
        except psycopg.Error as error:
            raise fail(f"the server refused a line: {error}{_so_far(count)}") from None
    _tell(store, "imported", {"imported": count.imported, "skipped": count.skipped}, begun)


def _restore(
    stack: ExitStack, store: Store, source: Iterable[bytes], count: Count, advance: _Advance
) -> None:
    with store.client(max_size=1):
        pass  # an embedded store is created, and a database without Message DB is refused
    url = stack.enter_context(store.owner_url())
    conn = stack.enter_context(psycopg.connect(url, autocommit=True, client_encoding="UTF8"))
    restoring = Restoring(conn, store.schema)
    for chunk in chunks(source, CHUNK, count):
        restoring.bring(chunk, count)
        advance(count.read)
    restoring.finish()


def _source(stack: ExitStack, file: str) -> tuple[Iterable[bytes], int | None]:
    if file == "-":
        return sys.stdin.buffer, None
    try:
        if file.endswith(".gz"):
            return cast("BinaryIO", stack.enter_context(gzip.open(file, "rb"))), None
        return stack.enter_context(open(file, "rb", 1 << 20)), Path(file).stat().st_size
    except OSError as error:
        raise ValidationError(f"{file} cannot be read ({error.strerror})") from None


def _so_far(count: Count) -> str:
    if not count.imported:
        return ""
    return f" {count.imported:,} messages were imported before it, and stay: import the file again."


def _tell(
    store: Store, word: str, row: dict[str, int], begun: float, *, on_error: bool = False
) -> None:
    seconds = time.perf_counter() - begun
    rate = round(row[word] / seconds) if seconds else 0
    if on_error or not store.output.is_json:
        numbers = ", ".join(f"{value:,} {name.replace('_', ' ')}" for name, value in row.items())
        store.output.note(f"{numbers}, {seconds:.1f} s, {rate:,} a second")
        return
    store.output.json({**row, "seconds": round(seconds, 3), "per_second": rate})


class _Advance:
    """Callable that updates a progress bar."""

    def __init__(self, progress: Progress, total: int | None, title: str) -> None:
        self._progress = progress
        self._task = progress.add_task(title, total=total)

    def __call__(self, completed: int) -> None:
        self._progress.update(self._task, completed=completed)


@contextmanager
def _bar(title: str, total: int | None, *, is_mixed: bool = False) -> Generator[_Advance]:
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
        yield _Advance(bar, total, title)
