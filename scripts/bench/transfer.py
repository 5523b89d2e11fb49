"""A store into a file and back: the CLI ``messagedb``, beside PostgreSQL's own tools."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from time import perf_counter

import msgspec

from messagedb import embedded, schema

from .measure import Measure, quantity, times_as_fast
from .report import MEGABYTES, RATE, Section
from .servers import Database
from .startup import UNCOMPILED
from .topic import Bench, Topic

_EXPORT = "messagedb: export"
_IMPORT = "messagedb: import"
_DUMP = "pg_dump: data of the table"
_RESTORE = "psql: what pg_dump wrote"
_COPY_OUT = "psql: \\copy to a file"
_COPY_IN = "psql: \\copy from a file"
_LEAST = {_EXPORT: 0.6, _IMPORT: 0.33}
_MOST_MEGABYTES = 150.0

# Streams of a hundred messages; a third of them with metadata.
_FILL = """
INSERT INTO message_store.messages (stream_name, position, type, data, metadata)
SELECT 'account-' || n / 100, n % 100, 'Deposited',
       jsonb_build_object('accountId', 'account-' || n / 100, 'amount', n / 7.0,
                          'currency', 'EUR', 'reference', repeat('x', 100)),
       CASE WHEN n % 3 = 0 THEN jsonb_build_object('correlationStreamName', 'a-' || n) END
FROM generate_series(0, {last}) n ORDER BY n
"""
# Equal for equal rows, for any number of them.
_CONTENT = (
    "SELECT sum(hashtextextended(m::text, 0)) || '/' || count(*) FROM message_store.messages m"
)


class _Ran(msgspec.Struct):
    seconds: float
    megabytes: float


def run(bench: Bench) -> Iterator[Section]:
    """Export a store, and import it into empty ones, in separate processes."""
    count = bench.pick(1_000_000, 5_000)
    rounds = min(bench.rounds, 3)
    ran: dict[str, list[_Ran]] = {}
    with bench.server.ours() as source, tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        source.run(_FILL.format(last=count - 1))
        source.settle()
        content = source.ask(_CONTENT)
        _run([*_messagedb(source), "ping"])  # leaves the modules compiled, as pip does
        for _ in range(rounds):
            for title, command in _out(source, folder).items():
                ran.setdefault(title, []).append(_run(command))
            for title in (_IMPORT, _RESTORE, _COPY_IN):
                with bench.server.empty("target") as target:
                    schema.install(target.admin)
                    ran.setdefault(title, []).append(_run(_in(target, folder)[title]))
                    if target.ask(_CONTENT) != content:
                        raise RuntimeError(f"{title} has not transferred all messages")
    rates = {
        title: Measure(name=title, samples=[each.seconds / count for each in samples])
        for title, samples in ran.items()
    }
    for title, ours, rivals in (
        ("taken out of a store", _EXPORT, (_DUMP, _COPY_OUT)),
        ("brought into an empty store", _IMPORT, (_RESTORE, _COPY_IN)),
    ):
        yield Section(
            title=f"{count:,} messages are {title}",
            unit=RATE,
            measures=[rates[each] for each in (ours, *rivals)],
            comparisons=[times_as_fast(rates[ours], rates[each], _LEAST[ours]) for each in rivals],
        )
    memory = [
        Measure(name=title, samples=[each.megabytes for each in ran[title]])
        for title in (_EXPORT, _IMPORT)
    ]
    yield Section(
        title="peak of the process's memory",
        unit=MEGABYTES,
        measures=memory,
        comparisons=[quantity(each, each.name, MEGABYTES, _MOST_MEGABYTES) for each in memory],
    )


def _out(source: Database, folder: Path) -> dict[str, list[str]]:
    for name in ("lines", "dump", "copy"):
        (folder / name).unlink(missing_ok=True)
    return {
        _EXPORT: [*_messagedb(source), "export", f"{folder}/lines"],
        _DUMP: [
            *(_tool("pg_dump"), "--data-only", "--table=message_store.messages"),
            *(f"--file={folder}/dump", source.admin),
        ],
        _COPY_OUT: [*_psql(source), f"\\copy message_store.messages to '{folder}/copy'"],
    }


def _in(target: Database, folder: Path) -> dict[str, list[str]]:
    return {
        _IMPORT: [*_messagedb(target), "import", f"{folder}/lines"],
        _RESTORE: [
            _tool("psql"),
            "-q",
            "-v",
            "ON_ERROR_STOP=1",
            target.admin,
            "-f",
            f"{folder}/dump",
        ],
        _COPY_IN: [*_psql(target), f"\\copy message_store.messages from '{folder}/copy'"],
    }


def _messagedb(database: Database) -> list[str]:
    return [sys.executable, "-m", "messagedb.cli", "--url", database.admin]


def _psql(database: Database) -> list[str]:
    return [_tool("psql"), "-q", "-v", "ON_ERROR_STOP=1", database.admin, "-c"]


def _tool(name: str) -> str:
    return str(Path(embedded.find_binaries()) / name)


def _run(command: list[str]) -> _Ran:
    begun = perf_counter()
    kept = {name: value for name, value in os.environ.items() if name != UNCOMPILED}
    child = subprocess.Popen(command, env=kept, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode:
        raise RuntimeError(f"{command[0]} ended with {child.returncode}")
    return _Ran(perf_counter() - begun, usage.ru_maxrss / 1024)


TOPIC = Topic(
    "transfer",
    "A store into a file and back",
    "Each is a separate process, its start included, on the same machine as the server. The"
    " messages are exported from a store of our schema to a file, and that is imported into an"
    " empty one, with its indexes in place; the rows of both are compared. psql and pg_dump write"
    " columns and no JSON.",
    run,
)
