-- Artifacts. The body is the last column: lists read rows without it.
CREATE TABLE artifacts (
    id TEXT PRIMARY KEY,
    account_id TEXT NOT NULL REFERENCES accounts (id),
    header_version BIGINT NOT NULL,
    body_version BIGINT NOT NULL,
    seq BIGINT NOT NULL DEFAULT 0,
    change_seq BIGINT NOT NULL,
    create_seq BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    data_encryption_key BLOB NOT NULL,
    header BLOB NOT NULL,
    body BLOB NOT NULL
);
CREATE INDEX artifacts_by_update ON artifacts (account_id, updated_at, id);
CREATE INDEX artifacts_by_change ON artifacts (account_id, change_seq);
