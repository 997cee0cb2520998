"""A Postgres job queue: enqueue in your own transaction, run each job at least once, fenced."""
