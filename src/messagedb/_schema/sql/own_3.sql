-- Partitions of consumers: a category and an identifier whose streams are divided among any number of processes.

-- One row per partitioned consumer. The size that is stored here counts, whatever a process has in its code.
CREATE TABLE IF NOT EXISTS messagedb.partition_sets (
    store text NOT NULL DEFAULT 'message_store',
    category text NOT NULL,
    identifier text NOT NULL,
    size int NOT NULL,
    position_store text NOT NULL,
    -- Rises with each change of the size: a claim of an earlier generation is void.
    generation int NOT NULL DEFAULT 1,
    created_at timestamp with time zone NOT NULL DEFAULT now(),
    -- A change of the size in progress: the partitions run up to the barrier, and end there.
    next_size int,
    barrier bigint,
    phase text,
    -- When the call that wants it gives up: if it was killed, any process withdraws the change then.
    resize_until timestamp with time zone,
    PRIMARY KEY (store, category, identifier)
);

-- The processes that run it. Each updates its row over and over: no index holds a column that changes.
CREATE TABLE IF NOT EXISTS messagedb.partition_members (
    store text NOT NULL DEFAULT 'message_store',
    category text NOT NULL,
    identifier text NOT NULL,
    member uuid NOT NULL,
    name text NOT NULL,
    host text NOT NULL,
    pid int NOT NULL,
    joined_at timestamp with time zone NOT NULL,
    -- By the clock of the server: a member that does not renew its row in time has lost all that it owns.
    expires_at timestamp with time zone NOT NULL,
    PRIMARY KEY (store, category, identifier, member)
) WITH (fillfactor = 50);

-- The partitions, and the member that owns each. A partition is free if no row of a member has its owner.
CREATE TABLE IF NOT EXISTS messagedb.partitions (
    store text NOT NULL DEFAULT 'message_store',
    category text NOT NULL,
    identifier text NOT NULL,
    number int NOT NULL,
    owner uuid,
    -- Rises with each claim, and never falls: a release keeps the row.
    epoch bigint NOT NULL DEFAULT 0,
    claimed_at timestamp with time zone,
    -- When it was released, or its owner's membership had expired: for people, and for no decision.
    free_since timestamp with time zone DEFAULT now(),
    -- It has reached the barrier of a change of the size.
    finished boolean NOT NULL DEFAULT false,
    -- A person wants another process to have it: its owner gives it up.
    release_requested boolean NOT NULL DEFAULT false,
    -- The member that gave it up for that: the others may have it, although their share is complete.
    released_by uuid,
    PRIMARY KEY (store, category, identifier, number)
) WITH (fillfactor = 50);

GRANT SELECT, INSERT, UPDATE, DELETE ON TABLE messagedb.partition_sets TO message_store;

GRANT SELECT, INSERT, UPDATE, DELETE ON TABLE messagedb.partition_members TO message_store;

GRANT SELECT, INSERT, UPDATE, DELETE ON TABLE messagedb.partitions TO message_store;

-- Stores a position of a partition. It is sent in one message with the COMMIT of its transaction: if another process has
-- stored one since, it raises an error, so that the server does not execute the COMMIT.
CREATE OR REPLACE FUNCTION messagedb.save_position(
    store text,
    consumer text,
    "position" bigint,
    saved_by uuid,
    saves uuid[],
    message_id uuid,
    message_position bigint,
    history text,
    is_first boolean
) RETURNS void
    LANGUAGE plpgsql VOLATILE
AS $messagedb$
BEGIN
    UPDATE messagedb.positions AS p
    SET position = save_position.position,
        saved_by = save_position.saved_by,
        saved_at = now(),
        message_id = save_position.message_id,
        message_position = save_position.message_position,
        history = save_position.history
    WHERE p.store = save_position.store
        AND p.consumer = save_position.consumer
        AND p.saved_by = ANY (save_position.saves)
        AND p.resized_to IS NULL;

    IF NOT FOUND AND save_position.is_first THEN
        INSERT INTO messagedb.positions
            (store, consumer, position, saved_by, message_id, message_position, history)
        VALUES (
            save_position.store,
            save_position.consumer,
            save_position.position,
            save_position.saved_by,
            save_position.message_id,
            save_position.message_position,
            save_position.history
        )
        ON CONFLICT DO NOTHING;
    END IF;

    IF NOT FOUND THEN
        RAISE EXCEPTION 'another position of % is stored', save_position.consumer
            USING ERRCODE = 'MD001';
    END IF;
END
$messagedb$;

-- == Several nodes ==
-- What a node needs behind a database that passes the calls on: a call is a transaction there, so that a batch has
-- to be one call. Every name has its schema, as the search_path is the caller's.

