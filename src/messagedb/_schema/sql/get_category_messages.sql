-- One plan for each kind of call of a session, and only one possible plan: messages_category in its order. Compared
-- with = the category would drop out of the order, and the planner may then take the primary key and read past
-- every message of the other categories. Compared with = ANY (an array) it stays, and only one index has the order.
-- jit, max_parallel_workers_per_gather: a plan for any batch size looks expensive enough for both, and is not.
CREATE FUNCTION @schema@.get_category_messages(
    category varchar,
    "position" bigint DEFAULT 1,
    batch_size bigint DEFAULT 1000,
    correlation varchar DEFAULT NULL,
    consumer_group_member bigint DEFAULT NULL,
    consumer_group_size bigint DEFAULT NULL,
    condition varchar DEFAULT NULL
) RETURNS SETOF @schema@.message
    LANGUAGE plpgsql VOLATILE
    SET enable_sort = off
    SET plan_cache_mode = force_generic_plan
    SET jit = off
    SET max_parallel_workers_per_gather = 0
AS $messagedb$
DECLARE
    _categories varchar[] := ARRAY[get_category_messages.category];
    _position bigint := coalesce(get_category_messages.position, 1);
    _batch_size bigint := coalesce(get_category_messages.batch_size, 1000);
    _limit bigint := nullif(_batch_size, -1);
    _grouped boolean := get_category_messages.consumer_group_member IS NOT NULL;
    _group_size smallint;
    _debug boolean := current_setting('message_store.debug_get', true) = 'on'
        OR current_setting('message_store.debug', true) = 'on';
    _command text;
