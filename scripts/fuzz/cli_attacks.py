"""Every string argument of the CLI, to be called with hostile values."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, get_args, get_type_hints

import typer
from typer.testing import CliRunner

from messagedb import ServerError, ValidationError
from messagedb.cli._app import app

from .attacks import Attack, get_position_stream
from .hostile import VICTIMS
from .stores import Store

_ID = "00000000-0000-4000-8000-000000000001"
_MISSING = "00000000-0000-4000-8000-00000000dead"

Arguments = Callable[[str], list[str]]


def run_cli(store: Store, arguments: list[str], text: str | None = None) -> list[dict[str, Any]]:
    """Run the CLI in this process, and return the rows that it printed.

    Raises:
        ValidationError: it refused, with an exit code and one message.
        ServerError: the server refused a statement as malformed.
    """
    result = CliRunner().invoke(
        app,
        ["--url", store.conninfo, "--json", *arguments],
        input=None if text is None else text.encode(errors="surrogateescape"),
        prog_name="messagedb",
    )
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert "Traceback" not in result.stderr, result.stderr
    if result.exit_code:
        assert result.exit_code in (1, 2), f"exit code {result.exit_code}: {result.stderr}"
        if "syntax error" in result.stderr:
            raise ServerError(result.stderr, "42601")
        raise ValidationError(result.stderr)
    return [json.loads(line) for line in result.stdout.split("\n") if line.startswith("{")]


def run_command(before: list[str], *after: str) -> Callable[[Store, str], None]:
    """Return a call of the CLI, with the value between arguments, whose output is not compared."""

    def run(store: Store, value: str) -> None:
        run_cli(store, [*before, value, *after])

    return run


def cli_attacks() -> Iterator[Attack]:
    """Return all attacks on the CLI."""
    yield from _messages()
    yield from _summaries()
    yield from _consumers()
    yield from _files()
    yield from _proxy()


def _messages() -> Iterator[Attack]:
    def same(value: str) -> str:
        return value

    def noted(_: str) -> str:
        return "noted-1"

    def names(arguments: Arguments) -> Callable[[Store, str], None]:
        """Check that all rows are of the stream or of its category."""

        def run(store: Store, value: str) -> None:
            for row in run_cli(store, arguments(value)):
                stream = row["stream_name"]
                assert value in (stream, stream.split("-", 1)[0]), row

        return run

    def nothing(arguments: Arguments) -> Callable[[Store, str], None]:
        def run(store: Store, value: str) -> None:
            rows = run_cli(store, arguments(value))
            assert rows == [] or not value  # an empty one selects all

        return run

    def stored(arguments: Arguments, key: str) -> Callable[[Store, str], None]:
        """Check that the value is stored as it is."""

        def run(store: Store, value: str) -> None:
            run_cli(store, arguments(value))
            column = {"type": "type", "data": "data->>'a'", "metadata": "metadata->>'a'"}[key]
            query = f"select {column} from messages order by global_position desc limit 1"
            assert store.ask(query) == value

        return run

    def quote(value: str) -> str:
        return json.dumps({"a": value})

    yield Attack("write stream_name", names(lambda v: ["write", "--", v, "Noted"]), same)
    yield Attack("write type", stored(lambda v: ["write", "--", "noted-1", v], "type"), noted)
    yield Attack(
        "write data, a string in it",
        stored(lambda v: ["write", "noted-1", "Noted", quote(v)], "data"),
        noted,
    )
    yield Attack("write data", run_command(["write", "--", "noted-1", "N"]), noted)
    yield Attack(
        "write metadata, a string in it",
        stored(lambda v: ["write", "noted-1", "Noted", "--metadata", quote(v)], "metadata"),
        noted,
    )
    for name in ("metadata", "id", "expected_version"):
        before = ["write", "noted-1", "Noted", f"--{name.replace('_', '-')}"]
        yield Attack(f"write {name}", run_command(before), noted)
    yield Attack("read name", names(lambda v: ["read", "--", v]))
    yield Attack("read types", nothing(lambda v: ["read", "victim", "--types", v]))
    yield Attack("read correlation", nothing(lambda v: ["read", "victim", "--correlation", v]))
    yield Attack("read causation", nothing(lambda v: ["read", "--all", "--causation", f"{v}-/7"]))
    yield Attack("read trace_id", nothing(lambda v: ["read", "--all", "--trace-id", v]))
    yield Attack("read since", nothing(lambda v: ["read", "victim", "--since", v]))
    yield Attack("read start", nothing(lambda v: ["read", "victim", "--from", v]))
    yield Attack("last stream_name", names(lambda v: ["last", "--", v]))
    yield Attack("last type", nothing(lambda v: ["last", VICTIMS[0], "--type", v]))
    yield Attack("trace message", nothing(lambda v: ["trace", "--", v]))
    yield Attack("schema", nothing(lambda v: ["schema", v, "read", "victim"]))
    yield Attack("format", nothing(lambda v: ["format", v, "read", "noted-none"]))


def _summaries() -> Iterator[Attack]:
    def run_summary(command: str, column: str) -> Callable[[Store, str], None]:
        def run(store: Store, value: str) -> None:
            rows = run_cli(store, [command, "--", value])
            assert "*" in value or {row[column] for row in rows} <= {value}, rows

        return run

    for command, column in (
        ("streams", "stream_name"),
        ("categories", "category"),
        ("types", "type"),
    ):
        yield Attack(f"{command} pattern", run_summary(command, column))


def _consumers() -> Iterator[Attack]:
    yield Attack("consumers status category", run_command(["consumers", "status", "--"]))
    wait = ["consumers", "wait", "--timeout", "0.01", "--global-position", "1", "--"]
    yield Attack("consumers wait category", run_command(wait, "none"))
    yield Attack("consumers wait identifier", run_command([*wait, "victim"]))
    at_first = ["--timeout", "0.01", "--position", "0", "victim", "none"]
    yield Attack("consumers wait stream", run_command(["consumers", "wait", "--stream"], *at_first))
    release = ["consumers", "release", "--"]
    yield Attack("consumers release category", run_command(release, "none", "0"))
    yield Attack("consumers release identifier", run_command([*release, "victim"], "0"))
    resize = ["consumers", "resize", "--timeout", "1", "--"]
    yield Attack("consumers resize category", run_command(resize, "none", "2"))
    yield Attack("consumers resize identifier", run_command([*resize, "victim"], "2"))
    for command in ("position get", "parked list"):
        words = [*command.split(), "--"]
        yield Attack(f"{command} category", run_command(words, "none"))
        yield Attack(f"{command} identifier", run_command([*words, "victim"]))
    for command in ("parked show", "parked discard --yes"):
        words = [*command.split(), "--", "victim"]
        name = f"{command.removesuffix(' --yes')} identifier"
        yield Attack(name, run_command(words, _MISSING))
    for command in ("parked list", "parked discard --yes"):
        words = [*command.split(), "victim", "none", "--stream"]
        yield Attack(f"{command.removesuffix(' --yes')} stream", run_command(words))
    set_it = ["position", "set", "--yes", "--"]
    yield Attack(
        "position set category",
        run_command(set_it, "none", "beginning"),
        lambda v: get_position_stream(v, "none"),
    )
    yield Attack(
        "position set identifier",
        run_command([*set_it, "victim"], "beginning"),
        lambda v: get_position_stream("victim", "" if v == "-" else v),
    )
    yield Attack(
        "position set to",
        run_command([*set_it, "victim", "none"]),
        lambda _: get_position_stream("victim", "none"),
    )
    yield Attack("consume target", run_command(["consume", "--until-caught-up", "--"]))


def _files() -> Iterator[Attack]:
    def export(store: Store, value: str) -> None:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, "messages.jsonl")
            run_cli(store, ["export", "--", str(path), value])
            for line in path.read_text(encoding="utf-8").split("\n")[:-1]:
                stream = json.loads(line)["stream_name"]
                assert value in (stream, stream.split("-", 1)[0]), line

    def write_lines(store: Store, value: str) -> None:
        line = json.dumps({"type": value, "data": {"a": value}, "metadata": {"b": value}})
        run_cli(store, ["write", "noted-1", "-"], line)

    def import_lines(store: Store, value: str) -> None:
        # Its id is in the store: it stores nothing, whatever its other fields are.
        line = {"id": _ID, "stream_name": value, "type": value, "position": 0, "time": value}
        text = json.dumps({**line, "global_position": 1, "data": {"a": value}, "metadata": None})
        run_cli(store, ["import", "-"], text)

    yield Attack("export name", export)
    yield Attack("write type, lines", write_lines, lambda _: "noted-1")
    yield Attack("import, lines", import_lines)


LOCAL = {
    "url": "names a server",
    "explain name": "looked up in a list; it reaches no SQL",
    "export file": "a path on this machine",
    "import file": "a path on this machine",
    "new name": "a package on this machine: tests/cli/test_new.py passes hostile ones",
    "parked replay stream": "the same as of parked discard",
    "parked replay target": "the same as of consume",
    "run only": "the name of a member of the app: it reaches no SQL",
    "run target": "the same as of consume",
    "parked show category": "the same as of parked list",
    "parked discard category": "the same as of parked list",
    "ui allowed_host": "a name to compare with; it reaches no SQL",
    "ui host": "an address of this machine",
    "ui name": "shown on pages, which escape it; it reaches no SQL",
    "ui app": "a module of this machine, as the target of consume",
    "ui registry": "a module of this machine, as the target of consume",
    "ui token": "compared with what browsers send; it reaches no SQL",
}
"""The parameters that no attack is for, with the reason."""


def string_parameters() -> set[str]:
    """Return the parameters of all commands that take strings."""
    found: set[str] = set()

    def collect(group: typer.Typer, path: str) -> None:
        commands = [(path, getattr(group.registered_callback, "callback", None))]
        for command in group.registered_commands:
            name = command.name or getattr(command.callback, "__name__", "")
            commands.append((f"{path} {name}".strip(), command.callback))
        for name, callback in commands:
            hints = get_type_hints(callback) if callback is not None else {}
            found.update(f"{name} {hint}".strip() for hint, cls in hints.items() if _is_string(cls))
        for child in group.registered_groups:
            if child.typer_instance is not None:
                collect(child.typer_instance, f"{path} {child.name}".strip())

    collect(app, "")
    return found


def _is_string(hint: Any) -> bool:
    return hint is str or str in get_args(hint) or list[str] in (hint, *get_args(hint))


def _proxy() -> Iterator[Attack]:
    # The store has messages: no database of it is changed, whatever the arguments are.
    node = "a=host=nowhere.invalid"
    yield Attack("proxy init nodes", run_command(["proxy", "init", "--"]))
    yield Attack("proxy init user", run_command(["proxy", "init", node, "--user"]))
    yield Attack("proxy init password", run_command(["proxy", "init", node, "--password"]))
    yield Attack("proxy add-node node", run_command(["proxy", "add-node", "--"]))
    yield Attack("proxy move category", run_command(["proxy", "move", "--to", "a", "--"]))
    yield Attack("proxy move to", run_command(["proxy", "move", "account", "--to"]))
