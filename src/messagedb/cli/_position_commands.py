"""Commands about the position of a consumer."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
import typer

from messagedb import Client, Consumer, StreamPositionStore, TablePositionStore, ValidationError
from messagedb.consumers import ConsumerInfo

from ._consumer_arguments import Category, Identifier, normalize_identifier
from ._consumer_rows import COLUMNS, build_consumer_row
from ._exit import confirm
from ._store import StoreTarget

Member = Annotated[
    int | None,
    typer.Option("--member", min=0, help="Its number in its group, or its partition, from 0."),
]
Size = Annotated[
    int | None, typer.Option("--size", min=1, help="The size of its group, or of its partitions.")
]
Table = Annotated[
    bool | None,
    typer.Option(
        "--table/--no-table",
        help="Whether its position is in the table or in a stream; by default where it is found.",
    ),
]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]


class Names(msgspec.Struct, frozen=True):
    """The names of a consumer, as they are given: those that are None may be anything."""

    category: str
    identifier: str | None
    member: int | None
    size: int | None
    table: bool | None

    def find_in(self, client: Client) -> list[ConsumerInfo]:
        """Return the consumers that the names fit: each partition by itself."""
        return [each for each in client.list_consumers(self.category) if self._fits(each)]

    def _fits(self, found: ConsumerInfo) -> bool:
        return (
            found.identifier == self.identifier
            and self.member in (None, found.group_member)
            and self.size in (None, found.group_size)
            and (self.table is None or self.table == (found.position_store == "table"))
        )

    def describe(self) -> str:
        """Return how an error names it."""
        name = "without an identifier" if self.identifier is None else repr(self.identifier)
        return f"consumer {name} of category {self.category!r}"


def get_position(
    ctx: typer.Context,
    category: Category,
    identifier: Identifier,
    member: Member = None,
    size: Size = None,
    table: Table = None,
) -> None:
    """Show the global position of the next message to handle: of each partition, if it has some."""
    store: StoreTarget = ctx.obj
    names = Names(category, normalize_identifier(identifier), member, size, table)
    with store.open_client(max_size=1) as client:
        found = names.find_in(client)
    if not found:
        raise ValidationError(
            f"no {names.describe()} has a position, or has reported that it runs{_where(names)}:"
            " see messagedb consumers status"
        )
    store.output.print_rows(COLUMNS, map(build_consumer_row, found))


def _where(names: Names) -> str:
    given = [] if names.member is None else [f"--member {names.member}"]
    given += [] if names.size is None else [f"--size {names.size}"]
    given += [] if names.table is None else ["--table" if names.table else "--no-table"]
    return f" with {' '.join(given)}" if given else ""


def set_position(
    ctx: typer.Context,
    category: Category,
    identifier: Identifier,
    to: Annotated[
        str, typer.Argument(help="beginning, end, or the global position of the next message.")
    ],
    member: Member = None,
    size: Size = None,
    table: Table = None,
    yes: Yes = False,
) -> None:
    """Set the next message to handle of a consumer, or of one partition, that does not run.

    It asks first if the position is in a stream, as a consumer of another library may run.
    """
    where: Any = int(to) if to.isascii() and to.isdigit() else to
    store: StoreTarget = ctx.obj
    names = Names(category, normalize_identifier(identifier), member, size, table)
    with store.open_client() as client:
        is_in_table = _find_store(client, names)
        consumer = Consumer(
            client,
            category,
            identifier=names.identifier,
            group_member=member,
            group_size=size,
            position_store=TablePositionStore() if is_in_table else StreamPositionStore(),
        )
        if not is_in_table and not yes:
            stored = _find_stored(client, names, is_in_table)
            if stored is not None and not stored.is_running:
                confirm(
                    f"No consumer of messagedb runs as {stored.name}; one of another library, such"
                    " as Eventide's, cannot be seen, and would not notice the change. Change its"
                    " position?"
                )
        consumer.reset_position(where)
        end = (client.get_store_head() or 0) + 1
        if isinstance(where, int) and where > end:
            store.output.print_note(
                f"{where:,} is beyond the end of the store ({end:,}): messages up to there will be"
                " skipped when they are written."
            )
        found = _find_stored(client, names, is_in_table)
    if found is None:
        # Position streams are named as Eventide names them: not every category can be read there.
        store.output.print_note(f"The position is set: {consumer.name}")
        return
    store.output.print_rows(COLUMNS, [build_consumer_row(found)])


def _find_store(client: Client, names: Names) -> bool:
    """Return True if the position that is meant is in the table.

    Raises:
        ValidationError: the names fit several positions. Nothing was changed.
    """
    found = names.find_in(client)
    if names.member is None and names.size is None:
        sizes = [each.group_size for each in found if each.group_size is not None]
        if sizes:
            size = max(sizes)
            raise ValidationError(
                f"{names.describe()} has {size} positions, one for each partition or member of its"
                f" group: name one, by --member 0 to {size - 1} and --size {size}. Nothing"
                " was changed."
            )
    if names.table is not None:
        return names.table
    places = {each.position_store for each in found}
    if len(places) > 1:
        raise ValidationError(
            f"{names.describe()} has a position in the table, and one in a stream: say which, by"
            " --table or --no-table. Nothing was changed."
        )
    return places == {"table"}


def _find_stored(client: Client, names: Names, is_in_table: bool) -> ConsumerInfo | None:
    wanted = (names.member, names.size, is_in_table)
    for each in names.find_in(client):
        if (each.group_member, each.group_size, each.position_store == "table") == wanted:
            return each
    return None
