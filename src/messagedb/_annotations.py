"""The classes of messages that an annotation of a user's function names."""

from __future__ import annotations

import inspect
import types
import typing
from typing import TYPE_CHECKING, Any, Union, get_args, get_origin

from .errors import ValidationError
from .messages import Message

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


def annotated_classes(
    function: Callable[..., Any], parameter: inspect.Parameter, local: Mapping[str, Any], what: str
) -> list[type[Any]]:
    """The classes that a parameter's annotation names; none for any Message.

    Args:
        function: whose parameter it is.
        parameter: what to look at.
        local: names that the annotation may mean besides the module's own.
        what: what to call the function in an error, such as ``handler``.

    Raises:
        ValidationError: the annotation cannot be resolved, or names something else.
    """
    if parameter.annotation is parameter.empty:
        return []
    name = name_of(function)
    annotation: Any = parameter.annotation
    if isinstance(annotation, str):
        target = inspect.unwrap(function)
        scope = {**getattr(target, "__globals__", {}), **local}
        try:
            annotation = typing.get_type_hints(
                types.SimpleNamespace(__annotations__={"it": annotation}), scope
            )["it"]
        except Exception as error:
            raise ValidationError(
                f"the annotation {annotation!r} of {what} {name} cannot be resolved "
                f"({error}): define or import the class before the {what}, and not only for type "
                "checkers" + ("; or give the handler the name of the type" * (what == "handler"))
            ) from None
    while (value := getattr(annotation, "__value__", None)) is not None:
        annotation = value  # of a "type" statement, from Python 3.12 on
    if get_origin(annotation) in (Union, types.UnionType):
        members = get_args(annotation)
    else:
        members = (annotation,)
    if any(_is_message(member) for member in members):
        if len(members) > 1:
            raise ValidationError(
                f"the annotation of {what} {name} mixes Message with classes of messages: make "
                f"two {what}s"
            )
        return []
    for member in members:
        if not isinstance(member, type) or member.__module__ == "builtins":
            raise ValidationError(
                f"the annotation {member!r} of {what} {name} is no class of messages: "
                "annotate a Struct or dataclass, or Message for every type"
            )
    return list(members)


def name_of(function: Any) -> str:
    """What to call a function of the user's in an error."""
    return str(getattr(function, "__qualname__", None) or repr(function))


def _is_message(annotation: Any) -> bool:
    return annotation is Any or annotation is Message or get_origin(annotation) is Message
