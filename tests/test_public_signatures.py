"""Signatures of the public names: every name in them can be imported, and is documented."""

from __future__ import annotations

import ast
import builtins
import importlib
import inspect
import re
import sys
import typing
from collections.abc import Iterator
from functools import cache
from importlib.util import resolve_name
from pathlib import Path
from typing import Any

import pytest

from messagedb import AsyncTransaction, Client, Decider
from messagedb._public_names import DEFINED_IN
from tests.test_package import NAMES, PUBLIC_MODULES

ROOT = Path(__file__).resolve().parent.parent
REFERENCE = ROOT / "docs" / "reference"
OURS = ("messagedb", "_messagedb_async")
REGISTRY = "messagedb._messages.registry"


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
def _tree_of(module_name: str) -> ast.Module:
    file = importlib.import_module(module_name).__file__
    assert file is not None
    return ast.parse(Path(file).read_text(encoding="utf-8"))


def _statements(body: list[ast.stmt]) -> Iterator[ast.stmt]:
    """Return the statements of a module, with those for type checkers only."""
    for node in body:
        yield node
        if isinstance(node, ast.If):
            yield from _statements([*node.body, *node.orelse])
        elif isinstance(node, ast.Try):
            yield from _statements(node.body)


@cache
def _find_definition(name: str, module_name: str) -> tuple[str, ast.stmt] | None:
    """Return the statement of ours that defines a name, and its module.

    None for the names of Python and of other libraries.
    """
    for node in _statements(_tree_of(module_name).body):
        if isinstance(node, ast.ImportFrom):
            for alias in node.names:
                if name == (alias.asname or alias.name):
                    package = importlib.import_module(module_name).__package__
                    source = resolve_name("." * node.level + (node.module or ""), package)
                    if source.partition(".")[0] not in OURS:
                        return None
                    return _find_definition(alias.name, source)
        elif isinstance(node, ast.Import):
            if name in {alias.asname or alias.name.partition(".")[0] for alias in node.names}:
                return None
        elif isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            if node.name == name:
                return module_name, node
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            if name in {ast.unparse(target) for target in targets}:
                return module_name, node
    assert hasattr(builtins, name), f"{module_name} has no {name}, which a signature names"
    return None


def _is_public(name: str, module_name: str) -> bool:
    """Return True if a name of a private module stands for the same in a public one."""
    value = vars(sys.modules[module_name]).get(name)
    return any(
        public.rpartition(".")[2] == name and each is value for public, each in PUBLIC.items()
    )


def _private_names(annotation: Any, module_name: str) -> Iterator[str]:
    """Return the names of ours in an annotation that no public module has.

    A type variable is no more than its bound and its constraints: the names in these count.
    """
    if isinstance(annotation, typing.ForwardRef):
        module_name = annotation.__forward_module__ or module_name
        annotation = annotation.__forward_arg__
    if isinstance(annotation, str):
        annotation = ast.parse(annotation, mode="eval").body
    if not isinstance(annotation, ast.AST):
        assert annotation is None or not _is_ours(annotation), f"{annotation!r} is evaluated"
    elif isinstance(annotation, ast.Constant) and isinstance(annotation.value, str):
        yield from _private_names(annotation.value, module_name)
    elif isinstance(annotation, ast.Name):
        definition = _find_definition(annotation.id, module_name)
        if definition is None:
            return
        source, node = definition
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Call):
            call = node.value
            assert ast.unparse(call.func) in ("TypeVar", "ParamSpec"), ast.unparse(node)
            bounds = [each.value for each in call.keywords if each.arg in ("bound", "default")]
            for each in [*call.args[1:], *bounds]:
                yield from _private_names(each, source)
        elif not _is_public(annotation.id, source):
            yield annotation.id
    elif not (isinstance(annotation, ast.Subscript) and ast.unparse(annotation.value) == "Literal"):
        for child in ast.iter_child_nodes(annotation):
            yield from _private_names(child, module_name)


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
        yield from _annotations_for_checkers(base)
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


