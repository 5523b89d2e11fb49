"""Completion by the Tab key: names of streams, categories and consumers, as the store has them.

It never holds up the shell: it takes a second at most, and is silent whatever fails.
"""

from __future__ import annotations

import io
import logging
import os
import re
import sys
import threading
from collections.abc import Callable, Iterable, Sequence
from contextlib import redirect_stdout, suppress

import typer

from messagedb import Client, streams
from messagedb.embedded._server import find_running_url

from ._store import get_default_folder

INSTRUCTION = "_MESSAGEDB_COMPLETE"
"""The variable by which a shell asks for completion."""

_SECONDS = 1.0
_LIMIT = 50
_BREAKS = ":=@"  # where bash begins a new word, beside spaces and quotes
# Other names are options or code for a shell, which may even run it.
_PLAIN_WORD = re.compile(r"[\w.:+@/%,][\w.:+@/%,~-]*")


def complete_name(ctx: typer.Context, begun: str) -> list[str]:
    """Return streams and categories."""
    return _ask(ctx, begun, lambda client: _find_names(client, begun))


def complete_stream(ctx: typer.Context, begun: str) -> list[str]:
    """Return streams, or the beginning of their names: the categories."""

    def find(client: Client) -> list[str]:
        names = _find_names(client, begun)
        return [f"{name}-" if streams.is_category(name) else name for name in names]

    return _ask(ctx, begun, find)


def complete_category(ctx: typer.Context, begun: str) -> list[str]:
    """Return categories."""
    return _ask(ctx, begun, lambda client: _find_categories(client, begun))


def complete_consumed_category(ctx: typer.Context, begun: str) -> list[str]:
    """Return categories that have consumers."""
    return _ask(
        ctx, begun, lambda client: (each.category or "" for each in client.list_consumers())
    )


def complete_identifier(ctx: typer.Context, begun: str) -> list[str]:
    """Return identifiers of the consumers of the category before it."""
    category: str | None = ctx.params.get("category")
    return _ask(
        ctx,
        begun,
        lambda client: (each.identifier or "-" for each in client.list_consumers(category)),
    )


def complete_in_bash(app: Callable[[], object]) -> None:
    """Run a command that completes, and print its words as bash wants them.

    Bash divides words at a colon, as in ``account:command``, and replaces the part after it.
    """
    words, current = join_words(os.environ["COMP_WORDS"].split("\n"), int(os.environ["COMP_CWORD"]))
    os.environ["COMP_WORDS"] = "\n".join(words)
    os.environ["COMP_CWORD"] = str(current)
    begun = words[current] if current < len(words) else ""
    done = max(begun.rfind(each) for each in _BREAKS) + 1
    with redirect_stdout(io.StringIO()) as output:
        try:
            app()
        finally:
            for word in output.getvalue().splitlines():
                print(word[done:], file=sys.__stdout__)


def join_words(words: Sequence[str], current: int) -> tuple[list[str], int]:
    """Join the words that bash has divided; return them, and the index of the current one."""
    joined: list[str] = []
    is_begun = False
    place = 0
    for number, word in enumerate(words):
        is_break = word != "" and set(word) <= set(_BREAKS)
        if joined and (is_break or is_begun):
            joined[-1] += word
        else:
            joined.append(word)
        is_begun = is_break
        if number <= current:
            place = len(joined) - 1
    if current >= len(words) and not is_begun:
        place += 1  # a new word
    return joined, place


def choose(found: Iterable[str], begun: str) -> list[str]:
    """Return the names that begin so, and are plain words of a shell."""
    fitting = {name for name in found if name.startswith(begun)}
    return sorted(name for name in fitting if _PLAIN_WORD.fullmatch(name))[:_LIMIT]


def _find_names(client: Client, begun: str) -> list[str]:
    """Return the categories that begin so, and the streams of the only one."""
    category, dash, id = begun.partition("-")
    categories = [] if dash else _find_categories(client, begun)
    if len(categories) > 1 or not (category or categories):
        return categories
    found = client.list_streams(category if dash else categories[0], prefix=id, limit=_LIMIT)
    return [*categories, *(each.name for each in found)]


def _find_categories(client: Client, begun: str) -> list[str]:
    later = client.list_categories(after=begun or None, limit=_LIMIT)
    names = [each.name for each in later if each.name.startswith(begun)]
    has_this = begun != "" and client.list_streams(begun, limit=1)
    return [begun, *names] if has_this else names


def _ask(ctx: typer.Context, begun: str, find: Callable[[Client], Iterable[str]]) -> list[str]:
    """Ask the store, in a thread that is left behind after a second."""
    logging.disable()
    options = ctx.find_root().params
    answers: list[list[str]] = []

    def run() -> None:
        with suppress(Exception):
            client = _make_client(options.get("url") or "", options.get("schema") or "")
            if client is not None:
                with client:
                    answers.append(list(find(client)))

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(_SECONDS)
    return choose(answers[0] if answers else (), begun)


def _make_client(url: str, schema: str) -> Client | None:
    """Create a client of a store that is there; None for an embedded store that does not run."""
    url = url or f"embedded:{get_default_folder()}"
    kind, _, folder = url.partition(":")
    if kind == "embedded":
        running = find_running_url(folder) if folder else None
        if running is None:
            return None
        url = running
    return Client(url, schema=schema or "message_store", max_size=1, command_timeout=_SECONDS)
