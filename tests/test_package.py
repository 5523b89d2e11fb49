"""The public surface: its names, equality of the two variants, and the order of imports."""

from __future__ import annotations

import ast
import importlib
import inspect
import re
import tomllib
from collections.abc import Iterable, Iterator
from importlib import metadata
from pathlib import Path
from types import FunctionType
from typing import Any, Generic, is_typeddict

import msgspec
import pytest
import sync_prose
from sync_names import BUILT_IN, PACKAGE_NAMES, PHRASES

import messagedb

ROOT = Path(__file__).resolve().parent.parent
NAMES = {**BUILT_IN, **PACKAGE_NAMES}
PUBLIC_MODULES = [
    "messagedb",
    "messagedb.app",
    "messagedb.clients",
    "messagedb.consumers",
    "messagedb.embedded",
    "messagedb.entities",
    "messagedb.errors",
    "messagedb.expected_version",
    "messagedb.hooks",
    "messagedb.idempotency",
    "messagedb.messages",
    "messagedb.read_models",
    "messagedb.schema",
    "messagedb.streams",
    "messagedb.telemetry",
    "messagedb.testing",
    "messagedb.ui",
]


def _kind_and_name(name: str) -> tuple[int, str]:
    """Sort as ruff does: CONSTANTS, Classes, functions."""
    return (0 if name.isupper() else 1 if name[0].isupper() else 2), name


@pytest.mark.parametrize("name", PUBLIC_MODULES)
def test_all_is_sorted_and_every_name_can_be_imported(name: str) -> None:
    module = importlib.import_module(name)
    assert list(module.__all__) == sorted(set(module.__all__), key=_kind_and_name)
    assert not [name for name in module.__all__ if not hasattr(module, name)]
    assert not [name for name in module.__all__ if re.match(r"_(?!_version__$)", name)]


# The others have their own code, with helpers for the packages above them.
FACADES = [
    name
    for name in PUBLIC_MODULES
    if name not in ("messagedb.hooks", "messagedb.idempotency", "messagedb.telemetry")
]


@pytest.mark.parametrize("name_of_module", FACADES)
def test_all_is_complete(name_of_module: str) -> None:
    module = importlib.import_module(name_of_module)
    public = {
        name
        for name, value in vars(module).items()
        if not name.startswith("_")
        and (inspect.isclass(value) or inspect.isfunction(value))
        and value.__module__.partition(".")[0] in ("messagedb", "_messagedb_async")
        # What another module has published is only used here.
        and value.__module__ not in set(PUBLIC_MODULES) - {name_of_module}
    }
    assert public
    assert public <= set(module.__all__)


def _pairs() -> Iterator[tuple[str, Any, Any]]:
    """Return the classes and functions. tests/test_public_signatures.py compares the aliases."""
    for module_name in PUBLIC_MODULES:
        module = importlib.import_module(module_name)
        for name in module.__all__:
            sync_name = name.removeprefix("Async").removesuffix("_async")
            thing = getattr(module, name)
            if sync_name != name and isinstance(thing, (type, FunctionType)):
                yield name, thing, getattr(module, sync_name)


PAIRS = list(_pairs())


def _members(thing: Any) -> dict[str, Any]:
    """Return the public members of a class by their sync names, special methods included."""
    if not inspect.isclass(thing) or is_typeddict(thing):
        return {"": thing}
    ignored = set(dir(object)) | set(dir(msgspec.Struct)) | set(dir(Generic))
    ignored |= {"__weakref__", "__module__", "__dict__", "__annotations__"}
    found = {"": thing, "__init__": thing.__init__}
    for name in dir(thing):
        if name not in ignored and (not name.startswith("_") or name.endswith("__")):
            found[NAMES.get(name, name)] = inspect.getattr_static(thing, name)
    return {name: value for name, value in found.items() if callable(value) or _is_public(name)}


def _is_public(name: str) -> bool:
    return not name.startswith("_")


def _function(member: Any) -> Any:
    if isinstance(member, property):
        return member.fget
    return getattr(member, "__func__", member)  # of a class method or a static one


def _keys(options: Any) -> Iterable[tuple[str, Any]]:
    """Return the keys of a TypedDict with their types, as they are written."""
    return options.__annotations__.items()  # type: ignore[no-any-return]


def _as_sync(annotation: Any) -> Any:
    if not isinstance(annotation, str):
        return annotation
    return re.sub(r"\w+", lambda word: NAMES.get(word[0], word[0]), annotation)


# Protocols of classes of SQLAlchemy, whose async methods return awaitables, under other names.
FOREIGN = ("AsyncSQLAlchemyConnection", "AsyncSQLAlchemySession")
CASES = [
    pytest.param(theirs, _members(ours).get(name), id=f"{pair}.{name}".rstrip("."))
    for pair, theirs_class, ours in PAIRS
    if pair not in FOREIGN
    for name, theirs in _members(theirs_class).items()
]


