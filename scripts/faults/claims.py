"""The claim of an outcome, compared with what the database has in the end."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from messagedb import MessageDBError, OutcomeUnknownError

from .ledger import Ledger


@dataclass
class Verdict:
    """The result of a comparison.

    Attributes:
        lost: acknowledged messages that are not stored.
        doubled: messages that are stored more than once.
        problems: everything else that is not as it was claimed.
    """

    lost: int = 0
    doubled: int = 0
    problems: list[str] = field(default_factory=list[str])


def judge(error: Exception | None, ledger: Ledger, stored: Mapping[str, int]) -> Verdict:
    """Compare an outcome with the database, after everything that was under way has ended.

    Args:
        error: the error of the operation; None if it was successful.
        ledger: what it has sent. Messages of an unknown outcome that were written again count as
            acknowledged.
        stored: how often each mark is stored.
    """
    verdict = Verdict()
    wanted = [*ledger.seeds, *ledger.acknowledged]
    verdict.lost = sum(not stored.get(mark) for mark in wanted)
    verdict.doubled = sum(count > 1 for count in stored.values())
    if error is not None and not isinstance(error, MessageDBError):
        verdict.problems.append(f"not a typed error: {type(error).__name__}: {error}")
    kept = [mark for mark in ledger.sent if stored.get(mark)]
    if kept and error is None:
        verdict.problems.append(f"{len(kept)} messages are stored that no success reported")
    elif kept and not isinstance(error, OutcomeUnknownError):
        name = type(error).__name__
        verdict.problems.append(f"{name} says that nothing is stored, and {len(kept)} are: {error}")
    for mark, refusal in ledger.refused.items():
        name = type(refusal).__name__
        if not isinstance(refusal, MessageDBError):
            verdict.problems.append(f"not a typed error: {name}: {refusal}")
        elif stored.get(mark):
            verdict.problems.append(f"{name} says that a message is not stored: {refusal}")
    unknown = stored.keys() - {*wanted, *ledger.sent, *ledger.refused}
    if unknown:
        verdict.problems.append(f"{len(unknown)} messages that nothing has sent")
    return verdict
