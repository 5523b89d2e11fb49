"""The cases of a run: all operations under all faults, or a part that covers each of both."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from .catalog import FAULTS, LONG, Fault

VARIANTS = ("async", "sync")


class Case(NamedTuple):
    """A fault, an operation by its name, and a variant."""

    fault: Fault
    operation: str
    variant: str


def long_cases(operations: Sequence[str]) -> Iterator[Case]:
    """Return every operation under every fault in both variants."""
    for each in itertools.product(FAULTS, operations, VARIANTS):
        yield Case(*each)


def short_cases(operations: Sequence[str]) -> Iterator[Case]:
    """Return two operations of each fault that ends soon, and one of each that lasts.

    The operations come in turn, of those that the fault suits; each comes at least once in each
    variant. It is the same part each time.
    """
    turns = {names: itertools.cycle(names) for names in {fault.suits for fault in FAULTS}}
    turns[()] = itertools.cycle(operations)
    variants = itertools.cycle(VARIANTS)
    covered = set[tuple[str, str]]()
    for fault in FAULTS:
        is_quick = fault.is_planned or fault.seconds < LONG
        for _ in range(2 if is_quick else 1):
            case = Case(fault, next(turns[fault.suits]), next(variants))
            covered.add((case.operation, case.variant))
            yield case
    for operation, variant in itertools.product(operations, VARIANTS):
        if (operation, variant) not in covered:
            yield Case(FAULTS[0], operation, variant)
