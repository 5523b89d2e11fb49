-- enable_sort: the plan is kept for the session. Made while the table is small it would be "read all, sort", and
-- stay so while the table grows: a bulk load then writes twenty times slower. Without a sort only the index is left.
CREATE FUNCTION @schema@.stream_version(stream_name varchar) RETURNS bigint
    LANGUAGE plpgsql VOLATILE
    SET enable_sort = off
AS $messagedb$
DECLARE
    _version bigint;
BEGIN
    SELECT m.position
    INTO _version
    FROM @schema@.messages AS m
    WHERE m.stream_name = stream_version.stream_name
    ORDER BY m.position DESC
    LIMIT 1;

    RETURN _version;
END
$messagedb$;
