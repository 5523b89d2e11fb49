"""The statements of partitioned consumers: their members, and who owns which partition."""

from __future__ import annotations

from typing import Final

CREATE_SET: Final = b"""
WITH made AS (
    INSERT INTO messagedb.partition_sets (store, category, identifier, size, position_store)
    VALUES ($1, $2, $3, $4::int, $5)
    ON CONFLICT DO NOTHING
    RETURNING size
)
INSERT INTO messagedb.partitions (store, category, identifier, number)
SELECT $1, $2, $3, number FROM made, generate_series(0, made.size - 1) number
ON CONFLICT DO NOTHING
RETURNING 1
"""
"""Stores a set and its partitions, unless there is one, whose size then counts."""

HAS_SET: Final = b"""
SELECT size, position_store::varchar
FROM messagedb.partition_sets WHERE store = $1 AND category = $2 AND identifier = $3
"""

JOIN: Final = b"""
INSERT INTO messagedb.partition_members
    (store, category, identifier, member, name, host, pid, joined_at, expires_at)
VALUES ($1, $2, $3, $4::uuid, $5, $6, $7::int, clock_timestamp(),
        clock_timestamp() + $8::bigint * interval '1 millisecond')
RETURNING 1
"""
"""Adds a member, whose row expires after $8 milliseconds by the clock of the server."""

LOOK: Final = b"""
WITH gone AS (
    DELETE FROM messagedb.partition_members d
    USING (SELECT member FROM messagedb.partition_members
           WHERE store = $1 AND category = $2 AND identifier = $3 AND member <> $4::uuid
             AND expires_at <= clock_timestamp()
           FOR UPDATE SKIP LOCKED) late
    WHERE d.store = $1 AND d.category = $2 AND d.identifier = $3 AND d.member = late.member
    RETURNING d.member, d.expires_at
), freed AS (
    UPDATE messagedb.partitions p SET free_since = f.expires_at
    FROM (SELECT o.number, g.expires_at
          FROM gone g JOIN messagedb.partitions o ON o.owner = g.member
          WHERE o.store = $1 AND o.category = $2 AND o.identifier = $3
          FOR UPDATE OF o SKIP LOCKED) f
    WHERE p.store = $1 AND p.category = $2 AND p.identifier = $3 AND p.number = f.number
), extended AS (
    UPDATE messagedb.partition_members
    SET expires_at = clock_timestamp() + $5::bigint * interval '1 millisecond'
    WHERE store = $1 AND category = $2 AND identifier = $3 AND member = $4::uuid
      AND expires_at > clock_timestamp()
    RETURNING member
)
SELECT s.size, s.position_store::varchar, s.generation, s.next_size, s.barrier, s.phase::varchar,
       EXISTS (SELECT FROM extended),
       (extract(epoch FROM clock_timestamp()) * 1000000)::bigint,
       (SELECT jsonb_agg(jsonb_build_array(
                   m.member, m.name, (extract(epoch FROM m.expires_at) * 1000000)::bigint)
                   ORDER BY m.joined_at, m.member)
        FROM messagedb.partition_members m
        WHERE m.store = $1 AND m.category = $2 AND m.identifier = $3
          AND m.member NOT IN (SELECT member FROM gone))::varchar,
       (SELECT jsonb_agg(jsonb_build_array(
                   p.number, p.owner, p.epoch, p.finished, p.release_requested,
                   p.released_by) ORDER BY p.number)
        FROM messagedb.partitions p
        WHERE p.store = $1 AND p.category = $2 AND p.identifier = $3 AND p.number < s.size)::varchar
FROM messagedb.partition_sets s
WHERE s.store = $1 AND s.category = $2 AND s.identifier = $3
"""
"""One look of a member: it shows that it lives, removes the members that have expired, and returns
the set, whether it is still a member itself, the members and the partitions. A partition of an
expired member gets the time since which it is free.

A row that has expired is never extended: its member has lost what it owned, and another one may
have it. The locks of members and partitions are not waited for, so that looks cannot deadlock."""

