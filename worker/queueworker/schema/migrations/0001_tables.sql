-- Tables. The engine's invariants, named in the code that keeps them:
--  E1 pos IS NULL = scheduled; pos set and token = 0 = ready; token > 0 = running (owned by the claim of that token).
--  E2 Every entry into ready draws a new pos from the queue's sequence; a row never becomes ready again at an old pos.
--  E3 A transaction has its transaction id before it draws a pos (or a stat id).
--  E4 A claim changes token and attempt alone, and no index or index predicate mentions them: the update is HOT.
-- Positions of queue q start at q << 40, so ids are unique over queues: the id of a job is its first
-- pos, or, when it was born scheduled, a number below 1 << 40.
CREATE SEQUENCE queueworker.queue_id MAXVALUE 4194303;
CREATE SEQUENCE queueworker.job_token;
CREATE SEQUENCE queueworker.job_scheduled_id MAXVALUE 1099511627775;

CREATE TABLE queueworker.queue (
  id int PRIMARY KEY DEFAULT nextval('queueworker.queue_id'),
  name text NOT NULL UNIQUE CHECK (name ~ '^[A-Za-z0-9_./-]{1,128}$'),
  part text NOT NULL DEFAULT 'job_default',
  paused boolean NOT NULL DEFAULT false,
  idle boolean NOT NULL DEFAULT false,              -- somebody sleeps: the next enqueue must notify
  position_sequence regclass NOT NULL,              -- one value per entry into ready
  requeued_sequence regclass NOT NULL,              -- one value per entry that is not an enqueue
  claimed_sequence regclass NOT NULL,               -- one value per claimed row
  created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  swept_at timestamptz NOT NULL DEFAULT '-infinity',
  tick_position bigint NOT NULL DEFAULT 0,          -- the sequence at the last tick ...
  tick_xid xid8 NOT NULL DEFAULT '0',               -- ... and a transaction id taken after reading it
  safe_position bigint NOT NULL DEFAULT 0,          -- every pos up to here is committed or will never appear
  tick_stat bigint NOT NULL DEFAULT 0,
  safe_stat bigint NOT NULL DEFAULT 0,              -- the same for stat ids: all rows up to here are rolled up
  tick_at timestamptz NOT NULL DEFAULT '-infinity',
  late xid8[] NOT NULL DEFAULT '{}',                -- open transactions that floors have passed by: see sweep_drawn
  passed_stat bigint NOT NULL DEFAULT 0,            -- as safe_stat, but for rows of the late ones
  low_from timestamptz NOT NULL DEFAULT '-infinity',    -- when to look for jobs of late ones again
  due_from timestamptz NOT NULL DEFAULT '-infinity',    -- promotion has got this far
  due_full_at timestamptz NOT NULL DEFAULT '-infinity', -- when to look at the whole due index again
  anchor bigint NOT NULL DEFAULT 0                  -- exact ready - (entered - claimed), at the last proven count
) WITH (fillfactor = 50);

CREATE TABLE queueworker.lane (
  id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  queue_id int NOT NULL REFERENCES queueworker.queue,
  task text NOT NULL CHECK (length(task) BETWEEN 1 AND 200),
  priority smallint NOT NULL CHECK (priority BETWEEN 0 AND 9),
  key text,                                         -- reserved: a tenant or a limit of its own
  floor bigint NOT NULL DEFAULT 0,                  -- no ready row of this lane at or below, but of queue.late
  safe_floor bigint NOT NULL DEFAULT 0,             -- none at or below, ever
  UNIQUE NULLS NOT DISTINCT (queue_id, task, priority, key)
) WITH (fillfactor = 50);

CREATE TABLE queueworker.job (
  id bigint NOT NULL,
  pos bigint,
  token bigint NOT NULL DEFAULT 0,
  created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  run_at timestamptz NOT NULL,
  timeout_s float8,
  lane_id int NOT NULL,
  queue_id int NOT NULL,
  attempt smallint NOT NULL DEFAULT 0,              -- starts, crashes included
  max_attempts smallint NOT NULL,
  crash_count smallint NOT NULL DEFAULT 0,          -- runs that ended with their worker
  unique_key text,
  args jsonb NOT NULL
) PARTITION BY LIST (queue_id);

CREATE TABLE queueworker.claim (
  token bigint PRIMARY KEY,
  worker_id uuid NOT NULL,
  queue_id int NOT NULL,
  started int NOT NULL,                             -- the first so many of ids may have started
  claimed_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  ids bigint[] NOT NULL                             -- in the order in which the worker starts them
) WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 2000,
        autovacuum_vacuum_cost_delay = 0, vacuum_truncate = off);
