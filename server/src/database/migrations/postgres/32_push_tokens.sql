-- Devices that take push messages.
CREATE TABLE push_tokens (
    account_id TEXT COLLATE "C" NOT NULL REFERENCES accounts (id),
    token TEXT COLLATE "C" NOT NULL,
    id TEXT COLLATE "C" NOT NULL UNIQUE,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    PRIMARY KEY (account_id, token)
);
