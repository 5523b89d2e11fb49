"""Checks of the arguments of entity stores."""

from __future__ import annotations

import inspect
from datetime import datetime
from typing import Any
from uuid import UUID

from .._argument_checks import check_integer
from .._errors import ValidationError
from .._operations import validation
from ..streams import category as category_of
from .decider import Decider
from .projection import Projection


def check_store(store: Any, expected_class: type[Any]) -> None:
    """Raise unless the store has the operations of this variant."""
    if not isinstance(store, expected_class):
        raise ValidationError(
            f"an entity store needs a client or a transaction of its own variant (sync or async), "
            f"not {type(store).__name__}. Nothing was sent."
        )


def check_options(category: Any, decider: Any, projection: Any, batch_size: Any) -> None:
    """Raise if the category or the batch size is invalid, or not exactly one of both is given."""
    validation.check_category(category)
    validation.check_batch_size(batch_size)
    if batch_size < 1:
        raise ValidationError(f"batch_size must be at least 1, not {batch_size}")
    if (decider is None) == (projection is None):
        raise ValidationError("give either a decider or a projection. Nothing was sent.")
    for what, given, cls in (("decider", decider, Decider), ("projection", projection, Projection)):
        if given is not None and not isinstance(given, cls):
            article = "an instance of the class" if isinstance(given, type) else f"a {cls.__name__}"
            raise ValidationError(f"{what} must be {article}, not {given!r}. Nothing was sent.")
    if decider is not None and inspect.iscoroutinefunction(decider.decide):
        raise ValidationError(
            "decide must be a plain function, not an async one: it may be called several times and "
            "must have no side effects. Nothing was sent. Read what it needs before, and pass "
            "that in the command."
        )


def check_attempts(max_attempts: Any) -> None:
    """Raise if this is not a number of attempts."""
    check_integer("max_attempts", max_attempts, least=1)


def check_as_of(version: Any, time: Any) -> None:
    """Raise if both a version and a time are given, or one that is invalid."""
    if version is not None:
        validation.check_position(version)
        if version < 0:
            raise ValidationError(f"version must be the position of an event, not {version}")
        if time is not None:
            raise ValidationError("give either a version or a time, not both. Nothing was sent.")
    elif time is not None:
        if not isinstance(time, datetime):
            raise ValidationError(f"time must be a datetime, not {time!r}. Nothing was sent.")
        if time.utcoffset() is None:
            raise ValidationError(
                f"time has no time zone. Nothing was sent. Use time.replace(tzinfo=UTC) if {time} "
                "is in UTC."
            )


def build_entity_stream_name(category: str, id: Any) -> str:
    """Return the stream of an entity. Its id may be a compound id."""
    if isinstance(id, UUID):
        id = str(id)
    if not isinstance(id, str) or not id:
        raise ValidationError(
            f"the id of an entity must be a string or a UUID, not {id!r}. Nothing was sent."
        )
    if category_of(id) == category and "-" in id:
        raise ValidationError(
            f"{id!r} is the name of a stream of {category!r}, not the id of an entity. Nothing was "
            f"sent. Pass the part after the first '-': {id.partition('-')[2]!r}."
        )
    name = f"{category}-{id}"
    validation.check_stream_name(name)
    return name
