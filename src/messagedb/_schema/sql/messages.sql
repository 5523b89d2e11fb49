CREATE TABLE @schema@.messages (
    global_position bigserial PRIMARY KEY,
    position bigint NOT NULL,
    time timestamp without time zone NOT NULL DEFAULT (now() AT TIME ZONE 'utc'),
    stream_name text NOT NULL,
    type text NOT NULL,
    data jsonb,
    metadata jsonb,
    id uuid NOT NULL DEFAULT gen_random_uuid()
);

-- What the reading functions return: ids and JSON as text.
CREATE TYPE @schema@.message AS (
    id varchar,
    stream_name varchar,
    type varchar,
    position bigint,
    global_position bigint,
    data varchar,
    metadata varchar,
    time timestamp without time zone
);
