"""The buckets that waits are counted in, by workers, the database and Prometheus alike. Pure."""

from bisect import bisect_left

WAIT_BUCKETS = 48
WAIT_EDGES_S = tuple(0.01 * 2 ** (index / 2) for index in range(WAIT_BUCKETS - 1))


def wait_bucket(wait_s: float) -> int:
    """Give the index of the wait bucket: the first whose upper edge is not below `wait_s`."""
    return bisect_left(WAIT_EDGES_S, wait_s)
