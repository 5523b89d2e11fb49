"""Signatures of the public names: every class in them can be imported, and is documented."""

from __future__ import annotations

import ast
import importlib
import inspect
import re
import sys
import typing
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from messagedb import AsyncTransaction, Client
from tests.test_package import PUBLIC_MODULES

ROOT = Path(__file__).resolve().parent.parent
REFERENCE = ROOT / "docs" / "reference"
OURS = ("messagedb", "_messagedb_async")


def _read_made_by_the_library() -> set[str]:
    """Return the classes whose constructor is not for users, and not shown in the reference."""
    for node in ast.parse((ROOT / "docs" / "conf.py").read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "MADE_BY_THE_LIBRARY":
            found: set[str] = ast.literal_eval(node.value)
            return found
    raise AssertionError("docs/conf.py does not list them")


MADE_BY_THE_LIBRARY = _read_made_by_the_library()


def _is_ours(thing: Any) -> bool:
    return str(getattr(thing, "__module__", "")).partition(".")[0] in OURS


@cache
def _names_of(module_name: str) -> dict[str, Any]:
    """Return the names of a module, with those that it imports for type checkers only."""
    module = sys.modules[module_name]
    names = dict(vars(module))
    assert module.__file__ is not None
    for node in ast.parse(Path(module.__file__).read_text(encoding="utf-8")).body:
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            exec(compile(ast.Module(node.body, []), module.__file__, "exec"), names)
    return names


def _private_classes(annotation: Any, module_name: str) -> Iterator[type[Any]]:
    """Return the classes of ours that an annotation names, and that no public module has.

    An alias that is public, such as DataInstance, says by itself what it stands for.
    """
    if any(annotation is each for each in PUBLIC.values()):
        return
    if isinstance(annotation, typing.ForwardRef):
        annotation = annotation.__forward_arg__
    if isinstance(annotation, str):
        for node in ast.walk(ast.parse(annotation, mode="eval")):
            if isinstance(node, ast.Name):
                yield from _private_classes(_names_of(module_name).get(node.id), module_name)
    elif isinstance(annotation, typing.TypeVar):
        yield from _private_classes(annotation.__bound__, module_name)
        for each in annotation.__constraints__:
            yield from _private_classes(each, module_name)
    elif isinstance(annotation, type) and _is_ours(annotation):
        yield annotation
    elif (
        typing.get_origin(annotation) is not typing.Literal
    ):  # an alias, or a generic class of others
        for each in typing.get_args(annotation):
            yield from _private_classes(each, module_name)


def _annotations_of_function(function: Any) -> Iterator[tuple[Any, str]]:
    function = inspect.unwrap(function)
    for each in (function, *typing.get_overloads(function)):
        for annotation in each.__annotations__.values():
            yield annotation, each.__globals__["__name__"]


def _annotations_of_class(cls: type[Any]) -> Iterator[tuple[Any, str]]:
    """Return the annotations of public attributes, properties and methods, inherited ones too."""
    seen: set[str] = set()
    if cls.__name__ in MADE_BY_THE_LIBRARY:
        seen |= {"__init__", "__new__"}
    for base in filter(_is_ours, cls.__mro__):
        members = dict(vars(base))
        for name, annotation in inspect.get_annotations(base).items():
            if not name.startswith("_"):
                yield annotation, base.__module__
        for name, member in members.items():
            if name in seen or (name.startswith("_") and not name.endswith("__")):
                continue
            seen.add(name)
            function = getattr(member, "fget", None) or getattr(member, "__func__", member)
            if inspect.isfunction(function) and _is_ours(function):
                yield from _annotations_of_function(function)


def _annotations_of(thing: Any) -> Iterator[tuple[Any, str]]:
    if isinstance(thing, type):
        yield from _annotations_of_class(thing)
    elif inspect.isfunction(thing):
        yield from _annotations_of_function(thing)


PUBLIC = {
    f"{module}.{name}": getattr(importlib.import_module(module), name)
    for module in PUBLIC_MODULES
    for name in importlib.import_module(module).__all__
}
PUBLIC_CLASSES = [thing for thing in PUBLIC.values() if isinstance(thing, type)]


@pytest.mark.parametrize("name", [name for name, thing in PUBLIC.items() if _is_ours(thing)])
def test_classes_in_signatures_are_public(name: str) -> None:
    found = {
        cls.__qualname__
        for annotation, module_name in _annotations_of(PUBLIC[name])
        for cls in _private_classes(annotation, module_name)
    }
    assert found == set(), f"{name} has these classes in its signatures, and no module has them"


def test_public_classes_are_in_the_reference() -> None:
    text = "".join(page.read_text(encoding="utf-8") for page in REFERENCE.glob("*.md"))
    shown = [PUBLIC[name] for name in re.findall(r"^\.\. auto\w+:: ([\w.]+)$", text, re.M)]
    missing = {cls.__qualname__ for cls in PUBLIC_CLASSES if _is_ours(cls) and cls not in shown}
    assert missing == set()


def test_a_private_class_in_a_signature_is_found() -> None:
    found = {
        cls.__name__
        for annotation, module_name in _annotations_of_function(AsyncTransaction.__init__)
        for cls in _private_classes(annotation, module_name)
    }
    assert found == {"AsyncTransactionState"}
    methods = dict(_annotations_of_class(Client))
    assert {"BoundClient", "MessageTypes[T]"} <= methods.keys()