CLAIM: Final = b"""
WITH chosen AS (
    SELECT p.number
    FROM messagedb.partitions p
    JOIN messagedb.partition_sets s USING (store, category, identifier)
    WHERE p.store = $1 AND p.category = $2 AND p.identifier = $3
      AND s.generation = $5::int AND s.phase IS NOT DISTINCT FROM $8
      AND s.barrier IS NOT DISTINCT FROM $9::bigint
      AND p.number < s.size AND NOT p.finished
      AND p.number <> ALL ($6::int[])
      AND (p.owner IS NULL OR NOT EXISTS (
          SELECT FROM messagedb.partition_members m
          WHERE m.store = $1 AND m.category = $2 AND m.identifier = $3 AND m.member = p.owner))
    ORDER BY p.number
    LIMIT $7::bigint
    FOR UPDATE OF p SKIP LOCKED
)
UPDATE messagedb.partitions p
SET owner = $4::uuid, epoch = p.epoch + 1, claimed_at = clock_timestamp(), free_since = NULL,
    release_requested = false, released_by = NULL
FROM chosen
WHERE p.store = $1 AND p.category = $2 AND p.identifier = $3 AND p.number = chosen.number
  AND EXISTS (
      SELECT FROM messagedb.partition_members m
      WHERE m.store = $1 AND m.category = $2 AND m.identifier = $3 AND m.member = $4::uuid
        AND m.expires_at > clock_timestamp())
RETURNING p.number, p.epoch
"""
"""Claims at most $7 free partitions, none of $6, for a member that lives, if the set has the same
generation, phase and barrier as when it was seen."""

FINISH: Final = b"""
UPDATE messagedb.partitions p SET owner = NULL, free_since = clock_timestamp(),
    release_requested = false, finished = true
FROM messagedb.partition_sets s
WHERE p.store = $1 AND p.category = $2 AND p.identifier = $3 AND p.owner = $4::uuid
  AND p.number = ANY ($5::int[])
  AND s.store = $1 AND s.category = $2 AND s.identifier = $3
  AND s.phase = 'finishing' AND s.barrier = $6::bigint
RETURNING p.number
"""
"""Releases partitions that have reached the barrier $6, if that is still the barrier."""

RELEASE: Final = b"""
UPDATE messagedb.partitions
SET owner = NULL, free_since = clock_timestamp(), release_requested = false,
    released_by = CASE WHEN release_requested THEN owner END
WHERE store = $1 AND category = $2 AND identifier = $3 AND owner = $4::uuid
  AND number = ANY ($5::int[])
RETURNING 1
"""

REQUEST_RELEASE: Final = b"""
UPDATE messagedb.partitions p SET release_requested = true
FROM messagedb.partition_members m
WHERE p.store = $1 AND p.category = $2 AND p.identifier = $3 AND p.number = $4::int
  AND m.store = $1 AND m.category = $2 AND m.identifier = $3 AND m.member = p.owner
  AND m.expires_at > clock_timestamp()
RETURNING p.epoch, m.name::varchar
"""
"""Has the owner of a partition give it up, if it lives; its name, and the number of claims."""

IS_STILL_REQUESTED: Final = b"""
SELECT 1 FROM messagedb.partitions
WHERE store = $1 AND category = $2 AND identifier = $3 AND number = $4::int
  AND epoch = $5::bigint AND release_requested
"""

LEAVE: Final = b"""
WITH freed AS (
    UPDATE messagedb.partitions
    SET owner = NULL, free_since = clock_timestamp(), release_requested = false
    WHERE store = $1 AND category = $2 AND identifier = $3 AND owner = $4::uuid
)
DELETE FROM messagedb.partition_members
WHERE store = $1 AND category = $2 AND identifier = $3 AND member = $4::uuid
RETURNING 1
"""
"""Releases all that a member owns, and removes it."""

IS_OWNER: Final = b"""
SELECT 1 FROM messagedb.partitions
WHERE store = $1 AND category = $2 AND identifier = $3 AND owner = $4::uuid
  AND number = $5::int AND epoch = $6::bigint
"""

