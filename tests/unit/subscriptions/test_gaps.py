"""No message of the whole store is missed, in any order of commits: histories, made and drawn."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from messagedb._operations.scan_results import OpenWriteTransaction, ScannedPage, ScannedStorePage
from messagedb._subscriptions.gap_tracker import GapTracker
from messagedb.testing import make_message

PAGE = 4


class Transaction:
    """A writer: its name as the store tells it, and the positions that it has drawn."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.positions: list[int] = []
        self.prepared = False


class Store:
    """A store in memory: positions are drawn in order, and appear when their writer commits."""

    def __init__(self) -> None:
        self.last = 0
        self.visible: set[int] = set()
        self.writing: list[Transaction] = []
        self.begun = 0
        self.scans = 0
        self.listings = 0

    def begin(self) -> Transaction:
        self.begun += 1
        transaction = Transaction(f"3/{self.begun}")
        self.writing.append(transaction)
        return transaction

    def draw(self, transaction: Transaction) -> int:
        self.last += 1
        transaction.positions.append(self.last)
        return self.last

    def show(self, transaction: Transaction) -> None:
        """Commit, but do not free the lock yet."""
        self.visible.update(transaction.positions)
        transaction.positions.clear()

    def end(self, transaction: Transaction) -> None:
        """Free the lock: what has not been shown is rolled back."""
        self.writing.remove(transaction)

    def commit(self, transaction: Transaction) -> None:
        self.show(transaction)
        self.end(transaction)

    def restart(self) -> None:
        """Only prepared transactions are there afterwards, under other names."""
        self.writing = [transaction for transaction in self.writing if transaction.prepared]
        for transaction in self.writing:
            transaction.name = f"-1/{self.begun + id(transaction)}"

    def scan(self, position: int) -> ScannedStorePage:
        self.scans += 1
        page = sorted(found for found in self.visible if found >= position)[:PAGE]
        before = [position - 1, *page]
        gaps = [(a + 1, b - 1) for a, b in zip(before, page, strict=False) if a + 1 < b]
        messages = [make_message("a-1", "A", global_position=found) for found in page]
        last = page[-1] if page else position - 1
        return ScannedStorePage(
            messages,
            last,
            len(page),
            len(page) == PAGE,
            gaps=gaps,
            head=max(self.visible, default=0),
        )

    def writers(self) -> list[OpenWriteTransaction]:
        self.listings += 1
        return [OpenWriteTransaction(transaction.name) for transaction in self.writing]


