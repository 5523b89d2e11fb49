-- Our schema, unless it serves another Message DB of the database, or holds what is not ours.
DO $messagedb$
BEGIN
    IF EXISTS (SELECT FROM messagedb.positions)
        OR EXISTS (SELECT FROM pg_proc WHERE proname = 'get_category_messages')
    THEN
        RETURN;
    END IF;
    DROP FUNCTION IF EXISTS messagedb.notify_of_messages();
    DROP FUNCTION IF EXISTS
        messagedb.write_messages(varchar, jsonb, bigint, boolean),
        messagedb.find_messages(uuid[]),
        messagedb.category_head(varchar),
        messagedb.count_parked(varchar),
        messagedb.get_category_messages_backwards(varchar, bigint, bigint, varchar, bigint, bigint, varchar),
        messagedb.get_stream_messages_backwards(varchar, bigint, bigint, varchar),
        messagedb.list_categories(varchar, boolean, bigint),
        messagedb.list_last_records(varchar[]),
        messagedb.list_placed_categories(),
        messagedb.list_position_categories(),
        messagedb.list_streams(varchar, varchar, bigint, varchar, varchar),
        messagedb.note_map_version(bigint),
        messagedb.node_write_message(varchar, varchar, varchar, jsonb, jsonb, bigint),
        messagedb.check_node_category(varchar),
        messagedb.check_node_read(varchar),
        messagedb.node_stream_version(varchar),
        messagedb.node_get_stream_messages(varchar, bigint, bigint, varchar),
        messagedb.node_get_category_messages(varchar, bigint, bigint, varchar, bigint, bigint, varchar),
        messagedb.node_get_last_stream_message(varchar, varchar),
        messagedb.read_node_rows(varchar, varchar, boolean),
        messagedb.set_node_category(varchar, varchar),
        messagedb.mark_node_category(varchar),
        messagedb.export_messages(varchar[], bigint, bigint, bigint),
        messagedb.import_messages(uuid[], varchar[], bigint[], varchar[], varchar[], varchar[], timestamp[]),
        messagedb.digest_messages(varchar[], bigint, bigint),
        messagedb.list_last_messages(varchar[]),
        messagedb.find_messages_before(varchar[], bigint[]),
        messagedb.find_global_positions(varchar, uuid[]),
        messagedb.read_rows(varchar, boolean),
        messagedb.save_position(text, text, bigint, uuid, uuid[], uuid, bigint, text, boolean);
    DROP TABLE IF EXISTS messagedb.consumer_status;
    DROP TABLE IF EXISTS messagedb.partitions, messagedb.partition_members, messagedb.partition_sets;
    DROP TABLE IF EXISTS messagedb.proxied_by, messagedb.node_categories;
    DROP TABLE messagedb.positions, messagedb.schema_version;
    DROP SCHEMA messagedb;
EXCEPTION
    WHEN dependent_objects_still_exist OR insufficient_privilege THEN
        NULL;
END
$messagedb$;
