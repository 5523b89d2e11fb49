"""Random operations and hostile values, compared with a model: ``nox -s fuzz``.

    python -m fuzz                   all of it, a quarter of an hour
    python -m fuzz --short           less, within 45 seconds
    python -m fuzz --seed 7          the same steps and values as another run with this seed

Exits with 1 if anything differed from the model, or a value was more than a value.
"""

from __future__ import annotations

import logging
import sys
from dataclasses import dataclass

import make_sync

make_sync.make_untracked()

from trials.figures import Figures, Run  # noqa: E402
from trials.options import build_parser  # noqa: E402
from trials.servers import open_server  # noqa: E402

from . import identity, injection, steps  # noqa: E402
from .attacks import attacks  # noqa: E402
from .cli_attacks import cli_attacks  # noqa: E402
from .stores import Store, open_stores  # noqa: E402

FIGURES = {
    "steps": "steps of the state machine",
    "step_differences": "of these different from the model (0)",
    "values": "messages of generated JSON written and read",
    "value_differences": "of these read otherwise, or refused (0)",
    "names": "hostile names of streams and types",
    "name_differences": "of these read otherwise, or refused without a reason (0)",
    "injections": "calls with hostile values in string parameters of the library",
    "injected": "of these that did more than they may, or ended in an untyped error (0)",
    "cli_injections": "calls of the CLI with hostile values",
    "cli_injected": "of these that did more than they may, or ended in a traceback (0)",
}


@dataclass(frozen=True)
class Amounts:
    """The amount of work of a run."""

    steps: int
    values: int
    names: int
    library: tuple[int, int]
    cli: tuple[int, int]
    """On how many stores a hostile value is tried, and every how many-th value of each attack."""


LONG = Amounts(steps=100_000, values=60, names=150, library=(4, 1), cli=(1, 1))
SHORT = Amounts(steps=2_500, values=2, names=10, library=(1, 4), cli=(1, 12))


def main() -> int:
    """Run all parts, and return the exit status."""
    parser = build_parser("fuzz", "Compare random operations with a model, and inject values.")
    parser.add_argument("--seed", type=int, default=1, help="of all that is random (1)")
    options = parser.parse_args()
    amounts = SHORT if options.short else LONG
    # A consumer whose handler fails logs it; the error itself is checked.
    logging.disable(logging.CRITICAL)
    figures = Figures(FIGURES)
    run = Run("fuzz", options.short, figures, seed=options.seed)
    with open_server(options.server, fast=True) as server:
        environment = server.describe()
        print(f"PostgreSQL {environment['PostgreSQL']}, seed {options.seed}", flush=True)
        with open_stores(server) as stores:
            _fuzz(run, stores, amounts, options.seed)
            _inject(run, stores, amounts)
    print("The parameter condition is not attacked: it is SQL by contract.")
    return run.finish(environment, options.json)


def _fuzz(run: Run, stores: list[Store], amounts: Amounts, seed: int) -> None:
    with run.part(f"state machine on {len(stores)} kinds of stores") as part:
        found = steps.run_machines(stores, amounts.steps, seed, part)
        _note(run, "step", found)
        run.figures.add(steps=part.measured["steps"])
    with run.part("write and read of generated JSON") as part:
        _note(run, "value", identity.check_values(stores, amounts.values, seed, part))
        run.figures.add(values=part.measured["values"])
    with run.part("hostile names") as part:
        _note(run, "name", identity.check_names(stores, amounts.names, seed, part))
        run.figures.add(names=part.measured["names"])


def _note(run: Run, kind: str, found: list[str]) -> None:
    run.figures.counts[f"{kind}_differences"] += len(found)
    for each in found:
        print(each, file=sys.stderr, flush=True)


def _inject(run: Run, stores: list[Store], amounts: Amounts) -> None:
    # The CLI has one variant, and no option for the way to write.
    ways = ("direct", "functions-only role")
    cli_stores = [s for s in stores if s.variant.name == "sync" and s.way in ways]
    for name, which, counted, found_as, on, amount in (
        ("library", attacks, "injections", "injected", stores, amounts.library),
        ("CLI", cli_attacks, "cli_injections", "cli_injected", cli_stores, amounts.cli),
    ):
        with run.part(f"hostile values in the string parameters of the {name}") as part:
            found = injection.run_attacks(on, which(), *amount, part)
            run.figures.counts[counted] += part.measured["calls"]
            run.figures.counts[found_as] += len(found)
            for each in found:
                print(each, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
