-- The settings of the reads are not set here: the triggers of the table run inside of this function.
CREATE FUNCTION @schema@.write_message(
    id varchar,
    stream_name varchar,
    type varchar,
    data jsonb,
    metadata jsonb DEFAULT NULL,
    expected_version bigint DEFAULT NULL
) RETURNS bigint
    LANGUAGE plpgsql VOLATILE
AS $messagedb$
DECLARE
    _debug boolean := current_setting('message_store.debug_write', true) = 'on'
        OR current_setting('message_store.debug', true) = 'on';
    _version bigint;
    _position bigint;
BEGIN
    -- The lock is waited for in a statement of its own, so that the version is read with a later snapshot. Asked
    -- for inside of an expression it needs no executor: the condition itself is never true.
    IF _debug THEN
        PERFORM @schema@.acquire_lock(write_message.stream_name);
    ELSIF pg_advisory_xact_lock(
        @schema@.hash_64(@schema@.category(write_message.stream_name))
    ) IS NULL THEN
        NULL;
    END IF;

    _version := coalesce(@schema@.stream_version(write_message.stream_name), -1);

    IF write_message.expected_version <> _version THEN
        RAISE EXCEPTION 'Wrong expected version: % (Stream: %, Stream Version: %)',
            write_message.expected_version,
            write_message.stream_name,
            _version;
    END IF;

    _position := _version + 1;

    INSERT INTO @schema@.messages (id, stream_name, position, type, data, metadata)
    VALUES (
        write_message.id::uuid,
        write_message.stream_name,
        _position,
        write_message.type,
        write_message.data,
        write_message.metadata
    );

    IF _debug THEN
        RAISE NOTICE '» write_message';
        RAISE NOTICE 'id ($1): %', write_message.id;
        RAISE NOTICE 'stream_name ($2): %', write_message.stream_name;
        RAISE NOTICE 'type ($3): %', write_message.type;
        RAISE NOTICE 'data ($4): %', write_message.data;
        RAISE NOTICE 'metadata ($5): %', write_message.metadata;
        RAISE NOTICE 'expected_version ($6): %', write_message.expected_version;
        RAISE NOTICE '_stream_version: %', _version;
        RAISE NOTICE '_next_position: %', _position;
    END IF;

    RETURN _position;
END
$messagedb$;
