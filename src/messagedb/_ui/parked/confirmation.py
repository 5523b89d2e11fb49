"""Sentences about replaying and discarding, for the question before it is done."""

from __future__ import annotations

from .queries import MOST_SELECTED, Extent


def describe_action(action: str, extent: Extent) -> list[str]:
    """Return sentences about what an action on these messages does, and what cannot be undone."""
    said: list[str] = []
    if extent.first is not None and extent.last is not None and extent.first != extent.last:
        said.append(
            f"They are from global position {extent.first:,} to {extent.last:,} of the store."
        )
    if extent.count > MOST_SELECTED:
        said.append(f"At most {MOST_SELECTED:,} of them are done by one job.")
    if action == "replay":
        said += [
            "The handlers in this process are called again, once for each message. Those that "
            "succeed leave the list; those that fail stay on it.",
        ]
        if extent.held_count:
            said.append(
                "Streams that wait for a parked message are replayed in order: at one that fails "
                "a stream is left, and its later messages stay parked. After its last message a "
                "stream flows again."
            )
        if extent.held_count < extent.count:
            said.append(
                "Later messages of the same streams were handled before them."
                if not extent.held_count
                else "Later messages of the other streams were handled before them."
            )
        said.append("Not undone: what the handlers do.")
    else:
        said += [
            "They leave the list without being handled. The messages themselves stay in their "
            "streams.",
            "Not undone: a discarded message comes back only if its consumer meets it again and "
            "parks it, for example after a reset of its position.",
        ]
        if extent.held_count:
            said.insert(
                -1,
                "In a stream that waits for a parked message, the next one is the first then; "
                "after its last message the stream flows again.",
            )
    return said
