"""State from events: which function takes an event, and how it is called."""

from __future__ import annotations

import inspect
import sys
from typing import TYPE_CHECKING, Any, Generic, TypeVar, cast

from .._errors import ValidationError
from .._messages.annotations import (
    capture_namespace,
    get_qualified_name,
    resolve_annotated_classes,
    try_resolve_classes,
)
from .._messages.registry import add_missing, find_nearest_class
from .state_copy import copy_of, is_immutable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from .._messages.message import Message, NewMessage
    from .._messages.registry import MessageRegistry
    from .decider import Decider

__all__ = ["Projection", "apply"]

S = TypeVar("S")
T = TypeVar("T")
E = TypeVar("E")
F = TypeVar("F", bound="Callable[..., Any]")

_MARK = "_messagedb_applies"


def apply(method: F) -> F:
    """Let a method of a Projection take the events that its second parameter is annotated with."""
    names = capture_namespace(sys._getframe(1))  # pyright: ignore[reportPrivateUsage]
    setattr(method, _MARK, (try_resolve_classes(method, 2, "method", names),))
    return method


class Projection(Generic[S]):
    """Makes the state of an entity of its events, one after the other.

    Either a class with a method for each event, or for several (``Deposited | Withdrawn``)::

        class Accounts(Projection[Account]):
            def initial(self) -> Account:
                return Account()

            @apply
            def deposited(self, account: Account, event: Deposited) -> Account:
                return msgspec.structs.replace(account, balance=account.balance + event.amount)

    or ``Projection.of(Account, evolve)`` with one function of the state and the event, whose
    annotation says which events it takes.

    A state is immutable (a frozen Struct or dataclass, a tuple, a number, a text, None), and the
    method gives the new one; or it may be changed in place, and the method gives None or another
    object. (Where the initial state is None, None is always a state.) What may be changed is copied
    (``copy``) before it is, so that an error midway changes nothing that anybody else has. A frozen
    state has to be replaced as a whole: what it holds is not copied.

    A class that the client's registry does not have is added under its own name. Events of other
    types are passed over, and count for the version; with ``strict = True`` in the class they are
    an error.
    """

    strict: bool = False
    """Whether an event without a method is a ``MessageDecodeError``."""

    def initial(self) -> S:
        """Give the state of an entity that has no event yet."""
        raise NotImplementedError(
            f"{type(self).__qualname__} does not say what the initial state is: define initial()"
        )

    def copy(self, state: S) -> S:
        """Give a copy of a state that may be changed: ``copy.deepcopy``, unless overridden."""
        return copy_of(state)

    @staticmethod
    def of(
        initial: Callable[[], T], evolve: Callable[[T, E], T | None], *, strict: bool = False
    ) -> Projection[T]:
        """Make a projection of a function.

        Args:
            initial: gives the state of an entity without events: the class itself, often.
            evolve: takes the state and an event, an instance of one of the classes that its second
                parameter is annotated with. Not annotated, or with Any, it takes every event: those
                of registered classes as such, others as a ``Message``.
            strict: whether an event of another type is an error, instead of being passed over.

        Raises:
            ValidationError: a function was not given, or its annotation says nothing.
        """
        names = capture_namespace(sys._getframe(1))  # pyright: ignore[reportPrivateUsage]
        return _Evolving(initial, evolve, strict, try_resolve_classes(evolve, 1, "method", names))

    def _functions(self) -> Iterable[tuple[Callable[[S, Any], Any], list[type[Any]] | None]]:
        """The functions of a state and an event, with the classes of events that are known."""
        for name in dir(type(self)):
            mark = getattr(getattr(type(self), name, None), _MARK, None)
            if mark is not None:
                yield getattr(self, name), mark[0]
            elif any(hasattr(vars(cls).get(name), _MARK) for cls in type(self).__mro__):
                raise ValidationError(
                    f"{type(self).__qualname__}.{name} takes the place of a method that is marked "
                    "with @apply: mark it as well, or give it another name"
                )


