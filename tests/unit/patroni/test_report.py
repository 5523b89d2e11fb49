"""Figures of a run with Patroni, as JSON and as the tables of the docs' page."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path

from failover.report import NAMES, Report, SeenBy

from tests.support.replication.steps import Seen

REPORT = Report(
    versions={"Patroni": "3.0.2"},
    nodes=3,
    timing={"ttl": 10},
    figures={**dict.fromkeys(NAMES, 0), "failovers": 4, "acknowledged": 5100},
    seen=[
        SeenBy("async", "hosts", 2.0, Seen("failover", 12.04, 3, 400)),
        SeenBy("async", "hosts", 2.0, Seen("failover", 9.5, 0, 100)),
        SeenBy("async", "hosts", 2.0, Seen("pause", 15.5, 8, 300, unknown_to_old=4)),
        SeenBy("sync", "HAProxy", 30.0, Seen("failover", 11.0, 0, 300)),
        SeenBy("sync", "HAProxy", 30.0, Seen("pause", 14.0, 8, 300, unknown_to_old=2)),
    ],
    seconds=200,
)


def test_the_file_of_a_run_is_read_as_it_was_written(tmp_path: Path) -> None:
    file = tmp_path / "patroni.json"
    file.write_text(json.dumps(asdict(REPORT)))
    assert Report.read(file) == REPORT


def test_the_table_has_the_longest_interruption_of_each_client() -> None:
    assert REPORT.table().splitlines() == [
        "| client | failover | pause |",
        "| --- | ---: | ---: |",
        "| async, all hosts, `command_timeout=2` | 12.0 s | 15.5 s |",
        "| sync, HAProxy, `command_timeout=30` | 11.0 s | 14.0 s |",
    ]
    assert "| messages acknowledged | 5,100 |" in REPORT.totals().splitlines()


def test_errors_of_all_steps_of_a_kind_are_added() -> None:
    assert REPORT.errors().splitlines()[2:] == [
        "| async, all hosts, `command_timeout=2` | 3; 500 | 8; 300 |",
        "| sync, HAProxy, `command_timeout=30` | 0; 300 | 8; 300 |",
    ]


def test_a_run_that_tried_too_little_has_failed() -> None:
    assert REPORT.problems(4) == []
    assert REPORT.problems(10) == ["only 4 failovers, and not 10"]


def test_a_pause_in_which_no_session_continued_has_shown_nothing() -> None:
    silent = SeenBy("sync", "hosts", 2.0, Seen("pause", 14.0, 8, 300))
    said = ["no session of a paused primary had a write that it continued"]
    assert replace(REPORT, seen=[*REPORT.seen, silent]).problems(4) == said
    assert replace(REPORT, seen=[]).problems(4) == said
