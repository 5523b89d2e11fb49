"""Rounds of the state machine on each store, until there are enough steps."""

from __future__ import annotations

from hypothesis import seed
from hypothesis.stateful import run_state_machine_as_test
from trials.figures import Part

from messagedb._operations import batch_plan

from .crowd_machine import CrowdMachine
from .generation import build_settings, describe_failure
from .stores import Store

MACHINES, STEPS = 10, 40
"""Of one round on one store: the number of machines, and the most steps of each."""

# Batches of that many messages are written by COPY, which usually needs hundreds.
COPY_FROM = 4


def run_machines(stores: list[Store], steps: int, first_seed: int, part: Part) -> list[str]:
    """Run machines on all stores in turn, at least that many steps in all.

    The steps depend on the seed only, and on the version of Hypothesis.

    Returns:
        A description of each difference from the model: at most one for each store.
    """
    batch_plan.COPY_THRESHOLD = COPY_FROM
    CrowdMachine.steps.clear()
    differences: dict[str, str] = {}
    number = first_seed
    while sum(CrowdMachine.steps.values()) < steps and len(differences) < len(stores):
        for store in stores:
            if store.name not in differences and (found := _run_round(store, number)):
                differences[store.name] = found
            number += 1
    part.measured |= {"steps": sum(CrowdMachine.steps.values()), **CrowdMachine.steps}
    return list(differences.values())


def _run_round(store: Store, number: int) -> str:
    """Run some machines on a store, and return the difference that was found."""
    machine = seed(number)(type("CrowdMachine", (CrowdMachine,), {"store": store}))
    options = build_settings(MACHINES, stateful_step_count=STEPS)
    try:
        run_state_machine_as_test(machine, settings=options)
    except Exception as error:
        return describe_failure(store.name, number, error)
    return ""
