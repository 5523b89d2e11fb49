"""Commands about the server: availability, versions, diagnosis."""

from __future__ import annotations

import platform
import time
from importlib import metadata

import msgspec
import psycopg
import typer

from messagedb import Client, MessageDBError, schema
from messagedb._connection import position_sequence
from messagedb._connection.conninfo import describe_target
from messagedb._connection.error_mapping import connect_error, get_first_line
from messagedb._diagnosis.facts import DIAGNOSTIC_QUERY, StoreFacts, build_facts, may_read_sequence
from messagedb._diagnosis.findings import Finding, diagnose, summarize
from messagedb._diagnosis.proxy_findings import diagnose_proxy

from ._exit import ExitCode, exit_error
from ._help import DEVELOP, OPERATE, add_command
from ._layout import Column
from ._proxy_state import fetch_proxy_state
from ._store import StoreTarget

_LEVEL_STYLES = {"ok": "green", "warning": "yellow", "problem": "bold red"}
FINDING_COLUMNS = (
    Column("level", style=_LEVEL_STYLES.__getitem__),
    "about",
    "found",
    Column("fix", is_optional=True),
)


def add_to(app: typer.Typer) -> None:
    """Add the commands of this file."""
    add_command(app, ping, OPERATE, "messagedb ping --url postgresql://localhost/postgres")
    add_command(app, doctor, OPERATE, "messagedb doctor")
    add_command(app, version, DEVELOP, "messagedb version")


def version(ctx: typer.Context) -> None:
    """Show the versions of messagedb and of its libraries."""
    number = psycopg.pq.version()
    row = {
        "messagedb": _get_version(),
        "python": platform.python_version(),
        "psycopg": psycopg.__version__,
        "libpq": f"{number // 10000}.{number % 10000}",
        "schema": schema.VERSION,
    }
    ctx.obj.output.print_rows(tuple(row), [row])


def _get_version() -> str:
    try:
        return metadata.version("messagedb")
    except metadata.PackageNotFoundError:  # its folder was copied, without pip's metadata beside it
        return "unknown: a copy without its dist-info"


def ping(ctx: typer.Context) -> None:
    """Check whether the store responds.

    Exit code 0 if so, 3 if it cannot be reached.
    """
    store: StoreTarget = ctx.obj
    begun = time.perf_counter()
    with store.open_client(max_size=1) as client:
        version = client.message_store_version()
    seconds = round(time.perf_counter() - begun, 4)
    columns = ("message_store_version", "seconds")
    store.output.print_rows(columns, [{"message_store_version": version, "seconds": seconds}])


def doctor(ctx: typer.Context) -> None:
    """Diagnose the server, the store and the role; of several nodes, the map and each node, too.

    It prints a fix for each problem. Exit code 0 if nothing keeps this library from working, 1
    otherwise.
    """
    store: StoreTarget = ctx.obj
    with store.open_user_url() as url:
        client = Client(url, schema=store.schema, max_size=1)  # refuses an invalid URL
        facts = _fetch_facts(url, store.schema)
        try:
            with client:
                client.message_store_version()
        except MessageDBError as error:
            facts = msgspec.structs.replace(facts, refusal=str(error))
        nodes = _diagnose_nodes(url)
    found = [*diagnose(facts), *nodes]
    rows = [each.to_row() for each in found]
    store.output.print_rows(FINDING_COLUMNS, rows, total=summarize(found))
    if any(each.level == "problem" for each in found):
        raise typer.Exit(ExitCode.REFUSED)


def _diagnose_nodes(url: str) -> list[Finding]:
    """Return the findings about the nodes behind a database, if it passes calls on to nodes."""
    try:
        with psycopg.connect(url, connect_timeout=10, autocommit=True) as conn:
            state = fetch_proxy_state(conn)
    except psycopg.Error as error:
        fix = "run messagedb proxy check as a member of message_store"
        return [Finding("warning", "nodes", f"not checked: {get_first_line(error)}", fix)]
    return [] if state is None else diagnose_proxy(state)


def _fetch_facts(url: str, schema: str) -> StoreFacts:
    try:
        # UTF8, whatever the database has: its encoding is one of the findings.
        with psycopg.connect(url, connect_timeout=10, client_encoding="utf8") as conn:
            cursor = conn.execute(DIAGNOSTIC_QUERY, [schema])
            names = [column.name for column in cursor.description or ()]
            (row,) = cursor.fetchall()
            answers = dict(zip(names, row, strict=True))
            positions = None
            if may_read_sequence(answers):
                query = position_sequence.build_query(schema, str(answers["sequence"]))
                positions = conn.execute(query.encode()).fetchone()
            pid = conn.info.backend_pid
            return build_facts(answers, positions, schema=schema, refusal="", libpq_pid=pid)
    except psycopg.OperationalError as error:
        raise exit_error(
            str(connect_error(error, describe_target(url))), ExitCode.UNAVAILABLE
        ) from None
