"""Projections: they derive the state of an entity from its events."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable
from typing import Any, Generic, TypeVar, cast

from .._errors import ValidationError
from .._messages.annotations import (
    capture_caller_namespace,
    get_qualified_name,
    resolve_annotated_classes,
    try_resolve_classes,
)
from .._messages.message import Message, NewMessage
from .._messages.registry import MessageRegistry, add_missing, find_nearest_class
from .decider import Decider
from .state_copy import deep_copy, is_immutable

__all__ = ["Projection", "apply"]

S = TypeVar("S")
T = TypeVar("T")
E = TypeVar("E")
F = TypeVar("F", bound="Callable[..., Any]")

_MARK = "_messagedb_applies"


def apply(method: F) -> F:
    """Register a method of a Projection for the events in its second parameter's annotation.

    Example::

        class Balance(Projection[int]):
            def initial(self) -> int:
                return 0

            @apply
            def deposited(self, state: int, event: Deposited) -> int:
                return state + event.amount
    """
    names = capture_caller_namespace()
    setattr(method, _MARK, (try_resolve_classes(method, 2, "method", names),))
    return method


class Projection(Generic[S]):
    """Derives the state of an entity from its events, one after the other.

    Either a class with a method for each event, or for several (``Deposited | Withdrawn``)::

        class Accounts(Projection[Account]):
            def initial(self) -> Account:
                return Account()

            @apply
            def deposited(self, account: Account, event: Deposited) -> Account:
                return msgspec.structs.replace(account, balance=account.balance + event.amount)

    or ``Projection.of(Account, evolve)`` with one function of the state and the event. The
    annotation of its second parameter says which events it takes.

    The state may be immutable (a frozen Struct or dataclass, a tuple, a number, a string, None).
    Then the method returns the new state. Or the state is mutable: the method changes it in place
    and returns None, or returns another object. (If the initial state is None, a returned None is
    always a state.) A mutable state is copied (``copy``) before it is changed, so an error midway
    does not affect other users of the state. A frozen state must be replaced as a whole, because
    the objects in it are not copied.

    A class that the client's registry does not have is added under the class's name. Events of
    other types are skipped, and count for the version; with ``strict = True`` in the class they
    are an error.
    """

    strict: bool = False
    """Raise ``MessageDecodeError`` for an event without a method, instead of skipping it."""

    def initial(self) -> S:
        """Return the state of an entity without events.

        Example::

            class Balance(Projection[int]):
                def initial(self) -> int:
                    return 0

                @apply
                def deposited(self, state: int, event: Deposited) -> int:
                    return state + event.amount
        """
        raise NotImplementedError(
            f"{type(self).__qualname__} has no initial state: define initial()"
        )

    def copy(self, state: S) -> S:
        """Return a copy of a mutable state: ``copy.deepcopy``, unless overridden.

        Example::

            class Names(Projection[list[str]]):
                def initial(self) -> list[str]:
                    return []

                def copy(self, state: list[str]) -> list[str]:
                    return state[:]  # faster than copy.deepcopy

                @apply
                def deposited(self, state: list[str], event: Deposited) -> None:
                    state.append(str(event.amount))
        """
        return deep_copy(state)

    @staticmethod
    def of(
        initial: Callable[[], T], evolve: Callable[[T, E], T | None], *, strict: bool = False
    ) -> Projection[T]:
        """Return a projection that uses a function.

        Example::

            def evolve(state: int, event: Deposited) -> int:
                return state + event.amount

            balance = Projection.of(int, evolve)

        Args:
            initial: returns the state of an entity without events; often the class itself.
            evolve: takes the state and an event, an instance of one of the classes in the
                annotation of its second parameter. Without an annotation, or with Any, it takes
                every event: instances of registered classes, and all others as a ``Message``.
            strict: raise an error for an event of another type, instead of skipping it.

        Raises:
            ValidationError: an argument is not a function, or an annotation is invalid.
        """
        names = capture_caller_namespace()
        return _FunctionProjection(
            initial, evolve, strict, try_resolve_classes(evolve, 1, "method", names)
        )

    def _get_functions(self) -> Iterable[tuple[Callable[[S, Any], Any], list[type[Any]] | None]]:
        """Return the functions of a state and an event, with their events' known classes."""
        for name in dir(type(self)):
            mark = getattr(getattr(type(self), name, None), _MARK, None)
            if mark is not None:
                yield getattr(self, name), mark[0]
            elif any(hasattr(vars(cls).get(name), _MARK) for cls in type(self).__mro__):
                raise ValidationError(
                    f"{type(self).__qualname__}.{name} overrides a method that is marked with "
                    "@apply: mark it as well, or give it another name"
                )


class _FunctionProjection(Projection[S]):
    """A projection that uses a function."""

    def __init__(
        self,
        initial: Callable[[], S],
        evolve: Callable[[S, Any], S | None],
        strict: bool,
        classes: list[type[Any]] | None,
    ) -> None:
        for what, given in (("initial", initial), ("evolve", evolve)):
            function: Any = given
            if not callable(function):
                raise ValidationError(f"{what} must be a function, not {function!r}")
        self._initial = initial
        self._evolve = evolve
        self._classes = classes
        self.strict = strict

    def initial(self) -> S:
        return self._initial()

    def _get_functions(self) -> Iterable[tuple[Callable[[S, Any], Any], list[type[Any]] | None]]:
        yield self._evolve, self._classes


