-- Enqueue one job that is ready, has no key, and has the usual options. The same probe as `enqueue`.
SELECT queueworker.enqueue(queue => %s::text, task => %s::text, args => %s::text::jsonb)
