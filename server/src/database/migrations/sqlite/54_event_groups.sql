-- Groups of workers that read a tenant's log together: place is that of the last entry
-- that was looked at, missed counts those that had left the log before.
CREATE TABLE event_groups (
    tenant_id TEXT NOT NULL,
    name TEXT NOT NULL,
    channels TEXT NOT NULL,
    place BIGINT NOT NULL,
    missed BIGINT NOT NULL DEFAULT 0,
    created_at BIGINT NOT NULL,
    PRIMARY KEY (tenant_id, name)
);

-- Entries that a group has handed out and that are not acknowledged. They hold what the log may no
-- longer have. delivered_at is 0 for one that may be handed out at once; died_at is set for dead
-- letters.
CREATE TABLE event_deliveries (
    tenant_id TEXT NOT NULL,
    group_name TEXT NOT NULL,
    place BIGINT NOT NULL,
    name TEXT NOT NULL,
    payload TEXT NOT NULL,
    consumer TEXT NOT NULL,
    attempts BIGINT NOT NULL,
    delivered_at BIGINT NOT NULL,
    error TEXT,
    died_at BIGINT,
    PRIMARY KEY (tenant_id, group_name, place)
);
CREATE INDEX event_deliveries_by_time
    ON event_deliveries (tenant_id, group_name, died_at, delivered_at);
