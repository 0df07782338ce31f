-- Tokens of third parties, encrypted with a key of the server.
CREATE TABLE service_tokens (
    account_id TEXT COLLATE "C" NOT NULL REFERENCES accounts (id),
    vendor TEXT COLLATE "C" NOT NULL,
    token BYTEA NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    PRIMARY KEY (account_id, vendor)
);
