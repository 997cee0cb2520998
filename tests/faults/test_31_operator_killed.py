"""Row 31: the operator is killed before and after each of its writes, to the API and to Postgres."""

import time
from collections.abc import Callable
from dataclasses import dataclass

import pytest
from tests.support.api_proxy import Fault, Seen
from tests.support.mail import deployment, pod, queue_worker
from tests.support.operator_bench import OperatorBench
from tests.support.operator_process import Operator
from tests.support.waiting import wait_until

from queueworker_operator.kube.api import DELETION_COST

CONVERGED_WITHIN_S = 10.0
REGISTER = """
    SELECT queueworker.register_worker(
      gen_random_uuid(), %s, %s, 'node', '1', ARRAY['mail'], ARRAY['send'], 10, 3600)
"""
ANSWER = """
    CREATE FUNCTION answer() RETURNS trigger LANGUAGE plpgsql AS
      'BEGIN new.draining := new.drain; RETURN new; END';
    CREATE TRIGGER answer BEFORE UPDATE OF drain ON queueworker.worker
      FOR EACH ROW EXECUTE FUNCTION answer()
"""
NOTE_DRAINS = """
    CREATE TABLE queueworker.drains (pod text);
    CREATE FUNCTION note_undone() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS
      'BEGIN INSERT INTO queueworker.drains VALUES (new.pod); RETURN new; END';
    CREATE TRIGGER note_undone BEFORE UPDATE OF drain ON queueworker.worker
      FOR EACH ROW WHEN (old.drain AND NOT new.drain) EXECUTE FUNCTION note_undone()
"""
LOOKED_AT_AGAIN_S = 3.0
WORKERS = "SELECT pod, drain FROM queueworker.worker ORDER BY pod"
PODS = ("mail-worker-a", "mail-worker-b")

API_WRITES: dict[str, Callable[[Seen], bool]] = {
    "lease": lambda seen: seen.method == "PUT" and "/leases/" in seen.path,
    "scale": lambda seen: seen.is_scale,
    "deletion cost": lambda seen: seen.method == "PATCH" and "/pods/" in seen.path,
    "event": lambda seen: seen.method == "POST" and seen.path.endswith("/events"),
    "status": lambda seen: seen.method == "PATCH" and seen.path.endswith("/status"),
}
DATABASE_WRITES = {
    "decision": b"queueworker.record_decision",
    "drain": b"queueworker.set_drain",
}


@dataclass(frozen=True, slots=True)
class Scene:
    """Two idle pods of which one is to go, and then goes."""

    operated: OperatorBench

    def begin(self, **environ: str) -> Operator:
        place, conn = self.operated.place, self.operated.conn
        conn.execute(ANSWER)  # what a worker does when it is asked to drain
        self.operated.enqueue(1)
        place.apply(deployment(replicas=2), self.operated.secret, queue_worker(replicas=2))
        for name in PODS:
            place.add_pod(pod(name))
            conn.execute(REGISTER, (name, place.namespace))
        # Younger rows may be of a container that was restarted: they are left alone.
        conn.execute("UPDATE queueworker.worker SET started_at = started_at - interval '1 minute'")
        operator = self.operated.start(environ=environ)
        place.await_told("Ready")
        return operator

    def victims(self) -> list[str]:
        found = [name for name in PODS if self._cost(name)]
        return found if self.operated.sizes.now.get("mail-worker") == 1 else []

    def _cost(self, name: str) -> str | None:
        body = self.operated.place.get("pod", name)
        cost: str | None = body["metadata"].get("annotations", {}).get(DELETION_COST)
        return cost

    def remove(self, name: str) -> None:
        """Do the ReplicaSet controller's part; the node is gone, so the worker says nothing."""
        self.operated.place.kubectl("delete", "pod", name, "--grace-period=0", "--force")

    def workers(self) -> list[tuple[str, bool]]:
        return [(name, drain) for name, drain in self.operated.conn.execute(WORKERS)]

    def run_to_its_end(self, within_s: float = CONVERGED_WITHIN_S) -> None:
        """Go on: one pod was chosen and is gone, its neighbour may claim."""
        self.operated.await_replicas(1, within_s=within_s)
        [victim] = self.victims()
        self.remove(victim)
        stays = [(name, False) for name in PODS if name != victim]
        wait_until(
            lambda: self.workers() == stays,
            within_s=CONVERGED_WITHIN_S,
            what=f"{stays} stays",
            every_s=0.05,
        )


def kill_at(scene: Scene, what: str, moment: str) -> None:
    """Begin the scene and kill the operator before or after it writes `what`."""
    operator, operated = scene.begin(), scene.operated
    if what in API_WRITES:
        fault = Fault(matches=API_WRITES[what], times=1, cuts_before=moment == "before")
        setattr(fault, moment, operator.process.kill)
        operated.api.fault = fault
        operated.ask(1)
    else:
        cut = operated.database.cut_at(DATABASE_WRITES[what], must_pass=moment == "after")
        operated.ask(1)
        assert cut.wait(30)
        operator.process.kill()
    operator.process.wait(30)


@pytest.mark.parametrize("moment", ["before", "after"])
@pytest.mark.parametrize("what", [*API_WRITES, *DATABASE_WRITES])
def test_row_31_killed_at_a_write_the_next_one_comes_to_the_same_end(
    operated: OperatorBench, what: str, moment: str
) -> None:
    scene = Scene(operated)
    kill_at(scene, what, moment)

    operated.start()

    scene.run_to_its_end()


def test_row_31_a_pod_whose_scale_in_was_written_is_not_asked_to_work_again(
    operated: OperatorBench,
) -> None:
    """Its node may take its time; a drain that is undone would let it begin a job now."""
    scene = Scene(operated)
    kill_at(scene, "scale", "after")
    operated.conn.execute(NOTE_DRAINS)

    operated.await_leader(operated.start())
    time.sleep(LOOKED_AT_AGAIN_S)

    assert operated.conn.execute("SELECT count(*) FROM queueworker.drains").fetchone() == (0,)
    scene.run_to_its_end()
