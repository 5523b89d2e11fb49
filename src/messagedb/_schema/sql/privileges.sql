GRANT USAGE ON SCHEMA @schema@ TO message_store;

GRANT SELECT, INSERT ON TABLE @schema@.messages TO message_store;

GRANT USAGE, SELECT ON SEQUENCE @schema@.messages_global_position_seq TO message_store;

GRANT EXECUTE ON FUNCTION
    @schema@.acquire_lock(varchar),
    @schema@.cardinal_id(varchar),
    @schema@.category(varchar),
    @schema@.get_category_messages(varchar, bigint, bigint, varchar, bigint, bigint, varchar),
    @schema@.get_last_stream_message(varchar, varchar),
    @schema@.get_stream_messages(varchar, bigint, bigint, varchar),
    @schema@.hash_64(varchar),
    @schema@.id(varchar),
    @schema@.is_category(varchar),
    @schema@.message_store_version(),
    @schema@.stream_version(varchar),
    @schema@.write_message(varchar, varchar, varchar, jsonb, jsonb, bigint)
TO message_store;

GRANT SELECT ON TABLE
    @schema@.category_type_summary,
    @schema@.stream_summary,
    @schema@.stream_type_summary,
    @schema@.type_category_summary,
    @schema@.type_stream_summary,
    @schema@.type_summary
TO message_store;
