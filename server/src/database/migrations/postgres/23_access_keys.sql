-- Keys that one machine has for one session.
CREATE TABLE access_keys (
    id TEXT COLLATE "C" PRIMARY KEY,
    account_id TEXT COLLATE "C" NOT NULL REFERENCES accounts (id),
    session_id TEXT COLLATE "C" NOT NULL REFERENCES sessions (id),
    machine_id TEXT COLLATE "C" NOT NULL,
    data TEXT NOT NULL,
    data_version BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    UNIQUE (account_id, session_id, machine_id)
);
CREATE INDEX access_keys_by_session ON access_keys (session_id);
