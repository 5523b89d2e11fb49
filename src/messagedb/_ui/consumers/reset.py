"""The reset of a position: where to, and what that will do."""

from __future__ import annotations

from typing import Literal

from ..._consumers.consumer_info import ConsumerInfo
from ..failures import PageError
from .queries import COUNTED_LAG

Target = Literal["beginning", "end"] | int


def parse_target(given: str) -> Target:
    """Return where a position is reset to.

    Raises:
        PageError: it is neither ``beginning``, ``end``, nor a global position.
    """
    if given == "beginning":
        return "beginning"
    if given == "end":
        return "end"
    text = given.strip()
    if text.isascii() and text.isdigit() and len(text) < 20 and 1 <= int(text) < 2**63:
        return int(text)
    raise PageError(
        400,
        f"A position is reset to beginning, end, or a position from 1, not to {given!r:.60}.",
        "Nothing was changed.",
    )


def check_target(target: Target, head: int | None) -> None:
    """Refuse a position behind the next message of the store: messages would be skipped unseen.

    Raises:
        PageError: it is.
    """
    end = (head or 0) + 1
    if isinstance(target, int) and target > end:
        raise PageError(
            400,
            f"{target:,} is beyond the end ({end:,}): messages up to there would be skipped when "
            "they are written.",
            "Nothing was changed. To skip what waits now, reset it to end.",
        )


def describe_reset(info: ConsumerInfo, target: Target) -> list[str]:
    """Return sentences about what a reset will do."""
    now = info.next_position
    said = [f"Its next message is the first one from global position {now:,} on." if now else ""]
    if target == "beginning":
        said.append("After the reset it handles all messages of its category again.")
    elif target == "end":
        at_least = "at least " if info.lag_messages >= COUNTED_LAG else ""
        said.append(
            f"After the reset it skips the {at_least}{info.lag_messages:,} messages that wait for "
            "it, and handles only those that are written from then on."
        )
    elif now is not None and target < now:
        said.append(f"After the reset it handles again what it handled from {target:,} on.")
    elif now is not None and target > now:
        said.append(f"After the reset it skips what waits before global position {target:,}.")
    else:
        said.append(f"After the reset its next message is the first one from {target:,} on.")
    said.append(
        "Effects that its handlers had are not undone. A consumer that runs is not reset: the page "
        "then says so, and nothing is changed."
    )
    if info.report is None and info.position_store == "stream" and not info.is_running:
        said.append(
            "Whether a consumer of another library runs under this name cannot be seen: it would "
            "not notice the change."
        )
    return [each for each in said if each]
