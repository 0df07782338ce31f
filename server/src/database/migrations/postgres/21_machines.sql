-- Machines; ids are the clients' own, so that two accounts may use one computer.
CREATE TABLE machines (
    account_id TEXT COLLATE "C" NOT NULL REFERENCES accounts (id),
    id TEXT COLLATE "C" NOT NULL,
    metadata_version BIGINT NOT NULL,
    daemon_state_version BIGINT NOT NULL,
    data_encryption_key BYTEA,
    seq BIGINT NOT NULL DEFAULT 0,
    change_seq BIGINT NOT NULL,
    create_seq BIGINT NOT NULL,
    active BIGINT NOT NULL,
    last_active_at BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    metadata TEXT NOT NULL,
    daemon_state TEXT,
    PRIMARY KEY (account_id, id)
);
CREATE INDEX machines_by_activity ON machines (account_id, last_active_at, id);
CREATE INDEX machines_by_change ON machines (account_id, change_seq);
CREATE INDEX machines_active ON machines (active) WHERE active = 1;
