-- Keys that one machine has for one session.
CREATE TABLE access_keys (
    id TEXT PRIMARY KEY,
    account_id TEXT NOT NULL REFERENCES accounts (id),
    session_id TEXT NOT NULL REFERENCES sessions (id),
    machine_id TEXT NOT NULL,
    data TEXT NOT NULL,
    data_version BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    UNIQUE (account_id, session_id, machine_id)
);
CREATE INDEX access_keys_by_session ON access_keys (session_id);
