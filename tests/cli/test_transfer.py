"""Messages are taken out of a store, and brought into another as they were."""

from __future__ import annotations

import gzip
import os
import pty
import signal
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import psycopg
import pytest

from messagedb import Client, NewMessage
from messagedb.cli import _export
from messagedb.cli import _import as importing
from tests.cli.conftest import Command
from tests.support.backend import make_url

NewDatabase = Callable[..., str]
Process = Callable[..., subprocess.Popen[str]]

ALL = "select * from message_store.messages order by global_position"
ODD: list[dict[str, Any] | None] = [
    {"text": 'tab\t newline\n backslash \\ quote " \\N é 𝄞 \x7f', "n": 2**63, "x": 1.5},
    {},
    None,
    {"\\.": "\\.", "deep": [[{"a": [None, True]}]]},
]


def rows(url: str, question: str = ALL) -> list[tuple[Any, ...]]:
    """Rows of a database."""
    with psycopg.connect(url, autocommit=True) as conn:
        return conn.execute(question.encode()).fetchall()


@pytest.fixture(scope="module")
def full(new_database: NewDatabase) -> str:
    """Return a store with messages of all kinds, and with gaps in the global positions."""
    url = new_database()
    with Client(url) as client:
        for n in range(40):
            data = ODD[n % 4]
            message = NewMessage("Type\t\\" if n % 5 else "Other", data, metadata=ODD[(n + 1) % 4])
            client.write_message(f"account\\-{n % 3}\t\n", message)
        client.write_messages("other", [NewMessage("A", {"n": n}) for n in range(5)])
    with psycopg.connect(url, autocommit=True) as conn:
        conn.execute("delete from message_store.messages where global_position in (3, 17, 18)")
        # What this library does not write, and others may have: JSON null, exact numbers.
        conn.execute(
            """insert into message_store.messages (stream_name, position, type, data, metadata)
            values ('other-1', 0, 'N', 'null', '{"n": 1.10000000000000000000000000000001}')"""
        )
    return url


def test_a_store_is_brought_over_whole(
    command: Command, full: str, new_database: NewDatabase, tmp_path: Path
) -> None:
    file = str(tmp_path / "all.ndjson")
    done = command("--url", full, "export", file)
    assert (done.code, done.err, done.rows[0]["exported"]) == (0, "", len(rows(full)))
    assert done.rows[0]["bytes"] == Path(file).stat().st_size
    to = new_database()
    assert command("--url", to, "import", file).rows[0]["imported"] == len(rows(full))
    assert rows(to) == rows(full)
    assert command("--url", to, "import", file).rows[0]["imported"] == 0
    # And goes on behind it.
    with Client(to) as client:
        client.write_message("new-1", NewMessage("A"))
        (new,) = client.read_stream("new-1")
    assert new.global_position > rows(full)[-1][0]


def test_positions_that_were_given_out_are_not_given_out_again(
    command: Command, full: str, new_database: NewDatabase, tmp_path: Path
) -> None:
    file, to = str(tmp_path / "all.ndjson"), new_database()
    command("--url", full, "export", file)
    with psycopg.connect(to, autocommit=True) as conn:  # as if its messages had been deleted
        conn.execute("select setval('message_store.messages_global_position_seq', 5000)")
    assert command("--url", to, "import", file).code == 0
    with Client(to) as client:
        client.write_message("new-1", NewMessage("A"))
        (new,) = client.read_stream("new-1")
    assert new.global_position == 5001


def test_lines_are_json(command: Command, full: str) -> None:
    done = command("--url", full, "export", "-", "other")
    lines = [msgspec.json.decode(line) for line in done.out.splitlines()]
    assert [line["stream_name"] for line in lines] == ["other"] * 5 + ["other-1"]
    assert list(lines[0]) == [
        *("global_position", "stream_name", "position", "type", "id", "time", "data"),
    ]
    assert lines[4]["data"] == {"n": 4}
    assert '"data":null' in done.out.splitlines()[5]
    assert done.err.startswith("6 exported, ")
    stream = command("--url", full, "export", "-", "account\\-1\t\n")
    positions = [msgspec.json.decode(line)["position"] for line in stream.out.splitlines()]
    assert positions == sorted(positions)
    assert len(positions) == 12