def build_projection(decider: Decider[S, Any, Any]) -> Projection[S]:
    """Return the projection that uses a decider's function."""
    return _FunctionProjection(decider.initial, decider.evolve, False, decider.event_classes)


class Projector(Generic[S]):
    """A projection with the classes of a registry.

    Raises:
        ValidationError: a method's annotation is invalid, or an event has two methods.
    """

    def __init__(self, projection: Projection[S], registry: MessageRegistry) -> None:
        self._projection = projection
        self._registry = registry
        self._by_type: dict[str, Callable[[S, Any], Any]] = {}
        self._by_class: dict[type[Any], Callable[[S, Any], Any]] = {}
        self._catch_all: Callable[[S, Any], Any] | None = None
        names: dict[str | type[Any] | None, str] = {}
        for function, classes in projection._get_functions():  # pyright: ignore[reportPrivateUsage]
            for name in self._get_types(function, classes):
                if name in names:
                    what = name.__qualname__ if isinstance(name, type) else repr(name)
                    raise ValidationError(
                        f"{'every event' if name is None else what} already has a method, "
                        f"{names[name]}: {get_qualified_name(function)} would be a second one"
                    )
                names[name] = get_qualified_name(function)
                if name is None:
                    self._catch_all = function
                elif isinstance(name, type):
                    self._by_class[name] = function
                else:
                    self._by_type[name] = function
        if not names:
            raise ValidationError(
                f"{type(projection).__qualname__} has no method for events: mark its methods with "
                "@apply"
            )
        # Then a returned None is a state, and does not mean that a state was changed in place.
        self._accepts_none_state = projection.initial() is None

    def _get_types(
        self, function: Callable[..., Any], classes: list[type[Any]] | None
    ) -> list[str | type[Any] | None]:
        parameters = list(inspect.signature(function).parameters.values())
        if len(parameters) != 2 or inspect.iscoroutinefunction(function):
            raise ValidationError(
                f"{get_qualified_name(function)} must be a plain function of the state and the "
                f"event, not {'async ' * inspect.iscoroutinefunction(function)}"
                f"{inspect.signature(function)}"
            )
        if classes is None:
            classes = resolve_annotated_classes(function, parameters[1], "method", None)
        registry = self._registry
        add_missing(registry, classes)
        types = [
            name for cls in classes if cls in registry for name in registry.get_type_names(cls)
        ]
        return [*types, *classes] or [None]

    def initial(self) -> S:
        """Return the state of an entity without events."""
        return self.get_private_copy(self._projection.initial())

    def get_private_copy(self, state: S) -> S:
        """Return a state that the caller may change: a copy, unless the state is immutable."""
        return state if is_immutable(state) else self._projection.copy(state)

    def apply(self, state: S, messages: Iterable[Message[Any]]) -> S:
        """Return the state after some messages.

        The given state must be the caller's: see ``get_private_copy``.

        Raises:
            MessageDecodeError: a message does not fit its class, or has no method and the
                projection is strict.
            Exception: an error from a method, with a note that names the message.
        """
        find, decode = self._by_type.get, self._registry.decode
        for message in messages:
            function = find(message.type) or self._find_base_function(message.type)
            if function is None:
                self._skip_unknown(message)
                continue
            event = decode(message)
            try:
                state = self._apply_one(function, state, event)
            except Exception as error:
                error.add_note(
                    f"while {get_qualified_name(function)} was given {message.type!r} at position "
                    f"{message.position} of stream {message.stream_name!r}"
                )
                raise
        return state

    def needs_stored_messages(self, messages: Iterable[NewMessage]) -> bool:
        """Return True if a method takes one of the new messages as a ``Message``, with positions.

        Raises:
            ValidationError: a message has no method and the projection is strict. Nothing was sent.
        """
        raw = False
        for message in messages:
            if (self._by_type.get(message.type) or self._find_base_function(message.type)) is None:
                if self._projection.strict:
                    raise ValidationError(
                        f"no method of the projection takes {message.type!r}, and it is strict: "
                        "the entity could not be loaded any more. Nothing was sent."
                    )
            elif self._registry.get_class(message.type) is None:
                raw = True
        return raw

    def _find_base_function(self, type: str) -> Callable[[S, Any], Any] | None:
        """Return the function for a type without a separate method: of a base class, or for all."""
        cls = self._registry.get_class(type)
        base = None if cls is None else find_nearest_class(cls, self._by_class)
        if base is None:
            return self._catch_all
        self._by_type[type] = function = self._by_class[base]
        return function

    def _apply_one(self, function: Callable[[S, Any], Any], state: S, event: Any) -> S:
        new = function(state, event)
        if new is not None:
            return cast("S", new)
        if self._accepts_none_state:
            return cast("S", None)
        if is_immutable(state):
            raise ValidationError(
                f"{get_qualified_name(function)} returned None, but the state is "
                "immutable. Return the new state, or the state that was passed in"
            )
        return state

    def _skip_unknown(self, message: Message[Any]) -> None:
        if self._projection.strict:
            raise message.decode_error(
                "type",
                f"no method of the projection takes {message.type!r}",
            )