def _annotations_for_checkers(cls: type[Any]) -> Iterator[tuple[Any, str]]:
    """Return the annotations of the methods that only type checkers read."""
    definition = _find_definition(cls.__name__, DEFINED_IN.get(cls, cls.__module__))
    assert definition is not None
    module_name, node = definition
    for block in node.body if isinstance(node, ast.ClassDef) else ():
        for method in block.body if isinstance(block, ast.If) else ():
            if isinstance(method, ast.FunctionDef | ast.AsyncFunctionDef):
                arguments = [*method.args.args, *method.args.kwonlyargs]
                for annotation in [*(each.annotation for each in arguments), method.returns]:
                    yield annotation, module_name


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


ALIASES = {
    name: definition
    for name in PUBLIC
    for definition in [_find_definition(name.rpartition(".")[2], name.rpartition(".")[0])]
    if definition is not None
    and isinstance(definition[1], ast.AnnAssign)
    and ast.unparse(definition[1].annotation) == "TypeAlias"
}


def _write_alias(name: str) -> str:
    """Return the source of an alias."""
    node = ALIASES[name][1]
    assert isinstance(node, ast.AnnAssign)
    assert node.value is not None
    return ast.unparse(node.value)


@pytest.mark.parametrize("name", [name for name, thing in PUBLIC.items() if _is_ours(thing)])
def test_names_in_signatures_are_public(name: str) -> None:
    found = {
        each
        for annotation, module_name in _annotations_of(PUBLIC[name])
        for each in _private_names(annotation, module_name)
    }
    assert found == set(), f"{name} has these names in its signatures, and no public module has"


@pytest.mark.parametrize("name", ALIASES)
def test_names_in_aliases_are_public(name: str) -> None:
    module_name, node = ALIASES[name]
    assert isinstance(node, ast.AnnAssign)
    found = set(_private_names(node.value, module_name))
    assert found == set(), f"{name} stands for these names, and no public module has them"


def test_public_names_are_in_the_reference() -> None:
    text = "".join(page.read_text(encoding="utf-8") for page in REFERENCE.glob("*.md"))
    documented = re.findall(r"^\.\. (?:auto\w+|py:data|py:type):: ([\w.]+)$", text, re.M)
    shown = [PUBLIC[name] for name in documented]
    missing = {cls.__qualname__ for cls in PUBLIC_CLASSES if _is_ours(cls) and cls not in shown}
    assert missing == set()
    for name in ALIASES:
        written = re.search(rf"^\.\. py:data:: {name}\n   :type: (.+)$", text, re.M)
        assert written is not None, f"{name} is not in the reference, or without its type"
        assert written[1] == _write_alias(name)


def test_an_alias_of_the_async_variant_is_the_sync_one_with_awaitables() -> None:
    pairs = [name for name in ALIASES if ".Async" in name]
    assert len(pairs) > 4
    for name in pairs:
        as_sync = re.sub(r"\w+", lambda word: NAMES.get(word[0], word[0]), _write_alias(name))
        as_sync = re.sub(r"Awaitable\[((?:[^][]|\[[^][]*\])*)\]", r"\1", as_sync)
        assert as_sync == _write_alias(name.replace(".Async", "."))


def test_a_private_name_in_a_signature_is_found() -> None:
    found = {
        name
        for annotation, module_name in _annotations_of_function(AsyncTransaction.__init__)
        for name in _private_names(annotation, module_name)
    }
    assert found == {"AsyncTransactionState"}
    methods = dict(_annotations_of_class(Client))
    assert {"BoundClient", "MessageTypes[T]"} <= methods.keys()
    for_checkers = [each for each, _ in _annotations_for_checkers(Decider) if each is not None]
    assert "Evolve[S, D, E]" in map(ast.unparse, for_checkers)


def test_a_private_name_in_an_alias_or_in_a_bound_is_found() -> None:
    assert set(_private_names("list[RegistryEntry | Iterable[str]]", REGISTRY)) == {"RegistryEntry"}
    assert set(_private_names("C | Literal['RegistryEntry']", REGISTRY)) == set()
    assert set(_private_names("S_co", "messagedb._operations.scan_requests")) == set()
    assert set(_private_names("Thunk[R]", "messagedb._concurrency.callables")) == {"Thunk"}
    with pytest.raises(AssertionError, match="has no Nothing"):
        list(_private_names("Nothing", REGISTRY))
