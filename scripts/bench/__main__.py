"""Benchmarks messagedb beside its rivals; needs the folder ``scripts`` on PYTHONPATH.

    nox -s bench                              everything, about half an hour; writes the JSON
    nox -s bench -- --only batches,reads      some groups, merged into the JSON of an earlier run
    nox -s bench -- --quick                   checks that all of it runs; the numbers mean nothing
    nox -s bench -- charts                    draws the JSON: an SVG for each group, and the tables

Nox runs ``python -m bench`` with the arguments after ``--``.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Sequence
from pathlib import Path
from time import perf_counter

from . import (
    batches,
    consumers,
    contended,
    durable,
    effects,
    entities,
    group_commit,
    groups,
    growth,
    idle,
    memory,
    notify,
    parking,
    partitions,
    pipelines,
    reads,
    report,
    schema,
    single,
    startup,
    transfer,
    typed,
    writers,
)
from .report import Group, Results
from .servers import open_server
from .topic import Bench, Topic

TOPICS = (
    batches.TOPIC,
    single.TOPIC,
    reads.TOPIC,
    groups.TOPIC,
    memory.TOPIC,
    schema.TOPIC,
    growth.TOPIC,
    writers.TOPIC,
    group_commit.TOPIC,
    pipelines.TOPIC,
    durable.TOPIC,
    typed.TOPIC,
    entities.TOPIC,
    contended.TOPIC,
    transfer.TOPIC,
    consumers.TOPIC,
    effects.TOPIC,
    idle.TOPIC,
    notify.TOPIC,
    parking.TOPIC,
    partitions.TOPIC,
    startup.TOPIC,
)
RESULTS = Path("docs", "performance", "results.json")
ROUNDS = 5
RATIO = "A ÷ B: how many times as fast as B A is, by the medians (in brackets: by single rounds)."
QUICK = "QUICK RUN: counts are tiny, there is one round, and the numbers mean nothing."


def main() -> None:
    """Measure, or draw the results."""
    options = _options()
    output: Path = options.output or RESULTS
    if options.command == "charts":
        from . import charts

        charts.draw(output)
        return
    if options.quick and not options.output:
        output = Path(tempfile.mkdtemp(prefix="messagedb-bench-"), "results.json")
    if options.quick and output.exists() and not report.load(output).meaningless:
        raise SystemExit(f"{output} has the results of a real run: a quick one would replace them")
    wanted = [topic for topic in TOPICS if not options.only or topic.name in options.only]
    rounds = 1 if options.quick else options.rounds
    with open_server(options.server) as server:
        _run(Bench(server, options.quick, options.long, rounds), wanted, output)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="bench", description="Measure messagedb beside its rivals.", allow_abbrev=False
    )
    names = [topic.name for topic in TOPICS]
    parser.add_argument(
        "command",
        nargs="?",
        choices=("run", "charts"),
        default="run",
        help="charts draws the JSON of a run, into its folder, and measures nothing",
    )
    parser.add_argument(
        "--quick", action="store_true", help="tiny counts, one round: only to check that it runs"
    )
    parser.add_argument("--long", action="store_true", help="with a store of 10 million, too")
    parser.add_argument(
        "--only",
        type=lambda text: _names(text, names),
        default=(),
        metavar="GROUPS",
        help=f"some groups only, with commas: {', '.join(names)}",
    )
    parser.add_argument(
        "--rounds",
        type=_rounds,
        default=ROUNDS,
        metavar="N",
        help=f"how often each contender is measured, at least {ROUNDS} (the default)",
    )
    parser.add_argument(
        "--server",
        default="",
        metavar="URL",
        help="a superuser's address of a server to use, instead of an embedded one; databases "
        "called messagedb_bench_… are made on it and dropped",
    )
    parser.add_argument(
        "--output",
        type=Path,
        metavar="PATH",
        help=f"the JSON file ({RESULTS}; of a quick run a temporary one)",
    )
    return parser.parse_args()


def _names(text: str, known: Sequence[str]) -> frozenset[str]:
    given = frozenset(text.split(","))
    if unknown := given - set(known):
        raise argparse.ArgumentTypeError(f"no such group: {', '.join(sorted(unknown))}")
    return given


def _rounds(text: str) -> int:
    rounds = int(text)
    if rounds < ROUNDS:
        raise argparse.ArgumentTypeError(f"fewer than {ROUNDS} rounds prove nothing")
    return rounds


def _run(bench: Bench, topics: Sequence[Topic], output: Path) -> None:
    environment = bench.server.describe()
    if bench.quick:
        print(QUICK)
    report.show_environment(environment)
    print(f"\n{RATIO}")
    missed: list[str] = []
    for topic in topics:
        group = _measure(bench, topic, environment)
        # After each group: an interrupted run keeps its results.
        report.save(output, _with(output, group, bench.quick))
        missed += [
            f"{topic.name}, {section.title}: {each.name}: {report.number(each.value)} {each.unit}, "
            f"{report.verdict(each)}"
            for section in group.sections
            for each in section.comparisons
            if each.reached is False
        ]
    print(f"\nwritten to {output}")
    if bench.quick:
        print(QUICK)
    elif missed:
        print("Not reached:", *missed, sep="\n  ")
    else:
        print("All limits are reached.")


def _measure(bench: Bench, topic: Topic, environment: dict[str, str]) -> Group:
    report.show_heading(topic.title, topic.about)
    begun = perf_counter()
    sections = []
    for section in topic.run(bench):
        report.show(section, judge=not bench.quick)
        sections.append(section)
    return Group(
        name=topic.name,
        title=topic.title,
        about=topic.about,
        environment=environment,
        seconds=round(perf_counter() - begun, 1),
        sections=sections,
    )


def _with(output: Path, group: Group, meaningless: bool) -> Results:
    """Add the group to the existing results, replacing an earlier one of its name.

    Results of quick runs and of real ones are never merged.
    """
    groups = {}
    if output.exists() and (earlier := report.load(output)).meaningless == meaningless:
        groups = {each.name: each for each in earlier.groups}
    groups[group.name] = group
    order = [topic.name for topic in TOPICS]
    kept = [groups[name] for name in order if name in groups]
    return Results(meaningless=meaningless, groups=kept)


if __name__ == "__main__":
    main()
