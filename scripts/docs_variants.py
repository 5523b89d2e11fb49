"""The async variants of the docs' blocks of Python, which are written in the sync variant.

``to_async`` edits the text of a block, so its lines, comments and names stay; what needs an event
loop goes into a function ``main``. It goes by names, and the tables below have them: the tests run
and type-check both variants, so they find one that is missing. ``docs_blocks.py`` says which blocks
have two variants.
"""

from __future__ import annotations

import ast
import io
import re
import sys
import tokenize
from collections.abc import Iterable, Set
from dataclasses import dataclass, field
from typing import Final

from sync_names import PACKAGE_NAMES

ASYNC_NAMES: Final = {sync: name for name, sync in PACKAGE_NAMES.items()}
AWAITED: Final = frozenset(
    [
        "catch_up",
        "close",
        "connect",
        "discard_parked",
        "drop_version",
        "exists",
        "find_global_position",
        "get_category_head",
        "get_category_messages",
        "get_current_version",
        "get_lag",
        "get_last_stream_message",
        "get_store_head",
        "get_stream_messages",
        "list_categories",
        "list_consumers",
        "list_parked",
        "list_partition_sets",
        "list_partitions",
        "list_streams",
        "list_versions",
        "load",
        "message_store_version",
        "rebuild",
        "replay_parked",
        "reserve_command",
        "reset_position",
        "resize_consumer_group",
        "resize_partitions",
        "run",
        "run_transaction",
        "run_until_quiet",
        "scan_all",
        "scan_category",
        "stop",
        "stream_version",
        "trace",
        "transact",
        "wait_for_consumer",
        "wait_until_caught_up",
        "wait_until_processed",
        "write_message",
        "write_messages",
        "execute",
        "fetchall",
        "fetchone",
    ]
)
AWAITED_OF: Final = {  # other classes have sync methods with these names
    "get": ("EntityStore",),
    "given": ("EntityScenario", "ConsumerScenario"),
    "then": ("EntityScenario", "ConsumerScenario"),
    "then_state": ("EntityScenario",),
    "when": ("EntityScenario", "ConsumerScenario"),
}
ITERATED: Final = {"read_all", "read_category", "read_stream", "subscribe", "subscribe_all"}
ENTERED: Final = {"edit", "open", "pipeline", "running", "savepoint", "transaction"}
DECORATORS: Final = {
    "handler",
    "batch_handler",
}  # what they decorate is always a coroutine function
ASYNC_FIXTURE: Final = "messagedb_async_client"
_COMMENT: Final = re.compile(r"(?<=\S)  +(?=# [^\"']*$)")
Function = ast.FunctionDef
Comprehension = ast.ListComp | ast.SetComp | ast.DictComp | ast.GeneratorExp


class VariantError(Exception):
    """A block has code that these rules cannot convert: mark it as one variant."""


@dataclass
class Edits:
    """Changes of a string by position; its lines keep their numbers until they are joined."""

    lines: list[bytes]
    found: list[tuple[int, int, int, str]] = field(default_factory=list[tuple[int, int, int, str]])

    def replace(self, line: int, start: int, end: int, text: str) -> None:
        """Replace columns of a line: lines count from 1, columns from 0, in bytes."""
        self.found.append((line, start, end, text))

    def insert(self, line: int, column: int, text: str) -> None:
        """Insert a string before a column of a line."""
        self.replace(line, column, column, text)

    def apply(self) -> tuple[list[str], list[int]]:
        """Return the changed lines, with comments in place, and by how much each grew."""
        lines, grown = list(self.lines), [0] * len(self.lines)
        # Of two insertions in one place the outer one was found first, and comes first.
        ordered = sorted(enumerate(self.found), key=lambda each: (each[1][:2], each[0]))
        for _, (line, start, end, text) in reversed(ordered):
            old = lines[line - 1]
            lines[line - 1] = old[:start] + text.encode() + old[end:]
            grown[line - 1] += len(text) - (end - start)
        made: list[str] = []
        for old, growth in zip(lines, grown, strict=True):
            gap = _COMMENT.search(old.decode()) if growth else None
            made.append(old.decode())
            if gap:
                kept = " " * max(2, len(gap[0]) - growth)
                made[-1] = made[-1][: gap.start()] + kept + made[-1][gap.end() :]
        return made, grown


