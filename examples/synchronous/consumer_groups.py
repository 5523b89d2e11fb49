"""Consumer groups in several processes: each reads its streams, and continues after a kill."""  # generated from examples/asynchronous/consumer_groups.py: edit that file

from __future__ import annotations

import os
import subprocess
import sys

from messagedb import Client, Consumer, Context, Message, NewMessage, embedded
from messagedb.streams import group_member

SIZE = 2


def member(address: str, number: int) -> None:
    """Run one member of the group: each process calls this."""
    with Client(address, max_size=3) as client:
        consumer = Consumer(
            client,
            "task",
            identifier="workers",
            group_member=number,
            group_size=SIZE,
            position_update_interval=1,
        )

        @consumer.handler
        def work(message: Message, context: Context) -> None:
            if message.data["n"] == 3 and os.environ.get("DIES") == "yes":
                os.kill(os.getpid(), 9)  # as the kernel does when memory is short
            done = NewMessage("Done", {"n": message.data["n"], "by": number})
            id = context.derive_id("done")
            context.client.write_message(f"done-{message.stream_name}", done, id=id)

        consumer.run(until="caught_up")


def main(address: str) -> None:
    """Divide tasks between two processes, kill one, and start it again."""
    if address != "embedded:":
        divide(address)
        return
    with embedded.start() as server:  # one that the processes share
        divide(server.url)


def divide(url: str) -> None:
    """Do the same in a store that several processes can reach."""
    streams = ("task-a", "task-b", "task-c", "task-d")
    with Client(url) as client:
        for n in range(6):
            for stream in streams:
                client.write_message(stream, NewMessage("Task", {"n": n}))
        for dies in ("yes", "no"):
            print("killed:", [code < 0 for code in run(url, dies)])
        for stream in streams:
            done = [message.data for message in client.read_stream(f"done-{stream}")]
            in_order = [each["n"] for each in done] == list(range(6))
            its_own = {each["by"] for each in done} == {group_member(stream, SIZE)}
            print(stream, "in order:", in_order, "by its own member:", its_own)


def run(url: str, dies: str) -> list[int]:
    """Run both members as processes, and return their exit codes."""
    half = ["--sync"] if __name__.split(".")[1] == "synchronous" else []
    command = [sys.executable, "-m", "examples", "consumer_groups", *half]
    environment = {**os.environ, "DIES": dies}
    members = [
        subprocess.Popen([*command, "--member", str(number), url], env=environment)
        for number in range(SIZE)
    ]
    return [process.wait() for process in members]
