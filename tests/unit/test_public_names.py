"""Modules of public classes and functions: those that users import them from."""

from __future__ import annotations

import importlib
import inspect
import pickle
import re
import subprocess
import sys
import traceback
import typing
from collections.abc import Iterator
from types import FunctionType
from typing import Any

import msgspec
import pytest

import messagedb
from messagedb import Message, Metadata, NewMessage, ValidationError
from messagedb._public_names import DEFINED_IN
from messagedb.clients import ClientCore
from messagedb.consumers import AsyncConsumerOptions, Lag
from messagedb.testing import make_message
from tests.test_package import PUBLIC_MODULES

PUBLIC = [
    pytest.param(module, name, id=f"{module}.{name}")
    for module in PUBLIC_MODULES
    for name in importlib.import_module(module).__all__
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


def run_python(program: str) -> str:
    """Run a program in a new process, which has imported nothing, and return what it prints."""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.mark.parametrize(
    ("statement", "is_async", "is_sync"),
    [
        ("import messagedb", False, False),
        ("from messagedb import Message, errors, schema", False, False),
        ("from messagedb import Client", False, True),
        ("from messagedb.schema import install", False, True),
        ("from messagedb import AsyncClient", True, False),
        ("import messagedb; messagedb.consumers.AsyncConsumerOptions", True, False),
        ("from messagedb import *", True, True),
    ],
)
def test_a_variant_is_imported_when_it_is_used(
    statement: str, is_async: bool, is_sync: bool
) -> None:
    found = run_python(
        f"{statement}\nimport sys\n"
        "variants = '_messagedb_async', 'messagedb._sync'\n"
        "print(*(f'{name}.client' in sys.modules for name in variants))"
    )
    assert found == f"{is_async} {is_sync}"


def test_every_name_of_a_variant_is_published_with_its_first() -> None:
    program = """
import messagedb
client = messagedb.Client("embedded:")
print(type(client), client.transaction.__annotations__["return"])
from messagedb._sync.transactions.transaction import Transaction
from messagedb._sync.consumers.options import ConsumerOptions
print(Transaction.__module__, ConsumerOptions.__module__)
"""
    lines = run_python(program).splitlines()
    assert lines[0].startswith("<class 'messagedb.Client'> ")
    assert lines[1] == "messagedb messagedb.consumers"


def test_threads_that_use_a_variant_first_get_the_same_names() -> None:
    program = """
import threading, messagedb
from concurrent.futures import ThreadPoolExecutor
names = ["Client", "AsyncClient", "Consumer", "AsyncConsumer"] * 8
barrier = threading.Barrier(len(names))
def get(name):
    barrier.wait()
    thing = getattr(messagedb, name)
    return thing is vars(messagedb)[name] and thing.__module__
with ThreadPoolExecutor(len(names)) as pool:
    print(*set(pool.map(get, names)))
"""
    assert run_python(program) == "messagedb"


def test_a_name_that_is_not_there_is_named_in_the_error() -> None:
    for module in (messagedb, messagedb.consumers):
        with pytest.raises(
            AttributeError, match=f"module '{module.__name__}' has no attribute 'X'"
        ):
            _ = module.X
        assert {*module.__all__, "__name__"} <= set(dir(module))


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


def _public_callables() -> Iterator[Any]:
    """Return the public classes and functions, and the methods and properties of the classes."""
    for module in PUBLIC_MODULES:
        for name in importlib.import_module(module).__all__:
            thing: Any = getattr(importlib.import_module(module), name)
            if isinstance(thing, (type, FunctionType)):
                yield thing
            for member in vars(thing).values() if isinstance(thing, type) else ():
                function = getattr(member, "fget", None) or getattr(member, "__func__", member)
                function = inspect.unwrap(function)
                if isinstance(function, FunctionType) and not _is_generated(function):
                    yield function


def _is_generated(function: FunctionType) -> bool:
    """Return True for a function that Python has made from the fields of a class."""
    return function.__code__.co_filename.startswith("<")


CALLABLES = list(dict.fromkeys(_public_callables()))
FUNCTIONS = [thing for thing in CALLABLES if isinstance(thing, FunctionType)]


def test_a_container_can_resolve_the_hints_of_everything_public() -> None:
    assert {messagedb.AsyncClient, messagedb.Client.write_message} <= set(CALLABLES)
    assert len(FUNCTIONS) > 300
    for thing in CALLABLES:
        hints = typing.get_type_hints(thing)
        assert not [name for name, hint in hints.items() if isinstance(hint, str)]
    assert typing.get_type_hints(messagedb.Consumer.__init__)["client"] is ClientCore
    signature = inspect.signature(messagedb.Client.subscribe, eval_str=True)
    assert signature.return_annotation == Iterator[Message[Any]]


def test_a_debugger_finds_the_source_of_functions_and_methods() -> None:
    for function in FUNCTIONS:
        assert inspect.getsourcefile(function) == function.__code__.co_filename
        assert re.search(rf"def {function.__name__}\b", inspect.getsource(function))


def test_the_source_of_a_class_is_in_the_module_that_is_noted() -> None:
    for thing, module_name in DEFINED_IN.items():
        if isinstance(thing, type):
            # Python looks in the file of __module__: it must find nothing, and nothing else.
            with pytest.raises(OSError, match=r"class definition|not available"):
                inspect.getsource(thing)
        source = inspect.getsource(importlib.import_module(module_name))
        assert re.search(rf"^(class|(async )?def) {thing.__name__}\b", source, re.M)
