CREATE FUNCTION @schema@.message_store_version() RETURNS varchar
    LANGUAGE sql VOLATILE
    RETURN '1.3.0'::varchar;

COMMENT ON FUNCTION @schema@.message_store_version() IS 'messagedb schema revision 2';