-- The proxying database that a node belongs to, if it belongs to one: at most one row.
CREATE TABLE IF NOT EXISTS messagedb.proxied_by (
    only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    proxy uuid NOT NULL,
    node int NOT NULL,
    name text NOT NULL,
    -- The newest map of the proxying database: one that is restored from a backup may have an older one.
    map_version bigint NOT NULL
);

GRANT SELECT, UPDATE (map_version) ON TABLE messagedb.proxied_by TO message_store;

CREATE OR REPLACE FUNCTION messagedb.note_map_version(map_version bigint) RETURNS bigint
    LANGUAGE sql VOLATILE
AS $messagedb$
    UPDATE messagedb.proxied_by AS b
    SET map_version = greatest(b.map_version, note_map_version.map_version)
    RETURNING b.map_version
$messagedb$;

-- The categories that have messages, each without its types: from one to the next along the index.
CREATE OR REPLACE FUNCTION messagedb.list_placed_categories() RETURNS SETOF varchar
    LANGUAGE plpgsql STABLE
    SET enable_sort = off
AS $messagedb$
BEGIN
    RETURN QUERY
        WITH RECURSIVE names AS (
            (SELECT message_store.category(m.stream_name)::varchar AS name
             FROM message_store.messages AS m
             ORDER BY message_store.category(m.stream_name), m.global_position LIMIT 1)
            UNION ALL
            SELECT following.name
            FROM names, LATERAL (
                SELECT message_store.category(m.stream_name)::varchar AS name
                FROM message_store.messages AS m
                WHERE message_store.category(m.stream_name) > names.name
                ORDER BY message_store.category(m.stream_name), m.global_position LIMIT 1
            ) AS following
        )
        SELECT DISTINCT pg_catalog.split_part(names.name, ':', 1)::varchar
        FROM names
        WHERE NOT EXISTS (
            SELECT FROM messagedb.node_categories AS n
            WHERE n.category = pg_catalog.split_part(names.name, ':', 1) AND n.state <> 'closed'
        );
END
$messagedb$;

-- The last global position of a category, and lists as those of the client: a session that only passes calls on cannot
-- query the table.
CREATE OR REPLACE FUNCTION messagedb.category_head(category varchar) RETURNS bigint
    LANGUAGE plpgsql STABLE
    SET enable_sort = off
AS $messagedb$
BEGIN
    PERFORM messagedb.check_node_read(category_head.category);

    RETURN (
        SELECT m.global_position
        FROM message_store.messages AS m
        WHERE message_store.category(m.stream_name) = ANY (ARRAY[category_head.category])
        ORDER BY message_store.category(m.stream_name) DESC, m.global_position DESC
        LIMIT 1
    );
END
$messagedb$;

CREATE OR REPLACE FUNCTION messagedb.list_categories(first varchar, is_after boolean, max_count bigint)
    RETURNS TABLE (category varchar, last_position bigint, last_time timestamp)
    LANGUAGE plpgsql STABLE
    SET enable_sort = off
AS $messagedb$
DECLARE
    _name varchar;
    _count bigint := 0;
BEGIN
    SELECT message_store.category(m.stream_name)
    INTO _name
    FROM message_store.messages AS m
    WHERE message_store.category(m.stream_name) >= list_categories.first
        AND NOT (list_categories.is_after AND message_store.category(m.stream_name) = list_categories.first)
    ORDER BY message_store.category(m.stream_name), m.global_position
    LIMIT 1;

    WHILE _count < list_categories.max_count LOOP
        EXIT WHEN _name IS NULL;

        RETURN QUERY
            SELECT _name, m.global_position, m.time
            FROM message_store.messages AS m
            WHERE message_store.category(m.stream_name) = ANY (ARRAY[_name])
                AND NOT EXISTS (
                    SELECT FROM messagedb.node_categories AS n
                    WHERE n.category = pg_catalog.split_part(_name, ':', 1) AND n.state <> 'closed'
                )
            ORDER BY message_store.category(m.stream_name) DESC, m.global_position DESC
            LIMIT 1;
        IF FOUND THEN
            _count := _count + 1;
        END IF;

        SELECT message_store.category(m.stream_name)
        INTO _name
        FROM message_store.messages AS m
        WHERE message_store.category(m.stream_name) > _name
        ORDER BY message_store.category(m.stream_name), m.global_position
        LIMIT 1;
    END LOOP;
END
$messagedb$;

-- The streams of a category that begin with a prefix, after one, up to a name that sorts after all of them.
CREATE OR REPLACE FUNCTION messagedb.list_streams(
    prefix varchar, first varchar, max_count bigint, without_id varchar, last varchar
)
    RETURNS TABLE (found varchar, last_version bigint, last_position bigint, last_time timestamp)
    LANGUAGE plpgsql STABLE
    SET enable_sort = off
