"""A state machine: random operations on a store, each compared with the model."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import Any, ClassVar

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from messagedb import DuplicateMessageError, ValidationError, WrongExpectedVersionError

from . import model
from .blocks import BLOCKS, Block
from .model import Model, New, Outcome, Stored
from .stores import Store
from .together import VERSIONS, build_message

# In few streams, with few ids: so that they meet often.
NAMES = ("a-1", "a-2+x", "a-2-y", "a", "a:command-1", "b-1")
CATEGORIES = ("a", "a:command", "b", "none")
TYPES = ("Even", "Odd", "O'dd")
SIZES = (-1, 0, 1, 2, 3, 1000)
GROUPS = (None, None, (0, 1), (0, 2), (1, 2), (2, 3))

Content = tuple[int, str, str]

streams = st.sampled_from(NAMES)
expecteds = st.sampled_from(
    (model.ANY, model.ANY, model.STREAM_EXISTS, "current", "current", "next", -1, 0, 1, 2)
)
contents = st.tuples(
    st.integers(0, 39), st.sampled_from(TYPES), st.sampled_from(("", "a-1", "a:command-7", "none"))
)
insides = st.booleans()


class StoreMachine(RuleBasedStateMachine):
    """Operations on a store whose categories are new for each machine.

    Attributes:
        store: the store; set it on a subclass.
        steps: the operations of all machines.
    """

    store: ClassVar[Store]
    steps: ClassVar[dict[str, int]] = {}

    def __init__(self) -> None:
        super().__init__()
        self._prefix = f"f{uuid.uuid4().hex}"
        self._ids = [str(uuid.uuid4()) for _ in range(40)]
        self._model = Model(finds_ids=self.store.way != "functions-only role")
        self._block: Block | None = None
        self._places: dict[str, int] = {}

    def _count(self, name: str) -> None:
        self.steps[name] = self.steps.get(name, 0) + 1

    @initialize(content=contents, name=streams)
    def begin_with_a_message(self, content: Content, name: str) -> None:
        """Let something be there from the start."""
        self._write(name, [content], model.ANY, inside=False, as_batch=False)

    @rule(name=streams, content=contents, expected=expecteds, inside=insides)
    def write_message(self, name: str, content: Content, expected: Any, inside: bool) -> None:
        """Write one message."""
        self._write(name, [content], expected, inside=inside, as_batch=False)

    @rule(
        name=streams,
        batch=st.lists(contents, max_size=6),
        expected=expecteds,
        inside=insides,
    )
    def write_messages(self, name: str, batch: list[Content], expected: Any, inside: bool) -> None:
        """Write several messages, of which some may have the same id."""
        self._write(name, batch, expected, inside=inside, as_batch=True)

    @precondition(lambda self: self._block is None)
    @rule(kind=st.sampled_from(BLOCKS))
    def begin(self, kind: type[Block]) -> None:
        """Begin a transaction."""
        self._count("transactions begun")
        self._block = kind(self.store)
        self._model.begin()

    @precondition(lambda self: self._block is not None)
    @rule(commit=st.sampled_from((True, False, True)))
    def end(self, commit: bool) -> None:
        """Commit the transaction or roll it back, with all its savepoints."""
        assert self._block is not None
        self._count("transactions committed" if commit else "transactions rolled back")
        block, self._block = self._block, None
        block.end(commit=commit)
        self._model.end(commit=commit)

    @precondition(lambda self: self._block is not None)
    @rule(action=st.sampled_from(("begin", "leave", "begin", "roll back")))
    def use_savepoints(self, action: str) -> None:
        """Begin a savepoint, leave the innermost one, or roll back to it."""
        block, modeled = self._block, self._model.block
        assert block is not None
        assert modeled is not None
        if (action == "begin" and len(modeled.savepoints) < 3) or not modeled.savepoints:
            self._count("savepoints begun")
            block.begin_savepoint()
            modeled.mark()
        elif action == "leave":
            self._count("savepoints left")
            block.end_savepoint(keep=True)
            modeled.release()
        else:
            self._count("savepoints rolled back")
            block.end_savepoint(keep=False)
            modeled.roll_back()

    @rule(
        name=streams,
        position=st.integers(-2, 8),
        size=st.sampled_from(SIZES),
        inside=insides,
        pages=st.booleans(),
    )
    def read_stream(self, name: str, position: int, size: int, inside: bool, pages: bool) -> None:
        """Read a page of a stream, or all its pages."""
        stream, inside = self._prefix + name, inside and self._block is not None
        client = self._target(inside)
        if pages and size != 0:
            self._count("streams read page by page")
            wanted = self._model.read_stream(stream, position, -1, inside=inside)
            read = client.read_stream(stream, position=position, batch_size=size)
            found = self._attempt(lambda: self.store.variant.collect(read))
        else:
            self._count("pages of streams read")
            wanted = self._model.read_stream(stream, position, size, inside=inside)
            found = self._attempt(
                lambda: self._call(
                    client.get_stream_messages, stream, position=position, batch_size=size
                )
            )
        self._compare(found, ("ValidationError",) if wanted is None else wanted)

    @rule(
        name=st.sampled_from(CATEGORIES),
        start=st.integers(0, 30),
        after=st.booleans(),
        size=st.sampled_from(SIZES),
        correlation=st.sampled_from((None, None, "a", "a:command", "none")),
        group=st.sampled_from(GROUPS),
        inside=insides,
        pages=st.booleans(),
    )
    def read_category(
        self,
        name: str,
        start: int,
        after: bool,
        size: int,
        correlation: str | None,
        group: tuple[int, int] | None,
        inside: bool,
        pages: bool,
    ) -> None:
        """Read a category from one of its messages on, after all of it was read and compared."""
        category, inside = self._prefix + name, inside and self._block is not None
        client = self._target(inside)
        everything = self._call(client.get_category_messages, category, batch_size=-1)
        self._count("categories read")
        self._compare(
            everything,
            self._model.read_category(category, _any, -1, None, None, inside=inside),
        )
        places = [message.global_position for message in everything]
        assert places == sorted(set(places)), f"not in order: {places}"
        self._places.update((str(m.id), m.global_position) for m in everything)
        position = places[start % len(places)] + after if places else start
        arguments: dict[str, Any] = {"position": position, "batch_size": size}
        if correlation is not None:
            correlation = arguments["correlation"] = self._prefix + correlation
        if group is not None:
            arguments |= {"group_member": group[0], "group_size": group[1]}
        if pages and size != 0:
            self._count("categories read page by page")
            found = self.store.variant.collect(client.read_category(category, **arguments))
            size = -1
        else:
            self._count("pages of categories read")
            found = self._call(client.get_category_messages, category, **arguments)
        self._compare(
            found,
            self._model.read_category(
                category,
                lambda each: self._places[each.message.id] >= position,
                size,
                correlation,
                group,
                inside=inside,
            ),
        )

    @rule(name=streams, type_name=st.sampled_from((None, *TYPES, "None")), inside=insides)
    def read_last(self, name: str, type_name: str | None, inside: bool) -> None:
        """Read the last message of a stream, and its version."""
        self._count("last messages and versions read")
        stream, inside = self._prefix + name, inside and self._block is not None
        client = self._target(inside)
        last = self._call(client.get_last_stream_message, stream, type=type_name)
        wanted = self._model.last(stream, type_name, inside=inside)
        self._compare([last] if last else [], [wanted] if wanted else [])
        version = self._call(client.stream_version, stream)
        assert version == self._model.version(stream, inside=inside)

    def teardown(self) -> None:
        """End the transaction, and compare all that is stored."""
        if self._block is not None:
            self._block.end(commit=False)
            self._model.end(commit=False)
        for category in CATEGORIES:
            name = self._prefix + category
            self._compare(
                self._call(self.store.client.get_category_messages, name, batch_size=-1),
                self._model.read_category(name, _any, -1, None, None, inside=False),
            )

    def _write(
        self, name: str, batch: list[Content], expected: Any, *, inside: bool, as_batch: bool
    ) -> None:
        stream, inside = self._prefix + name, inside and self._block is not None
        messages = [self._new_message(content) for content in batch]
        if not inside and self._model.would_wait(stream, messages):
            return
        self._count("batches written" if as_batch else "messages written")
        expected = self._resolve(stream, expected, inside=inside)
        real = [build_message(message) for message in messages]
        version = VERSIONS.get(expected, expected)
        client = self._target(inside)

        def write() -> Outcome:
            if as_batch:
                positions = self._call(
                    client.write_messages, stream, real, expected_version=version
                )
            else:
                positions = [
                    self._call(client.write_message, stream, real[0], expected_version=version)
                ]
            return ("written", positions)

        found = self._attempt(write)
        wanted = self._model.write(stream, messages, expected, inside=inside)
        assert found == wanted, f"{found} instead of {wanted}"
        if inside:
            self._check_locks()

    def _resolve(self, stream: str, expected: Any, *, inside: bool) -> Any:
        """Return an expected version; some are relative to that of the stream."""
        if expected not in ("current", "next"):
            return expected
        return self._model.version(stream, inside=inside) + (expected == "next")

    def _new_message(self, content: Content) -> New:
        number, type_name, correlation = content
        metadata = {"correlationStreamName": self._prefix + correlation} if correlation else None
        return New(self._ids[number], type_name, {"n": number} if number % 3 else None, metadata)

    def _check_locks(self) -> None:
        """Check that the transaction holds the lock of each category that it has written to."""
        assert self._block is not None
        assert self._model.block is not None
        keys = {model.hash_64(model.category(each.stream)) for each in self._model.block.written}
        rows = self.store.admin.execute(_LOCKS, [self._block.pid]).fetchall()
        assert keys <= {row[0] for row in rows}, "the lock of a category is not held"

    def _target(self, inside: bool) -> Any:
        return self._block.client if inside and self._block else self.store.client

    def _call(self, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        return self.store.variant.call(function, *args, **kwargs)

    def _attempt(self, function: Callable[[], Any]) -> Any:
        """Return the result of a call, or its documented error as the model has it."""
        try:
            return function()
        except ValidationError:
            return ("ValidationError",)
        except DuplicateMessageError as error:
            return ("DuplicateMessageError", error.existing_stream_name, error.existing_position)
        except WrongExpectedVersionError as error:
            names = {real: name for name, real in VERSIONS.items()}
            expected = names.get(error.expected_version, error.expected_version)
            return ("WrongExpectedVersionError", expected, error.actual_version)

    def _compare(self, found: Any, wanted: list[Stored] | Outcome) -> None:
        """Compare messages that were read, or the refusal, with those of the model."""
        if isinstance(found, list):
            found = [to_row(message) for message in found]
        rows = [to_row_of_model(each) for each in wanted] if isinstance(wanted, list) else wanted
        assert found == rows, f"{found} instead of {rows}"


def to_row(message: Any) -> Outcome:
    """Return a message that was read, to be compared."""
    return (
        str(message.id),
        message.stream_name,
        message.position,
        message.type,
        message.data,
        message.metadata,
    )


def to_row_of_model(stored: Stored) -> Outcome:
    """Return a message of the model, to be compared."""
    new = stored.message
    return (new.id, stored.stream, stored.position, new.type, new.data, new.metadata)


_LOCKS = (
    "select (classid::bigint << 32) | objid::bigint from pg_locks"
    " where locktype = 'advisory' and granted and pid = %s"
)


def _any(_: Stored) -> bool:
    return True
