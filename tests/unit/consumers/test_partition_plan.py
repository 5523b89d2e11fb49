"""Which partitions a process claims and gives up: alike in all processes, even and calm."""

from __future__ import annotations

import json
from dataclasses import dataclass, field

from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from messagedb._consumers.partition_plan import (
    Partition,
    PartitionLook,
    PartitionMember,
    compute_share,
    find_next_expiry,
    parse_look,
    plan_partitions,
)
from messagedb._consumers.partition_records import numbers_text


@dataclass
class Store:
    """The stored rows, which processes change in turn, one whole turn after the other."""

    size: int
    members: list[str] = field(default_factory=list[str])
    owners: dict[int, tuple[str | None, int]] = field(
        default_factory=dict[int, tuple[str | None, int]]
    )
    moves: int = 0

    def look(self) -> PartitionLook:
        return PartitionLook(
            size=self.size,
            position_store="stream",
            generation=1,
            next_size=None,
            barrier=None,
            phase=None,
            is_member=True,
            now=0,
            members=[PartitionMember(name, name, 1) for name in self.members],
            partitions=[
                Partition(number, *self.owners.get(number, (None, 0)))
                for number in range(self.size)
            ],
        )

    def held(self, member: str) -> dict[int, int]:
        return {n: epoch for n, (owner, epoch) in self.owners.items() if owner == member}

    def take_turn(self, member: str) -> None:
        plan = plan_partitions(self.look(), member, self.held(member))
        assert not plan.lost
        assert not plan.adopted
        share = compute_share(member, self.members, self.size)
        assert not plan.claim_count or len(self.held(member)) + plan.claim_count <= share
        assert not (plan.give_up and plan.claim_count)
        for number in plan.give_up:
            self.owners[number] = (None, self.owners[number][1])
        live = set(self.members)
        free = [n for n in range(self.size) if self.owners.get(n, (None, 0))[0] not in live]
        for number in free[: plan.claim_count]:
            self.owners[number] = (member, self.owners.get(number, (None, 0))[1] + 1)
        self.moves += len(plan.give_up) + plan.claim_count

    def settle(self) -> None:
        for _ in range(3):
            for member in list(self.members):
                self.take_turn(member)


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 20), st.lists(st.tuples(st.booleans(), st.integers(0, 30)), max_size=8))
def test_all_partitions_are_owned_evenly_and_then_nothing_moves(
    size: int, changes: list[tuple[bool, int]]
) -> None:
    store = Store(size, ["0"])
    store.settle()
    for number, (joins, which) in enumerate(changes, 1):
        if joins or len(store.members) == 1:
            store.members.append(str(number))
        else:
            # It is gone without a word: its rows still have it as their owner.
            del store.members[which % len(store.members)]
        store.settle()
        counts = [len(store.held(member)) for member in store.members]
        assert sum(counts) == size
        assert max(counts) - min(counts) <= 1
        store.moves = 0
        store.settle()
        assert not store.moves


@given(st.integers(1, 64), st.integers(1, 40))
def test_one_that_joins_takes_no_more_than_its_share(size: int, count: int) -> None:
    members = [str(n) for n in range(count)]
    before = [compute_share(each, members, size) for each in members]
    after = [compute_share(each, [*members, "new"], size) for each in members]
    assert all(new <= old for old, new in zip(before, after, strict=True))
    without_first = [compute_share(each, members[1:], size) for each in members[1:]]
    assert all(new >= old for old, new in zip(before[1:], without_first, strict=True))
    assert compute_share("stranger", members, size) == 0


def look(*partitions: Partition, members: str = "ab") -> PartitionLook:
    store = Store(len(partitions), list(members))
    found = store.look()
    found.partitions[:] = partitions
    return found


def test_a_claim_of_another_epoch_is_lost() -> None:
    found = look(Partition(0, "a", 5), Partition(1, "b", 2))
    plan = plan_partitions(found, "a", {0: 4, 1: 1})
    assert (plan.lost, plan.adopted) == ([0, 1], [Partition(0, "a", 5)])


def test_a_claim_without_a_response_is_found() -> None:
    plan = plan_partitions(look(Partition(0, "a", 1), Partition(1, None, 0)), "a", {})
    assert plan.adopted == [Partition(0, "a", 1)]
    assert plan.claim_count == 0


