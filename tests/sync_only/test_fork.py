"""After a fork the child has a new pool, and the parent's still works."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.backend import make_url
from tests.support.store import sessions, stored

ROOT = Path(__file__).resolve().parent.parent.parent


def fork(
    kind: str, url: str, stream: str, program: str = "forking"
) -> subprocess.CompletedProcess[str]:
    """Run a program that forks."""
    answer = subprocess.run(
        [sys.executable, "-m", f"tests.support.{program}", kind, url, stream],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert answer.returncode == 0, answer.stderr
    return answer


@pytest.mark.parametrize("kind", ["sync", "async"])
def test_child_and_parent_both_write(store_url: str, category: str, kind: str) -> None:
    stream = f"{category}-1"
    url = make_url(store_url, application_name=category)
    answer = fork(kind, url, stream)
    said = json.loads(answer.stdout)
    assert said["child"]["position"] == 1, answer.stderr
    assert said["position"] == 2
    assert len(said["before"]) == 2
    # The parent's sessions are those that it had, and the child used none of them.
    assert said["after"] == said["before"]
    assert len(said["child"]["pids"]) == 2
    assert not set(said["child"]["pids"]) & set(said["before"])
    assert [position for _, position in stored(store_url, stream)] == [0, 1, 2]
    assert sessions(store_url, category) == 0
    assert answer.stderr == ""


def test_the_child_sends_a_command_while_a_thread_of_the_parent_decides(
    store_url: str, category: str
) -> None:
    answer = fork("entity", store_url, f"{category}-1")
    said = json.loads(answer.stdout)
    assert said == {"child": 0, "types": ["Child", "Parent"]}


def test_a_transaction_of_the_parents_is_refused_in_the_child(
    store_url: str, category: str
) -> None:
    stream = f"{category}-1"
    url = make_url(store_url, application_name=category)
    answer = fork("transaction", url, stream)
    said = json.loads(answer.stdout)
    assert len(said["child"]) == 7
    for refusal in said["child"]:
        assert refusal.startswith("ValidationError: "), refusal
        assert "Nothing was sent" in refusal
    # The parent's transactions go on: what it wrote before and behind the fork is committed.
    assert said["left"] == [[1, "ValidationError"], [3, "ValidationError"]]
    assert said["position"] == 1
    assert said["bound"] == 1
    for name, count in ((stream, 2), (f"left{stream}", 4), (f"bound{stream}", 2)):
        assert [position for _, position in stored(store_url, name)] == list(range(count))
    assert answer.stderr == ""


@pytest.mark.parametrize("kind", ["sync", "async"])
def test_a_child_that_closes_its_client_disturbs_no_group_of_the_parent(
    store_url: str, category: str, kind: str
) -> None:
    answer = fork(kind, store_url, category, "forking_groups")
    said = json.loads(answer.stdout)
    (closed, (positions, closed_later)) = said["children"]
    # The children write by their own pools, until they close them.
    assert positions == [0] * 8
    assert "the client is closed" in closed
    assert closed_later == closed
    assert said["waiting"] == 2
    assert said["positions"] == [0] * 9
    assert said["after"] == 1
    for name in (category, f"{category}Child"):
        for number in range(8):
            assert len(stored(store_url, f"{name}-{number}")) == 1
    assert stored(store_url, f"{category}Child-new") == []
    assert answer.stderr == ""
