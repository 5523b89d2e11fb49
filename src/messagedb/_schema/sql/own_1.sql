-- The schema of messagedb itself, beside Message DB and never inside of it.
CREATE SCHEMA IF NOT EXISTS messagedb;

CREATE TABLE IF NOT EXISTS messagedb.schema_version (
    version int PRIMARY KEY,
    installed_at timestamp with time zone NOT NULL DEFAULT now()
);

-- The positions of consumers: a row is updated over and over. No index holds a column that changes, and half of
-- each page is left free, so that the new row has room beside the old one and no index is written.
CREATE TABLE IF NOT EXISTS messagedb.positions (
    store text NOT NULL DEFAULT 'message_store',
    consumer text NOT NULL,
    position bigint NOT NULL,
    saved_by uuid NOT NULL,
    saved_at timestamp with time zone NOT NULL DEFAULT now(),
    resized_to int,
    -- What the store is known again by after a failover.
    message_id uuid,
    message_position bigint,
    history text,
    PRIMARY KEY (store, consumer)
) WITH (fillfactor = 50);

GRANT USAGE ON SCHEMA messagedb TO message_store;

GRANT SELECT, INSERT, UPDATE ON TABLE messagedb.positions TO message_store;

GRANT SELECT ON TABLE messagedb.schema_version TO message_store;

INSERT INTO messagedb.schema_version (version) VALUES (1) ON CONFLICT DO NOTHING;
