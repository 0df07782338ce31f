-- Devices that take push messages.
CREATE TABLE push_tokens (
    account_id TEXT NOT NULL REFERENCES accounts (id),
    token TEXT NOT NULL,
    id TEXT NOT NULL UNIQUE,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    PRIMARY KEY (account_id, token)
);
