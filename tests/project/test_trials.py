"""The long trials notice what they look for: a trial that cannot fail would prove nothing."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from fuzz import cli_attacks, injection, steps
from fuzz.attacks import Attack
from fuzz.model import ANY, Model, New
from fuzz.stores import Store
from fuzz.together import Write, apply_in_some_order
from soak.samples import Samples, compute_slope
from trials.figures import Figures, Part, Run
from trials.variants import Variant

from messagedb import NewMessage, ValidationError
from messagedb._operations import batch_plan
from tests.support.ledger import Ledger


@pytest.fixture
def store(database_url: str, store_url: str) -> Iterator[Store]:
    """Return a store as the fuzzer has it."""
    variant = Variant("sync")
    client = variant.open_client(store_url, max_size=3)
    with psycopg.connect(database_url, autocommit=True) as admin:
        admin.execute("set search_path to message_store, public")
        yield Store(variant, "ours", "direct", store_url, client, admin)
    client.close()
    variant.close()


def test_a_figure_that_is_not_zero_or_was_not_tried_is_a_problem() -> None:
    figures = Figures({"written": "messages written", "lost": "of these lost (0)"})
    assert figures.problems() == ["nothing was tried: messages written: 0"]
    figures.add(written=5)
    assert figures.problems() == []
    figures.add(lost=1)
    assert figures.problems() == ["not zero: of these lost (0): 1"]


def test_an_error_of_a_part_fails_the_run_and_the_other_parts_go_on(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = Run("trial", True, Figures({"written": "messages written"}), seed=7)

    def fail() -> None:
        raise ValueError("not so")

    with run.part("first"):
        fail()
    with run.part("second") as part:
        part.measured["messages"] = 5
        run.figures.add(written=5)
    assert run.finish({"PostgreSQL": "18"}, tmp_path / "figures" / "trial.json") == 1
    text = (tmp_path / "figures" / "trial.json").read_text()
    assert '"seed": 7' in text
    assert "first: ValueError: not so" in text
    assert "FAILED: first: ValueError: not so" in capsys.readouterr().out


def test_a_ledger_counts_what_is_lost_doubled_and_misplaced() -> None:
    ledger = Ledger()
    ledger.check_stream([("a", 0), ("b", 1)], [("a", 0), ("b", 1)])
    ledger.check_consumer([10, 11, 12], [10, 11, 12])
    assert ledger == Ledger(acknowledged=2, deliveries=3)
    ledger.check_stream([("a", 0), ("b", 1), ("c", 1)], [("a", 0), ("c", 2), ("c", 3)])
    assert (ledger.lost, ledger.doubled, ledger.misplaced) == (1, 1, 2)
    ledger.check_consumer([12, 10, 10], [10, 11, 12])
    assert (ledger.unhandled, ledger.repeated, ledger.disordered) == (1, 1, 1)


def test_the_slope_is_that_of_the_second_half() -> None:
    assert compute_slope([0.0, 1.0, 2.0], [5.0, 7.0, 9.0]) == 2.0
    assert compute_slope([1.0], [5.0]) == 0.0
    samples = Samples(seconds=[0.0, 1.0, 2.0, 3.0])
    samples.values["memory"] = [0.0, 50.0, 60.0, 61.0]
    assert samples.compute_slope("memory") == 60.0


def test_the_model_writes_all_or_nothing() -> None:
    model = Model()
    new = [New(str(n), "Noted", None, None) for n in range(3)]
    assert model.write("a-1", new[:2], -1, inside=False) == ("written", [0, 1])
    assert model.write("a-1", new, 5, inside=False) == ("WrongExpectedVersionError", 7, 1)
    assert model.write("a-2", new[::-1], ANY, inside=False) == ("DuplicateMessageError", "a-1", 1)
    assert model.version("a-2", inside=False) == -1
    model.begin()
    assert model.write("a-1", new, ANY, inside=True) == ("written", [0, 1, 2])
    assert model.would_wait("a-9", [])
    model.end(commit=False)
    assert model.version("a-1", inside=False) == 1


def test_outcomes_of_simultaneous_writes_that_no_order_explains_are_found() -> None:
    one, other = New("1", "Noted", None, None), New("2", "Noted", None, None)
    first = Write("a-1", [one], -1, ("written", [0]))
    second = Write("a-1", [other], ANY, ("written", [1]))
    for writes in ([first, second], [second, first]):
        model = Model()
        assert apply_in_some_order(model, writes, lambda: True)
        assert [each.message for each in model.committed] == [one, other]
    model = Model()
    doubled = second._replace(outcome=("written", [0]))
    lost = Write("a-1", [other], 0, ("WrongExpectedVersionError", 0, 0))
    for wrong in (doubled, lost):
        assert not apply_in_some_order(model, [first, wrong], lambda: True)
    # The store has them in another order.
    assert not apply_in_some_order(model, [first, second], lambda: False)
    assert model.committed == []


class LyingClient:
    """A client that leaves out the last message of a page of a category."""

    def __init__(self, client: Any) -> None:
        self._client = client

    def __getattr__(self, name: str) -> Any:
        return getattr(self._client, name)

    def get_category_messages(self, *args: Any, **kwargs: Any) -> Any:
        return self._client.get_category_messages(*args, **kwargs)[:-1]


def test_the_machine_finds_a_message_that_is_left_out(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    # It is set by the run, for its process.
    monkeypatch.setattr(batch_plan, "COPY_THRESHOLD", batch_plan.COPY_THRESHOLD)
    part = Part("machine")
    assert steps.run_machines([store], 60, 1, part) == []
    assert part.measured["steps"] >= 60
    store.client = LyingClient(store.client)
    (difference,) = steps.run_machines([store], 60, 1, part)
    assert "instead of" in difference
    assert "sync, ours schema, direct, seed 1" in difference


def test_an_attack_that_does_more_than_it_may_is_found(store: Store, category: str) -> None:
    def write_elsewhere(store: Store, _: str) -> None:
        store.client.write_message(f"{category}-elsewhere", NewMessage("Noted"))

    def refuse_late(store: Store, value: str) -> None:
        store.client.write_message(f"{category}-1", NewMessage("Noted"))
        raise ValidationError(value)

    def create(store: Store, _: str) -> None:
        store.admin.execute(f"create table {category.lower()}{os.urandom(4).hex()} ()".encode())

    def break_down(_: Store, value: str) -> None:
        raise KeyError(value)

    def refuse(_: Store, value: str) -> None:
        raise ValidationError(value)

    for run, text in (
        (write_elsewhere, "messages in other streams"),
        (refuse_late, "it was refused, and a message was stored"),
        (create, "tables, functions, roles or other messages changed"),
        (break_down, "KeyError"),
    ):
        attack = Attack("parameter", run, lambda _: f"{category}-1")
        problems = injection.run_attacks([store], [attack], 1, 30, Part("attacks"))
        assert problems, text
        assert all(text in problem for problem in problems)
    part = Part("attacks")
    assert injection.run_attacks([store], [Attack("parameter", refuse)], 1, 30, part) == []
    assert part.measured["calls"] == part.measured["of these refused"] > 0


def test_each_string_parameter_of_the_cli_is_attacked() -> None:
    attacked = {attack.name.split(",")[0] for attack in cli_attacks.cli_attacks()}
    assert cli_attacks.string_parameters() - attacked == set(cli_attacks.LOCAL)
