"""Handlers of a consumer by message type, and the way to call them."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

from .._errors import ValidationError
from .._messages.annotations import get_qualified_name, resolve_annotated_classes
from .._messages.message import Message
from .._messages.registry import add_missing, find_nearest_class
from .._operations import validation
from .context import BaseBatchContext, BaseContext

if TYPE_CHECKING:
    from collections.abc import Iterable

    from .._messages.annotations import Namespace
    from .._messages.registry import MessageRegistry

HandlerCall = Callable[[Any], Any]
"""Calls a handler with a context; the async variant awaits its result."""


class Dispatch(NamedTuple):
    """Handlers of a consumer.

    Attributes:
        by_type: by message type.
        catch_all: the handler of all other types, if there is one.
        batches: those among them that are called with lists of messages.
    """

    by_type: dict[str, HandlerCall]
    catch_all: HandlerCall | None
    batches: frozenset[HandlerCall] = frozenset()


class HandlerRegistry:
    """Handlers by the type of message, and one for all other types.

    Args:
        registry: the classes of messages; a class in a handler's annotation is added to it.
    """

    def __init__(self, registry: MessageRegistry) -> None:
        self._registry = registry
        self._by_type: dict[str, HandlerCall] = {}
        self._by_class: dict[type[Any], HandlerCall] = {}
        self._names: dict[str | type[Any] | None, str] = {}
        self._catch_all: HandlerCall | None = None
        self._batches: set[HandlerCall] = set()

    def __len__(self) -> int:
        """Return the number of types and classes with a handler; the catch-all counts as one."""
        return len(self._names)

    def add(
        self,
        function: Callable[..., Any],
        names: tuple[str, ...],
        namespace: Namespace,
        *,
        is_batch: bool = False,
    ) -> None:
        """Add a handler: by names, or by the annotation of its first parameter.

        A handler of a class also handles its subclasses in the registry, unless such a subclass, or
        a class between the two, has a separate handler.

        Args:
            function: takes the message, or the event of its class, and optionally the context.
            names: message types, whose messages are passed as Messages; if empty, the annotation
                is used.
            namespace: the names in scope where the handler is added, for its annotation.
            is_batch: whether it is called with lists of messages.

        Raises:
            ValidationError: the function is not a handler, or a type already has one. The text says
                why.
        """
        takes_context = _takes_context(function)
        if names:
            for name in names:
                validation.check_type(name)
            self._register(names, function, self._build_call(function, takes_context, is_batch))
            return
        classes = _find_annotated_classes(function, namespace, is_batch)
        if not classes:
            if self._catch_all is not None:
                raise _duplicate_handler_error(
                    "every other message type", self._names[None], function
                )
            self._catch_all = self._build_call(function, takes_context, is_batch)
            self._names[None] = get_qualified_name(function)
            return
        add_missing(self._registry, classes)
        invoke = self._build_call(function, takes_context, is_batch, self._registry.decode)
        names_of, registry = self._registry.get_type_names, self._registry
        bases = [cls for cls in classes if cls not in registry]
        types = [name for cls in classes if cls in registry for name in names_of(cls)]
        self._register([*types, *bases], function, invoke)
        self._by_class.update(dict.fromkeys(classes, invoke))

    def build_dispatch(self, middleware: Iterable[Callable[..., Any]]) -> Dispatch:
        """Return the handlers by type and the catch-all, each wrapped in the middleware."""
        functions = tuple(middleware)

        # One object for each handler: messages of its several types are passed in one list.
        @functools.cache
        def wrap(invoke: HandlerCall) -> HandlerCall:
            for function in reversed(functions):
                invoke = functools.partial(_call_middleware, function, invoke)
            return invoke

        catch_all = None if self._catch_all is None else wrap(self._catch_all)
        by_type = {name: wrap(invoke) for name, invoke in self._by_type.items()}
        for _, cls in self._registry:  # those that were registered after the handler, too
            base = find_nearest_class(cls, self._by_class)
            if base is not None:
                for name in self._registry.get_type_names(cls):
                    by_type.setdefault(name, wrap(self._by_class[base]))
        return Dispatch(by_type, catch_all, frozenset(map(wrap, self._batches)))

    def _build_call(
        self,
        function: Callable[..., Any],
        takes_context: bool,
        is_batch: bool,
        decode: Callable[[Message[Any]], Any] | None = None,
    ) -> HandlerCall:
        if is_batch:
            invoke = _build_batch_call(function, takes_context, decode)
            self._batches.add(invoke)
            return invoke
        if decode is None:
            return _build_message_call(function, takes_context)
        return _build_event_call(function, takes_context, decode)

    def _register(
        self, names: Iterable[str | type[Any]], function: Callable[..., Any], invoke: HandlerCall
    ) -> None:
        new_names = tuple(names)
        for name in new_names:
            if name in self._names or new_names.count(name) > 1:
                label = f"type {name!r}" if isinstance(name, str) else f"class {name.__qualname__}"
                raise _duplicate_handler_error(
                    label, self._names.get(name, get_qualified_name(function)), function
                )
        for name in new_names:
            self._names[name] = get_qualified_name(function)
            if isinstance(name, str):
                self._by_type[name] = invoke


def _call_middleware(function: Callable[..., Any], invoke: HandlerCall, context: Any) -> Any:
    return function(context, invoke)


def _build_message_call(function: Callable[..., Any], takes_context: bool) -> HandlerCall:
    if takes_context:
        return lambda context: function(context.message, context)
    return lambda context: function(context.message)


def _build_event_call(
    function: Callable[..., Any], takes_context: bool, decode: Callable[[Message[Any]], Any]
) -> HandlerCall:
    if takes_context:
        return lambda context: function(decode(context.message), context)
    return lambda context: function(decode(context.message))


def _build_batch_call(
    function: Callable[..., Any], takes_context: bool, decode: Callable[[Message[Any]], Any] | None
) -> HandlerCall:
    def invoke(context: Any) -> Any:
        messages: list[Message[Any]] = context.messages
        arguments = messages if decode is None else [decode(message) for message in messages]
        return function(arguments, context) if takes_context else function(arguments)

    return invoke


def _takes_context(function: Callable[..., Any]) -> bool:
    """Return True if a handler takes the context besides the message."""
    handler: Any = function
    if not callable(handler):
        raise ValidationError(f"a handler must be a function, not {handler!r}")
    if inspect.isgeneratorfunction(handler) or inspect.isasyncgenfunction(handler):
        raise ValidationError(
            f"handler {get_qualified_name(function)} is a generator function, which would not be "
            "executed. Remove 'yield'"
        )
    try:
        parameters = list(inspect.signature(function).parameters.values())
    except (TypeError, ValueError):
        raise ValidationError(
            f"the parameters of handler {get_qualified_name(function)} are not known. Use a plain "
            "function"
        ) from None
    positional = [
        parameter
        for parameter in parameters
        if parameter.kind in (parameter.POSITIONAL_ONLY, parameter.POSITIONAL_OR_KEYWORD)
    ]
    accepts_varargs = any(parameter.kind == parameter.VAR_POSITIONAL for parameter in parameters)
    required = [p for p in positional if p.default is p.empty]
    has_required_keyword = any(
        p.kind == p.KEYWORD_ONLY and p.default is p.empty for p in parameters
    )
    if has_required_keyword or len(required) > 2 or not (positional or accepts_varargs):
        raise ValidationError(
            f"handler {get_qualified_name(function)} must take the message, and optionally the "
            f"context, not {inspect.signature(function)}"
        )
    return accepts_varargs or len(positional) > 1


def _find_annotated_classes(
    function: Callable[..., Any], namespace: Namespace, is_batch: bool
) -> list[type[Any]]:
    """Return the classes in the annotation of the first parameter; none for any Message."""
    parameter = next(iter(inspect.signature(function).parameters.values()))
    label = "batch handler" if is_batch else "handler"
    classes = resolve_annotated_classes(function, parameter, label, namespace, is_list=is_batch)
    if any(issubclass(cls, BaseContext | BaseBatchContext) for cls in classes):
        raise ValidationError(
            f"the first parameter of handler {get_qualified_name(function)} is annotated as the "
            "context. The first parameter is the message, the second one the context"
        )
    return classes


def _duplicate_handler_error(label: str, first: str, second: Callable[..., Any]) -> ValidationError:
    return ValidationError(
        f"{label} already has a handler, {first}: {get_qualified_name(second)} would be a second "
        "one. Call both from one handler, or create a second consumer with another identifier"
    )