class _Evolving(Projection[S]):
    """A projection of a function."""

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

    def _functions(self) -> Iterable[tuple[Callable[[S, Any], Any], list[type[Any]] | None]]:
        yield self._evolve, self._classes


def projection_of(decider: Decider[S, Any, Any]) -> Projection[S]:
    """The projection of a decider's function."""
    return _Evolving(decider.initial, decider.evolve, False, decider.event_classes)


class Applier(Generic[S]):
    """A projection with the classes of a registry.

    Raises:
        ValidationError: a method's annotation says nothing, or an event has two methods.
    """

    def __init__(self, projection: Projection[S], registry: MessageRegistry) -> None:
        self._projection = projection
        self._registry = registry
        self._by_type: dict[str, Callable[[S, Any], Any]] = {}
        self._by_class: dict[type[Any], Callable[[S, Any], Any]] = {}
        self._catch_all: Callable[[S, Any], Any] | None = None
        names: dict[str | type[Any] | None, str] = {}
        for function, classes in projection._functions():  # pyright: ignore[reportPrivateUsage]
            for name in self._types(function, classes):
                if name in names:
                    what = name.__qualname__ if isinstance(name, type) else repr(name)
                    raise ValidationError(
                        f"{'every event' if name is None else what} has a method already, "
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
                f"{type(projection).__qualname__} takes no event: mark its methods with @apply"
            )
        # Then None that a method gives is a state, and does not mean that one was changed in place.
        self._none_is_state = projection.initial() is None

    def _types(
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
        """The state of an entity without events."""
        return self.own(self._projection.initial())

    def own(self, state: S) -> S:
        """A state that the one who asked may change: a copy, unless it cannot be changed."""
        return state if is_immutable(state) else self._projection.copy(state)

    def apply(self, state: S, messages: Iterable[Message[Any]]) -> S:
        """The state after some messages. The given one must be the caller's own: see ``own``.

        Raises:
            MessageDecodeError: a message does not fit its class, or has no method where that is
                strict.
            Exception: what a method raised, with a note that names the message.
        """
        find, decode = self._by_type.get, self._registry.decode
        for message in messages:
            function = find(message.type) or self._of_base(message.type)
            if function is None:
                self._pass_over(message)
                continue
            event = decode(message)
            try:
                state = self._next(function, state, event)
            except Exception as error:
                error.add_note(
                    f"while {get_qualified_name(function)} was given {message.type!r} at position "
                    f"{message.position} of stream {message.stream_name!r}"
                )
                raise
        return state

    def takes_raw(self, messages: Iterable[NewMessage]) -> bool:
        """Whether a method is given one of new messages as a ``Message``, with its positions.

        Raises:
            ValidationError: a message has no method where that is strict. Nothing was sent.
        """
        raw = False
        for message in messages:
            if (self._by_type.get(message.type) or self._of_base(message.type)) is None:
                if self._projection.strict:
                    raise ValidationError(
                        f"no method of the projection takes {message.type!r}, and it is strict: "
                        "the entity could not be loaded any more. Nothing was sent."
                    )
            elif self._registry.get_class(message.type) is None:
                raw = True
        return raw

    def _of_base(self, type: str) -> Callable[[S, Any], Any] | None:
        """What takes events of a type that has no method of its own: a base's, or that for all."""
        cls = self._registry.get_class(type)
        base = None if cls is None else find_nearest_class(cls, self._by_class)
        if base is None:
            return self._catch_all
        self._by_type[type] = function = self._by_class[base]
        return function

    def _next(self, function: Callable[[S, Any], Any], state: S, event: Any) -> S:
        new = function(state, event)
        if new is not None:
            return cast("S", new)
        if self._none_is_state:
            return cast("S", None)
        if is_immutable(state):
            raise ValidationError(
                f"{get_qualified_name(function)} gave None, and the state is one that cannot be "
                "changed in place: return the new state, or the one that it was given"
            )
        return state

    def _pass_over(self, message: Message[Any]) -> None:
        if self._projection.strict:
            raise message.decode_error(
                "type",
                f"no method of the projection takes {message.type!r}",
            )
