CREATE FUNCTION @schema@.acquire_lock(stream_name varchar) RETURNS bigint
    LANGUAGE plpgsql VOLATILE
AS $messagedb$
DECLARE
    _category varchar := @schema@.category(acquire_lock.stream_name);
    _key bigint := @schema@.hash_64(_category);
BEGIN
    PERFORM pg_advisory_xact_lock(_key);

    IF current_setting('message_store.debug_write', true) = 'on'
        OR current_setting('message_store.debug', true) = 'on'
    THEN
        RAISE NOTICE '» acquire_lock';
        RAISE NOTICE 'stream_name: %', acquire_lock.stream_name;
        RAISE NOTICE '_category: %', _category;
        RAISE NOTICE '_category_name_hash: %', _key;
    END IF;

    RETURN _key;
END
$messagedb$;
