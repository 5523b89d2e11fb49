-- One plan for all calls of a session, and only one possible plan: messages_stream in its order.
-- jit, max_parallel_workers_per_gather: a plan for any batch size looks expensive enough for both, and is not.
CREATE FUNCTION @schema@.get_stream_messages(
    stream_name varchar,
    "position" bigint DEFAULT 0,
    batch_size bigint DEFAULT 1000,
    condition varchar DEFAULT NULL
) RETURNS SETOF @schema@.message
    LANGUAGE plpgsql VOLATILE
    SET enable_sort = off
    SET plan_cache_mode = force_generic_plan
    SET jit = off
    SET max_parallel_workers_per_gather = 0
AS $messagedb$
DECLARE
    _position bigint := coalesce(get_stream_messages.position, 0);
    _batch_size bigint := coalesce(get_stream_messages.batch_size, 1000);
    _limit bigint := nullif(_batch_size, -1);
    _debug boolean := current_setting('message_store.debug_get', true) = 'on'
        OR current_setting('message_store.debug', true) = 'on';
    _command text;
BEGIN
    IF @schema@.is_category(get_stream_messages.stream_name) THEN
        RAISE EXCEPTION 'Must be a stream name: %', get_stream_messages.stream_name;
    END IF;

    IF get_stream_messages.condition IS NOT NULL
        AND coalesce(current_setting('message_store.sql_condition', true), 'off') = 'off'
    THEN
        RAISE EXCEPTION 'Retrieval with SQL condition is not activated';
    END IF;

    IF get_stream_messages.condition IS NULL AND _debug IS NOT TRUE THEN
        RETURN QUERY
            SELECT
                m.id::varchar, m.stream_name::varchar, m.type::varchar, m.position, m.global_position,
                m.data::varchar, m.metadata::varchar, m.time
            FROM @schema@.messages AS m
            WHERE m.stream_name = get_stream_messages.stream_name
                AND m.position >= _position
            ORDER BY m.position
            LIMIT _limit;
        RETURN;
    END IF;

    _command := 'SELECT id::varchar, stream_name::varchar, type::varchar, position, global_position,'
        ' data::varchar, metadata::varchar, time'
        ' FROM @schema_text@.messages'
        ' WHERE stream_name = $1 AND position >= $2'
        || coalesce(' AND (' || get_stream_messages.condition || ')', '')
        || ' ORDER BY position LIMIT $3';

    IF _debug THEN
        RAISE NOTICE '» get_stream_messages';
        RAISE NOTICE 'stream_name ($1): %', get_stream_messages.stream_name;
        RAISE NOTICE 'position ($2): %', _position;
        RAISE NOTICE 'batch_size ($3): %', _batch_size;
        RAISE NOTICE 'condition ($4): %', get_stream_messages.condition;
        RAISE NOTICE 'Generated Command: %', _command;
    END IF;

    RETURN QUERY EXECUTE _command USING get_stream_messages.stream_name, _position, _limit;
END
$messagedb$;
