-- What each consumer last reported about its run, for people and other processes: a row per consumer, updated over
-- and over, and so without an index on what changes. It never holds data of messages.
CREATE TABLE IF NOT EXISTS messagedb.consumer_status (
    store text NOT NULL DEFAULT 'message_store',
    consumer text NOT NULL,
    -- The run that reports. One that began later takes the row over.
    run uuid NOT NULL,
    category text,
    identifier text,
    group_member int,
    group_size int,
    position_store text NOT NULL,
    has_lease boolean NOT NULL,
    host text NOT NULL,
    pid int NOT NULL,
    started_at timestamp with time zone NOT NULL,
    reported_at timestamp with time zone NOT NULL,
    -- The seconds until the next report of a process that lives.
    report_interval double precision NOT NULL,
    state text NOT NULL,
    next_position bigint,
    lag_messages bigint,
    lag_seconds double precision,
    in_flight_stream text,
    in_flight_position bigint,
    in_flight_attempt int,
    in_flight_since timestamp with time zone,
    failed_stream text,
    failed_position bigint,
    failed_global_position bigint,
    failed_message_id uuid,
    failed_type text,
    failed_attempt int,
    failed_error text,
    failed_at timestamp with time zone,
    PRIMARY KEY (store, consumer)
) WITH (fillfactor = 50);

GRANT SELECT, INSERT, UPDATE ON TABLE messagedb.consumer_status TO message_store;

INSERT INTO messagedb.schema_version (version) VALUES (2) ON CONFLICT DO NOTHING;