HAS_TABLES: Final = b"""
SELECT EXISTS (
    SELECT FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE n.nspname = 'messagedb'
      AND c.relname IN ('partition_sets', 'partition_members', 'partitions'))
"""
"""True if the database has one of the tables."""

MAY_USE: Final = b"""
SELECT count(*) = 3 AND EXISTS (
           SELECT FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
           WHERE n.nspname = 'messagedb' AND p.proname = 'save_position'),
       coalesce(bool_and(has_schema_privilege(c.relnamespace, 'USAGE')
                         AND has_table_privilege(c.oid, 'SELECT')
                         AND has_table_privilege(c.oid, 'INSERT')
                         AND has_table_privilege(c.oid, 'UPDATE')
                         AND has_table_privilege(c.oid, 'DELETE')), false),
       current_setting('transaction_read_only') = 'off'
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname = 'messagedb'
  AND c.relname IN ('partition_sets', 'partition_members', 'partitions')
"""
"""Three booleans: the tables and the function are there, the role may use them, and transactions
may write."""

MAY_READ: Final = b"""
SELECT count(*) = 3
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname = 'messagedb'
  AND c.relname IN ('partition_sets', 'partition_members', 'partitions')
  AND has_schema_privilege(n.oid, 'USAGE') AND has_table_privilege(c.oid, 'SELECT')
"""
"""True if the tables are there, and the role may read them."""

READ_SETS: Final = b"""
SELECT s.category::varchar, s.identifier::varchar, s.size, s.position_store::varchar, s.next_size,
       s.barrier, s.phase::varchar, (extract(epoch FROM clock_timestamp()) * 1000000)::bigint,
       (SELECT jsonb_agg(jsonb_build_array(
                   m.member, m.name, m.host, m.pid,
                   (extract(epoch FROM m.joined_at) * 1000000)::bigint,
                   (extract(epoch FROM m.expires_at) * 1000000)::bigint)
                   ORDER BY m.joined_at, m.member)
        FROM messagedb.partition_members m
        WHERE m.store = s.store AND m.category = s.category
          AND m.identifier = s.identifier)::varchar,
       (SELECT jsonb_agg(jsonb_build_array(
                   p.number, p.owner, p.epoch,
                   (extract(epoch FROM p.claimed_at) * 1000000)::bigint,
                   (extract(epoch FROM p.free_since) * 1000000)::bigint,
                   p.finished, p.release_requested)
                   ORDER BY p.number)
        FROM messagedb.partitions p
        WHERE p.store = s.store AND p.category = s.category AND p.identifier = s.identifier
          AND p.number < s.size)::varchar
FROM messagedb.partition_sets s
WHERE s.store = $1 AND s.category = coalesce($2::varchar, s.category)
  AND s.identifier = coalesce($3::varchar, s.identifier)
ORDER BY s.category, s.identifier
"""
"""The sets of a store, of a category or of one consumer, with all members, also expired ones, and
the partitions."""

HAS_MEMBERS: Final = b"""
SELECT EXISTS (
    SELECT FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE n.nspname = 'messagedb' AND c.relname = 'partition_members'
      AND has_schema_privilege(n.oid, 'USAGE') AND has_table_privilege(c.oid, 'SELECT'))
"""
"""True if the role may read the members of partitioned consumers."""

LIVE_MEMBERS: Final = b"""
SELECT name::varchar FROM messagedb.partition_members
WHERE store = $1 AND category = $2 AND identifier = $3 AND expires_at > clock_timestamp()
ORDER BY joined_at, member
"""
"""The members of a set that live."""

STATIC_STREAMS: Final = """
SELECT DISTINCT stream_name::varchar FROM {schema}.messages
WHERE {schema}.category(stream_name) = ANY (ARRAY[$1::varchar])
"""
"""The streams of positions of a category's consumers."""

STATIC_ROWS: Final = b"""
SELECT consumer::varchar FROM messagedb.positions
WHERE store = $1 AND resized_to IS NULL AND (consumer = $2 OR left(consumer, length($3)) = $3)
"""
"""The rows of positions of a consumer, $2, and of members of its groups, which begin with $3."""
