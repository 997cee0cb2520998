-- The schema that holds everything.
CREATE SCHEMA IF NOT EXISTS queueworker