class Reader:
    """A consumer that follows the rules of Gaps. *between* runs before each look at the store."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.gaps = GapTracker()
        self.position = 1
        self.seen: list[int] = []

    def read(self) -> ScannedPage:
        scan = self._page()
        assert scan.position >= self.position - 1
        assert all(message.global_position <= scan.position for message in scan.messages)
        assert scan.count == len(scan.messages)
        self.seen += [message.global_position for message in scan.messages]
        self.position = scan.position + 1
        return scan

    def between(self) -> None:
        """Do nothing: no writer acts meanwhile."""

    def _page(self) -> ScannedPage:
        gaps, position = self.gaps, self.position
        if gaps.is_waiting_at(position):
            self.between()
            if not gaps.update_writers(self.store.writers()):
                return gaps.build_empty_page(position)
        self.between()
        scan = self.store.scan(position)
        if gaps.needs_writer_list(scan):
            self.between()
            if gaps.wait_for_writers(scan, self.store.writers()):
                self.between()
                scan = self.store.scan(position)
        return gaps.truncate_at_first_gap(scan, position)


def test_an_open_gap_holds_back_what_is_behind_it() -> None:
    store = Store()
    reader = Reader(store)
    first, slow, fast = store.begin(), store.begin(), store.begin()
    store.draw(first)
    store.draw(slow)
    store.draw(fast)
    store.commit(first)
    store.commit(fast)
    assert reader.read().position == 1
    assert reader.seen == [1]
    assert [writer.transaction for writer in reader.gaps.blocked_by] == [slow.name]
    for _ in range(3):
        assert reader.read() == ScannedPage([], 1, 0, is_full=False)
    assert store.scans == 1
    assert (reader.gaps.is_blocked, len(reader.gaps.blocked_by)) == (True, 1)
    store.commit(slow)
    reader.read()
    assert reader.seen == [1, 2, 3]
    assert (reader.gaps.is_blocked, reader.gaps.blocked_by) == (False, [])


def test_a_dead_gap_is_passed_when_its_writer_has_gone() -> None:
    store = Store()
    reader = Reader(store)
    slow, fast = store.begin(), store.begin()
    store.draw(slow)
    store.draw(fast)
    store.commit(fast)
    reader.read()
    assert reader.seen == []
    store.end(slow)
    reader.read()
    assert reader.seen == [2]


def test_a_writer_that_has_shown_its_messages_is_still_waited_for() -> None:
    store = Store()
    reader = Reader(store)
    other, slow, fast = store.begin(), store.begin(), store.begin()
    store.draw(other)
    store.draw(slow)
    store.draw(fast)
    store.commit(fast)
    reader.read()
    store.show(other)
    store.end(slow)
    reader.read()
    assert reader.seen == [1]
    assert [writer.transaction for writer in reader.gaps.blocked_by] == [other.name]
    store.end(other)
    reader.read()
    assert reader.seen == [1, 3]


def test_one_writer_of_many_frees_what_it_fills() -> None:
    store = Store()
    reader = Reader(store)
    one, two, fast = store.begin(), store.begin(), store.begin()
    for transaction in (one, fast, two, fast):
        store.draw(transaction)
    store.commit(fast)
    reader.read()
    assert reader.seen == []
    store.commit(one)
    reader.read()
    assert reader.seen == [1, 2]
    store.begin()
    reader.read()
    store.commit(two)
    reader.read()
    assert reader.seen == [1, 2, 3, 4]


def test_who_began_later_is_not_waited_for() -> None:
    store = Store()
    reader = Reader(store)
    slow, fast = store.begin(), store.begin()
    store.draw(slow)
    store.draw(fast)
    store.commit(fast)
    reader.read()
    later = store.begin()
    store.draw(later)
    store.end(slow)
    reader.read()
    assert reader.seen == [2]


def test_old_gaps_cost_one_look_and_one_more_scan_in_all() -> None:
    store = Store()
    for _ in range(50):
        dead, written = store.begin(), store.begin()
        store.draw(dead)
        store.draw(written)
        store.end(dead)
        store.commit(written)
    reader = Reader(store)
    pages = 0
    while reader.read().count:
        pages += 1
    assert reader.seen == list(range(2, 101, 2))
    assert store.listings == 1
    assert store.scans == pages + 2


def test_a_prepared_transaction_is_waited_for_after_a_restart() -> None:
    store = Store()
    reader = Reader(store)
    prepared, other = store.begin(), store.begin()
    store.draw(prepared)
    store.draw(other)
    store.commit(other)
    reader.read()
    prepared.prepared = True
    store.restart()
    reader.read()
    assert reader.seen == []
    assert reader.gaps.blocked_by == store.writers()
    store.commit(prepared)
    reader.read()
    assert reader.seen == [1, 2]


def test_a_store_that_was_set_back_is_looked_at_anew() -> None:
    store = Store()
    reader = Reader(store)
    for _ in range(2):
        dead, written = store.begin(), store.begin()
        store.draw(dead)
        store.draw(written)
        store.end(dead)
        store.commit(written)
    reader.read()
    assert reader.seen == [2, 4]
    store.visible, store.last = {2}, 2
    reader.position = 3
    reader.read()
    slow, fast = store.begin(), store.begin()
    store.draw(slow)
    store.draw(fast)
    store.commit(fast)
    assert reader.read().count == 0
    store.commit(slow)
    reader.read()
    assert reader.seen == [2, 4, 3, 4]


def test_a_gap_that_is_settled_in_part() -> None:
    gaps = GapTracker()
    messages = [make_message("a-1", "A", global_position=position) for position in (2, 5)]
    first = ScannedStorePage(messages, 5, 2, False, gaps=[(1, 1), (3, 4)], head=5)
    assert gaps.needs_writer_list(first)
    assert gaps.wait_for_writers(first, [])
    assert gaps.truncate_at_first_gap(first, 1) is first
    later = ScannedStorePage(
        [make_message("a-1", "A", global_position=9)], 9, 1, False, gaps=[(4, 8)], head=9
    )
    assert gaps.needs_writer_list(later)
    assert not gaps.wait_for_writers(later, [OpenWriteTransaction("3/1")])
    assert gaps.truncate_at_first_gap(later, 4) == ScannedPage([], 5, 0, is_full=False)


ACTIONS = ("begin", "draw", "draw", "draw", "show", "commit", "commit", "roll back", "prepare")


class Interrupted(Reader):
    """A reader beside which writers do what chance says."""

    def __init__(self, chance: random.Random, actions: tuple[str, ...]) -> None:
        super().__init__(Store())
        self.chance = chance
        self.actions = actions
        self.most_writers = chance.randrange(1, 5)
        self.most_actions = chance.choice([3, 6, 12])

    def between(self) -> None:
        for _ in range(self.chance.randrange(self.most_actions) if self.actions else 0):
            action = self.chance.choice(self.actions)
            if action == "begin" or not self.store.writing:
                if len(self.store.writing) < self.most_writers:
                    self.store.begin()
            elif action == "restart":
                self.store.restart()
            else:
                _act(self.store, self.chance.choice(self.store.writing), action)


# By chance with a seed: the examples that hypothesis draws itself keep too few writers open.
@pytest.mark.parametrize("actions", [ACTIONS, (*ACTIONS, "restart")])
@settings(max_examples=400)
@given(seed=st.integers(0, 2**32))
def test_nothing_is_missed_and_the_order_kept(actions: tuple[str, ...], seed: int) -> None:
    reader = Interrupted(random.Random(seed), actions)
    store = reader.store
    for _ in range(40):
        reader.read()
    reader.actions = ()
    for transaction in list(store.writing):
        reader.read()
        store.commit(transaction)
    while reader.read().count or reader.gaps.is_blocked:
        assert store.scans < 1000
    assert reader.seen == sorted(store.visible)


def _act(store: Store, transaction: Transaction, action: str) -> None:
    if action == "draw" and not transaction.prepared:
        store.draw(transaction)
    elif action == "show":
        store.show(transaction)
    elif action == "commit":
        store.commit(transaction)
    elif action == "roll back":
        store.end(transaction)
    elif action == "prepare":
        transaction.prepared = True