AS $messagedb$
DECLARE
    _name varchar := list_streams.first;
    _count bigint := 0;
BEGIN
    PERFORM messagedb.check_node_read(list_streams.prefix);

    IF list_streams.without_id > list_streams.first AND list_streams.max_count > 0 THEN
        RETURN QUERY
            SELECT m.stream_name::varchar, m.position, m.global_position, m.time
            FROM message_store.messages AS m
            WHERE m.stream_name = list_streams.without_id
            ORDER BY m.stream_name DESC, m.position DESC
            LIMIT 1;
        IF FOUND THEN
            _count := 1;
        END IF;
    END IF;

    WHILE _count < list_streams.max_count LOOP
        SELECT m.stream_name
        INTO _name
        FROM message_store.messages AS m
        WHERE m.stream_name > _name AND m.stream_name >= list_streams.prefix AND m.stream_name <= list_streams.last
        ORDER BY m.stream_name, m.position
        LIMIT 1;

        EXIT WHEN _name IS NULL;

        -- Other names may be in this range, in the order of some collations.
        IF starts_with(_name, list_streams.prefix) THEN
            RETURN QUERY
                SELECT _name, m.position, m.global_position, m.time
                FROM message_store.messages AS m
                WHERE m.stream_name = _name
                ORDER BY m.stream_name DESC, m.position DESC
                LIMIT 1;
            _count := _count + 1;
        END IF;
    END LOOP;
END
$messagedb$;

-- Reads backwards, for which Message DB has no function. A condition needs the setting that allows it there.
CREATE OR REPLACE FUNCTION messagedb.get_stream_messages_backwards(
    of_stream varchar, first bigint, max_count bigint, condition varchar
)
    RETURNS TABLE (
        id varchar, stream_name varchar, type varchar, "position" bigint, global_position bigint,
        data varchar, metadata varchar, "time" timestamp
    )
    LANGUAGE plpgsql STABLE
    SET enable_sort = off
AS $messagedb$
BEGIN
    IF condition IS NOT NULL AND coalesce(current_setting('message_store.sql_condition', true), 'off') = 'off' THEN
        RAISE EXCEPTION 'Retrieval with SQL condition is not activated';
    END IF;

    PERFORM messagedb.check_node_read(get_stream_messages_backwards.of_stream);

    RETURN QUERY EXECUTE '
        SELECT m.id::varchar, m.stream_name::varchar, m.type::varchar, m.position, m.global_position,
            m.data::varchar, m.metadata::varchar, m.time
        FROM (SELECT * FROM message_store.messages
              WHERE stream_name = $1 AND position <= $2 AND (' || coalesce(condition, 'true') || ')
              ORDER BY position DESC LIMIT nullif($3, -1)) AS m'
        USING of_stream, first, max_count;
END
$messagedb$;

CREATE OR REPLACE FUNCTION messagedb.get_category_messages_backwards(
    category varchar, first bigint, max_count bigint, correlation varchar, member bigint, size bigint,
    condition varchar
)
    RETURNS TABLE (
        id varchar, stream_name varchar, type varchar, "position" bigint, global_position bigint,
        data varchar, metadata varchar, "time" timestamp
    )
    LANGUAGE plpgsql STABLE
    SET enable_sort = off
AS $messagedb$
BEGIN
    IF condition IS NOT NULL AND coalesce(current_setting('message_store.sql_condition', true), 'off') = 'off' THEN
        RAISE EXCEPTION 'Retrieval with SQL condition is not activated';
    END IF;

    PERFORM messagedb.check_node_read(get_category_messages_backwards.category);

    RETURN QUERY EXECUTE '
        SELECT m.id::varchar, m.stream_name::varchar, m.type::varchar, m.position, m.global_position,
            m.data::varchar, m.metadata::varchar, m.time
        FROM (SELECT * FROM message_store.messages
              WHERE message_store.category(stream_name) = ANY (ARRAY[$1])
                AND global_position <= $2
                AND ($4 IS NULL OR message_store.category(metadata->>''correlationStreamName'') = $4)
                AND CASE WHEN $6 IS NULL THEN true
                         WHEN stream_name = $1 THEN false
                         ELSE mod(@ message_store.hash_64(message_store.cardinal_id(stream_name)), $6) = $5 END
                AND (' || coalesce(condition, 'true') || ')
              ORDER BY message_store.category(stream_name) DESC, global_position DESC
              LIMIT nullif($3, -1)) AS m'
        USING category, first, max_count, correlation, member, size;
END
$messagedb$;

-- What a list of consumers is made of: the categories of position streams, the last record of each of these streams,
-- and the numbers of parked messages, as in the client's own queries.
CREATE OR REPLACE FUNCTION messagedb.list_position_categories() RETURNS SETOF varchar
    LANGUAGE plpgsql STABLE
    SET enable_sort = off
