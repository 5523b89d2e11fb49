-- The proxying database: Message DB's functions, each passed on by PL/Proxy to the node that has the category, and
-- the map of that. It is run again by an upgrade: each statement leaves what is there.
CREATE TABLE IF NOT EXISTS messagedb.proxy_map (
    only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    -- What the nodes know this database by.
    proxy uuid NOT NULL DEFAULT gen_random_uuid(),
    -- One more with each change of the tables below.
    version bigint NOT NULL DEFAULT 1
);

-- The address has no password and no user: they are in the user mapping, which only its owner may read.
CREATE TABLE IF NOT EXISTS messagedb.proxy_nodes (
    node int PRIMARY KEY CHECK (node >= 0),
    name text NOT NULL UNIQUE,
    address text NOT NULL
);

CREATE TABLE IF NOT EXISTS messagedb.proxy_slots (
    slot int PRIMARY KEY CHECK (slot BETWEEN 0 AND 1023),
    node int NOT NULL REFERENCES messagedb.proxy_nodes
);

-- The categories that are not where the slot says: moved, or there before the slot was given to another node.
CREATE TABLE IF NOT EXISTS messagedb.proxy_categories (
    category text PRIMARY KEY,
    node int NOT NULL REFERENCES messagedb.proxy_nodes,
    -- 'placed', or the step of a move: 'copying', 'closed' (no writes), 'settling' (on the new node, no writes yet).
    state text NOT NULL DEFAULT 'placed',
    target int REFERENCES messagedb.proxy_nodes
);

GRANT SELECT ON TABLE
    messagedb.proxy_map, messagedb.proxy_nodes, messagedb.proxy_slots, messagedb.proxy_categories
TO message_store;

-- What is placed together: a category with all of its types, so that positions, commands, snapshots and parked
-- messages are beside the messages that they belong to.
CREATE OR REPLACE FUNCTION messagedb.proxy_category(stream_name varchar) RETURNS varchar
    LANGUAGE sql IMMUTABLE
    RETURN split_part(split_part(stream_name, '-', 1), ':', 1);

-- plpgsql keeps its plan for the session: a function in SQL would be planned by each call of PL/Proxy's.
CREATE OR REPLACE FUNCTION messagedb.proxy_node(stream_name varchar) RETURNS int
    LANGUAGE plpgsql STABLE
AS $messagedb$
DECLARE
    _category varchar := messagedb.proxy_category(proxy_node.stream_name);
    _node int;
    _state text;
BEGIN
    SELECT c.node, c.state INTO _node, _state FROM messagedb.proxy_categories AS c WHERE c.category = _category;

    -- The category is on its new node, and the positions of its consumers are not yet those of that node.
    IF _state = 'settling' AND proxy_node.stream_name ~ '^[^-:]*:([^-+]*[+])*position([-+]|$)' THEN
        RAISE EXCEPTION 'category % is being moved to another node: finish it (messagedb proxy move)', _category
            USING ERRCODE = 'object_in_use';
    END IF;

    IF _node IS NULL THEN
        SELECT s.node INTO _node FROM messagedb.proxy_slots AS s
        WHERE s.slot = (@schema@.hash_64(coalesce(_category, '')) & 1023)::int;
    END IF;

    IF _node IS NULL THEN
        RAISE EXCEPTION 'no node has category %: the map of the nodes is not complete', _category;
    END IF;

    RETURN _node;
END
$messagedb$;

-- The session that reads decides about conditions, as it does elsewhere: the nodes allow them.
CREATE OR REPLACE FUNCTION messagedb.proxy_node_to_read(stream_name varchar, condition varchar) RETURNS int
    LANGUAGE plpgsql STABLE
AS $messagedb$
BEGIN
    IF proxy_node_to_read.condition IS NOT NULL
        AND coalesce(current_setting('message_store.sql_condition', true), 'off') = 'off'
    THEN
        RAISE EXCEPTION 'Retrieval with SQL condition is not activated';
    END IF;

    RETURN messagedb.proxy_node(proxy_node_to_read.stream_name);
