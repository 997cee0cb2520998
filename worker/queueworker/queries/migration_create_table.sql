-- Which migrations were applied, and with which text.
CREATE TABLE IF NOT EXISTS queueworker.migration (
  version int PRIMARY KEY,
  name text NOT NULL,
  checksum text NOT NULL,
  applied_at timestamptz NOT NULL DEFAULT clock_timestamp()
)
