"""Wrong clocks for processes."""

from pathlib import Path

from tests.support.worker_process import ROOT

SHIM = Path(__file__).parent / "skewed_clock"
LIBRARIES = "*/faketime/libfaketime.so.1"


def shim(skew_s: int) -> dict[str, str]:
    """Skew what Python tells a worker."""
    return {"PYTHONPATH": f"{SHIM}:{ROOT}", "SKEW_S": str(skew_s)}


def faketime(skew_s: int) -> dict[str, str]:
    """Skew what the system tells a worker, its libraries in C included."""
    library = next(Path("/usr/lib").glob(LIBRARIES), None)
    assert library is not None, "faketime is missing: apt-get install faketime, or run: make faults"
    return {
        "LD_PRELOAD": str(library),
        "FAKETIME": f"{skew_s:+d}",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
    }