AS $messagedb$
DECLARE
    _name varchar;
BEGIN
    SELECT message_store.category(m.stream_name)
    INTO _name
    FROM message_store.messages AS m
    ORDER BY message_store.category(m.stream_name), m.global_position
    LIMIT 1;

    WHILE _name IS NOT NULL LOOP
        IF _name ~ '^[^:]*:([^+]*[+])*position([+]|$)' THEN
            RETURN NEXT _name;
        END IF;

        SELECT message_store.category(m.stream_name)
        INTO _name
        FROM message_store.messages AS m
        WHERE message_store.category(m.stream_name) > _name
        ORDER BY message_store.category(m.stream_name), m.global_position
        LIMIT 1;
    END LOOP;
END
$messagedb$;

CREATE OR REPLACE FUNCTION messagedb.list_last_records(categories varchar[])
    RETURNS TABLE (
        id varchar, stream_name varchar, type varchar, "position" bigint, global_position bigint,
        data varchar, metadata varchar, "time" timestamp
    )
    LANGUAGE plpgsql STABLE
    SET enable_sort = off
AS $messagedb$
BEGIN
    RETURN QUERY
        SELECT
            m.id::varchar, m.stream_name::varchar, m.type::varchar, m.position, m.global_position,
            m.data::varchar, m.metadata::varchar, m.time
        FROM (
            SELECT DISTINCT p.stream_name
            FROM unnest(list_last_records.categories) AS c (name) CROSS JOIN LATERAL (
                SELECT o.stream_name FROM message_store.messages AS o
                WHERE message_store.category(o.stream_name) = ANY (ARRAY[c.name])
            ) AS p
        ) AS s
        CROSS JOIN LATERAL (
            SELECT * FROM message_store.messages AS o
            WHERE o.stream_name = s.stream_name ORDER BY o.position DESC LIMIT 1
        ) AS m;
END
$messagedb$;

CREATE OR REPLACE FUNCTION messagedb.count_parked(of_stream varchar)
    RETURNS TABLE (parked bigint, held_streams bigint, held bigint)
    LANGUAGE plpgsql STABLE
AS $messagedb$
BEGIN
    PERFORM messagedb.check_node_read(count_parked.of_stream);

    RETURN QUERY
        SELECT
            coalesce(sum(s.parked), 0)::bigint,
            count(*) FILTER (WHERE s.held > 0),
            coalesce(sum(s.held) FILTER (WHERE s.held > 0), 0)::bigint
        FROM (
            SELECT sum(r.change) AS parked, sum(r.change) FILTER (WHERE r.holds) AS held
            FROM (
                SELECT
                    CASE WHEN m.type = 'Parked' THEN 1 ELSE -1 END AS change,
                    m.data ->> 'streamName' AS name,
                    coalesce(m.data ->> 'holdsStream' = 'true', false) AS holds
                FROM message_store.messages AS m
                WHERE m.stream_name = count_parked.of_stream AND m.type IN ('Parked', 'Replayed', 'Discarded')
            ) AS r
            GROUP BY r.name
        ) AS s;
END
$messagedb$;

-- The places of ids that are stored. Not in the function below: its settings would be those of the table's triggers.
CREATE OR REPLACE FUNCTION messagedb.find_messages(ids uuid[])
    RETURNS TABLE (id varchar, found_stream varchar, found_position bigint)
    LANGUAGE plpgsql VOLATILE
    SET enable_seqscan = off
AS $messagedb$
BEGIN
    RETURN QUERY
        SELECT m.id::varchar, m.stream_name::varchar, m.position
        FROM message_store.messages AS m
        WHERE m.id OPERATOR(pg_catalog.=) ANY (find_messages.ids);
END
$messagedb$;

-- All messages of a batch or none, in one call, with the rules of the client: an id that is stored in the stream has
-- its position, and every other message the version that it expects. It raises no error where it writes nothing: the
-- version and the stored ids that it returns are the reason.
CREATE OR REPLACE FUNCTION messagedb.write_messages(
    stream_name varchar,
    -- An array of objects: i (id), t (type), d (data), m (metadata).
    messages jsonb,
    -- NULL: any. -2: the stream exists.
    expected_version bigint DEFAULT NULL,
    -- Whether to write nothing if some of the messages are stored and others are not.
    is_whole boolean DEFAULT false
) RETURNS TABLE (version bigint, written bigint, id varchar, found_stream varchar, found_position bigint)
    LANGUAGE plpgsql VOLATILE
AS $messagedb$
DECLARE
    _ids uuid[];
    _found uuid[];
    -- The same as keys, which are looked up faster than the elements of an array.
    _keys jsonb;
    _elsewhere boolean;
    _expected bigint;
    -- The position of each message that is to be written, and -1 for one that is stored.
    _positions bigint[] := '{}';
    _version bigint;
    _next bigint;
    _written bigint := 0;
    _index int;
