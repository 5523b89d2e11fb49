"""The examples in the docstrings of public names, as files for a type checker.

Each becomes a function whose parameters are what the example takes for granted: a client, a
consumer, a message. The sync variant's go into ``sync_examples.py``, the others beside it.
"""

from __future__ import annotations

import ast
import builtins
import importlib
import inspect
import re
import textwrap
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any, Final, NamedTuple

REFERENCE: Final = Path(__file__).parents[1] / "docs" / "reference"
CLIENTS: Final = ("AsyncClient", "Client")

_ENTRY: Final = re.compile(r"^\.\. auto(?:class|function):: messagedb\.([\w.]+)$", re.M)
_EXAMPLE: Final = re.compile(r"^.*::\n\n((?:    .*\n|\n)+)", re.M)

GIVEN: Final = {
    "ADMINS": "set[str]",
    "accounts": "AsyncEntityStore[Account, Deposit | Withdraw]",
    "account": "Account",
    "app": "AsyncApp",
    "async_client": "messagedb.AsyncClient",
    "client": "AsyncClient",
    "command": "Message",
    "commands": "AsyncConsumer",
    "consumer": "AsyncConsumer",
    "context": "AsyncContext",
    "decider": "Decider[Account, Deposit | Withdraw, Opened | Deposited | Withdrawn]",
    "declared": "AsyncAppReadModel",
    "engine": "AsyncEngine",
    "message": "Message",
    "model": "AsyncReadModel",
    "position": "int",
    "registry": "MessageRegistry",
    "scenario": "AsyncEntityScenario[Account, Deposit | Withdraw]",
    "proxy": "FaultProxy",
    "server": "EmbeddedServer",
    "telemetry": "Telemetry",
    "site": "Starlette",
    "url": "str",
}
"""What an example may use without making it, by its type in the async variant."""

ELSEWHERE: Final = {
    "Any": "from typing import Any",
    "AsyncEngine": "from sqlalchemy.ext.asyncio import AsyncEngine",
    "AsyncSession": "from sqlalchemy.ext.asyncio import AsyncSession",
    "Decimal": "from decimal import Decimal",
    "Engine": "from sqlalchemy import Engine",
    "Generator": "from collections.abc import Generator",
    "Iterable": "from collections.abc import Iterable",
    "Literal": "from typing import Literal",
    "Path": "from pathlib import Path",
    "Request": "from starlette.requests import Request",
    "Sequence": "from collections.abc import Sequence",
    "Session": "from sqlalchemy.orm import Session",
    "Starlette": "from starlette.applications import Starlette",
    "UTC": "from datetime import UTC",
    "asyncio": "import asyncio",
    "contextmanager": "from contextlib import contextmanager",
    "copy": "import copy",
    "dataclasses": "import dataclasses",
    "datetime": "from datetime import datetime",
    "embedded": "from messagedb import embedded",
    "json": "import json",
    "messagedb": "import messagedb",
    "monotonic": "from time import monotonic",
    "msgspec": "import msgspec",
    "psycopg": "import psycopg",
    "pydantic": "import pydantic",
    "schema": "from messagedb import schema",
    "streams": "from messagedb import streams",
    "timedelta": "from datetime import timedelta",
}

PREAMBLE: Final = '''"""Examples of docstrings, made by scripts/docstring_examples.py."""

from __future__ import annotations

from typing import TypeVar

import msgspec

T = TypeVar("T")


class Deposit(msgspec.Struct, frozen=True):
    amount: int


class Withdraw(msgspec.Struct, frozen=True):
    amount: int


class Deposited(msgspec.Struct, frozen=True):
    amount: int


class Withdrawn(msgspec.Struct, frozen=True):
    amount: int


class Open(msgspec.Struct, frozen=True):
    owner: str


class Opened(msgspec.Struct, frozen=True):
    owner: str


class Ordered(msgspec.Struct, frozen=True):
    item: str


class Paid(msgspec.Struct, frozen=True):
    order: str


class Placed(msgspec.Struct, frozen=True):
    item: str


class Requested(msgspec.Struct, frozen=True):
    order: str


class InsufficientFunds(Exception):
    pass


class Account(msgspec.Struct):
    balance: int = 0
    sequence: int | None = None
'''
DEFINED: Final[set[str]] = {"T", *re.findall(r"^class (\w+)", PREAMBLE, re.M)}


class PublicName(NamedTuple):
    """An entry of the reference, or a member of one: its name and the object behind it."""

    name: str
    thing: Any

    @property
    def examples(self) -> list[str]:
        """The examples of its docstring."""
        text = (inspect.getdoc(self.thing) or "") + "\n"
        return [textwrap.dedent(found).strip("\n") for found in _EXAMPLE.findall(text)]


def find_entries() -> list[PublicName]:
    """Return what the reference documents, without errors: these have pages for each."""
    entries = []
    for name in _ENTRY.findall(read_reference()):
        module, _, attribute = f"messagedb.{name}".rpartition(".")
        entries.append(PublicName(name, getattr(importlib.import_module(module), attribute)))
    return entries