END
$messagedb$;

-- A change of the map holds one of these locks exclusively: (…58, 2) for all of it, (…59, hash of the category)
-- for one category. The map is read with a snapshot that is newer than the lock.
CREATE OR REPLACE FUNCTION messagedb.proxy_node_to_write(stream_name varchar) RETURNS int
    LANGUAGE plpgsql VOLATILE
AS $messagedb$
BEGIN
    PERFORM
        pg_advisory_xact_lock_shared(1835295858, 2),
        pg_advisory_xact_lock_shared(
            1835295859,
            (@schema@.hash_64(messagedb.proxy_category(proxy_node_to_write.stream_name)) >> 32)::int
        );

    IF EXISTS (
        SELECT FROM messagedb.proxy_categories AS c
        WHERE c.category = messagedb.proxy_category(proxy_node_to_write.stream_name)
            AND c.state IN ('closed', 'settling')
    ) THEN
        RAISE EXCEPTION 'category % is being moved to another node: finish it (messagedb proxy move)',
            messagedb.proxy_category(proxy_node_to_write.stream_name)
            USING ERRCODE = 'object_in_use';
    END IF;

    RETURN messagedb.proxy_node(proxy_node_to_write.stream_name);
END
$messagedb$;

CREATE OR REPLACE FUNCTION @schema@.message_store_version() RETURNS varchar
    LANGUAGE sql IMMUTABLE
    RETURN '1.3.0'::varchar;

COMMENT ON FUNCTION @schema@.message_store_version() IS 'messagedb proxy revision 1';

-- A lock on a node would end with the call.
CREATE OR REPLACE FUNCTION @schema@.acquire_lock(stream_name varchar) RETURNS bigint
    LANGUAGE plpgsql VOLATILE
AS $messagedb$
BEGIN
    RAISE EXCEPTION 'acquire_lock is not there through PL/Proxy: each call is a transaction on its node'
        USING ERRCODE = 'feature_not_supported';
END
$messagedb$;

CREATE OR REPLACE FUNCTION @schema@.stream_version(stream_name varchar) RETURNS bigint
    LANGUAGE plproxy
AS $messagedb$
    CLUSTER 'messagedb'; RUN ON messagedb.proxy_node(stream_name); TARGET messagedb.node_stream_version;
$messagedb$;

CREATE OR REPLACE FUNCTION @schema@.write_message(
    id varchar,
    stream_name varchar,
    type varchar,
    data jsonb,
    metadata jsonb DEFAULT NULL,
    expected_version bigint DEFAULT NULL
) RETURNS bigint
    LANGUAGE plproxy
AS $messagedb$
    CLUSTER 'messagedb';
    RUN ON messagedb.proxy_node_to_write(stream_name);
    TARGET messagedb.node_write_message;
$messagedb$;

CREATE OR REPLACE FUNCTION @schema@.get_stream_messages(
    stream_name varchar,
    "position" bigint DEFAULT 0,
    batch_size bigint DEFAULT 1000,
    condition varchar DEFAULT NULL
) RETURNS SETOF @schema@.message
    LANGUAGE plproxy
AS $messagedb$
    CLUSTER 'messagedb';
    RUN ON messagedb.proxy_node_to_read(stream_name, condition);
    TARGET messagedb.node_get_stream_messages;
$messagedb$;

CREATE OR REPLACE FUNCTION @schema@.get_category_messages(
    category varchar,
    "position" bigint DEFAULT 1,
    batch_size bigint DEFAULT 1000,
    correlation varchar DEFAULT NULL,
    consumer_group_member bigint DEFAULT NULL,
    consumer_group_size bigint DEFAULT NULL,
    condition varchar DEFAULT NULL
) RETURNS SETOF @schema@.message
    LANGUAGE plproxy
AS $messagedb$
    CLUSTER 'messagedb';
    RUN ON messagedb.proxy_node_to_read(category, condition);
    TARGET messagedb.node_get_category_messages;
