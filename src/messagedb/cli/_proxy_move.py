"""The command that moves a category to another node."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import msgspec
import typer

from messagedb import schema
from messagedb._schema import proxy_plan

from ._exit import ExitCode, exit_error
from ._store import StoreTarget


class PositionsWithoutIdOption(StrEnum):
    """The values of the option."""

    refuse = "refuse"
    source = "source"
    beginning = "beginning"


def move(
    ctx: typer.Context,
    category: Annotated[str, typer.Argument(help="The category, without types.")],
    to: Annotated[str, typer.Option(metavar="NODE", help="The name of its new node.")] = "",
    abort: Annotated[
        bool,
        typer.Option("--abort", help="Withdraw a move that has not ended: it stays where it is."),
    ] = False,
    positions_without_id: Annotated[
        PositionsWithoutIdOption,
        typer.Option(
            help="For positions without the id of a message, as Eventide stores them: refuse the"
            " move; take them as positions of the source; or begin again."
        ),
    ] = PositionsWithoutIdOption.refuse,
    lease_timeout: Annotated[
        float, typer.Option(help="The longest lease timeout of its consumers, in seconds.")
    ] = 10.0,
) -> None:
    """Move a category to another node, or go on with that.

    Its consumers are stopped: run them again. Writes wait at the end, for a moment.
    """
    store: StoreTarget = ctx.obj
    check_schema(store)
    if abort == bool(to):
        raise exit_error("give --to NODE, or --abort", ExitCode.USAGE)
    with store.open_owner_url() as url:
        if abort:
            schema.abort_proxy_move(url, category=category)
            store.output.print_line(f"aborted: category {category} stays where it is")
            if store.output.is_json:
                store.output.print_json({"aborted": True})
            return
        moved = schema.move_proxy_category(
            url,
            category=category,
            target=to,
            positions_without_id=positions_without_id.value,
            lease_timeout=lease_timeout,
            progress=lambda step: store.output.print_line(f"{step} …"),
        )
    if moved is None:
        store.output.print_line(f"not moved: category {category} is on node {to} already")
        if store.output.is_json:
            store.output.print_json({"moved": False, "category": category, "node": to})
        return
    store.output.print_line(
        f"moved: {moved.copied} messages from {moved.source} to {moved.target} in "
        f"{moved.copy_seconds:.1f} s, writes waited {moved.closed_seconds:.2f} s; "
        f"{moved.positions} positions translated, {moved.stopped} consumers stopped"
    )
    if store.output.is_json:
        store.output.print_json({"moved": True, **msgspec.structs.asdict(moved)})


def check_schema(store: StoreTarget) -> None:
    """Refuse another schema than that of Message DB's own name."""
    if store.schema != proxy_plan.SCHEMA:
        raise exit_error(f"several nodes need the schema {proxy_plan.SCHEMA!r}", ExitCode.USAGE)
