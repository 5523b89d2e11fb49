"""The state machine with writes that are in flight simultaneously, in groups or not."""

from __future__ import annotations

from functools import partial
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import rule

from . import model
from .machine import Content, StoreMachine, contents, expecteds, streams, to_row, to_row_of_model
from .model import Outcome
from .together import Write, apply_in_some_order, get_positions, send


class CrowdMachine(StoreMachine):
    """Operations on a store, of which some are made by several callers simultaneously."""

    @rule(
        calls=st.lists(
            st.tuples(streams, st.lists(contents, min_size=1, max_size=2), expecteds),
            min_size=2,
            max_size=5,
        )
    )
    def write_together(self, calls: list[tuple[str, list[Content], Any]]) -> None:
        """Write messages and batches that are in flight simultaneously."""
        writes: list[Write] = []
        for name, batch, expected in calls:
            stream, messages = self._prefix + name, [self._new_message(each) for each in batch]
            if not self._model.would_wait(stream, messages):
                writes.append(
                    Write(stream, messages, self._resolve(stream, expected, inside=False))
                )
        self._count("sets of writes in flight simultaneously")
        found = self.store.variant.call_together(
            [partial(send, self.store.client, write) for write in writes]
        )
        done = [
            write._replace(outcome=self._attempt(partial(get_positions, result)))
            for write, result in zip(writes, found, strict=True)
        ]
        stored = {
            model.category(write.stream): self._read_category(model.category(write.stream))
            for write in writes
        }
        assert apply_in_some_order(self._model, done, partial(self._agrees, stored)), (
            f"no order of these writes leads to their outcomes and the stored messages: {done}"
        )

    def _read_category(self, name: str) -> list[Outcome]:
        read = self._call(self.store.client.get_category_messages, name, batch_size=-1)
        return [to_row(message) for message in read]

    def _agrees(self, stored: dict[str, list[Outcome]]) -> bool:
        """Return True if the model has these messages in these categories."""
        return all(
            [to_row_of_model(e) for e in self._model.committed if model.category(e.stream) == name]
            == rows
            for name, rows in stored.items()
        )