BEGIN
    IF pg_catalog.current_setting('transaction_isolation')
        <> ALL (ARRAY['read committed', 'read uncommitted'])
    THEN
        RAISE EXCEPTION 'writes need READ COMMITTED';
    END IF;

    PERFORM messagedb.check_node_category(write_messages.stream_name);

    PERFORM pg_catalog.pg_advisory_xact_lock(
        message_store.hash_64(message_store.category(write_messages.stream_name))
    );

    SELECT pg_catalog.array_agg((e ->> 'i')::uuid ORDER BY n)
    INTO _ids
    FROM pg_catalog.jsonb_array_elements(write_messages.messages) WITH ORDINALITY AS element (e, n);

    _version := coalesce(message_store.stream_version(write_messages.stream_name), -1);

    SELECT
        pg_catalog.array_agg(f.id::uuid),
        pg_catalog.jsonb_object_agg(f.id, 1),
        pg_catalog.bool_or(f.found_stream <> write_messages.stream_name)
    INTO _found, _keys, _elsewhere
    FROM messagedb.find_messages(_ids) AS f;

    _next := _version;

    FOR _index IN 1 .. coalesce(pg_catalog.cardinality(_ids), 0) LOOP
        IF _keys ? _ids[_index]::text THEN
            _positions[_index] := -1;
            CONTINUE;
        END IF;

        _expected := write_messages.expected_version
            + CASE WHEN write_messages.expected_version = -2 THEN 0 ELSE _index - 1 END;

        IF _expected <> _next AND NOT (_expected = -2 AND _next >= 0) THEN
            _written := -1;
            EXIT;
        END IF;

        _next := _next + 1;
        _positions[_index] := _next;
    END LOOP;

    IF _written = 0
        AND _next > _version
        AND _elsewhere IS NOT TRUE
        AND NOT (coalesce(write_messages.is_whole, false) AND _found IS NOT NULL)
    THEN
        INSERT INTO message_store.messages (id, stream_name, position, type, data, metadata)
        SELECT
            (e ->> 'i')::uuid,
            write_messages.stream_name,
            _positions[n],
            e ->> 't',
            nullif(e -> 'd', 'null'::jsonb),
            nullif(e -> 'm', 'null'::jsonb)
        FROM pg_catalog.jsonb_array_elements(write_messages.messages) WITH ORDINALITY AS element (e, n)
        WHERE _positions[n] >= 0;

        _written := _next - _version;
    END IF;

    RETURN QUERY
        SELECT _version, greatest(_written, 0), f.id, f.found_stream, f.found_position
        FROM (VALUES (1)) AS one
        LEFT JOIN messagedb.find_messages(_found) AS f ON true;
END
$messagedb$;

-- == Moves of categories between nodes ==
-- The categories of a node that are not used there as they are: a copy that is made ('incoming'), the original at the
-- end of its move ('closed'), and a copy that is no longer used ('retired'). Nothing is written to any of them.
CREATE TABLE IF NOT EXISTS messagedb.node_categories (
    category text PRIMARY KEY,
    state text NOT NULL,
    since timestamp with time zone NOT NULL DEFAULT now()
);

GRANT SELECT, INSERT, UPDATE, DELETE ON TABLE messagedb.node_categories TO message_store;

-- A write holds this lock until it is committed, so that a change of the state waits for it, and a later write sees
-- the state, whatever the proxying database knew when it sent the write.
CREATE OR REPLACE FUNCTION messagedb.check_node_category(stream_name varchar) RETURNS void
    LANGUAGE plpgsql VOLATILE
AS $messagedb$
DECLARE
    _category varchar := pg_catalog.split_part(message_store.category(check_node_category.stream_name), ':', 1);
    _state text;
BEGIN
    PERFORM pg_catalog.pg_advisory_xact_lock_shared(1835295859, (message_store.hash_64(_category) >> 32)::int);

    SELECT n.state INTO _state FROM messagedb.node_categories AS n WHERE n.category = _category;

    -- The map of the proxying database changes before a category is retired.
    IF _state = 'retired' THEN
        RAISE EXCEPTION 'category % was moved to another node, and the map that sent this here is old', _category;
    END IF;

    IF FOUND THEN
        RAISE EXCEPTION 'category % is being moved to another node', _category USING ERRCODE = 'object_in_use';
    END IF;
END
$messagedb$;

CREATE OR REPLACE FUNCTION messagedb.node_write_message(
    id varchar,
    stream_name varchar,
    type varchar,
    data jsonb,
    metadata jsonb,
    expected_version bigint
) RETURNS bigint
    LANGUAGE plpgsql VOLATILE
