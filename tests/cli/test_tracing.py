"""A message and all that it caused is shown as a tree."""

from __future__ import annotations

from typing import Any

from messagedb import Client, Message, Metadata, NewMessage
from tests.cli.conftest import Command


def follow(client: Client, stream: str, type: str, cause: Message[Any]) -> Message[Any]:
    """Write a message because of another."""
    client.write_message(stream, NewMessage(type, None, metadata=Metadata.following(cause)))
    last = client.get_last_stream_message(stream)
    assert last is not None
    return last


def test_a_message_and_all_that_it_caused(command: Command, store_url: str, category: str) -> None:
    with Client(store_url) as client:
        client.write_messages(f"{category}-1", [NewMessage("Other"), NewMessage("Transfer")])
        _, transfer = client.get_stream_messages(f"{category}-1")
        debited = follow(client, f"{category}A-1", "Debited", transfer)
        client.write_message(
            f"{category}A-1", NewMessage("Odd", None, metadata={"causationMessage": 1})
        )
        follow(client, f"{category}A-2", "Noted", debited)
        follow(client, f"{category}B-1", "Credited", transfer)
    place = f"{category}-1/1"
    rows = command("trace", place).rows
    wanted = [(0, "Transfer"), (1, "Debited"), (2, "Noted"), (1, "Credited")]
    assert [(row["depth"], row["type"]) for row in rows] == wanted
    assert command("trace", str(transfer.id)).rows == rows
    lines = command("--format", "table", "trace", place).out.splitlines()
    assert [line.split()[-4:-2] for line in lines] == [
        ["Transfer", place],
        ["Debited", f"{category}A-1/0"],
        ["Noted", f"{category}A-2/0"],
        ["Credited", f"{category}B-1/0"],
    ]
    near = command("trace", place, "--within", "1")
    assert [row["type"] for row in near.rows] == ["Transfer", "Debited"]
    assert near.err.endswith("later positions were not searched: see --within\n")


def test_causes_and_the_workflow_are_shown(command: Command, store_url: str, category: str) -> None:
    flow = Metadata(correlation_stream_name=f"{category}-flow")
    with Client(store_url) as client:
        client.write_message(f"{category}-1", NewMessage("Asked", {"a": 1}, metadata=flow))
        (asked,) = client.get_stream_messages(f"{category}-1")
        transfer = follow(client, f"{category}-2", "Transfer", asked)
        follow(client, f"{category}-3", "Debited", transfer)
        client.write_message(f"{category}-4", NewMessage("Remark", metadata=flow))
    done = command("trace", f"{category}-2/0")
    assert [(row["depth"], row["type"]) for row in done.rows] == [
        (-1, "Asked"),
        (0, "Transfer"),
        (1, "Debited"),
    ]
    assert done.rows[0]["data"] == {"a": 1}
    assert "1 other messages of its workflow: see --workflow" in done.err
    whole = command("trace", f"{category}-2/0", "--workflow")
    assert [(row["depth"], row["type"]) for row in whole.rows[3:]] == [(None, "Remark")]
    lines = command("--format", "table", "trace", f"{category}-2/0", "--workflow").out.splitlines()
    assert [line.split()[-4] for line in lines] == ["Asked", "Transfer", "Debited", "Remark"]
    assert "→ Transfer" in lines[1]


def test_tracing_a_missing_message_is_an_error(command: Command, category: str) -> None:
    for name, text in (
        (f"{category}-1/0", f"the store has no message {category}-1/0"),
        ("01a211fc-a69e-70ca-8277-c3c3751b1615", "the store has no message 01a211fc"),
        ("account-123", "named by its id, or as stream/position"),
    ):
        done = command("trace", name)
        assert (done.code, done.out) == (1, "")
        assert text in done.err


def test_a_long_chain_is_shown(command: Command, store_url: str, category: str) -> None:
    length = 1100  # more than Python's stack takes
    stream = f"{category}-1"
    with Client(store_url) as client:
        messages = [
            NewMessage(
                "N",
                None,
                metadata={"causationMessageStreamName": stream, "causationMessagePosition": n - 1},
            )
            for n in range(length)
        ]
        client.write_messages(stream, messages)
    assert command("trace", f"{stream}/0").rows[-1]["depth"] == length - 1
    lines = command("--format", "table", "trace", f"{stream}/0").out.splitlines()
    assert len(lines) == length
    assert f"({length - 1}) N  {stream}/{length - 1}  " in lines[-1]


def test_a_long_name_is_not_cut(command: Command, category: str, store_url: str) -> None:
    long = f"{category}-{'x' * 200}"
    with Client(store_url) as client:
        client.write_message(f"{category}-1", NewMessage("Asked"))
        (asked,) = client.get_stream_messages(f"{category}-1")
        follow(client, long, "Done", asked)
    _, effect = command("--format", "table", "trace", f"{category}-1/0").out.splitlines()
    assert effect.split()[-4:-2] == ["Done", f"{long}/0"]
