"""What every fault needs: a fresh database seen beside the workers, and workers of short leases."""

from collections.abc import Iterator

import pytest
from tests.support.worker_process import Bench


@pytest.fixture
def bench(dsn: str) -> Iterator[Bench]:
    with Bench(dsn) as bench:
        yield bench
