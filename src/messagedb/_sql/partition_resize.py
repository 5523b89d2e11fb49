"""The statements that change the number of partitions of a consumer."""

from __future__ import annotations

from typing import Final

READ_RESIZE: Final = b"""
SELECT s.size, s.generation, s.position_store::varchar, s.next_size, s.barrier, s.phase::varchar,
       coalesce(s.resize_until < clock_timestamp(), false),
       (SELECT jsonb_agg(p.number ORDER BY p.number)
        FROM messagedb.partitions p
        WHERE p.store = $1 AND p.category = $2 AND p.identifier = $3 AND p.number < s.size
          AND NOT p.finished)::varchar,
       (SELECT jsonb_agg(DISTINCT m.name)
        FROM messagedb.partitions p
        JOIN messagedb.partition_members m USING (store, category, identifier)
        WHERE p.store = $1 AND p.category = $2 AND p.identifier = $3 AND p.number < s.size
          AND m.member = p.owner AND m.expires_at > clock_timestamp())::varchar,
       (SELECT jsonb_agg(m.name ORDER BY m.joined_at, m.member)
        FROM messagedb.partition_members m
        WHERE m.store = $1 AND m.category = $2 AND m.identifier = $3
          AND m.expires_at > clock_timestamp())::varchar
FROM messagedb.partition_sets s
WHERE s.store = $1 AND s.category = $2 AND s.identifier = $3
"""
"""The set, whether the call that changes it should have ended, the numbers of partitions that have
not reached the barrier, and the names of the members that own partitions, and of all that live."""

LOCK_SET: Final = b"""
SELECT 1 FROM messagedb.partition_sets
WHERE store = $1 AND category = $2 AND identifier = $3
FOR UPDATE
"""

LOCK_PARTITIONS: Final = b"""
SELECT count(*) FROM (
    SELECT FROM messagedb.partitions
    WHERE store = $1 AND category = $2 AND identifier = $3 AND number < $4::int
    FOR UPDATE SKIP LOCKED) locked
"""
"""Locks the partitions, and returns how many: no lock is waited for, so that it cannot deadlock
with a member that releases some of them."""

BEGIN_RESIZE: Final = b"""
UPDATE messagedb.partition_sets
SET phase = 'draining', next_size = $4::int, barrier = NULL,
    resize_until = clock_timestamp() + $5::bigint * interval '1 millisecond'
WHERE store = $1 AND category = $2 AND identifier = $3
RETURNING 1
"""

EXTEND_RESIZE: Final = b"""
UPDATE messagedb.partition_sets
SET resize_until = greatest(
        resize_until, clock_timestamp() + $4::bigint * interval '1 millisecond')
WHERE store = $1 AND category = $2 AND identifier = $3
RETURNING 1
"""

SET_BARRIER: Final = b"""
WITH limited AS (
    UPDATE messagedb.partition_sets SET phase = 'finishing', barrier = $4::bigint
    WHERE store = $1 AND category = $2 AND identifier = $3
)
UPDATE messagedb.partitions
SET owner = NULL, free_since = clock_timestamp(), finished = number = ANY ($5::int[])
WHERE store = $1 AND category = $2 AND identifier = $3
RETURNING 1
"""
"""Lets the partitions run up to the barrier $4, except for those of $5, which have reached it."""

END_RESIZE: Final = b"""
WITH changed AS (
    UPDATE messagedb.partition_sets
    SET size = $4::int, generation = generation + (size <> $4::int)::int,
        next_size = NULL, barrier = NULL, phase = NULL, resize_until = NULL
    WHERE store = $1 AND category = $2 AND identifier = $3
), added AS (
    INSERT INTO messagedb.partitions (store, category, identifier, number)
    SELECT $1, $2, $3, number FROM generate_series(0, $4::int - 1) number
    ON CONFLICT DO NOTHING
), reset AS (
    UPDATE messagedb.partitions SET finished = false
    WHERE store = $1 AND category = $2 AND identifier = $3 AND finished
)
SELECT 1
"""
"""Ends a change with the size $4: the new one, or the present one if it is withdrawn."""
