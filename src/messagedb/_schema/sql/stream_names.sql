-- Each of these is one expression, so that the planner puts the expression in the place of the call. None is
-- STRICT: a strict function is only inlined if its expression is strict too, and is_category(NULL) is true.

CREATE FUNCTION @schema@.category(stream_name varchar) RETURNS varchar
    LANGUAGE sql IMMUTABLE
    RETURN split_part(stream_name, '-', 1);

CREATE FUNCTION @schema@.is_category(stream_name varchar) RETURNS boolean
    LANGUAGE sql IMMUTABLE
    RETURN coalesce(strpos(stream_name, '-') = 0, true);

CREATE FUNCTION @schema@.id(stream_name varchar) RETURNS varchar
    LANGUAGE sql IMMUTABLE
    RETURN substr(stream_name, nullif(strpos(stream_name, '-'), 0) + 1);

CREATE FUNCTION @schema@.cardinal_id(stream_name varchar) RETURNS varchar
    LANGUAGE sql IMMUTABLE
    RETURN split_part(substr(stream_name, nullif(strpos(stream_name, '-'), 0) + 1), '+', 1);

-- The first eight bytes of the MD5 of the text as the database encodes it: the same everywhere only in UTF-8.
CREATE FUNCTION @schema@.hash_64(value varchar) RETURNS bigint
    LANGUAGE sql IMMUTABLE
    RETURN ('x' || left(md5(value), 16))::bit(64)::bigint;
