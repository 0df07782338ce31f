-- Requests of agents and devices to be let into an account. Kinds: terminal, device.
CREATE TABLE pairing_requests (
    id TEXT PRIMARY KEY,
    kind TEXT NOT NULL,
    public_key TEXT NOT NULL,
    supports_v2 BIGINT NOT NULL,
    response TEXT,
    response_account_id TEXT,
    created_at BIGINT NOT NULL,
    responded_at BIGINT,
    delivered_at BIGINT,
    UNIQUE (kind, public_key)
);
CREATE INDEX pairing_requests_by_account ON pairing_requests (response_account_id);
