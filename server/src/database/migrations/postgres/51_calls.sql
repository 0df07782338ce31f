-- The state of calls, for as long as it is kept: status for counting, state as JSON.
CREATE TABLE call_states (
    tenant_id TEXT COLLATE "C" NOT NULL,
    call_id TEXT COLLATE "C" NOT NULL,
    status TEXT NOT NULL,
    state TEXT NOT NULL,
    expires_at BIGINT NOT NULL,
    PRIMARY KEY (tenant_id, call_id)
);
CREATE INDEX call_states_by_expiry ON call_states (expires_at);