ALTER TABLE queueworker.claim ALTER ids SET STORAGE EXTERNAL; -- compressing ids costs more than it saves

CREATE TABLE queueworker.worker (
  id uuid PRIMARY KEY,
  pod text NOT NULL,
  namespace text NOT NULL,
  node text NOT NULL,
  version text NOT NULL,
  queues text[] NOT NULL,
  tasks text[] NOT NULL,
  slots int NOT NULL CHECK (slots >= 0),
  busy int NOT NULL DEFAULT 0,
  held int NOT NULL DEFAULT 0,
  busy_by_queue int[] NOT NULL,                     -- parallel to queues
  held_by_queue int[] NOT NULL,
  drain boolean NOT NULL DEFAULT false,             -- the operator's wish
  draining boolean NOT NULL DEFAULT false,          -- the worker's answer
  oldest_start_at timestamptz,
  started_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  renewed_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  expires_at timestamptz NOT NULL
) WITH (fillfactor = 50);

CREATE TABLE queueworker.failure (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  job_id bigint NOT NULL,
  queue_id int NOT NULL,
  attempt smallint NOT NULL,
  token bigint NOT NULL,
  worker_id uuid,
  kind text NOT NULL,
  error text NOT NULL,
  failed_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE INDEX failure_job ON queueworker.failure (job_id, id);
CREATE INDEX failure_age ON queueworker.failure (failed_at);

CREATE TABLE queueworker.dead_job (
  id bigint PRIMARY KEY,
  created_at timestamptz NOT NULL,
  run_at timestamptz NOT NULL,
  died_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  timeout_s float8,
  lane_id int NOT NULL,
  queue_id int NOT NULL,
  attempt smallint NOT NULL,
  max_attempts smallint NOT NULL,
  crash_count smallint NOT NULL,
  kind text NOT NULL,
  error text NOT NULL,
  unique_key text,
  args jsonb NOT NULL
);
CREATE INDEX dead_job_queue ON queueworker.dead_job (queue_id, died_at DESC);

-- What happened, appended by the statement that made it happen; the sweep adds the rows up.
CREATE TABLE queueworker.stat (
  id bigint GENERATED ALWAYS AS IDENTITY,
  queue_id int NOT NULL,
  promoted int NOT NULL DEFAULT 0,
  retried int NOT NULL DEFAULT 0,
  released int NOT NULL DEFAULT 0,
  rescued int NOT NULL DEFAULT 0,
  started int NOT NULL DEFAULT 0,
  succeeded int NOT NULL DEFAULT 0,
  failed int NOT NULL DEFAULT 0,
  dead int NOT NULL DEFAULT 0,                      -- negative when dead letters are taken away
  refused int NOT NULL DEFAULT 0,
  service_count int NOT NULL DEFAULT 0,
  busy_s float8 NOT NULL DEFAULT 0,
  service_sum_s float8 NOT NULL DEFAULT 0,
  service_sq_sum_s2 float8 NOT NULL DEFAULT 0,
  wait_buckets smallint[],                          -- 0-based bucket numbers and their counts
  wait_counts int[]
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 2000,
        autovacuum_vacuum_cost_delay = 0, vacuum_truncate = off);
CREATE INDEX stat_queue ON queueworker.stat (queue_id, id);

CREATE TABLE queueworker.queue_counter (
  queue_id int PRIMARY KEY REFERENCES queueworker.queue,
  promoted bigint NOT NULL DEFAULT 0,
  retried bigint NOT NULL DEFAULT 0,
  released bigint NOT NULL DEFAULT 0,
  rescued bigint NOT NULL DEFAULT 0,
  started bigint NOT NULL DEFAULT 0,
  succeeded bigint NOT NULL DEFAULT 0,
  failed bigint NOT NULL DEFAULT 0,
  dead bigint NOT NULL DEFAULT 0,
  refused bigint NOT NULL DEFAULT 0,
  service_count bigint NOT NULL DEFAULT 0,
  busy_s float8 NOT NULL DEFAULT 0,
  service_sum_s float8 NOT NULL DEFAULT 0,
  service_sq_sum_s2 float8 NOT NULL DEFAULT 0,
  waits bigint[] NOT NULL DEFAULT array_fill(0::bigint, ARRAY[48])
) WITH (fillfactor = 50);

CREATE TABLE queueworker.operator_state (
  name text PRIMARY KEY,
  saved_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  state jsonb NOT NULL
);

CREATE TABLE queueworker.decision (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  name text NOT NULL,
  decided_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  record jsonb NOT NULL
);
CREATE INDEX decision_name ON queueworker.decision (name, id);
