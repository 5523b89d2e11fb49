CREATE TRIGGER messagedb_notify
    AFTER INSERT ON @schema@.messages
    REFERENCING NEW TABLE AS new_messages
    FOR EACH STATEMENT
    EXECUTE FUNCTION messagedb.notify_of_messages();
