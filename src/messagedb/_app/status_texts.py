"""Descriptions of consumers of an app that have not finished in time."""

from __future__ import annotations

from collections.abc import Iterable

from .._consumers.status import ConsumerStatus


def describe_unfinished(statuses: Iterable[ConsumerStatus]) -> str:
    """Return what consumers are doing, and the last error of those that are not caught up.

    Those that have caught up or ended are left out, unless there are no others: then all are named.

    Example::

        describe_unfinished(statuses)
        # "order:position-shipping (retrying, at message 3 of stream 'order-7', attempt 2; last
        # error: ValueError: no address)"
    """
    known = list(statuses)
    busy = [each for each in known if each.state not in ("caught up", "stopped")]
    return ", ".join(_describe(each) for each in busy or known)


def _describe(status: ConsumerStatus) -> str:
    said: str = status.state
    if status.current_message is not None:
        stream, position, attempt = status.current_message
        said += f", at message {position} of stream {stream!r}, attempt {attempt}"
    if status.blocked_by:
        said += f", waiting for {', '.join(str(each) for each in status.blocked_by)}"
    if status.last_error is not None and status.state not in ("caught up", "stopped"):
        said += f"; last error: {status.last_error}"
    return f"{status.name} ({said})"
