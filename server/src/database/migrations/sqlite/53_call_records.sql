-- One row for each call that is over. Durations in seconds, money in millionths of its unit, times
-- in Unix ms. An empty campaign, publisher or buyer is none.
CREATE TABLE call_records (
    tenant_id TEXT NOT NULL,
    call_id TEXT NOT NULL,
    from_number TEXT,
    to_number TEXT,
    direction TEXT NOT NULL,
    status TEXT NOT NULL,
    duration BIGINT NOT NULL,
    billable_duration BIGINT NOT NULL,
    cost_micros BIGINT NOT NULL,
    rate_micros BIGINT NOT NULL,
    handle_ms BIGINT,
    campaign_id TEXT NOT NULL DEFAULT '',
    publisher_id TEXT NOT NULL DEFAULT '',
    buyer_id TEXT NOT NULL DEFAULT '',
    created_at BIGINT NOT NULL,
    PRIMARY KEY (tenant_id, call_id)
);
CREATE INDEX call_records_by_time ON call_records (tenant_id, created_at);

-- Sums of the rows above by minute, hour and day in UTC: width and bucket are in ms. Written in the
-- transaction that writes the row.
CREATE TABLE call_rollups (
    tenant_id TEXT NOT NULL,
    width BIGINT NOT NULL,
    bucket BIGINT NOT NULL,
    campaign_id TEXT NOT NULL,
    publisher_id TEXT NOT NULL,
    buyer_id TEXT NOT NULL,
    status TEXT NOT NULL,
    calls BIGINT NOT NULL,
    duration BIGINT NOT NULL,
    billable_duration BIGINT NOT NULL,
    cost_micros BIGINT NOT NULL,
    handled BIGINT NOT NULL,
    handle_ms BIGINT NOT NULL,
    PRIMARY KEY (tenant_id, width, bucket, campaign_id, publisher_id, buyer_id, status)
) WITHOUT ROWID;
