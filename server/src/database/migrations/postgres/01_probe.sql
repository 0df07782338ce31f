-- One row that readiness checks write, to see whether writing works.
CREATE TABLE probe (
    id BIGINT PRIMARY KEY,
    checked_at BIGINT NOT NULL
);
