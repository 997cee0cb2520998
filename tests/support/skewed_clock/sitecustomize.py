"""Found first on a worker's path: its wall clock is SKEW_S wrong, its monotonic clock is not."""

import os
import time

SKEW_S = float(os.environ["SKEW_S"])
_time, _time_ns = time.time, time.time_ns

time.time = lambda: _time() + SKEW_S
time.time_ns = lambda: _time_ns() + int(SKEW_S * 1e9)
