"""The commits of a git repository, or of a small file of commits if there is no repository."""

from __future__ import annotations

import subprocess
import uuid
from collections.abc import Iterator
from pathlib import Path

import msgspec

from messagedb import NewMessage, streams

HERE = Path(__file__).parent
SHIPPED = HERE / "history.jsonl"

# The commit's message id is derived from a fixed id and the commit's hash: it is always the same.
ID_OF_DEMO = uuid.UUID("01a1f5c0-6d7e-7a34-9a55-9d3a3ad4c001")


class Commit(msgspec.Struct, frozen=True):
    """One commit: its author, time, message and numbers of lines."""

    hash: str
    author: str
    time: str
    subject: str
    added: int
    removed: int

    @property
    def stream_name(self) -> str:
        """The stream of the commit's author."""
        author = "".join(c if c.isalnum() else "_" for c in self.author.lower()) or "unknown"
        return streams.stream_name("commit", author)

    def message(self) -> NewMessage:
        """Return the commit as a message, with an id that makes repeated writes idempotent."""
        return NewMessage(
            "Committed", msgspec.structs.asdict(self), id=uuid.uuid5(ID_OF_DEMO, self.hash)
        )


def read_history() -> tuple[str, list[Commit]]:
    """Return the origin of the commits, and the commits, oldest first."""
    log = ["git", "-C", str(HERE), "log", "--reverse", "--no-renames", "--numstat", "-z"]
    pretty = "--format=%x01%H%x02%an%x02%aI%x02%s%x03"
    try:
        found = subprocess.run([*log, pretty], capture_output=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        lines = SHIPPED.read_bytes().splitlines()
        return f"{SHIPPED.name}, as there is no git history", [
            msgspec.json.decode(line, type=Commit) for line in lines
        ]
    text = found.stdout.decode(errors="replace").replace("\0", "\n")
    return "the history of this repository", list(_parse(text))


def _parse(text: str) -> Iterator[Commit]:
    for entry in text.split("\x01")[1:]:
        header, _, changes = entry.partition("\x03")
        hash, author, time, subject = header.split("\x02")
        counts = [line.split("\t") for line in changes.splitlines() if line.count("\t") >= 2]
        # Binary files have "-" instead of a number of lines.
        added = sum(int(count[0]) for count in counts if count[0].isdigit())
        removed = sum(int(count[1]) for count in counts if count[1].isdigit())
        yield Commit(hash, author, time, subject, added, removed)