$messagedb$;

CREATE OR REPLACE FUNCTION @schema@.get_last_stream_message(
    stream_name varchar,
    type varchar DEFAULT NULL
) RETURNS SETOF @schema@.message
    LANGUAGE plproxy
AS $messagedb$
    CLUSTER 'messagedb';
    RUN ON messagedb.proxy_node(stream_name);
    TARGET messagedb.node_get_last_stream_message;
$messagedb$;

CREATE OR REPLACE FUNCTION messagedb.proxy_write_messages(
    stream_name varchar,
    messages jsonb,
    expected_version bigint DEFAULT NULL,
    is_whole boolean DEFAULT false
) RETURNS TABLE (version bigint, written bigint, id varchar, found_stream varchar, found_position bigint)
    LANGUAGE plproxy
AS $messagedb$
    CLUSTER 'messagedb';
    RUN ON messagedb.proxy_node_to_write(stream_name);
    TARGET messagedb.write_messages;
$messagedb$;

CREATE OR REPLACE FUNCTION messagedb.proxy_find_messages(stream_name varchar, ids uuid[])
    RETURNS TABLE (id varchar, found_stream varchar, found_position bigint)
    LANGUAGE plproxy
AS $messagedb$
    CLUSTER 'messagedb';
    RUN ON messagedb.proxy_node(stream_name);
    SELECT f.id, f.found_stream, f.found_position FROM messagedb.find_messages(ids) AS f;
$messagedb$;

CREATE OR REPLACE FUNCTION messagedb.proxy_category_head(category varchar) RETURNS bigint
    LANGUAGE plproxy
AS $messagedb$
    CLUSTER 'messagedb';
    RUN ON messagedb.proxy_node(category);
    TARGET messagedb.category_head;
$messagedb$;

CREATE OR REPLACE FUNCTION messagedb.proxy_list_streams(
    prefix varchar, first varchar, max_count bigint, without_id varchar, last varchar
)
    RETURNS TABLE (found varchar, last_version bigint, last_position bigint, last_time timestamp)
    LANGUAGE plproxy
AS $messagedb$
    CLUSTER 'messagedb';
    RUN ON messagedb.proxy_node(prefix);
    TARGET messagedb.list_streams;
$messagedb$;

-- Each node has its own names: the caller puts them in order.
CREATE OR REPLACE FUNCTION messagedb.proxy_list_categories(first varchar, is_after boolean, max_count bigint)
    RETURNS TABLE (category varchar, last_position bigint, last_time timestamp)
    LANGUAGE plproxy
AS $messagedb$
    CLUSTER 'messagedb';
    RUN ON ALL;
    TARGET messagedb.list_categories;
$messagedb$;

CREATE OR REPLACE FUNCTION messagedb.proxy_get_stream_messages_backwards(
    of_stream varchar, first bigint, max_count bigint, condition varchar
) RETURNS SETOF @schema@.message
    LANGUAGE plproxy
AS $messagedb$
    CLUSTER 'messagedb';
    RUN ON messagedb.proxy_node_to_read(of_stream, condition);
    TARGET messagedb.get_stream_messages_backwards;
$messagedb$;

CREATE OR REPLACE FUNCTION messagedb.proxy_get_category_messages_backwards(
    category varchar, first bigint, max_count bigint, correlation varchar, member bigint, size bigint,
    condition varchar
) RETURNS SETOF @schema@.message
    LANGUAGE plproxy
AS $messagedb$
    CLUSTER 'messagedb';
    RUN ON messagedb.proxy_node_to_read(category, condition);
    TARGET messagedb.get_category_messages_backwards;
$messagedb$;

CREATE OR REPLACE FUNCTION messagedb.proxy_list_position_categories() RETURNS SETOF varchar
    LANGUAGE plproxy
AS $messagedb$
    CLUSTER 'messagedb';
    RUN ON ALL;
    TARGET messagedb.list_position_categories;
$messagedb$;

