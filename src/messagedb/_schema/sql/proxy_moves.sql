-- What a move of a category needs in the proxying database: the functions of one node, by its number.
CREATE TABLE IF NOT EXISTS messagedb.proxy_moves (
    category text PRIMARY KEY REFERENCES messagedb.proxy_categories,
    source int NOT NULL REFERENCES messagedb.proxy_nodes,
    target int NOT NULL REFERENCES messagedb.proxy_nodes,
    started_at timestamp with time zone NOT NULL DEFAULT now(),
    -- Positions of consumers to be stored on the target after the switch: objects of s (stream), v (version) and
    -- d (data).
    records jsonb
);

GRANT SELECT ON TABLE messagedb.proxy_moves TO message_store;

CREATE OR REPLACE FUNCTION messagedb.proxy_set_node_category(on_node int, name varchar, new_state varchar)
    RETURNS varchar
    LANGUAGE plproxy
AS $messagedb$
    CLUSTER 'messagedb';
    RUN ON on_node;
    SELECT messagedb.set_node_category(name, new_state);
$messagedb$;

CREATE OR REPLACE FUNCTION messagedb.proxy_mark_node_category(on_node int, name varchar)
    RETURNS TABLE (categories varchar[], head bigint, head_id varchar, state varchar)
    LANGUAGE plproxy
AS $messagedb$
    CLUSTER 'messagedb';
    RUN ON on_node;
    SELECT m.categories, m.head, m.head_id, m.state FROM messagedb.mark_node_category(name) AS m;
$messagedb$;

CREATE OR REPLACE FUNCTION messagedb.proxy_export_messages(
    on_node int, names varchar[], lower_bound bigint, upper_bound bigint, page_size bigint
)
    RETURNS TABLE (
        id uuid, stream_name varchar, "position" bigint, type varchar, data varchar, metadata varchar,
        "time" timestamp, global_position bigint
    )
    LANGUAGE plproxy
AS $messagedb$
    CLUSTER 'messagedb';
    RUN ON on_node;
    SELECT e.id, e.stream_name, e.position, e.type, e.data, e.metadata, e.time, e.global_position
    FROM messagedb.export_messages(names, lower_bound, upper_bound, page_size) AS e;
$messagedb$;

CREATE OR REPLACE FUNCTION messagedb.proxy_import_messages(
    on_node int, ids uuid[], stream_names varchar[], positions bigint[], types varchar[], data varchar[],
    metadata varchar[], times timestamp[]
) RETURNS bigint
    LANGUAGE plproxy
AS $messagedb$
    CLUSTER 'messagedb';
    RUN ON on_node;
    SELECT messagedb.import_messages(ids, stream_names, positions, types, data, metadata, times);
$messagedb$;

CREATE OR REPLACE FUNCTION messagedb.proxy_digest_messages(
    on_node int, names varchar[], lower_bound bigint, upper_bound bigint
)
    RETURNS TABLE (messages bigint, digest varchar)
    LANGUAGE plproxy
AS $messagedb$
    CLUSTER 'messagedb';
    RUN ON on_node;
    SELECT d.messages, d.digest FROM messagedb.digest_messages(names, lower_bound, upper_bound) AS d;
$messagedb$;

CREATE OR REPLACE FUNCTION messagedb.proxy_list_last_messages(on_node int, names varchar[])
    RETURNS TABLE (stream_name varchar, "position" bigint, type varchar, data varchar)
    LANGUAGE plproxy
AS $messagedb$
    CLUSTER 'messagedb';
    RUN ON on_node;
    SELECT l.stream_name, l.position, l.type, l.data FROM messagedb.list_last_messages(names) AS l;
$messagedb$;

CREATE OR REPLACE FUNCTION messagedb.proxy_find_messages_before(on_node int, names varchar[], places bigint[])
    RETURNS TABLE (given bigint, id varchar, found bigint)
    LANGUAGE plproxy
AS $messagedb$
    CLUSTER 'messagedb';
    RUN ON on_node;
    SELECT f.given, f.id, f.found FROM messagedb.find_messages_before(names, places) AS f;
$messagedb$;

CREATE OR REPLACE FUNCTION messagedb.proxy_find_global_positions(on_node int, name varchar, ids uuid[])
    RETURNS TABLE (id varchar, found bigint)
    LANGUAGE plproxy
AS $messagedb$
    CLUSTER 'messagedb';
    RUN ON on_node;
    SELECT f.id, f.found FROM messagedb.find_global_positions(name, ids) AS f;
$messagedb$;

-- Past the check of the category: only the move writes here.
CREATE OR REPLACE FUNCTION messagedb.proxy_write_record(
    on_node int, record_id varchar, name varchar, record jsonb, version bigint
) RETURNS bigint
    LANGUAGE plproxy
AS $messagedb$
    CLUSTER 'messagedb';
    RUN ON on_node;
    SELECT message_store.write_message(record_id, name, 'Recorded', record, NULL, version);
$messagedb$;