class Converter(ast.NodeVisitor):
    """Find the changes of a block."""

    def __init__(self, source: str, known: Set[str] = frozenset()) -> None:
        self.source, self.known = source, known
        self.tree = ast.parse(source)
        self.edits = Edits(source.encode().splitlines())
        self.parents = {
            child: node for node in ast.walk(self.tree) for child in ast.iter_child_nodes(node)
        }
        self.modules: set[str] = set()
        self.renamed: dict[str, str] = {}
        self.classes: dict[str, str] = {}
        self.needs: set[ast.AST] = set()  # what contains an await, or is one
        self.coroutines: set[str] = set()
        self.indented: list[tuple[int, int]] = []  # first and last lines that get four more columns
        self.imports: set[str] = set()  # modules that the async variant needs, too
        self._read_names()
        self._find_coroutines()

    def _read_names(self) -> None:
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Import):
                self.modules |= {
                    (each.asname or each.name).partition(".")[0] for each in node.names
                }
            elif isinstance(node, ast.ImportFrom):
                self.coroutines |= {each.name for each in node.names} & self.known
                ours = (node.module or "").partition(".")[0] == "messagedb"
                for each in node.names if ours else ():
                    if each.name in ASYNC_NAMES:
                        self.renamed[each.name] = ASYNC_NAMES[each.name]
                    elif each.name.islower():
                        self.modules.add(each.name)
            elif isinstance(node, ast.Assign) and isinstance(node.value, ast.Call):
                target, function = node.targets[0], node.value.func
                if isinstance(target, ast.Name) and isinstance(function, ast.Name):
                    self.classes[target.id] = function.id

    def is_awaited(self, call: ast.Call) -> bool:
        """Tell whether the result of a call is awaited."""
        function = call.func
        if isinstance(function, ast.Name):
            is_ours = function.id.islower() and function.id in self.renamed
            return is_ours or function.id in self.coroutines
        if not isinstance(function, ast.Attribute):
            return False
        owner, name = function.value, function.attr
        root = root_of(owner)
        if root in self.modules:
            return root == "schema" and name in ASYNC_NAMES
        if name in AWAITED_OF:
            return isinstance(owner, ast.Name) and self.classes.get(owner.id) in AWAITED_OF[name]
        return name in AWAITED

    def is_entered(self, call: ast.expr) -> bool:
        """Tell whether a context manager is an async one."""
        if not isinstance(call, ast.Call):
            return False
        function = call.func
        if isinstance(function, ast.Attribute):
            if isinstance(function.value, ast.Name) and function.value.id in self.modules:
                return function.value.id == "psycopg" and function.attr == "connect"
            return function.attr in ENTERED
        return isinstance(function, ast.Name) and function.id in self.renamed

    def is_iterated(self, node: ast.expr) -> bool:
        """Tell whether an expression is an async iterable."""
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            return node.func.attr in ITERATED
        return isinstance(node, ast.GeneratorExp) and self.is_async_comprehension(node)

    def is_async_comprehension(self, node: Comprehension) -> bool:
        """Tell whether a generator expression is an async one: more than its first iterable is."""
        inner: list[ast.AST] = [each for one in node.generators for each in one.ifs]
        inner += [one.iter for one in node.generators[1:]]
        inner += [node.key, node.value] if isinstance(node, ast.DictComp) else [node.elt]
        return any(self.is_iterated(one.iter) for one in node.generators) or any(
            isinstance(each, ast.Call) and self.is_awaited(each)
            for one in inner
            for each in ast.walk(one)
        )

    def _find_coroutines(self) -> None:
        """Find the functions that have to be coroutine functions, and all that contain an await."""
        functions = [node for node in ast.walk(self.tree) if isinstance(node, Function)]
        before = -1
        while before != len(self.needs):
            before = len(self.needs)
            for node in ast.walk(self.tree):
                if self._needs_await(node):
                    self._mark(node)
            for function in functions:
                if any(name in DECORATORS for name in decorators_of(function)):
                    self.needs.add(function)
                if function in self.needs:
                    self.coroutines.add(function.name)

    def _needs_await(self, node: ast.AST) -> bool:
        if isinstance(node, ast.Call):
            return self.is_awaited(node) or self.is_iterated(node)
        return isinstance(node, ast.With) and any(
            self.is_entered(item.context_expr) for item in node.items
        )

    def _mark(self, node: ast.AST | None) -> None:
        while node is not None:
            self.needs.add(node)
            if isinstance(node, ast.Lambda):
                raise VariantError(f"line {node.lineno}: a lambda cannot await")
            if isinstance(node, Function):
                return
            node = self.parents.get(node)

    def visit_Name(self, node: ast.Name) -> None:
        """Rename classes and functions of ours, and the fixture that is a client."""
        if node.id == "messagedb_client":
            self.edits.replace(
                node.lineno, node.col_offset, node.col_offset + len(node.id), ASYNC_FIXTURE
            )
        if node.id in self.renamed:
            end = node.col_offset + len(node.id)
            self.edits.replace(node.lineno, node.col_offset, end, self.renamed[node.id])

    def visit_Attribute(self, node: ast.Attribute) -> None:
        """Rename the middleware of telemetry, which has one for each variant."""
        if node.attr == "middleware":
            self.edits.insert(node.end_lineno or 0, node.end_col_offset or 0, "_async")
        self.generic_visit(node)

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        """Rename what is imported, and sort it again."""
        names = [each.name for each in node.names]
        wanted = [self.renamed.get(name, name) for name in names]
        module = re.sub(r"_sync$", "_async", node.module or "")  # a module of examples/
        if (names == wanted and module == node.module) or any(each.asname for each in node.names):
            return
        text = f"from {module} import {', '.join(sorted(wanted, key=import_order))}"
        if node.lineno != node.end_lineno:
            raise VariantError(f"line {node.lineno}: an import of several lines")
        self.edits.replace(node.lineno, node.col_offset, node.end_col_offset or 0, text)

    def visit_FunctionDef(self, node: ast.FunctionDef) -> None:
        """Make a coroutine function of a function that awaits."""
        if node in self.needs:
            if node.name.startswith("test_"):
                first = min([node.lineno, *(each.lineno for each in node.decorator_list)])
                self.edits.insert(first, 0, "@pytest.mark.asyncio\n")
                self.imports.add("pytest")
            self.edits.insert(node.lineno, node.col_offset, "async ")
            self._convert_generator(node)
        self.generic_visit(node)

    def _convert_generator(self, node: ast.FunctionDef) -> None:
        returned = node.returns
        abstract = returned.value if isinstance(returned, ast.Subscript) else None
        if isinstance(abstract, ast.Name) and abstract.id in ("Iterator", "Generator"):
            self.edits.insert(abstract.lineno, abstract.col_offset, "Async")
        for each in node.decorator_list:
            if ast.unparse(each) == "pytest.fixture":
                end = each.end_col_offset or 0
                self.edits.replace(each.lineno, each.col_offset, end, "pytest_asyncio.fixture")
                self.imports.add("pytest_asyncio")

    def visit_arg(self, node: ast.arg) -> None:
        """Rename the fixture of the pytest plugin that is a client."""
        if node.arg == "messagedb_client":
            self.edits.replace(
                node.lineno, node.col_offset, node.col_offset + len(node.arg), ASYNC_FIXTURE
            )
        self.generic_visit(node)

    def visit_For(self, node: ast.For) -> None:
        """Iterate with ``async for`` where the iterable is an async one."""
        if self.is_iterated(node.iter):
            self.edits.insert(node.lineno, node.col_offset, "async ")
        self.generic_visit(node)

    def visit_comprehension(self, node: ast.comprehension) -> None:
        """Iterate a comprehension's iterable with ``async for`` where it is an async one."""
        if self.is_iterated(node.iter):
            target, line = node.target, self.edits.lines[node.target.lineno - 1]
            self.edits.insert(target.lineno, line.rindex(b"for ", 0, target.col_offset), "async ")
        self.generic_visit(node)

    def visit_With(self, node: ast.With) -> None:
        """Enter with ``async with``; sync context managers before async ones get a line above."""
        kinds = [self.is_entered(item.context_expr) for item in node.items]
        if any(kinds):
            first = kinds.index(True)
            if not all(kinds[first:]):
                raise VariantError(f"line {node.lineno}: a sync context manager after an async one")
            if first:
                end, start = node.items[first - 1], node.items[first]
                place = (end.optional_vars or end.context_expr).end_col_offset or 0
                opening = ":\n" + " " * (node.col_offset + 4) + "async with "
                to = start.context_expr.col_offset
                self.edits.replace(node.lineno, place, to, opening)
                self.indented.append((node.body[0].lineno, node.body[-1].end_lineno or 0))
            else:
                self.edits.insert(node.lineno, node.col_offset, "async ")
        self.generic_visit(node)

    def visit_GeneratorExp(self, node: ast.GeneratorExp) -> None:
        """Make a list of an async generator that a function of Python iterates."""
        parent = self.parents[node]
        if isinstance(parent, ast.Call) and self.is_async_comprehension(node):
            self.edits.insert(node.lineno, node.col_offset + 1, "[")
            self.edits.insert(node.end_lineno or 0, (node.end_col_offset or 0) - 1, "]")
        self.generic_visit(node)

    def visit_Call(self, node: ast.Call) -> None:
        """Await a call, or make a list of an async iterable that is not iterated here."""
        parent, inner = self.parents[node], node.args[0] if node.args else node
        line, column = node.lineno, node.col_offset
        end_line, end = node.end_lineno or 0, node.end_col_offset or 0
        if isinstance(node.func, ast.Name) and node.func.id == "list" and self.is_iterated(inner):
            self.edits.replace(line, column, inner.col_offset, "[message async for message in ")
            self.edits.replace(end_line, end - 1, end, "]")
        elif self.is_iterated(node) and not is_loop(parent, node):
            if not (isinstance(parent, ast.Call) and ast.unparse(parent.func) == "list"):
                self.edits.insert(line, column, "[message async for message in ")
                self.edits.insert(end_line, end, "]")
        elif self.is_awaited(node):
            part = isinstance(parent, ast.Attribute | ast.Subscript)
            self.edits.insert(line, column, "(await " if part else "await ")
            if part:
                self.edits.insert(end_line, end, ")")
        self._rename_attribute(node)
        self.generic_visit(node)

    def _rename_attribute(self, node: ast.Call) -> None:
        function = node.func
        if isinstance(function, ast.Attribute) and isinstance(function.value, ast.Name):
            end = function.end_col_offset or 0
            start = end - len(function.attr)
            if function.value.id == "schema" and function.attr in ASYNC_NAMES:
                self.edits.replace(node.lineno, start, end, ASYNC_NAMES[function.attr])
            elif function.value.id == "psycopg" and self.is_entered(node):
                self.edits.insert(node.lineno, node.col_offset, "await ")
                self.edits.insert(node.lineno, start, "AsyncConnection.")

    def convert(self) -> str:
        """Return the async variant."""
        self.visit(self.tree)
        main = self._find_main()
        if main:
            self.indented.append(main)
            self.imports.add("asyncio")
        lines, grown = self.edits.apply()
        self._indent(lines, grown)
        if main:
            first, last = main
            lines[first - 1] = "async def main() -> None:\n" + lines[first - 1]
            if first > 1 and lines[first - 2].strip():
                lines[first - 1] = "\n" + lines[first - 1]
            lines[last - 1] += "\n\nasyncio.run(main())"
        text = "\n".join(lines) + "\n"
        for name in ("Iterator", "Generator"):
            text = import_abstract(text, name)
        for module in sorted(self.imports):
            text = add_import(text, module)
        return text

    def _find_main(self) -> tuple[int, int] | None:
        """Return the first and the last line of what has to be in a coroutine function."""
        body = self.tree.body
        places = [
            number
            for number, node in enumerate(body)
            if node in self.needs and not isinstance(node, Function | ast.ClassDef)
        ]
        if not places:
            return None
        start, end = places[0], places[-1]
        made = {
            node.id
            for one in body[start : end + 1]
            for node in ast.walk(one)
            if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)
        }
        for number, one in enumerate(body):
            used = {node.id for node in ast.walk(one) if isinstance(node, ast.Name)}
            if number > end and used & made:
                end = number
        first = body[start].lineno
        while first > 2 and self.edits.lines[first - 2].startswith(b"#"):
            first -= 1
        return first, body[end].end_lineno or 0

    def _indent(self, lines: list[str], grown: list[int]) -> None:
        """Indent what moved; lines in strings stay, lines under an opening bracket follow it."""
        inside = lines_in_strings(self.source)
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Call) and node.lineno != node.end_lineno:
                for line in range(node.lineno + 1, (node.end_lineno or 0) + 1):
                    depth = len(self.edits.lines[line - 1]) - len(
                        self.edits.lines[line - 1].lstrip()
                    )
                    if (
                        depth > node.col_offset + 4
                        and line not in inside
                        and grown[node.lineno - 1]
                    ):
                        lines[line - 1] = " " * grown[node.lineno - 1] + lines[line - 1]
                        inside.add(line)
        inside = lines_in_strings(self.source)
        for first, last in self.indented:
            for line in range(first, last + 1):
                if line not in inside and lines[line - 1]:
                    lines[line - 1] = re.sub(r"^(?=.)", "    ", lines[line - 1], flags=re.M)


