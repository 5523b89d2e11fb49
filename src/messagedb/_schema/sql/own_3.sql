-- Partitions of consumers: a category and an identifier whose streams are divided among any number of processes.

-- One row per partitioned consumer. The size that is stored here counts, whatever a process has in its code.
CREATE TABLE IF NOT EXISTS messagedb.partition_sets (
    store text NOT NULL DEFAULT 'message_store',
    category text NOT NULL,
    identifier text NOT NULL,
    size int NOT NULL,
    position_store text NOT NULL,
    -- Rises with each change of the size: a claim of an earlier generation is void.
    generation int NOT NULL DEFAULT 1,
    created_at timestamp with time zone NOT NULL DEFAULT now(),
    -- A change of the size in progress: the partitions run up to the barrier, and end there.
    next_size int,
    barrier bigint,
    phase text,
    -- When the call that wants it gives up: if it was killed, any process withdraws the change then.
    resize_until timestamp with time zone,
    PRIMARY KEY (store, category, identifier)
);

-- The processes that run it. Each updates its row over and over: no index holds a column that changes.
CREATE TABLE IF NOT EXISTS messagedb.partition_members (
    store text NOT NULL DEFAULT 'message_store',
    category text NOT NULL,
    identifier text NOT NULL,
    member uuid NOT NULL,
    name text NOT NULL,
    host text NOT NULL,
    pid int NOT NULL,
    joined_at timestamp with time zone NOT NULL,
    -- By the clock of the server: a member that does not renew its row in time has lost all that it owns.
    expires_at timestamp with time zone NOT NULL,
    PRIMARY KEY (store, category, identifier, member)
) WITH (fillfactor = 50);

-- The partitions, and the member that owns each. A partition is free if no row of a member has its owner.
CREATE TABLE IF NOT EXISTS messagedb.partitions (
    store text NOT NULL DEFAULT 'message_store',
    category text NOT NULL,
    identifier text NOT NULL,
    number int NOT NULL,
    owner uuid,
    -- Rises with each claim, and never falls: a release keeps the row.
    epoch bigint NOT NULL DEFAULT 0,
    claimed_at timestamp with time zone,
    -- It has reached the barrier of a change of the size.
    finished boolean NOT NULL DEFAULT false,
    -- A person wants another process to have it: its owner gives it up.
    release_requested boolean NOT NULL DEFAULT false,
    PRIMARY KEY (store, category, identifier, number)
) WITH (fillfactor = 50);

GRANT SELECT, INSERT, UPDATE, DELETE ON TABLE messagedb.partition_sets TO message_store;

GRANT SELECT, INSERT, UPDATE, DELETE ON TABLE messagedb.partition_members TO message_store;

GRANT SELECT, INSERT, UPDATE, DELETE ON TABLE messagedb.partitions TO message_store;

INSERT INTO messagedb.schema_version (version) VALUES (3) ON CONFLICT DO NOTHING;
