-- Values under keys; one that was deleted keeps its row and its version, without a value.
CREATE TABLE kv_items (
    account_id TEXT NOT NULL REFERENCES accounts (id),
    key TEXT NOT NULL,
    version BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    value BLOB,
    PRIMARY KEY (account_id, key)
);
