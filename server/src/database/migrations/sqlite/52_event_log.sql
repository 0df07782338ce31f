-- The log of each tenant's events. Places ascend by one; the head is the last one given, which is
-- never given again, whatever has left the log.
CREATE TABLE event_heads (
    tenant_id TEXT PRIMARY KEY,
    head BIGINT NOT NULL
);

CREATE TABLE event_log (
    tenant_id TEXT NOT NULL,
    place BIGINT NOT NULL,
    name TEXT NOT NULL,
    payload TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    PRIMARY KEY (tenant_id, place)
);

-- Answers to requests that named an idempotency key.
CREATE TABLE event_requests (
    tenant_id TEXT NOT NULL,
    idempotency_key TEXT NOT NULL,
    fingerprint TEXT NOT NULL,
    answer TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    PRIMARY KEY (tenant_id, idempotency_key)
);
CREATE INDEX event_requests_by_time ON event_requests (created_at);
