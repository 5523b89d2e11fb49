"""Modules of public classes and functions: those that users import them from."""

from __future__ import annotations

import importlib
import inspect
import pickle
import traceback
import typing
from typing import Any

import msgspec
import pytest

import messagedb
from messagedb import Message, Metadata, NewMessage, ValidationError
from messagedb._public_names import DEFINED_IN
from messagedb.consumers import AsyncConsumerOptions, Lag
from messagedb.testing import make_message
from tests.test_package import PUBLIC_MODULES

PUBLIC = [
    pytest.param(module, name, id=f"{module}.{name}")
    for module in PUBLIC_MODULES
    for name in importlib.import_module(module).__all__
    if name in vars(importlib.import_module(module))
]


@pytest.mark.parametrize(("module", "name"), PUBLIC)
def test_public_names_say_where_they_are_imported_from(module: str, name: str) -> None:
    thing: Any = getattr(importlib.import_module(module), name)
    if not isinstance(thing, type) and not callable(thing):
        return
    if thing.__module__ in ("types", "typing", "collections.abc"):
        return  # an alias
    assert thing.__module__ in PUBLIC_MODULES
    assert getattr(importlib.import_module(thing.__module__), thing.__name__) is thing
    assert pickle.loads(pickle.dumps(thing)) is thing


def test_a_traceback_names_the_public_module() -> None:
    with pytest.raises(ValidationError) as caught:
        messagedb.Client(schema="")
    first = traceback.format_exception_only(caught.value)[0]
    assert first.startswith("messagedb.errors.ValidationError: ")
    assert repr(messagedb.AsyncClient) == "<class 'messagedb.AsyncClient'>"


def test_messages_can_be_pickled() -> None:
    for each in (make_message("a-1", "T", {"n": 1}), NewMessage("T", {"n": 1}), Metadata()):
        pickled = pickle.dumps(each)
        assert pickle.loads(pickled) == each
        assert type(each).__module__ == "messagedb"


NOW = "2026-01-01T00:00:00Z"
STRUCTS = [cls for cls in DEFINED_IN if isinstance(cls, type) and issubclass(cls, msgspec.Struct)]


def test_annotations_mean_the_same_as_in_the_module_of_the_code() -> None:
    assert {Message, Metadata, Lag} <= set(STRUCTS)
    for thing, module_name in DEFINED_IN.items():
        if isinstance(thing, type):
            for annotation in inspect.get_annotations(thing).values():
                assert isinstance(annotation, typing.ForwardRef)
                assert annotation.__forward_module__ == module_name


def test_users_may_decode_our_structs_and_their_own_subclasses() -> None:
    class Named(Lag, frozen=True, kw_only=True):
        name: str

    fields = {"head": 5, "messages": 2, "is_exact": True, "oldest": None, "now": NOW}
    assert typing.get_type_hints(Lag).keys() == set(Lag.__struct_fields__)
    assert msgspec.convert(fields, Lag).head == 5
    assert msgspec.convert({**fields, "name": "statements"}, Named).name == "statements"
    with pytest.raises(msgspec.ValidationError, match="Expected `int"):
        msgspec.convert({**fields, "messages": "two"}, Lag)
    assert typing.get_type_hints(Metadata)["properties"] == dict[str, Any]
    assert AsyncConsumerOptions.__module__ == "messagedb.consumers"
