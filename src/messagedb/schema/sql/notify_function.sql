-- Runs as whoever writes, with the search_path that is set there: every name has its schema. A SET clause would be
-- paid for by each write.
CREATE FUNCTION messagedb.notify_of_messages() RETURNS trigger
    LANGUAGE plpgsql
AS $messagedb$
BEGIN
    PERFORM pg_catalog.pg_notify(
        'messagedb',
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
