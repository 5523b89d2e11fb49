"""Inline read models: the statement that begins an update, pages, and errors. No I/O."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from .._consumers.failure_texts import format_reason
from .._consumers.handler_outcomes import HandlerOutcome
from .._errors import ReadModelError, ValidationError
from .._operations.scan_results import ScannedPage

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .._messages.message import Message
    from .naming import ModelComment

LOCK_MODEL: Final = b"""
SELECT p.position, obj_description(to_regclass($3::text), 'pg_class')
FROM messagedb.positions p WHERE p.store = $1 AND p.consumer = $2 FOR UPDATE
"""
"""Locks the position of a model until the transaction ends. The comment of its table shows whether
that is still the one that the position belongs to."""

CREATE_POSITION: Final = b"""
INSERT INTO messagedb.positions (store, consumer, position, saved_by)
VALUES ($1, $2, 0, $3::uuid) ON CONFLICT DO NOTHING RETURNING 1
"""
"""Creates the row of a model that has not applied any message, for transactions to lock."""


def check_inline(inline: Any, on_error: Any, mark: ModelComment) -> bool:
    """Return whether a model is inline, if its other options allow that.

    Raises:
        ValidationError: they do not, or it is not a boolean. Nothing was sent.
    """
    if inline is not True and inline is not False:
        raise ValidationError(f"inline must be True or False, not {inline!r}. Nothing was sent.")
    if not inline:
        return False
    if on_error != "stop":
        raise ValidationError(
            "an inline read model has no on_error: a message that its handlers cannot apply is not "
            "written. Nothing was sent. Leave on_error out."
        )
    if mark.position_store_kind != "table":
        raise ValidationError(
            "an inline read model stores its position in the table messagedb.positions, whose row "
            "its transactions lock. Nothing was sent. Leave position_store out."
        )
    return True


def merge_pages(pages: Sequence[ScannedPage]) -> ScannedPage:
    """Return the pages of several categories as one page, in the order of global positions.

    It ends where the first of the full pages ends: behind that, messages of its category are
    missing.
    """
    if len(pages) == 1:
        return pages[0]
    is_full = any(page.is_full for page in pages)
    if is_full:
        last = min((page for page in pages if page.is_full), key=lambda page: page.position)
    else:
        last = max(pages, key=lambda page: page.position)
    found = sorted(
        (
            (message.global_position, id, message)
            for page in pages
            for id, message in zip(page.ids, page.messages, strict=True)
            if message.global_position <= last.position
        ),
        key=lambda each: each[0],
    )
    return ScannedPage(
        messages=[message for _, _, message in found],
        position=last.position,
        count=sum(page.count if page.position <= last.position else 0 for page in pages),
        is_full=is_full,
        last_id=last.last_id,
        ids=[id for _, id, _ in found],
        history=last.history,
    )


def not_built_error(table: str) -> ReadModelError:
    """Return the error for a model without its table, or with the table of another definition."""
    return ReadModelError(
        table,
        "its table does not exist, or was built from another definition of this version. Call "
        "rebuild() of the read model before transactions update it.",
    )


def behind_error(table: str, limit: int) -> ReadModelError:
    """Return the error for a model that lacks more messages than a transaction may apply."""
    return ReadModelError(
        table,
        f"more than {limit} messages before this transaction are missing in it, which others wrote "
        "without it. Call rebuild() of the read model, or keep it running beside them; or pass a "
        "larger batch_size to it.",
    )


def handler_error(table: str, message: Message[Any], problem: Exception) -> ReadModelError:
    """Return the error for a handler that could not apply a message, or the first of a list."""
    reason = format_reason(problem).rstrip(".")
    if isinstance(problem, HandlerOutcome):
        reason = f"{type(problem).__name__} ({reason}), an outcome for runs of consumers"
    return ReadModelError(
        table,
        f"its handler could not apply message {message.position} of stream "
        f"{message.stream_name!r} (global position {message.global_position}, type "
        f"{message.type!r}): {reason}. Repair the handler, or what the "
        "transaction writes.",
    )