AS $messagedb$
BEGIN
    PERFORM messagedb.check_node_category(node_write_message.stream_name);

    RETURN message_store.write_message(
        node_write_message.id,
        node_write_message.stream_name,
        node_write_message.type,
        node_write_message.data,
        node_write_message.metadata,
        node_write_message.expected_version
    );
END
$messagedb$;

-- An original that is no longer used is not read; but a read by the map before the move may come a moment later.
CREATE OR REPLACE FUNCTION messagedb.check_node_read(stream_name varchar) RETURNS void
    LANGUAGE plpgsql STABLE
AS $messagedb$
DECLARE
    _category varchar := pg_catalog.split_part(message_store.category(check_node_read.stream_name), ':', 1);
BEGIN
    IF EXISTS (
        SELECT FROM messagedb.node_categories AS n
        WHERE n.category = _category AND n.state = 'retired' AND n.since < now() - interval '1 minute'
    ) THEN
        RAISE EXCEPTION 'category % was moved to another node, and the map that sent this here is old', _category;
    END IF;
END
$messagedb$;

CREATE OR REPLACE FUNCTION messagedb.node_stream_version(stream_name varchar) RETURNS bigint
    LANGUAGE plpgsql STABLE
AS $messagedb$
BEGIN
    PERFORM messagedb.check_node_read(node_stream_version.stream_name);

    RETURN message_store.stream_version(node_stream_version.stream_name);
END
$messagedb$;

CREATE OR REPLACE FUNCTION messagedb.node_get_stream_messages(
    of_stream varchar, first bigint, max_count bigint, condition varchar
)
    RETURNS TABLE (
        id varchar, stream_name varchar, type varchar, "position" bigint, global_position bigint,
        data varchar, metadata varchar, "time" timestamp
    )
    LANGUAGE plpgsql STABLE
AS $messagedb$
BEGIN
    PERFORM messagedb.check_node_read($1);

    RETURN QUERY SELECT * FROM message_store.get_stream_messages($1, $2, $3, $4);
END
$messagedb$;

CREATE OR REPLACE FUNCTION messagedb.node_get_category_messages(
    category varchar, first bigint, max_count bigint, correlation varchar, member bigint, size bigint,
    condition varchar
)
    RETURNS TABLE (
        id varchar, stream_name varchar, type varchar, "position" bigint, global_position bigint,
        data varchar, metadata varchar, "time" timestamp
    )
    LANGUAGE plpgsql STABLE
AS $messagedb$
BEGIN
    PERFORM messagedb.check_node_read($1);

    RETURN QUERY SELECT * FROM message_store.get_category_messages($1, $2, $3, $4, $5, $6, $7);
END
$messagedb$;

CREATE OR REPLACE FUNCTION messagedb.node_get_last_stream_message(of_stream varchar, of_type varchar)
    RETURNS TABLE (
        id varchar, stream_name varchar, type varchar, "position" bigint, global_position bigint,
        data varchar, metadata varchar, "time" timestamp
    )
    LANGUAGE plpgsql STABLE
AS $messagedb$
BEGIN
    PERFORM messagedb.check_node_read($1);

    RETURN QUERY SELECT * FROM message_store.get_last_stream_message($1, $2);
END
$messagedb$;

-- After the writes in flight. NULL: the category is used again.
CREATE OR REPLACE FUNCTION messagedb.set_node_category(category varchar, state varchar) RETURNS varchar
    LANGUAGE plpgsql VOLATILE
AS $messagedb$
BEGIN
    PERFORM pg_catalog.pg_advisory_xact_lock(
        1835295859, (message_store.hash_64(set_node_category.category) >> 32)::int
    );

    IF set_node_category.state IS NULL THEN
        DELETE FROM messagedb.node_categories AS n WHERE n.category = set_node_category.category;
    ELSE
        INSERT INTO messagedb.node_categories AS n (category, state)
        VALUES (set_node_category.category, set_node_category.state)
        ON CONFLICT ON CONSTRAINT node_categories_pkey DO UPDATE SET state = excluded.state, since = now();
    END IF;

    RETURN set_node_category.state;
END
$messagedb$;

-- A category with its types as they are now, and its last message. Every message up to it is committed, as the writes
-- in flight are waited for.
CREATE OR REPLACE FUNCTION messagedb.mark_node_category(category varchar)
    RETURNS TABLE (categories varchar[], head bigint, head_id varchar, state varchar)
    LANGUAGE plpgsql VOLATILE
    SET jit = off
AS $messagedb$
DECLARE
    _name varchar;
