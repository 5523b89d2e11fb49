"""The entities in memory: bounded, never older than they were, and one's own in a transaction."""

from __future__ import annotations

import threading

from messagedb._entities.cache import CachedEntity, EntityCache


def test_the_least_recently_used_go_first() -> None:
    cache: EntityCache[str] = EntityCache(2)
    cache.put("a", CachedEntity("A", 0), cache.eviction_count)
    cache.put("b", CachedEntity("B", 0), cache.eviction_count)
    assert cache.get("a") == CachedEntity("A", 0)
    cache.put("c", CachedEntity("C", 0), cache.eviction_count)
    assert (cache.get("a"), cache.get("b"), cache.get("c")) == (
        CachedEntity("A", 0),
        None,
        CachedEntity("C", 0),
    )
    assert len(cache) == 2


def test_an_older_one_does_not_replace_a_newer_one() -> None:
    cache: EntityCache[str] = EntityCache(2)
    cache.put("a", CachedEntity("new", 5), cache.eviction_count)
    cache.put("a", CachedEntity("old", 4), cache.eviction_count)
    assert cache.get("a") == CachedEntity("new", 5)
    cache.put("a", CachedEntity("new", 5, 5), cache.eviction_count)
    assert cache.get("a") == CachedEntity("new", 5, 5)
    cache.evict("a")
    cache.put("a", CachedEntity("old", 4), cache.eviction_count)
    assert cache.get("a") == CachedEntity("old", 4)


def test_one_over_another_is_never_written_through() -> None:
    under: EntityCache[str] = EntityCache(9)
    under.put("a", CachedEntity("A", 0), under.eviction_count)
    over = EntityCache(9, under)
    assert over.get("a") == CachedEntity("A", 0)
    over.put("a", CachedEntity("A1", 1), over.eviction_count)
    over.put("b", CachedEntity("B", 0), over.eviction_count)
    assert (over.get("a"), under.get("a"), under.get("b")) == (
        CachedEntity("A1", 1),
        CachedEntity("A", 0),
        None,
    )
    over.evict("a")
    assert (over.get("a"), under.get("a")) == (None, CachedEntity("A", 0))
    over.evict()
    assert (over.get("a"), over.get("b"), under.get("a")) == (None, None, CachedEntity("A", 0))


def test_threads_share_it() -> None:
    cache: EntityCache[int] = EntityCache(50)

    def work(first: int) -> None:
        for number in range(first, 4000, 8):
            cache.put(str(number % 97), CachedEntity(number, number), cache.eviction_count)
            cache.get(str(number % 89))
            if number % 50 == 0:
                cache.evict(str(number % 7))

    threads = [threading.Thread(target=work, args=(first,)) for first in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(cache) == 50
    for number in range(97):
        entry = cache.get(str(number))
        assert entry is None or (entry.entity == entry.version and entry.version % 97 == number)


def test_an_entry_read_before_an_eviction_is_not_cached() -> None:
    cache: EntityCache[str] = EntityCache(10)
    for id in ("a", None):
        before = cache.eviction_count
        cache.evict(id)
        cache.put("a", CachedEntity("A", 0), before)
        assert cache.get("a") is None
        cache.put("a", CachedEntity("A", 0), cache.eviction_count)
        assert cache.get("a") == CachedEntity("A", 0)
