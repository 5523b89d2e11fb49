"""The message classes that an annotation of a user's function names."""

from __future__ import annotations

import inspect
from collections.abc import Collection, Iterable, Sequence
from typing import TYPE_CHECKING, Any, Final, NamedTuple, get_args, get_origin

from .._errors import ValidationError
from .message import Message
from .unions import get_union_members

if TYPE_CHECKING:
    import types
    from collections.abc import Callable, Mapping


_LISTS: Final = (list, Sequence, Collection, Iterable)
"""The classes that a list of messages may be annotated with."""


class Namespace(NamedTuple):
    """The names that are visible where a function is defined: of its module, and local ones."""

    module: Mapping[str, Any]
    local: Mapping[str, Any]


def get_frame(depth: int) -> types.FrameType:
    """Return a frame of the caller's: 0 for its own, 1 for that of its caller."""
    frame = inspect.currentframe()
    for _ in range(depth + 1):
        frame = frame and frame.f_back
    assert frame is not None
    return frame


def capture_caller_namespace() -> Namespace:
    """Return the names that are visible where the user's code called the library."""
    frame = get_frame(1)
    while frame.f_back is not None and _is_ours(frame):
        frame = frame.f_back
    return capture_namespace(frame)


def _is_ours(frame: types.FrameType) -> bool:
    package = str(frame.f_globals.get("__name__")).partition(".")[0]
    return package in ("messagedb", "_messagedb_async")


def capture_namespace(frame: types.FrameType) -> Namespace:
    """Return the names in a frame, and in the one around it if that is of the same module."""
    outer = frame.f_back
    if outer is None or outer.f_globals is not frame.f_globals:
        return Namespace(frame.f_globals, frame.f_locals)
    return Namespace(frame.f_globals, {**outer.f_locals, **frame.f_locals})


def try_resolve_classes(
    function: Callable[..., Any], index: int, label: str, namespace: Namespace
) -> list[type[Any]] | None:
    """Return the classes that a parameter's annotation names; None if a name is not defined yet.

    The names are not kept.
    """
    try:
        parameter = list(inspect.signature(function).parameters.values())[index]
        return resolve_annotated_classes(function, parameter, label, namespace)
    except (ValidationError, TypeError, ValueError, IndexError):
        return None


def resolve_annotated_classes(
    function: Callable[..., Any],
    parameter: inspect.Parameter,
    label: str,
    namespace: Namespace | None,
    *,
    is_list: bool = False,
) -> list[type[Any]]:
    """Return the classes that a parameter's annotation names; an empty list for any Message.

    Args:
        function: the function that has the parameter.
        parameter: the parameter to inspect.
        label: the word for the function in an error, such as ``handler``.
        namespace: the names visible where the function is registered. They are used only if the
            function is of the same module: local
            names of another module could mean other things.
        is_list: whether the annotation has to be that of a list of them.

    Raises:
        ValidationError: the annotation cannot be resolved, or names something else.
    """
    if parameter.annotation is parameter.empty:
        return []
    name = get_qualified_name(function)
    annotation: Any = parameter.annotation
    try:
        scope = _build_scope(function, namespace)
        members = get_union_members(annotation, scope)
        elements = _get_element_members(members, scope) if is_list else members
    except Exception as error:
        raise ValidationError(
            f"the annotation {annotation!r} of {label} {name} cannot be resolved "
            f"({error}): define or import the class before the {label}, not only for type "
            "checkers" + ("; or register the handler by the type's name" * ("handler" in label))
        ) from None
    if elements is None:
        raise ValidationError(
            f"the annotation {annotation!r} of {label} {name} is not a list of messages: annotate "
            "list[Deposited], with your class, or list[Message] for every type"
        )
    if any(_is_message(member) for member in elements):
        if len(elements) > 1:
            raise ValidationError(
                f"the annotation of {label} {name} mixes Message with message classes: write two "
                f"{label}s"
            )
        return []
    for member in elements:
        if not isinstance(member, type) or member.__module__ == "builtins":
            raise ValidationError(
                f"the annotation {member!r} of {label} {name} is not a message class: "
                "annotate a Struct or dataclass, or Message for every type"
            )
    return elements


def _get_element_members(members: list[Any], scope: dict[str, Any]) -> list[Any] | None:
    """Return the members of a list's elements; None if the annotation is not that of one list."""
    if len(members) != 1:
        return None
    arguments = get_args(members[0])
    if (get_origin(members[0]) or members[0]) not in _LISTS:
        return None
    return get_union_members(arguments[0], scope) if arguments else [Any]


def _build_scope(function: Any, namespace: Namespace | None) -> dict[str, Any]:
    target: Any = inspect.unwrap(function)
    if not hasattr(target, "__globals__"):
        target = getattr(target, "func", type(target).__call__)  # a partial, or another object
    module: Mapping[str, Any] = getattr(target, "__globals__", {})
    scope = dict(module)
    if namespace is not None and namespace.module is module:
        scope.update(namespace.local)
    scope.update((one.__name__, one) for one in getattr(target, "__type_params__", ()))
    variables = getattr(getattr(target, "__code__", None), "co_freevars", ())
    for name, cell in zip(variables, getattr(target, "__closure__", None) or (), strict=False):
        try:
            scope[name] = cell.cell_contents
        except ValueError:
            continue  # not defined yet
    return scope


def get_qualified_name(function: Any) -> str:
    """Return the name of a user's function for an error."""
    return str(getattr(function, "__qualname__", None) or repr(function))


def _is_message(annotation: Any) -> bool:
    return annotation is Any or annotation is Message or get_origin(annotation) is Message
