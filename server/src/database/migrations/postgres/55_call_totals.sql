-- The same sums over all campaigns, publishers and buyers: most reports want no others, and read few
-- rows here. Written in the transaction that writes the record.
CREATE TABLE call_totals (
    tenant_id TEXT COLLATE "C" NOT NULL,
    width BIGINT NOT NULL,
    bucket BIGINT NOT NULL,
    status TEXT COLLATE "C" NOT NULL,
    calls BIGINT NOT NULL,
    duration BIGINT NOT NULL,
    billable_duration BIGINT NOT NULL,
    cost_micros BIGINT NOT NULL,
    handled BIGINT NOT NULL,
    handle_ms BIGINT NOT NULL,
    PRIMARY KEY (tenant_id, width, bucket, status)
);

INSERT INTO call_totals
SELECT tenant_id, width, bucket, status, SUM(calls), SUM(duration), SUM(billable_duration),
    SUM(cost_micros), SUM(handled), SUM(handle_ms)
FROM call_rollups
GROUP BY tenant_id, width, bucket, status;
