-- Tokens of third parties, encrypted with a key of the server.
CREATE TABLE service_tokens (
    account_id TEXT NOT NULL REFERENCES accounts (id),
    vendor TEXT NOT NULL,
    token BLOB NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    PRIMARY KEY (account_id, vendor)
);
