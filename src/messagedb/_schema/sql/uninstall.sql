-- Nothing is dropped with CASCADE: what somebody built on Message DB stops this, and is named.
DROP VIEW
    @schema@.category_type_summary,
    @schema@.stream_summary,
    @schema@.stream_type_summary,
    @schema@.type_category_summary,
    @schema@.type_stream_summary,
    @schema@.type_summary;

DROP FUNCTION
    @schema@.acquire_lock(varchar),
    @schema@.get_category_messages(varchar, bigint, bigint, varchar, bigint, bigint, varchar),
    @schema@.get_last_stream_message(varchar, varchar),
    @schema@.get_stream_messages(varchar, bigint, bigint, varchar),
    @schema@.message_store_version(),
    @schema@.stream_version(varchar),
    @schema@.write_message(varchar, varchar, varchar, jsonb, jsonb, bigint);

DROP TABLE @schema@.messages;

DROP TYPE @schema@.message;

DROP FUNCTION
    @schema@.cardinal_id(varchar),
    @schema@.category(varchar),
    @schema@.hash_64(varchar),
    @schema@.id(varchar),
    @schema@.is_category(varchar);

-- It stays where it holds anything else, or is somebody else's.
DO $messagedb$
BEGIN
    DROP SCHEMA @schema@;
EXCEPTION
    WHEN dependent_objects_still_exist OR insufficient_privilege THEN
        NULL;
END
$messagedb$;
