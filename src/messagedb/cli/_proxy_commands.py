"""Commands about several nodes behind a database that passes the calls on by PL/Proxy."""

from __future__ import annotations

from typing import Annotated

import psycopg
import typer

from messagedb import schema
from messagedb._connection.conninfo import describe_target
from messagedb._connection.error_mapping import connect_error
from messagedb._diagnosis.findings import summarize
from messagedb._diagnosis.proxy_findings import ProxyState, build_status_rows, diagnose_proxy
from messagedb._schema import proxy_plan

from ._exit import ExitCode, exit_error
from ._help import OPERATE, add_command
from ._layout import Column
from ._proxy_move import check_schema, move
from ._proxy_state import fetch_proxy_state
from ._server_commands import FINDING_COLUMNS
from ._store import StoreTarget

_STATUS_COLUMNS = (
    "node",
    "number",
    "address",
    Column("reachable", style=lambda value: "green" if value else "bold red"),
    "slots",
    "exceptions",
    "categories",
    "messages",
    "estimated",
    "postgresql",
    "message_store",
    "map_version",
    Column("moving", is_optional=True),
    Column("error", is_optional=True),
)

NodeText = Annotated[
    str,
    typer.Argument(
        metavar="NAME=URL",
        help="The name of the node, and its URL as the proxying server reaches it, of a role that"
        " may install Message DB there.",
    ),
]

proxy = typer.Typer(no_args_is_help=True, help="Several nodes, by PL/Proxy.")


def add_to(app: typer.Typer) -> None:
    """Add the commands of this file."""
    app.add_typer(proxy, name="proxy", rich_help_panel=OPERATE)
    add_command(
        proxy,
        init,
        None,
        "messagedb proxy init a=postgresql://db1/store b=postgresql://db2/store",
    )
    add_command(
        proxy,
        add_node,
        None,
        "messagedb proxy add-node c=postgresql://postgres@db3/store",
        name="add-node",
    )
    add_command(proxy, move, None, "messagedb proxy move order --to b")
    add_command(proxy, status, None, "messagedb proxy status")
    add_command(proxy, check, None, "messagedb proxy check")


def init(
    ctx: typer.Context,
    nodes: Annotated[
        list[str],
        typer.Argument(
            metavar="NAME=URL...",
            help="The name of each node, and its URL as the proxying server reaches it, of a role"
            " that may install Message DB there.",
        ),
    ],
    user: Annotated[
        str, typer.Option(help="The role that the proxying server connects to the nodes as.")
    ] = "message_store",
    password: Annotated[
        str,
        typer.Option(
            help="The password of that role; better in MESSAGEDB_PROXY_INIT_PASSWORD, as others see"
            " a command line. Only superusers can read it in the database."
        ),
    ] = "",
) -> None:
    """Make an empty database pass all calls on to nodes.

    The role of the URL must be a superuser.
    """
    store: StoreTarget = ctx.obj
    check_schema(store)
    with store.open_owner_url() as url:
        made = schema.install_proxy(
            url, nodes=dict(map(parse_node, nodes)), user=user, password=password or None
        )
    _report(store, "made", made, "the map was already there")


def add_node(ctx: typer.Context, node: NodeText) -> None:
    """Add a node.

    Categories that have messages stay where they are; new ones come to it, too.
    """
    store: StoreTarget = ctx.obj
    check_schema(store)
    name, address = parse_node(node)
    with store.open_owner_url() as url:
        added = schema.add_proxy_node(url, name=name, node=address)
    _report(store, "added", added, "the map has this node")


def status(ctx: typer.Context) -> None:
    """Show the nodes: what each has, and whether it can be reached."""
    store: StoreTarget = ctx.obj
    state = _fetch_state(store)
    store.output.print_rows(_STATUS_COLUMNS, list(build_status_rows(state)))


def check(ctx: typer.Context) -> None:
    """Compare the nodes with the map.

    Exit code 1 if something is wrong.
    """
    store: StoreTarget = ctx.obj
    found = diagnose_proxy(_fetch_state(store))
    rows = [each.to_row() for each in found]
    store.output.print_rows(FINDING_COLUMNS, rows, total=summarize(found))
    if any(each.level == "problem" for each in found):
        raise typer.Exit(ExitCode.REFUSED)


def parse_node(text: str) -> tuple[str, str]:
    """Return the name and the URL of a node, which is not shown: it may have a password."""
    name, separator, address = text.partition("=")
    if not separator:
        raise exit_error("a node is given as NAME=URL", ExitCode.USAGE)
    return proxy_plan.check_node_name(name), address


def _fetch_state(store: StoreTarget) -> ProxyState:
    check_schema(store)
    with store.open_user_url() as url:
        try:
            with psycopg.connect(url, connect_timeout=10, autocommit=True) as conn:
                state = fetch_proxy_state(conn)
                database = conn.info.dbname
        except psycopg.OperationalError as error:
            text = str(connect_error(error, describe_target(url)))
            raise exit_error(text, ExitCode.UNAVAILABLE) from None
    if state is None:
        raise exit_error(
            f"database {database!r} does not pass calls on to nodes: messagedb proxy init makes it"
            " do so"
        )
    return state


def _report(store: StoreTarget, word: str, done: bool, otherwise: str) -> None:
    store.output.print_line(word if done else f"not {word}: {otherwise}")
    if store.output.is_json:
        store.output.print_json({word: done})
