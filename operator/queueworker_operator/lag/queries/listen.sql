-- Hear wake-ups; payloads are "job:QUEUE", "queue:QUEUE" and others that this side ignores. No index.
LISTEN queueworker;