BEGIN
    PERFORM pg_catalog.pg_advisory_xact_lock(
        1835295859, (message_store.hash_64(mark_node_category.category) >> 32)::int
    );

    categories := '{}';
    head := 0;
    _name := '';

    LOOP
        SELECT message_store.category(m.stream_name)
        INTO _name
        FROM message_store.messages AS m
        WHERE message_store.category(m.stream_name) > _name
        ORDER BY message_store.category(m.stream_name), m.global_position
        LIMIT 1;

        EXIT WHEN _name IS NULL;

        IF pg_catalog.split_part(_name, ':', 1) = mark_node_category.category THEN
            categories := categories || _name;
        END IF;
    END LOOP;

    SELECT last.global_position, last.id
    INTO head, head_id
    FROM pg_catalog.unnest(categories) AS c (name), LATERAL (
        SELECT m.global_position, m.id::varchar AS id
        FROM message_store.messages AS m
        WHERE message_store.category(m.stream_name) = c.name
        ORDER BY message_store.category(m.stream_name) DESC, m.global_position DESC
        LIMIT 1
    ) AS last
    ORDER BY last.global_position DESC
    LIMIT 1;

    head := coalesce(head, 0);
    state := (SELECT n.state FROM messagedb.node_categories AS n WHERE n.category = mark_node_category.category);

    RETURN NEXT;
END
$messagedb$;

-- A page of messages in the order of their global positions: up to max_count, and about 8 MB.
CREATE OR REPLACE FUNCTION messagedb.export_messages(
    categories varchar[], after bigint, upto bigint, max_count bigint
)
    RETURNS TABLE (
        id uuid, stream_name varchar, "position" bigint, type varchar, data varchar, metadata varchar,
        "time" timestamp, global_position bigint
    )
    LANGUAGE plpgsql STABLE
    SET jit = off
AS $messagedb$
BEGIN
    RETURN QUERY
        WITH page AS (
            SELECT
                m.id, m.stream_name::varchar AS stream_name, m.position, m.type::varchar AS type,
                m.data::varchar AS data, m.metadata::varchar AS metadata, m.time, m.global_position
            FROM pg_catalog.unnest(export_messages.categories) AS c (name), LATERAL (
                SELECT *
                FROM message_store.messages AS one
                WHERE message_store.category(one.stream_name) = c.name
                    AND one.global_position > export_messages.after
                    AND one.global_position <= export_messages.upto
                ORDER BY message_store.category(one.stream_name), one.global_position
                LIMIT export_messages.max_count
            ) AS m
            ORDER BY m.global_position
            LIMIT export_messages.max_count
        ), sized AS (
            SELECT p.*, pg_catalog.sum(pg_catalog.octet_length(concat(p.data, p.metadata))) OVER (
                ORDER BY p.global_position ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING
            ) AS size_before
            FROM page AS p
        )
        SELECT s.id, s.stream_name, s.position, s.type, s.data, s.metadata, s.time, s.global_position
        FROM sized AS s
        WHERE coalesce(s.size_before, 0) < 8000000
        ORDER BY s.global_position;
END
$messagedb$;

-- Stores a page, and returns how many of its messages are stored as they are given. Messages that are there stay.
CREATE OR REPLACE FUNCTION messagedb.import_messages(
    ids uuid[], stream_names varchar[], positions bigint[], types varchar[], data varchar[], metadata varchar[],
    times timestamp[]
) RETURNS bigint
    LANGUAGE plpgsql VOLATILE
    SET jit = off
AS $messagedb$
BEGIN
    INSERT INTO message_store.messages (id, stream_name, position, type, data, metadata, time)
    SELECT g.id, g.stream_name, g.position, g.type, g.data::jsonb, g.metadata::jsonb, g.time
    FROM unnest(ids, stream_names, positions, types, import_messages.data, import_messages.metadata, times)
        WITH ORDINALITY AS g (id, stream_name, position, type, data, metadata, time, n)
    WHERE NOT EXISTS (SELECT FROM message_store.messages AS m WHERE m.id = g.id)
    ORDER BY g.n;

    RETURN (
        SELECT pg_catalog.count(*)
        FROM unnest(ids, stream_names, positions, types, import_messages.data, import_messages.metadata, times)
            AS g (id, stream_name, position, type, data, metadata, time)
        JOIN message_store.messages AS m ON m.id = g.id
        WHERE m.stream_name = g.stream_name
            AND m.position = g.position
            AND m.type = g.type
            AND m.time = g.time
            AND m.data IS NOT DISTINCT FROM g.data::jsonb
            AND m.metadata IS NOT DISTINCT FROM g.metadata::jsonb
    );
END
$messagedb$;

-- The number of messages, and a sum over their ids, streams and positions, which is the same on another server.
CREATE OR REPLACE FUNCTION messagedb.digest_messages(categories varchar[], after bigint, upto bigint)
    RETURNS TABLE (messages bigint, digest varchar)
    LANGUAGE plpgsql STABLE
    SET jit = off
