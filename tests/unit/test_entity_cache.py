"""The entities in memory: bounded, never older than they were, and one's own in a transaction."""

from __future__ import annotations

import threading

from messagedb._entities.cache import EntityCache, Entry


def test_the_least_recently_used_go_first() -> None:
    cache: EntityCache[str] = EntityCache(2)
    cache.put("a", Entry("A", 0), cache.times_forgotten)
    cache.put("b", Entry("B", 0), cache.times_forgotten)
    assert cache.get("a") == Entry("A", 0)
    cache.put("c", Entry("C", 0), cache.times_forgotten)
    assert (cache.get("a"), cache.get("b"), cache.get("c")) == (Entry("A", 0), None, Entry("C", 0))
    assert len(cache) == 2


def test_an_older_one_does_not_replace_a_newer_one() -> None:
    cache: EntityCache[str] = EntityCache(2)
    cache.put("a", Entry("new", 5), cache.times_forgotten)
    cache.put("a", Entry("old", 4), cache.times_forgotten)
    assert cache.get("a") == Entry("new", 5)
    cache.put("a", Entry("new", 5, 5), cache.times_forgotten)
    assert cache.get("a") == Entry("new", 5, 5)
    cache.forget("a")
    cache.put("a", Entry("old", 4), cache.times_forgotten)
    assert cache.get("a") == Entry("old", 4)


def test_one_over_another_is_never_written_through() -> None:
    under: EntityCache[str] = EntityCache(9)
    under.put("a", Entry("A", 0), under.times_forgotten)
    over = EntityCache(9, under)
    assert over.get("a") == Entry("A", 0)
    over.put("a", Entry("A1", 1), over.times_forgotten)
    over.put("b", Entry("B", 0), over.times_forgotten)
    assert (over.get("a"), under.get("a"), under.get("b")) == (Entry("A1", 1), Entry("A", 0), None)
    over.forget("a")
    assert (over.get("a"), under.get("a")) == (None, Entry("A", 0))
    over.forget()
    assert (over.get("a"), over.get("b"), under.get("a")) == (None, None, Entry("A", 0))


def test_threads_share_it() -> None:
    cache: EntityCache[int] = EntityCache(50)

    def work(first: int) -> None:
        for number in range(first, 4000, 8):
            cache.put(str(number % 97), Entry(number, number), cache.times_forgotten)
            cache.get(str(number % 89))
            if number % 50 == 0:
                cache.forget(str(number % 7))

    threads = [threading.Thread(target=work, args=(first,)) for first in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(cache) == 50
    for number in range(97):
        entry = cache.get(str(number))
        assert entry is None or (entry.entity == entry.version and entry.version % 97 == number)


def test_what_was_read_before_something_was_dropped_is_not_kept() -> None:
    cache: EntityCache[str] = EntityCache(10)
    for id in ("a", None):
        before = cache.times_forgotten
        cache.forget(id)
        cache.put("a", Entry("A", 0), before)
        assert cache.get("a") is None
        cache.put("a", Entry("A", 0), cache.times_forgotten)
        assert cache.get("a") == Entry("A", 0)