def decorators_of(function: ast.FunctionDef) -> list[str]:
    """Return the last parts of the names of a function's decorators."""
    calls = [each.func if isinstance(each, ast.Call) else each for each in function.decorator_list]
    return [each.attr for each in calls if isinstance(each, ast.Attribute)]


def root_of(node: ast.expr) -> str | None:
    """Return the name that a chain of attributes and calls begins with."""
    while isinstance(node, ast.Attribute | ast.Call):
        node = node.value if isinstance(node, ast.Attribute) else node.func
    return node.id if isinstance(node, ast.Name) else None


def is_loop(parent: ast.AST, node: ast.expr) -> bool:
    """Tell whether a node is what a loop or a comprehension iterates."""
    return isinstance(parent, ast.For | ast.comprehension) and parent.iter is node


def import_order(name: str) -> tuple[int, str]:
    """Return the key that sorts imported names: constants, classes, the rest."""
    return (0 if name.isupper() else 1 if name[0].isupper() else 2), name


def lines_in_strings(source: str) -> set[int]:
    """Return the lines that begin within a string."""
    found: set[int] = set()
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.STRING:
            found |= set(range(token.start[0] + 1, token.end[0] + 1))
    return found


def import_abstract(text: str, name: str) -> str:
    """Import ``AsyncIterator`` besides ``Iterator``, or in its place, where it is used."""
    if not re.search(rf"\bAsync{name}\[", text):
        return text
    wanted = f"Async{name}, {name}" if re.search(rf"\b{name}\[", text) else f"Async{name}"
    return re.sub(rf"^(from collections\.abc import ){name}$", rf"\1{wanted}", text, flags=re.M)


