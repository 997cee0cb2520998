-- The history of decisions keeps changes of the replicas apart from changes of the reason alone, and
-- what a QueueWorker in DryRun saw, minute by minute.

-- `changes`: the target was asked for other replicas. Reasons that alternate must not push these out.
ALTER TABLE queueworker.decision ADD COLUMN changes boolean NOT NULL DEFAULT true;
UPDATE queueworker.decision SET changes = jsonb_typeof(record -> 'asked') = 'number';
DROP INDEX queueworker.decision_name;
CREATE INDEX decision_name ON queueworker.decision (name, changes, id);

-- Keeps the last 200 of a name that changed the replicas, and the last 100 others. `decided_ago_s` in the
-- record: it was decided so long before, while the database was away.
CREATE OR REPLACE FUNCTION queueworker.record_decision(name text, record jsonb) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, queueworker, pg_temp
AS $$
#variable_conflict use_column
DECLARE
  is_change boolean := coalesce(jsonb_typeof(record_decision.record -> 'asked') = 'number', false);
BEGIN
  INSERT INTO decision (name, record, changes, decided_at) VALUES (
    record_decision.name, record_decision.record, is_change,
    clock_timestamp() - make_interval(
      secs => coalesce((record_decision.record ->> 'decided_ago_s')::float8, 0)));
  DELETE FROM decision AS d
  WHERE d.name = record_decision.name AND d.changes = is_change AND d.id <= (
    SELECT old.id FROM decision AS old
    WHERE old.name = record_decision.name AND old.changes = is_change
    ORDER BY old.id DESC OFFSET CASE WHEN is_change THEN 200 ELSE 100 END LIMIT 1
  );
END $$;

DROP FUNCTION queueworker.decisions(text, int);
CREATE FUNCTION queueworker.decisions(name text, most int)
RETURNS TABLE (at timestamptz, record jsonb, id bigint)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, queueworker, pg_temp
AS $$
  SELECT d.decided_at, d.record, d.id FROM decision AS d
  WHERE d.name = decisions.name ORDER BY d.id DESC LIMIT decisions.most
$$;

-- One row a minute of a QueueWorker in DryRun: what arrived, started, was late, and the replicas that
-- somebody else gave it. Kept for seven days.
CREATE TABLE queueworker.dry_run_minute (
  name text NOT NULL,
  minute timestamptz NOT NULL,
  record jsonb NOT NULL,
  PRIMARY KEY (name, minute)
);
CREATE INDEX dry_run_minute_age ON queueworker.dry_run_minute (minute);

-- Whoever writes trims, those of QueueWorkers that are gone, too: a few at a time.
CREATE FUNCTION queueworker.record_minute(name text, minute_s float8, record jsonb) RETURNS void
LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, queueworker, pg_temp
AS $$
  INSERT INTO dry_run_minute (name, minute, record)
  VALUES (record_minute.name, to_timestamp(record_minute.minute_s), record_minute.record)
  ON CONFLICT ON CONSTRAINT dry_run_minute_pkey DO UPDATE SET record = excluded.record;
  DELETE FROM dry_run_minute WHERE ctid = ANY (ARRAY(
    SELECT old.ctid FROM dry_run_minute AS old WHERE old.minute < clock_timestamp() - interval '7 days'
    ORDER BY old.minute LIMIT 100 FOR UPDATE SKIP LOCKED))
$$;

CREATE FUNCTION queueworker.dry_run_minutes(name text, since_s float8)
RETURNS TABLE (minute timestamptz, record jsonb)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, queueworker, pg_temp
AS $$
  SELECT t.minute, t.record FROM dry_run_minute AS t
  WHERE t.name = dry_run_minutes.name AND t.minute >= to_timestamp(dry_run_minutes.since_s) ORDER BY t.minute
$$;

CREATE FUNCTION queueworker.grant_roles_decisions() RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, queueworker, pg_temp
AS $$
BEGIN
  REVOKE ALL ON ALL FUNCTIONS IN SCHEMA queueworker FROM PUBLIC;
  IF role_exists('queueworker_reader') THEN
    GRANT EXECUTE ON FUNCTION queueworker.decisions, queueworker.dry_run_minutes TO queueworker_reader;
  END IF;
  IF role_exists('queueworker_operator') THEN
    GRANT EXECUTE ON FUNCTION queueworker.decisions, queueworker.record_decision, queueworker.record_minute,
      queueworker.dry_run_minutes TO queueworker_operator;
  END IF;
END $$;
