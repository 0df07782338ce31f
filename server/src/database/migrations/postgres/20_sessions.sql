-- Sessions and their messages. Flags are 0 or 1; times are Unix milliseconds.
CREATE TABLE sessions (
    id TEXT COLLATE "C" PRIMARY KEY,
    account_id TEXT COLLATE "C" NOT NULL REFERENCES accounts (id),
    tag TEXT COLLATE "C" NOT NULL,
    metadata_version BIGINT NOT NULL,
    agent_state_version BIGINT NOT NULL,
    data_encryption_key BYTEA,
    seq BIGINT NOT NULL DEFAULT 0,
    change_seq BIGINT NOT NULL,
    create_seq BIGINT NOT NULL,
    active BIGINT NOT NULL,
    last_active_at BIGINT NOT NULL,
    stopped_at BIGINT,
    stopped_reason TEXT,
    archived_at BIGINT,
    archive_reason TEXT,
    archive_error TEXT,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    metadata TEXT NOT NULL,
    agent_state TEXT,
    UNIQUE (account_id, tag)
);
CREATE INDEX sessions_by_update ON sessions (account_id, updated_at, id);
CREATE INDEX sessions_by_id ON sessions (account_id, id);
CREATE INDEX sessions_by_activity ON sessions (account_id, active, last_active_at, id);
CREATE INDEX sessions_by_change ON sessions (account_id, change_seq);

CREATE TABLE messages (
    id TEXT COLLATE "C" PRIMARY KEY,
    session_id TEXT COLLATE "C" NOT NULL REFERENCES sessions (id),
    local_id TEXT COLLATE "C",
    seq BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    content TEXT NOT NULL,
    UNIQUE (session_id, seq),
    UNIQUE (session_id, local_id)
);
CREATE INDEX messages_by_id ON messages (session_id, id);
CREATE INDEX messages_by_time ON messages (session_id, created_at, seq);