def add_import(text: str, module: str) -> str:
    """Import a module where an import sorter would have it."""
    lines = text.split("\n")
    if f"import {module}" in lines:
        return text
    imports = [at for at, line in enumerate(lines) if re.match(r"(import|from) \w", line)]
    is_own = module in sys.stdlib_module_names
    same = [at for at in imports if (package_of(lines[at]) in sys.stdlib_module_names) == is_own]
    later = [at for at in same if lines[at] > f"import {module}" or lines[at].startswith("from ")]
    if same:
        lines.insert(later[0] if later else same[-1] + 1, f"import {module}")
    elif is_own:
        lines[imports[0] : imports[0]] = [f"import {module}", ""]
    else:
        lines[imports[-1] + 1 : imports[-1] + 1] = ["", f"import {module}"]
    return "\n".join(lines)


def package_of(line: str) -> str:
    """Return the package that a line imports."""
    return re.split(r"[ .]", line)[1]


def to_async(sources: Iterable[str]) -> list[str]:
    """Return the async variants of a page's blocks; the same text where there is no other variant.

    A function that becomes a coroutine function is known in the blocks after its own.

    Raises:
        VariantError: a block has code without an async form.
        SyntaxError: a block is no Python.
    """
    known: set[str] = set()
    made: list[str] = []
    for source in sources:
        converter = Converter(source, known)
        if "async " in source:
            made.append(source)
        else:
            made.append(converter.convert())
            if re.match(r"# \w+\.py\n", source):
                known |= converter.coroutines
    return made