def find_members(entry: PublicName) -> Iterator[PublicName]:
    """Yield the public methods and properties of a class, with those that it inherits from us.

    Those of a protocol are left out: another class has them, and the library calls them.
    """
    if not inspect.isclass(entry.thing) or getattr(entry.thing, "_is_protocol", False):
        return
    found: dict[str, Any] = {}
    for each in reversed(entry.thing.__mro__):
        if each.__module__.split(".")[0] in ("messagedb", "_messagedb_async"):
            found |= vars(each)
    for name, value in found.items():
        function = getattr(value, "__func__", value)
        if (
            not name.startswith("_")
            and name not in _excluded(entry.name)
            and (inspect.isroutine(function) or _is_property(function))
        ):
            yield PublicName(f"{entry.name}.{name}", function)


@cache
def read_reference() -> str:
    """Return the sources of the reference's pages."""
    return "\n".join(page.read_text(encoding="utf-8") for page in sorted(REFERENCE.glob("*.md")))


def _excluded(name: str) -> set[str]:
    """Return the members that the reference leaves out: a base class documents them."""
    entry = rf"^\.\. autoclass:: messagedb\.{re.escape(name)}\n"
    found = re.search(entry + r"(?:   .*\n)*?   :exclude-members: (.*)$", read_reference(), re.M)
    return set(re.findall(r"\w+", found[1])) if found else set()


def _is_property(value: Any) -> bool:
    return isinstance(value, property)


def find_examples() -> dict[str, list[str]]:
    """Return the examples of all entries and members, each once, by the variant that they show."""
    found: dict[str, list[str]] = {"async": [], "sync": []}
    for entry in find_entries():
        is_async = re.search(r"(^|\.)Async|_async$", entry.name) is not None
        for each in (entry, *find_members(entry)):
            for example in each.examples:
                uses_async = is_async or re.search(r"\b(?:async|await)\b", example) is not None
                examples = found["async" if uses_async else "sync"]
                if example not in examples:
                    examples.append(example)
    return found


def find_free_names(example: str) -> list[str]:
    """Return the names that an example uses and does not make, in the order of the alphabet."""
    tree = ast.parse(example)
    names = [node for node in ast.walk(tree) if isinstance(node, ast.Name)]
    made = {node.id for node in names if isinstance(node.ctx, ast.Store)}
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            made.add(node.name)
        if isinstance(node, ast.arg):
            made.add(node.arg)
        if isinstance(node, ast.Import | ast.ImportFrom):
            made |= {each.asname or each.name for each in node.names}
    free = {node.id for node in names} - made - set(dir(builtins)) - DEFINED
    return sorted(free)


def list_imports() -> dict[str, str]:
    """Return the line that imports each public name, and the names of other libraries."""
    lines: dict[str, str] = {}
    messagedb = importlib.import_module("messagedb")
    modules = {each.name.rpartition(".")[0] for each in find_entries()} - {"", "streams"}
    for name in sorted([*modules, "errors", "expected_version"]):
        module = importlib.import_module(f"messagedb.{name}")
        lines |= {each: f"from messagedb.{name} import {each}" for each in module.__all__}
    lines |= {each: f"from messagedb import {each}" for each in messagedb.__all__}
    return lines | ELSEWHERE


def build_function(number: int, example: str, imports: dict[str, str], variant: str) -> str:
    """Return an example as a function of what it takes for granted, below its imports."""
    free = find_free_names(example)
    given = {name: GIVEN[name] for name in free if name in GIVEN}
    if variant == "sync":
        given = {name: re.sub(r"(?<!\.)\bAsync", "", kind) for name, kind in given.items()}
    of_types = set(re.findall(r"[A-Za-z]\w+", " ".join(given.values()))) - DEFINED
    wanted = {imports[name] for name in {*free, *of_types} - set(given) if name in imports}
    arguments = ", ".join(f"{name}: {kind}" for name, kind in given.items())
    keyword = "async def" if re.search(r"\b(?:async|await)\b", example) else "def"
    outside = "\n".join(sorted(wanted))
    body = textwrap.indent(example, "    ")
    return f"{outside}\n\n\n{keyword} example_{number}({arguments}) -> None:\n{body}\n"


def write(folder: Path) -> None:
    """Write each variant's examples into a file of the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    imports = list_imports()
    for variant, examples in find_examples().items():
        functions = [
            build_function(number, example, imports, variant)
            for number, example in enumerate(examples)
        ]
        lines: list[str] = []
        bodies: list[str] = []
        for function in functions:
            head, _, body = function.partition("\n\n\n")
            lines += head.splitlines()
            bodies.append(body)
        heading = "\n".join(sorted(set(lines) - {"import msgspec"}))
        text = PREAMBLE.replace("import msgspec\n", f"import msgspec\n{heading}\n", 1)
        (folder / f"{variant}_examples.py").write_text("\n\n".join([text, *bodies]))


def find_missing() -> list[str]:
    """Return the entries and members without an example.

    A member has one in its docstring; or an example of its class, or of another of its members,
    shows it. Of a client each method needs its own.
    """
    missing = []
    for entry in find_entries():
        if inspect.isclass(entry.thing) and issubclass(entry.thing, Exception):
            continue
        members = list(find_members(entry))
        shown = "\n".join(text for each in (entry, *members) for text in each.examples)
        if not entry.examples:
            missing.append(entry.name)
        for member in members:
            last = member.name.rpartition(".")[2]
            is_shown = entry.name not in CLIENTS and re.search(rf"(?:\.|@|\bdef ){last}\b", shown)
            if not member.examples and not is_shown:
                missing.append(member.name)
    return missing
