"""Entities: loaded, and sent commands, beside the repository of eventsourcing."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing
from typing import Any, TypeVar

from messagedb import Client, EntityStore
from messagedb.entities import SnapshotPolicy

from . import payload
from .accounts import COMMAND, DECIDER, Account
from .measure import Comparison, Contender, Measure, measure, times_as_fast
from .report import COMMANDS, MILLISECONDS, Section
from .rival_accounts import RivalAccounts
from .servers import Database
from .topic import Bench, Topic, repeated

_COLD = "messagedb: all events"
_NOTHING_NEW = "messagedb: in memory, nothing new"
_NEW = "messagedb: in memory, 10 new"
_SNAPSHOT = "messagedb: snapshot, 10 new"

_OURS = "messagedb: transact, cache_size=0"
_OURS_CACHED = "messagedb: transact, in memory"
_THEIRS = "eventsourcing: get, method, save"
_THEIRS_CACHED = "eventsourcing: cached"
_THEIRS_BLIND = "eventsourcing: cached, unchecked"

_NOTE = (
    "Cached: AGGREGATE_CACHE_MAXSIZE is set, and the store is asked for newer events before each"
    " command. Unchecked: AGGREGATE_CACHE_FASTFORWARD=n, too, so that events of another process are"
    " seen only after a save has failed. Ours decides on what is in memory, too, and asks the store"
    " after a conflict, and before it refuses a command. With synchronous_commit on, a command of"
    " either waits for one flush of the disk: the slower that is, the closer to 1 are the ratios."
)

_WANTED = 1.5
_WANTED_IN_MEMORY = 1.3
_WANTED_AT = 100
_CACHE_SIZE = 10_000
_NEW_EVENTS = 10

K = TypeVar("K")


def run(bench: Bench) -> Iterator[Section]:
    """Measure loading, then commands to entities of every length, with and without the disk."""
    with bench.server.genuine() as genuine, Client(genuine.conninfo) as client:
        yield _loading(bench, genuine, client)
    for commit in bench.pick(("on", "off"), ("off",)):
        with bench.server.genuine() as genuine, bench.server.empty("eventsourcing") as empty:
            for database in (genuine, empty):
                name = database.ask("SELECT current_database()")
                database.run(f"ALTER DATABASE {name} SET synchronous_commit = {commit}")
            measures = [
                each
                for events in bench.pick((10, _WANTED_AT, 1000), (10,))
                for each in _at_length(bench, genuine, empty, events)
            ]
        yield _commands(commit, measures)


def _loading(bench: Bench, database: Database, client: Client) -> Section:
    count, loads = bench.pick((10_000, 100), (200, 5))
    category = payload.category("loaded")
    stream = payload.stream(category)
    id = stream.partition("-")[2]
    snapshots = SnapshotPolicy(Account, every_events=count // 2)
    cold: EntityStore[Account, Any] = _store(client, category, cache_size=0)
    known = _store(client, category)
    with_snapshot: EntityStore[Account, Any] = _store(
        client, category, cache_size=0, snapshots=snapshots
    )
    client.write_messages(stream, [payload.message() for _ in range(count - _NEW_EVENTS)])
    # From here on one has them in memory, and the other in a snapshot.
    known.load(id)
    with_snapshot.load(id)
    client.write_messages(stream, [payload.message() for _ in range(_NEW_EVENTS)])
    current = _store(client, category)
    current.load(id)
    database.settle()

    def load_new() -> None:
        # A bound store does not share the entities that it loads: to the next one the same events
        # are new.
        known.bind(client).load(id)

    for store in (cold, known.bind(client), with_snapshot, current):
        if store.load(id).entity.deposits != count:
            raise RuntimeError(f"not all of the {count} events are in the entity")
    measures = measure(
        [
            Contender(_COLD, lambda: cold.load(id), 1),
            Contender(_NOTHING_NEW, repeated(loads, lambda: current.load(id)), loads),
            Contender(_NEW, repeated(loads, load_new), loads),
            Contender(_SNAPSHOT, repeated(loads, lambda: with_snapshot.load(id)), loads),
        ],
        bench.rounds,
        bench.pick(4, 1),
    )
    first, *others = measures
    return Section(
        title=f"sync, an entity of {count:,} events is loaded",
        unit=MILLISECONDS,
        measures=measures,
        comparisons=[times_as_fast(each, first) for each in others],
    )


def _store(client: Client, category: str, **options: Any) -> EntityStore[Account, Any]:
    return EntityStore(client, category, decider=DECIDER, **{"cache_size": _CACHE_SIZE, **options})


def _at_length(bench: Bench, genuine: Database, empty: Database, events: int) -> list[Measure]:
    """Measure one command for each entity, so that it has as many events as it should."""
    operations, turns = bench.pick((10 if events < 1000 else 2, 8), (3, 1))
    entities = operations * (1 + bench.rounds * turns)
    category = payload.category("commanded")
    with ExitStack() as stack:
        client = stack.enter_context(Client(genuine.conninfo))
        store = _store(client, category, cache_size=0)
        cached = _store(client, category)
        theirs, theirs_cached, theirs_blind = (
            stack.enter_context(closing(accounts))
            for accounts in (
                RivalAccounts(empty.admin),
                RivalAccounts(empty.admin, cache_size=_CACHE_SIZE),
                RivalAccounts(empty.admin, cache_size=_CACHE_SIZE, fast_forward=False),
            )
        )
        ours = {
            _OURS: (store, _fill(client, category, entities, events)),
            _OURS_CACHED: (cached, _fill(client, category, entities, events)),
        }
        rivals = {
            name: (accounts, accounts.fill(entities, events))
            for name, accounts in (
                (_THEIRS, theirs),
                (_THEIRS_CACHED, theirs_cached),
                (_THEIRS_BLIND, theirs_blind),
            )
        }
        for id in ours[_OURS_CACHED][1]:
            cached.load(id)
        for name in (_THEIRS_CACHED, _THEIRS_BLIND):
            accounts, made = rivals[name]
            for each in made:
                accounts.load(each)
        for database in (genuine, empty):
            database.settle()
        contenders = [
            *(
                Contender(name, _each(operations, ids, _transact(store)), operations, str(events))
                for name, (store, ids) in ours.items()
            ),
            *(
                Contender(name, _each(operations, ids, _deposit(them)), operations, str(events))
                for name, (them, ids) in rivals.items()
            ),
        ]
        return measure(contenders, bench.rounds, turns)


def _fill(client: Client, category: str, entities: int, events: int) -> Sequence[str]:
    streams = [payload.stream(category) for _ in range(entities)]
    for stream in streams:
        client.write_messages(stream, [payload.message() for _ in range(events)])
    return [stream.partition("-")[2] for stream in streams]


def _transact(store: EntityStore[Account, Any]) -> Callable[[str], object]:
    return lambda id: store.transact(id, COMMAND)


def _deposit(accounts: RivalAccounts) -> Callable[[Any], object]:
    return lambda id: accounts.deposit(id, COMMAND.amount)


def _each(count: int, ids: Sequence[K], operation: Callable[[K], object]) -> Callable[[], None]:
    """Return a call that does an operation to the next ids."""
    rest = iter(ids)

    def run() -> None:
        for id in itertools.islice(rest, count):
            operation(id)

    return run


def _commands(commit: str, measures: list[Measure]) -> Section:
    found = {(each.name, each.x): each for each in measures}
    places = dict.fromkeys(each.x for each in measures)

    def against(ours: str, theirs: str, x: str, wanted: float | None = None) -> Comparison:
        return times_as_fast(found[ours, x], found[theirs, x], wanted)

    return Section(
        title=f"sync, a command, synchronous_commit {commit}",
        unit=COMMANDS,
        measures=measures,
        comparisons=[
            *(
                against(_OURS, _THEIRS, x, _WANTED if x == str(_WANTED_AT) else None)
                for x in places
            ),
            *(against(_OURS_CACHED, _THEIRS_CACHED, x) for x in places),
            *(
                against(
                    _OURS_CACHED,
                    _THEIRS_BLIND,
                    x,
                    _WANTED_IN_MEMORY if x == str(_WANTED_AT) else None,
                )
                for x in places
            ),
        ],
        axis="events that it had before",
        note=_NOTE,
    )


TOPIC = Topic(
    "entities",
    "Entities",
    "The state of an account in a genuine Message DB is loaded by an EntityStore; and a command"
    " is sent to it: load, decide, append at the version that was loaded. Beside it an"
    " Application of eventsourcing with its tables in PostgreSQL: repository.get, a method of the"
    " aggregate, save. Each entity gets one command only. Both stores have a separate database on"
    " the same server, the same payload and their default settings, unless named; eventsourcing"
    " writes through its function in the database, which is the faster of its two ways.",
    run,
)
