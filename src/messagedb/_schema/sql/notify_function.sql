-- Runs as whoever writes, with the search_path that is set there: every name has its schema. A SET clause would be
-- paid for by each write.
CREATE FUNCTION messagedb.notify_of_messages() RETURNS trigger
    LANGUAGE plpgsql
AS $messagedb$
BEGIN
    PERFORM pg_catalog.pg_notify(
        -- A channel for each store of the database.
        CASE
            WHEN tg_table_schema OPERATOR(pg_catalog.=) 'message_store' THEN 'messagedb'
            WHEN pg_catalog.octet_length(tg_table_schema::pg_catalog.text) OPERATOR(pg_catalog.<=) 53
                THEN 'messagedb:' OPERATOR(pg_catalog.||) tg_table_schema::pg_catalog.text
            ELSE 'messagedb:' OPERATOR(pg_catalog.||) pg_catalog.md5(tg_table_schema::pg_catalog.text)
        END,
        -- A longer one would be refused, and the write with it.
        CASE WHEN pg_catalog.octet_length(c.category) OPERATOR(pg_catalog.<) 8000
            THEN c.category
            ELSE ''
        END
    )
    FROM (
        SELECT DISTINCT pg_catalog.split_part(m.stream_name, '-', 1) AS category
        FROM new_messages AS m
    ) AS c;

    RETURN NULL;
END
$messagedb$;
