-- Reports of use, the last one of each key; an empty session is none. And the last limits that a
-- client told of, as it told them.
CREATE TABLE usage_reports (
    id TEXT PRIMARY KEY,
    account_id TEXT NOT NULL REFERENCES accounts (id),
    session_id TEXT NOT NULL DEFAULT '',
    key TEXT NOT NULL,
    data TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    UNIQUE (account_id, session_id, key)
);
CREATE INDEX usage_reports_by_time ON usage_reports (account_id, created_at);

CREATE TABLE usage_limits (
    account_id TEXT PRIMARY KEY REFERENCES accounts (id),
    data TEXT NOT NULL,
    updated_at BIGINT NOT NULL
);