BEGIN
    IF NOT @schema@.is_category(get_category_messages.category) THEN
        RAISE EXCEPTION 'Must be a category: %', get_category_messages.category;
    END IF;

    IF NOT @schema@.is_category(get_category_messages.correlation) THEN
        RAISE EXCEPTION 'Correlation must be a category (Correlation: %)',
            get_category_messages.correlation;
    END IF;

    IF _grouped <> (get_category_messages.consumer_group_size IS NOT NULL) THEN
        RAISE EXCEPTION 'Consumer group member and size must be specified (Consumer Group Member: %, Consumer Group Size: %)',
            get_category_messages.consumer_group_member,
            get_category_messages.consumer_group_size;
    END IF;

    IF _grouped THEN
        IF get_category_messages.consumer_group_size < 1 THEN
            RAISE EXCEPTION 'Consumer group size must not be less than 1 (Consumer Group Member: %, Consumer Group Size: %)',
                get_category_messages.consumer_group_member,
                get_category_messages.consumer_group_size;
        END IF;

        IF get_category_messages.consumer_group_member < 0 THEN
            RAISE EXCEPTION 'Consumer group member must not be less than 0 (Consumer Group Member: %, Consumer Group Size: %)',
                get_category_messages.consumer_group_member,
                get_category_messages.consumer_group_size;
        END IF;

        IF get_category_messages.consumer_group_member >= get_category_messages.consumer_group_size THEN
            RAISE EXCEPTION 'Consumer group member must be less than the group size (Consumer Group Member: %, Consumer Group Size: %)',
                get_category_messages.consumer_group_member,
                get_category_messages.consumer_group_size;
        END IF;
    END IF;

    IF get_category_messages.condition IS NOT NULL
        AND coalesce(current_setting('message_store.sql_condition', true), 'off') = 'off'
    THEN
        RAISE EXCEPTION 'Retrieval with SQL condition is not activated';
    END IF;

    IF get_category_messages.condition IS NOT NULL OR _debug THEN
        _command := 'SELECT id::varchar, stream_name::varchar, type::varchar, position, global_position,'
            ' data::varchar, metadata::varchar, time'
            ' FROM @schema_text@.messages'
            ' WHERE @schema_text@.category(stream_name) = ANY (ARRAY[$1]) AND global_position >= $2'
            || CASE
                WHEN get_category_messages.correlation IS NULL THEN ''
                ELSE ' AND @schema_text@.category(metadata ->> ''correlationStreamName'') = $4'
            END
            || CASE
                WHEN NOT _grouped THEN ''
                ELSE ' AND abs(@schema_text@.hash_64(@schema_text@.cardinal_id(stream_name))) % $6 = $5'
            END
            || coalesce(' AND (' || get_category_messages.condition || ')', '')
            || ' ORDER BY @schema_text@.category(stream_name), global_position LIMIT $3';

        IF _debug THEN
            RAISE NOTICE '» get_category_messages';
            RAISE NOTICE 'category ($1): %', get_category_messages.category;
            RAISE NOTICE 'position ($2): %', _position;
            RAISE NOTICE 'batch_size ($3): %', _batch_size;
            RAISE NOTICE 'correlation ($4): %', get_category_messages.correlation;
            RAISE NOTICE 'consumer_group_member ($5): %', get_category_messages.consumer_group_member;
            RAISE NOTICE 'consumer_group_size ($6): %', get_category_messages.consumer_group_size;
            RAISE NOTICE 'condition: %', get_category_messages.condition;
            RAISE NOTICE 'Generated Command: %', _command;
        END IF;

        RETURN QUERY EXECUTE _command USING
            get_category_messages.category,
            _position,
            _limit,
            get_category_messages.correlation,
            get_category_messages.consumer_group_member,
            get_category_messages.consumer_group_size::smallint;
        RETURN;
    END IF;

    _group_size := get_category_messages.consumer_group_size;

    IF get_category_messages.correlation IS NULL AND NOT _grouped THEN
        RETURN QUERY
            SELECT
                m.id::varchar, m.stream_name::varchar, m.type::varchar, m.position, m.global_position,
                m.data::varchar, m.metadata::varchar, m.time
            FROM @schema@.messages AS m
            WHERE @schema@.category(m.stream_name) = ANY (_categories)
                AND m.global_position >= _position
            ORDER BY @schema@.category(m.stream_name), m.global_position
            LIMIT _limit;
    ELSIF get_category_messages.correlation IS NULL THEN
        RETURN QUERY
            SELECT
                m.id::varchar, m.stream_name::varchar, m.type::varchar, m.position, m.global_position,
                m.data::varchar, m.metadata::varchar, m.time
            FROM @schema@.messages AS m
            WHERE @schema@.category(m.stream_name) = ANY (_categories)
                AND m.global_position >= _position
                AND abs(@schema@.hash_64(@schema@.cardinal_id(m.stream_name))) % _group_size
                    = get_category_messages.consumer_group_member
            ORDER BY @schema@.category(m.stream_name), m.global_position
            LIMIT _limit;
    ELSIF NOT _grouped THEN
        RETURN QUERY
            SELECT
                m.id::varchar, m.stream_name::varchar, m.type::varchar, m.position, m.global_position,
                m.data::varchar, m.metadata::varchar, m.time
            FROM @schema@.messages AS m
            WHERE @schema@.category(m.stream_name) = ANY (_categories)
                AND m.global_position >= _position
                AND @schema@.category(m.metadata ->> 'correlationStreamName')
                    = get_category_messages.correlation
            ORDER BY @schema@.category(m.stream_name), m.global_position
            LIMIT _limit;
    ELSE
        RETURN QUERY
            SELECT
                m.id::varchar, m.stream_name::varchar, m.type::varchar, m.position, m.global_position,
                m.data::varchar, m.metadata::varchar, m.time
            FROM @schema@.messages AS m
            WHERE @schema@.category(m.stream_name) = ANY (_categories)
                AND m.global_position >= _position
                AND @schema@.category(m.metadata ->> 'correlationStreamName')
                    = get_category_messages.correlation
                AND abs(@schema@.hash_64(@schema@.cardinal_id(m.stream_name))) % _group_size
                    = get_category_messages.consumer_group_member
            ORDER BY @schema@.category(m.stream_name), m.global_position
            LIMIT _limit;
    END IF;
END
$messagedb$;
