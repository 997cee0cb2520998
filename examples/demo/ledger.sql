-- One row for each start of a job: how the demo proves that each ran exactly once.
CREATE TABLE IF NOT EXISTS ledger (
    job_id bigint NOT NULL,
    attempt int NOT NULL,
    token bigint NOT NULL,
    worker text NOT NULL,
    started_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    note text
)
