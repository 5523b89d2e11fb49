CREATE FUNCTION @schema@.get_last_stream_message(
    stream_name varchar,
    type varchar DEFAULT NULL
) RETURNS SETOF @schema@.message
    LANGUAGE plpgsql VOLATILE
    SET enable_sort = off
    SET plan_cache_mode = force_generic_plan
    SET jit = off
    SET max_parallel_workers_per_gather = 0
AS $messagedb$
BEGIN
    IF current_setting('message_store.debug_get', true) = 'on'
        OR current_setting('message_store.debug', true) = 'on'
    THEN
        RAISE NOTICE '» get_last_message';
        RAISE NOTICE 'stream_name ($1): %', get_last_stream_message.stream_name;
        RAISE NOTICE 'type ($2): %', get_last_stream_message.type;
        RAISE NOTICE 'Generated Command: %',
            'SELECT * FROM @schema_text@.messages WHERE stream_name = $1'
            || CASE WHEN get_last_stream_message.type IS NULL THEN '' ELSE ' AND type = $2' END
            || ' ORDER BY position DESC LIMIT 1';
    END IF;

    IF get_last_stream_message.type IS NULL THEN
        RETURN QUERY
            SELECT
                m.id::varchar, m.stream_name::varchar, m.type::varchar, m.position, m.global_position,
                m.data::varchar, m.metadata::varchar, m.time
            FROM @schema@.messages AS m
            WHERE m.stream_name = get_last_stream_message.stream_name
            ORDER BY m.position DESC
            LIMIT 1;
    ELSE
        RETURN QUERY
            SELECT
                m.id::varchar, m.stream_name::varchar, m.type::varchar, m.position, m.global_position,
                m.data::varchar, m.metadata::varchar, m.time
            FROM @schema@.messages AS m
            WHERE m.stream_name = get_last_stream_message.stream_name
                AND m.type = get_last_stream_message.type
            ORDER BY m.position DESC
            LIMIT 1;
    END IF;
END
$messagedb$;