def test_what_a_person_wants_to_be_released_is_given_up() -> None:
    wanted = Partition(0, "a", 1, is_release_requested=True)
    plan = plan_partitions(look(wanted, members="a"), "a", {0: 1})
    assert plan.give_up == [0]


def test_one_that_stops_gives_up_all_and_claims_none() -> None:
    found = look(Partition(0, "a", 1), Partition(1, None, 1), members="a")
    plan = plan_partitions(found, "a", {0: 1}, is_stopping=True)
    assert (plan.give_up, plan.claim_count) == ([0], 0)


def test_blocked_and_finished_partitions_are_not_claimed() -> None:
    found = look(Partition(0, None, 0), Partition(1, None, 0, is_finished=True), members="a")
    assert plan_partitions(found, "a", {}).claim_count == 1
    assert plan_partitions(found, "a", {}, blocked=[0]).claim_count == 0


def test_what_others_have_to_give_up_is_missing() -> None:
    found = look(*(Partition(number, "a", 1) for number in range(5)), Partition(5, None, 1))
    plan = plan_partitions(found, "b", {})
    assert (plan.claim_count, plan.missing_count) == (1, 2)
    assert plan_partitions(found, "a", dict.fromkeys(range(5), 1)).missing_count == 0


def test_what_nobody_claims_is_claimed_beyond_the_share_and_kept_for_a_while() -> None:
    """Two processes have died, one soon after the other: the second one would be the next owner."""
    mine = [Partition(number, "a", 1) for number in range(2)]
    found = look(*mine, Partition(2, "gone", 1), Partition(3, None, 1), members="ab")
    held = dict.fromkeys(range(2), 1)
    assert plan_partitions(found, "a", held).claim_count == 0
    plan = plan_partitions(found, "a", held, overdue=[2])
    assert (plan.claim_count, plan.is_extra, plan.reserved) == (1, True, [3])
    assert not plan_partitions(found, "a", held, overdue=[2], blocked=[2]).is_extra
    found.partitions[2] = Partition(2, "a", 2)
    held[2] = 2
    assert plan_partitions(found, "a", held, extra_count=1).give_up == []
    assert plan_partitions(found, "a", held, overdue=[3]).is_extra is False
    assert plan_partitions(found, "a", held).give_up == [2]
    # One that has less than its share claims that first, without more.
    plan = plan_partitions(found, "b", {}, overdue=[3])
    assert (plan.claim_count, plan.is_extra, plan.missing_count) == (1, False, 1)


def test_a_row_is_a_look() -> None:
    members = json.dumps([["a", "pod-1", 2_000_000], ["b", "pod-2", 3_500_000]])
    row = (
        2,
        "table",
        1,
        None,
        None,
        None,
        True,
        1_000_000,
        members,
        json.dumps([[0, None, 3, False, True]]),
    )
    found = parse_look(row)
    assert found.members[1].name == "pod-2"
    assert found.partitions == [Partition(0, None, 3, is_release_requested=True)]
    assert find_next_expiry(found, "a") == 2.5
    assert parse_look((*row[:-2], None, None)).members == []


def test_numbers_are_listed_as_ranges() -> None:
    assert numbers_text([7, 0, 2, 1, 9]) == "0-2, 7, 9"


def test_a_released_partition_is_claimed_beyond_the_share_and_kept() -> None:
    store = Store(4, ["a", "b"], {0: ("a", 1), 1: (None, 1), 2: ("b", 1), 3: ("b", 1)})
    look = store.look()
    partitions = list(look.partitions)
    partitions[1] = Partition(1, None, 1, released_by="a")
    look = replace(look, partitions=partitions)
    by_other = plan_partitions(look, "b", store.held("b"))
    assert (by_other.claim_count, by_other.moving, by_other.give_up) == (0, [1], [])
    # Its last owner leaves it to others for some time.
    by_owner = plan_partitions(look, "a", store.held("a"), blocked=[0, 1])
    assert (by_owner.claim_count, by_owner.moving) == (0, [])
    # It is kept, and another one is given up for it.
    store.owners[1] = ("b", 2)
    then = plan_partitions(store.look(), "b", store.held("b"), moved=[1])
    assert (then.give_up, then.moving) == ([3], [])
    store.owners[3] = ("b", 1)
    assert plan_partitions(store.look(), "b", store.held("b"), moved=[3]).give_up == [2]