def test_small_pages_and_blocks_are_the_same(
    command: Command, full: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ((), ("account\\",), ("account\\-1\t\n",)):
        whole = command("--url", full, "export", "-", *name).out
        assert whole
        for page_size, block_size in ((3, 1), (1, 1 << 18), (50_000, 1), (50_000, 300)):
            monkeypatch.setattr(_export, "PAGE_SIZE", page_size)
            monkeypatch.setattr(_export, "BLOCK_SIZE", block_size)
            assert command("--url", full, "export", "-", *name).out == whole
            monkeypatch.undo()
    assert command("--url", full, "export", "-", "nothing").out == ""


def test_an_export_goes_on_where_it_was_cut_off(
    command: Command, full: str, tmp_path: Path
) -> None:
    for name in ((), ("account\\-1\t\n",)):
        file = tmp_path / f"part{len(name)}"
        assert command("--url", full, "export", str(file), *name).code == 0
        whole = file.read_bytes()
        ends = [n for n, byte in enumerate(whole) if byte == 10]
        for cut in (0, 1, ends[0], ends[0] + 1, ends[2] - 1, ends[2] + 7, len(whole) - 1):
            file.write_bytes(whole[:cut])
            done = command("--url", full, "export", str(file), *name, "--resume")
            assert (done.code, done.err) == (0, "")
            assert file.read_bytes() == whole
        assert (
            command("--url", full, "export", str(file), *name, "--resume").rows[0]["exported"] == 0
        )
        again = command("--url", full, "export", str(file), *name)
        assert (again.code, again.out) == (1, "")
        assert "--resume to continue it" in again.err
        assert file.read_bytes() == whole
    other = tmp_path / "other"
    for text in ("something else\nof mine\n", "{", "mine"):
        other.write_text(text)
        refused = command("--url", full, "export", str(other), "--resume")
        if text == "{":  # the first line was cut off in its first character
            assert refused.code == 0
        else:
            assert (refused.code, other.read_text()) == (1, text)
    assert command("--url", full, "export", str(tmp_path / "no" / "folder")).code == 1


def test_an_import_goes_on_where_it_was_cut_off(
    command: Command,
    full: str,
    new_database: NewDatabase,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    whole = command("--url", full, "export", "-").out.encode()
    lines = whole.splitlines(keepends=True)
    to = new_database()
    file = tmp_path / "all.ndjson"
    monkeypatch.setattr("messagedb.cli._export_import_commands.RESTORE_CHUNK_SIZE", 4)
    file.write_bytes(b"".join([*lines[:10], b'{"global_position": 7\n', *lines[10:]]))
    done = command("--url", to, "import", str(file))
    assert (done.code, done.out) == (1, "")
    assert done.err.startswith("messagedb: line 11 is not a message in the format of ")
    assert "8 messages were imported before it, and stay" in done.err
    assert rows(to) == rows(full)[:8]
    for size in (3, 7, 100):
        monkeypatch.setattr("messagedb.cli._export_import_commands.RESTORE_CHUNK_SIZE", size)
        file.write_bytes(b"".join(lines[: 8 + size * 2]))
        assert command("--url", to, "import", str(file)).code == 0
    file.write_bytes(gzip.compress(whole))
    packed = file.rename(tmp_path / "all.gz")
    (row,) = command("--url", to, "import", str(packed)).rows
    assert (row["imported"], row["skipped"]) == (0, len(lines))
    assert rows(to) == rows(full)


def test_other_messages_are_never_mixed_with_it(
    command: Command, full: str, new_database: NewDatabase, tmp_path: Path
) -> None:
    file = tmp_path / "all.ndjson"
    whole = command("--url", full, "export", "-").out.splitlines(keepends=True)
    to = new_database()
    with Client(to) as client:
        for _ in range(4):
            client.write_message("mine-1", NewMessage("A"))
    before = rows(to)
    for lines in (whole, whole[:1], whole[:3], whole[5:]):
        file.write_text("".join(lines))
        done = command("--url", to, "import", str(file))
        assert (done.code, rows(to)) == (1, before), done
        assert "Use --append" in done.err
    file.write_text("".join(reversed(whole)))
    done = command("--url", new_database(), "import", str(file))
    assert done.code == 1
    assert "but those of an export increase" in done.err


def test_messages_are_appended_once(
    command: Command,
    full: str,
    new_database: NewDatabase,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("messagedb.cli._export_import_commands.APPEND_CHUNK_SIZE", 7)
    file = tmp_path / "all.ndjson"
    command("--url", full, "export", str(file), "account\\")
    to = new_database()
    with Client(to) as client:
        client.write_message("account\\-1\t\n", NewMessage("Mine"))
    user = make_url(to, user="message_store")
    count = len(file.read_bytes().splitlines())
    (row,) = command("--url", user, "import", str(file), "--append").rows
    assert (row["imported"], row["skipped"]) == (count, 0)
    (row,) = command("--url", user, "import", str(file), "--append").rows
    assert (row["imported"], row["skipped"]) == (0, count)
    content = "select stream_name, type, data, metadata, id from message_store.messages"
    order = " where type <> 'Mine' order by global_position"
    of_category = " where stream_name like 'account%' order by global_position"
    assert rows(to, content + order) == rows(full, content + of_category)
    positions = rows(to, "select stream_name, position from message_store.messages order by 1, 2")
    assert len(set(positions)) == count + 1


def test_who_does_not_own_the_table(
    command: Command, full: str, new_database: NewDatabase, tmp_path: Path
) -> None:
    file = tmp_path / "all.ndjson"
    command("--url", full, "export", str(file))
    to = new_database()
    done = command("--url", make_url(to, user="message_store"), "import", str(file))
    assert (done.code, done.out) == (1, "")
    assert "connect as the owner of the table, or use --append" in done.err
    assert rows(to) == []
    missing = command("--url", to, "import", str(tmp_path / "missing"))
    assert "cannot be read (No such file" in missing.err


def test_an_export_waits_for_open_writes(
    command: Command, new_database: NewDatabase, category: str
) -> None:
    url = new_database()
    with Client(url) as client:
        tx = client.begin()
        tx.write_message("slow-1", NewMessage("Slow"))
        client.write_message("quick-1", NewMessage("Quick"))
        out: list[str] = []
        exporting_it = threading.Thread(
            target=lambda: out.extend(command("--url", url, "export", "-").out.splitlines())
        )
        exporting_it.start()
        exporting_it.join(0.3)
        assert exporting_it.is_alive()
        tx.commit()
        exporting_it.join(20)
    assert [msgspec.json.decode(line)["type"] for line in out] == ["Slow", "Quick"]


def test_an_import_that_is_killed_is_run_again(
    command: Command, process: Process, new_database: NewDatabase, tmp_path: Path
) -> None:
    source, to = new_database(), new_database()
    with psycopg.connect(source, autocommit=True) as conn:
        conn.execute(
            "insert into message_store.messages (stream_name, position, type, data) select"
            " 'a-' || n / 10, n % 10, 'A', jsonb_build_object('n', n)"
            " from generate_series(0, 89999) n"
        )
    file = str(tmp_path / "all.ndjson")
    assert command("--url", source, "export", file).rows[0]["exported"] == 90_000
    ours, theirs = pty.openpty()
    killed = process("--url", to, "import", file, stderr=theirs, start_new_session=True)
    os.close(theirs)
    while not rows(to, "select 1 from message_store.messages limit 1"):
        assert killed.poll() is None
    killed.send_signal(signal.SIGKILL)
    killed.communicate(timeout=20)
    assert b"importing" in os.read(ours, 4096)  # on a terminal there is a progress bar
    os.close(ours)
    count = len(rows(to, "select id from message_store.messages"))
    assert 0 < count < 90_000
    assert count % importing.RESTORE_CHUNK_SIZE == 0
    (row,) = command("--url", to, "import", file).rows
    assert (row["imported"], row["skipped"]) == (90_000 - count, count)
    digest = "select md5(string_agg(m::text, '|' order by global_position)) from"
    question = f"{digest} message_store.messages m"
    assert rows(to, question) == rows(source, question)


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such file modes")
def test_nobody_else_may_read_what_is_exported(command: Command, full: str, tmp_path: Path) -> None:
    before = os.umask(0o022)
    try:
        for options in ((), ("--resume",)):
            file = tmp_path / f"messages{len(options)}.jsonl"
            assert command("--url", full, "export", str(file), *options).code == 0
            assert file.stat().st_mode & 0o777 == 0o600
        # The mode of a file that was there is its owner's choice.
        file.chmod(0o640)
        assert command("--url", full, "export", str(file), "--resume").code == 0
        assert file.stat().st_mode & 0o777 == 0o640
    finally:
        os.umask(before)


def test_times_have_their_zone_and_come_back_as_they_were(
    command: Command, full: str, new_database: NewDatabase, tmp_path: Path
) -> None:
    file = tmp_path / "messages.jsonl"
    assert command("--url", full, "export", str(file)).code == 0
    lines = [msgspec.json.decode(line) for line in file.read_bytes().splitlines()]
    assert lines
    assert all(line["time"].endswith("Z") for line in lines)
    target = new_database()
    assert command("--url", target, "import", str(file)).code == 0
    times = "select time from message_store.messages order by global_position"
    assert rows(target, times) == rows(full, times)


@pytest.mark.parametrize(
    ("zone", "code"), [("Z", 0), ("+00:00", 0), ("", 0), ("+02:00", 1), ("-0330", 1), (" CET", 1)]
)
def test_a_time_of_another_zone_is_refused(
    command: Command, new_database: NewDatabase, tmp_path: Path, zone: str, code: int
) -> None:
    file = tmp_path / "messages.jsonl"
    line = {
        "global_position": 1,
        "stream_name": "a-1",
        "position": 0,
        "type": "A",
        "id": "01a22925-0dd1-7640-8108-518823790a55",
        "time": f"2026-11-29T12:00:00.5{zone}",
    }
    file.write_bytes(msgspec.json.encode(line) + b"\n")
    target = new_database()
    done = command("--url", target, "import", str(file))
    assert done.code == code
    assert ("is not in UTC" in done.err) is (code == 1)


@pytest.mark.parametrize("zipped", [False, True])
@pytest.mark.parametrize("end", [b"", b"\n"])
def test_a_byte_order_mark_is_no_part_of_a_file(
    command: Command, full: str, new_database: NewDatabase, tmp_path: Path, zipped: bool, end: bytes
) -> None:
    file = tmp_path / ("messages.jsonl.gz" if zipped else "messages.jsonl")
    plain = tmp_path / "plain.jsonl"
    assert command("--url", full, "export", str(plain)).code == 0
    text = b"\xef\xbb\xbf" + end + plain.read_bytes()
    file.write_bytes(gzip.compress(text) if zipped else text)
    target = new_database()
    assert command("--url", target, "import", str(file)).code == 0
    assert rows(target) == rows(full)
