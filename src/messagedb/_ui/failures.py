"""The page of an error: it says why, and what to do."""

from __future__ import annotations

from typing import Final

import msgspec
import psycopg
from psycopg import errors as server_errors

from .._errors import (
    IncompatibleServerError,
    MessageDBError,
    PositionConflictError,
    StoreUnavailableError,
    TransactionTimeoutError,
    ValidationError,
)

NO_ANSWER: Final = "The store does not answer."
RELOAD: Final = "The page works again when the store does: reload it."
TOO_LATE: Final = "The query was stopped at the time limit of this UI."
SMALLER: Final = (
    "Nothing was changed. Look at a smaller part: a stream, a prefix, or fewer messages."
)

ELSEWHERE: Final = (
    "Open the UI on a database that has the messages. All pages work on a proxying database, too, "
    "if `messagedb proxy init` made it: `messagedb proxy status` shows that, and names the nodes."
)
"""The advice where a page does not work, as the messages are in other databases."""

TITLES: Final = {
    400: "This address cannot be read",
    401: "This page needs a token",
    403: "Not allowed",
    404: "Nothing here",
    405: "Not by this method",
    409: "Not done",
    413: "Too large",
    429: "Too many",
    500: "Something is wrong with this page",
    501: "The messages are in other databases",
    503: "The store cannot be reached",
    504: "The store took too long",
}


class PageError(Exception):
    """An error that a page shows.

    Attributes:
        status: of the response.
        reason: one sentence, for the reader of the page.
        advice: how to go on.
    """

    def __init__(self, status: int, reason: str, advice: str = "") -> None:
        super().__init__(reason)
        self.status = status
        self.reason = reason
        self.advice = advice


class Failure(msgspec.Struct, frozen=True):
    """The contents of an error page."""

    status: int
    title: str
    reason: str
    advice: str


def describe_failure(error: Exception) -> Failure:
    """Return what the page says about an error. Unknown errors show nothing of themselves."""
    status, reason, advice = _classify(error)
    title = TITLES.get(status, TITLES[400])
    if status == 503 and isinstance(error, IncompatibleServerError):
        title = "Message DB is not installed"
    return Failure(status, title, reason, advice)


def is_time_limit(error: Exception) -> bool:
    """Return True if a query took longer than it may."""
    return isinstance(error, (server_errors.QueryCanceled, TransactionTimeoutError)) or isinstance(
        error.__cause__, server_errors.QueryCanceled
    )


def _find_refusal(error: BaseException) -> server_errors.InsufficientPrivilege | None:
    """Return the refusal of the server that led to an error."""
    seen: list[BaseException] = []
    each: BaseException | None = error
    while each is not None and each not in seen:
        if isinstance(each, server_errors.InsufficientPrivilege):
            return each
        seen.append(each)
        each = each.__cause__ or each.__context__
    return None


def _classify(error: Exception) -> tuple[int, str, str]:
    if isinstance(error, PageError):
        return error.status, error.reason, error.advice
    if is_time_limit(error):
        return 504, TOO_LATE, SMALLER
    refusal = _find_refusal(error)
    if refusal is not None:
        said = refusal.diag.message_primary or "permission denied"
        return (
            403,
            f"The server refused: {said}.",
            "This page needs `GRANT SELECT ON message_store.messages TO ROLE`, in your schema and "
            "for the role of this UI; or connect as a role that has it.",
        )
    if isinstance(error, (StoreUnavailableError, psycopg.OperationalError)):
        known = isinstance(error, MessageDBError)
        return (
            503,
            str(error) if known else "The connection was lost.",
            RELOAD,
        )
    if isinstance(error, IncompatibleServerError):
        if "PL/Proxy" in str(error):
            return 501, str(error), ELSEWHERE
        status = 503 if "not installed" in str(error) else 403
        return status, str(error), "`messagedb doctor` says more about this store."
    if isinstance(error, PositionConflictError):
        return 409, str(error), "Nothing was changed."
    if isinstance(error, ValidationError):
        return 400, str(error), ""
    if isinstance(error, MessageDBError):
        return 503, str(error), ""
    return 500, "The log of this process has the details.", ""
