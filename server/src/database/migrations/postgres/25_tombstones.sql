-- What was deleted, for clients that were away. Kinds: session, machine, artifact.
CREATE TABLE tombstones (
    account_id TEXT COLLATE "C" NOT NULL REFERENCES accounts (id),
    kind TEXT COLLATE "C" NOT NULL,
    id TEXT COLLATE "C" NOT NULL,
    change_seq BIGINT NOT NULL,
    deleted_at BIGINT NOT NULL,
    PRIMARY KEY (account_id, kind, id)
);
CREATE INDEX tombstones_by_change ON tombstones (account_id, kind, change_seq);
CREATE INDEX tombstones_by_age ON tombstones (deleted_at);