def test_the_top_has_few_names() -> None:
    assert len(messagedb.__all__) <= 52
    assert not [name for name in messagedb.__all__ if inspect.ismodule(getattr(messagedb, name))]
    assert messagedb.__version__ == metadata.version("messagedb")


def test_every_public_module_is_listed() -> None:
    public = {name for name in MODULES if re.fullmatch(r"messagedb\.[a-z]\w*", name)}
    assert public == set(PUBLIC_MODULES) - {"messagedb"} | {"messagedb.cli"}


def test_the_client_is_a_pair() -> None:
    wanted = {"AsyncClient", "AsyncEntityScenario", "install_async", "run_consumers_async"}
    assert wanted <= {name for name, _, _ in PAIRS}
    assert len(CASES) > 10


@pytest.mark.parametrize(("name", "theirs", "ours"), PAIRS)
def test_both_halves_have_the_same_members(name: str, theirs: Any, ours: Any) -> None:
    assert sorted(_members(ours)) == sorted(_members(theirs))
    assert NAMES[name] == ours.__name__


@pytest.mark.parametrize(("theirs", "ours"), CASES)
def test_both_halves_take_the_same_parameters(theirs: Any, ours: Any) -> None:
    assert type(theirs) is type(ours)
    if is_typeddict(theirs):
        keys = {name: _as_sync(kind.__forward_arg__) for name, kind in _keys(theirs)}
        assert keys == {name: kind.__forward_arg__ for name, kind in _keys(ours)}
        assert theirs.__optional_keys__ == ours.__optional_keys__ == keys.keys()
        return
    if not callable(_function(theirs)):
        assert theirs == ours
        return
    async_signature = inspect.signature(_function(theirs))
    sync_signature = inspect.signature(_function(ours))
    as_sync = [
        parameter.replace(annotation=_as_sync(parameter.annotation))
        for parameter in async_signature.parameters.values()
    ]
    assert as_sync == list(sync_signature.parameters.values())
    assert _as_sync(async_signature.return_annotation) == sync_signature.return_annotation
    assert not inspect.iscoroutinefunction(_function(ours))
    assert not inspect.isasyncgenfunction(_function(ours))


@pytest.mark.parametrize(("theirs", "ours"), CASES)
def test_both_halves_say_the_same_in_sync_words(theirs: Any, ours: Any) -> None:
    async_text, sync_text = inspect.getdoc(theirs) or "", inspect.getdoc(ours) or ""
    assert sync_text == sync_prose.rewrite(async_text, NAMES, PHRASES)
    assert list(sync_prose.leftovers(sync_text)) == []


def _modules() -> dict[str, Path]:
    found: dict[str, Path] = {}
    for root in (ROOT / "src", ROOT / "_async_src"):
        for path in root.rglob("*.py"):
            parts = path.relative_to(root).with_suffix("").parts
            found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


MODULES = _modules()


def _imports(name: str) -> set[str]:
    """Return the modules of ours that a module imports."""
    path = MODULES[name]
    package = name if path.name == "__init__.py" else name.rpartition(".")[0]
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            up = package.split(".")[: len(package.split(".")) - node.level + 1]
            base = ".".join([*(up if node.level else []), *([node.module] if node.module else [])])
            for alias in node.names:
                inner = f"{base}.{alias.name}"
                found.add(inner if inner in MODULES else base)
    return {name for name in found if name.split(".")[0] in ("messagedb", "_messagedb_async")}


def _is_in(name: str, *packages: str) -> bool:
    return any(name == package or name.startswith(f"{package}.") for package in packages)


def test_streams_imports_nothing_of_ours() -> None:
    streams = [name for name in MODULES if _is_in(name, "messagedb.streams")]
    assert streams
    for name in streams:
        outside = {other for other in _imports(name) if not _is_in(other, "messagedb.streams")}
        assert outside == set(), name


def test_the_plugin_imports_public_modules_only() -> None:
    modules = [name for name in MODULES if _is_in(name, "_messagedb_pytest")]
    assert modules
    for name in modules:
        assert not [other for other in _imports(name) if "._" in f".{other}"], name


def test_every_package_stands_in_the_order_of_imports() -> None:
    # What is in no layer is not checked by import-linter.
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    layers = settings["tool"]["importlinter"]["contracts"][0]["layers"]
    ordered = re.findall(r"[\w.]+", " ".join(layers))
    assert len(ordered) == len(set(ordered))
    packages = {".".join(name.split(".")[:2]) for name in MODULES if "." in name}
    packages -= {name for name in packages if _is_in(name, "messagedb._sync", "_messagedb_pytest")}
    assert packages == set(ordered)


def test_programs_use_public_names_only() -> None:
    paths = [ROOT / "scripts" / "smoke.py", *(ROOT / "tests" / "typing").rglob("*.py")]
    paths += (ROOT / "examples").rglob("*.py") if (ROOT / "examples").is_dir() else []
    for path in paths:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names: list[str] = []
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                names = [f"{node.module}.{alias.name}" for alias in node.names]
            for name in names:
                assert not re.match(r"_messagedb|messagedb\..*\b_", name), path