AS $messagedb$
BEGIN
    RETURN QUERY
    SELECT
        pg_catalog.count(*),
        coalesce(pg_catalog.sum(
            message_store.hash_64(concat_ws(' ', m.id, m.stream_name, m.position)::varchar)::numeric
        ), 0)::varchar
    FROM message_store.messages AS m
    WHERE message_store.category(m.stream_name) = ANY (digest_messages.categories)
        AND m.global_position > digest_messages.after
        AND m.global_position <= digest_messages.upto;
END
$messagedb$;

-- The last message of each stream of some categories, of which the positions of consumers are.
CREATE OR REPLACE FUNCTION messagedb.list_last_messages(categories varchar[])
    RETURNS TABLE (stream_name varchar, "position" bigint, type varchar, data varchar)
    LANGUAGE plpgsql STABLE
    SET jit = off
AS $messagedb$
BEGIN
    RETURN QUERY
        SELECT m.stream_name::varchar, m.position, m.type::varchar, m.data::varchar
        FROM (
            SELECT DISTINCT one.stream_name
            FROM message_store.messages AS one
            WHERE message_store.category(one.stream_name) = ANY (list_last_messages.categories)
        ) AS s, LATERAL (
            SELECT last.*
            FROM message_store.messages AS last
            WHERE last.stream_name = s.stream_name
            ORDER BY last.position DESC
            LIMIT 1
        ) AS m;
END
$messagedb$;

-- For each global position, the last message at or before it.
CREATE OR REPLACE FUNCTION messagedb.find_messages_before(categories varchar[], positions bigint[])
    RETURNS TABLE (given bigint, id varchar, found bigint)
    LANGUAGE plpgsql STABLE
    SET jit = off
AS $messagedb$
BEGIN
    RETURN QUERY
        SELECT p.given, m.id::varchar, m.global_position
        FROM pg_catalog.unnest(find_messages_before.positions) AS p (given), LATERAL (
            SELECT one.id, one.global_position
            FROM pg_catalog.unnest(find_messages_before.categories) AS c (name), LATERAL (
                SELECT last.id, last.global_position
                FROM message_store.messages AS last
                WHERE message_store.category(last.stream_name) = c.name
                    AND last.global_position <= p.given
                ORDER BY message_store.category(last.stream_name) DESC, last.global_position DESC
                LIMIT 1
            ) AS one
            ORDER BY one.global_position DESC
            LIMIT 1
        ) AS m;
END
$messagedb$;

-- The global positions of messages that a category has.
CREATE OR REPLACE FUNCTION messagedb.find_global_positions(category varchar, ids uuid[])
    RETURNS TABLE (id varchar, found bigint)
    LANGUAGE plpgsql STABLE
AS $messagedb$
BEGIN
    RETURN QUERY
    SELECT m.id::varchar, m.global_position
    FROM message_store.messages AS m
    WHERE m.id = ANY (find_global_positions.ids)
        AND pg_catalog.split_part(message_store.category(m.stream_name), ':', 1) = find_global_positions.category;
END
$messagedb$;

-- == Pages through a proxying database ==
-- The rows of a query, each as a JSON array: pages of the UI have the same queries for one server and for a node. It
-- gives no more than what the caller may read: the transaction, which is the call, only reads from here on, and a
-- second statement is refused, as it has no cursor.
CREATE OR REPLACE FUNCTION messagedb.read_rows(query varchar, nested_loops boolean) RETURNS SETOF varchar
    LANGUAGE plpgsql STABLE
    SET jit = off
AS $messagedb$
BEGIN
    PERFORM pg_catalog.set_config('transaction_read_only', 'on', true);

    IF NOT read_rows.nested_loops THEN
        PERFORM pg_catalog.set_config('enable_nestloop', 'off', true);
    END IF;

    RETURN QUERY EXECUTE pg_catalog.concat(
        'SELECT (SELECT pg_catalog.json_agg(v.value ORDER BY v.ordinality) FROM pg_catalog.json_each('
        'pg_catalog.row_to_json(r)) WITH ORDINALITY AS v)::varchar FROM (', read_rows.query, E'\n) AS r'
    );
END
$messagedb$;

-- The same for a node that is found by a stream or a category.
CREATE OR REPLACE FUNCTION messagedb.read_node_rows(of_stream varchar, query varchar, nested_loops boolean)
    RETURNS SETOF varchar
    LANGUAGE plpgsql STABLE
    SET jit = off
AS $messagedb$
BEGIN
    PERFORM messagedb.check_node_read(read_node_rows.of_stream);

    RETURN QUERY SELECT r FROM messagedb.read_rows(read_node_rows.query, read_node_rows.nested_loops) AS r;
END
$messagedb$;

INSERT INTO messagedb.schema_version (version) VALUES (3) ON CONFLICT DO NOTHING;
