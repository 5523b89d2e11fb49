"""Benchmarks messagedb beside its rivals; needs the folder ``scripts`` on PYTHONPATH.

    nox -s bench                              everything, about half an hour; writes the JSON
    nox -s bench -- --only batches,reads      some groups, merged into the JSON of an earlier run
    nox -s bench -- --quick                   checks that all of it runs; the numbers mean nothing
    nox -s bench -- charts                    draws the JSON: an SVG for each group, and the tables

Nox runs ``python -m bench`` with the arguments after ``--``.
"""

from __future__ import annotations

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
from .options import RESULTS, make_parser
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
RATIO = "A ÷ B: how many times as fast as B A is, by the medians (in brackets: by single rounds)."
QUICK = "QUICK RUN: counts are tiny, there is one round, and the numbers mean nothing."


def main() -> None:
    """Measure, or draw the results."""
    options = make_parser([topic.name for topic in TOPICS]).parse_args()
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