CREATE OR REPLACE FUNCTION messagedb.proxy_list_last_records(categories varchar[]) RETURNS SETOF @schema@.message
    LANGUAGE plproxy
AS $messagedb$
    CLUSTER 'messagedb';
    RUN ON ALL;
    TARGET messagedb.list_last_records;
$messagedb$;

CREATE OR REPLACE FUNCTION messagedb.proxy_count_parked(of_stream varchar)
    RETURNS TABLE (parked bigint, held_streams bigint, held bigint)
    LANGUAGE plproxy
AS $messagedb$
    CLUSTER 'messagedb';
    RUN ON messagedb.proxy_node(of_stream);
    TARGET messagedb.count_parked;
$messagedb$;

CREATE OR REPLACE FUNCTION messagedb.proxy_read_rows(of_stream varchar, query varchar, nested_loops boolean)
    RETURNS SETOF varchar
    LANGUAGE plproxy
AS $messagedb$
    CLUSTER 'messagedb';
    RUN ON messagedb.proxy_node(of_stream);
    SELECT f FROM messagedb.read_node_rows(of_stream, query, nested_loops) AS f;
$messagedb$;

CREATE OR REPLACE FUNCTION messagedb.proxy_read_rows_on(on_node int, query varchar, nested_loops boolean)
    RETURNS SETOF varchar
    LANGUAGE plproxy
AS $messagedb$
    CLUSTER 'messagedb';
    RUN ON on_node;
    SELECT f FROM messagedb.read_rows(query, nested_loops) AS f;
$messagedb$;

CREATE OR REPLACE FUNCTION messagedb.proxy_read_rows_of_all(query varchar, nested_loops boolean)
    RETURNS SETOF varchar
    LANGUAGE plproxy
AS $messagedb$
    CLUSTER 'messagedb';
    RUN ON ALL;
    SELECT f FROM messagedb.read_rows(query, nested_loops) AS f;
$messagedb$;

-- The facts about one node, for status and check.
CREATE OR REPLACE FUNCTION messagedb.proxy_node_facts(on_node int)
    RETURNS TABLE (
        database varchar, server varchar, message_store varchar, own_version int, proxy uuid, number int,
        map_version bigint, messages bigint, is_estimate boolean
    )
    LANGUAGE plproxy
AS $messagedb$
    CLUSTER 'messagedb';
    RUN ON on_node;
    SELECT
        current_database()::varchar AS database,
        current_setting('server_version')::varchar AS server,
        message_store.message_store_version()::varchar AS message_store,
        (SELECT max(v.version) FROM messagedb.schema_version AS v) AS own_version,
        (SELECT b.proxy FROM messagedb.proxied_by AS b) AS proxy,
        (SELECT b.node FROM messagedb.proxied_by AS b) AS number,
        (SELECT b.map_version FROM messagedb.proxied_by AS b) AS map_version,
        CASE WHEN c.reltuples > 1000000 THEN c.reltuples::bigint
            ELSE (SELECT count(*) FROM message_store.messages AS m) END AS messages,
        c.reltuples > 1000000 AS is_estimate
    FROM pg_class AS c WHERE c.oid = 'message_store.messages'::regclass;
$messagedb$;

-- The categories of one node, each without its types.
CREATE OR REPLACE FUNCTION messagedb.proxy_node_categories(on_node int) RETURNS SETOF varchar
    LANGUAGE plproxy
AS $messagedb$
    CLUSTER 'messagedb';
    RUN ON on_node;
    SELECT c FROM messagedb.list_placed_categories() AS c;
$messagedb$;

-- Recorded on each node after a change of the map.
CREATE OR REPLACE FUNCTION messagedb.proxy_note_version(map_version bigint) RETURNS SETOF bigint
    LANGUAGE plproxy
AS $messagedb$
    CLUSTER 'messagedb';
    RUN ON ALL;
    TARGET messagedb.note_map_version;
$messagedb$;

GRANT USAGE ON SCHEMA @schema@ TO message_store;

GRANT USAGE ON FOREIGN SERVER messagedb TO message_store;
