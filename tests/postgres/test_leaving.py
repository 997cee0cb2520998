"""How a worker's process ends, after its drain."""

from pathlib import Path

from tests.support.worker_process import ROOT, WorkerProcess

GRACE_S = 10.0
APP = """
import atexit, pathlib, sys, time
from queueworker import App

app = App()

@app.task(queue="mail")
async def noop() -> None: ...

class Slow:
    def __del__(self, sleep=time.sleep):
        sleep(60)

sys.slow = Slow()
atexit.register(pathlib.Path(__file__).with_suffix(".said").write_text, "at exit")
"""


def test_what_python_takes_apart_does_not_hold_a_drained_worker_until_sigkill(
    dsn: str, tmp_path: Path
) -> None:
    (tmp_path / "slow_to_leave.py").write_text(APP)
    found = f"{ROOT}:{tmp_path}"
    arguments = ("--app", "slow_to_leave:app", "--grace", str(GRACE_S))
    with WorkerProcess(dsn, *arguments, environ={"PYTHONPATH": found}) as worker:
        worker.ready()
        assert worker.stop(within_s=GRACE_S) == 0

    assert (tmp_path / "slow_to_leave.said").read_text() == "at exit"
    assert "drained" in worker.log
