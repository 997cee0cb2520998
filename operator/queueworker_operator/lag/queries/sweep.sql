-- Rescue, promote due jobs and set the idle flag of queues that no worker sweeps (index: due jobs).
SELECT queueworker.sweep(%(queues)s::text[]) AS readied;
