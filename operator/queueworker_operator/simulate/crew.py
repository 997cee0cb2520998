"""How pods follow a decision: ours are drained first, those of an HPA are ended at random."""

import random

from queueworker_operator.controller.scale_in import ScaleIn, Scene, step
from queueworker_operator.decision.scale_in import PodLoad
from queueworker_operator.settings import LoopSettings
from queueworker_operator.simulate.fleet import Pod
from queueworker_operator.simulate.model import Conditions
from queueworker_operator.simulate.world import World


class DrainedCrew:
    """Scale in as the operator does: choose, drain, and remove what is empty (`scale_in.step`)."""

    def __init__(self, world: World, conditions: Conditions) -> None:
        settings = LoopSettings()
        self._world, self._memory = world, ScaleIn()
        self._spare_s = settings.spare_s
        self._patience_s = settings.patience_s(conditions.grace_s)

    def follow(self, desired: int) -> None:
        """Take one step towards `desired` replicas; asked again each second."""
        world = self._world
        surplus = len(world.fleet.pods) - desired
        if surplus > 0 or self._memory.is_under_way:
            self._scale_in(max(surplus, 0))
        if surplus < 0:
            world.fleet.create(-surplus, world.now_s)

    def _scale_in(self, surplus: int) -> None:
        world = self._world
        pods = {str(pod.number): pod for pod in world.fleet.pods}
        scene = Scene(
            now_s=world.now_s,
            wanted=surplus,
            pods=tuple(pods),
            loads=tuple(self._load(name, pod) for name, pod in pods.items() if pod.ready),
            starting=sum(not pod.ready for pod in pods.values()),
            patience_s=self._patience_s,
            spare_s=self._spare_s,
        )
        found = step(self._memory, scene)
        for name in (*found.undo, *found.drain):
            if name in pods:
                pods[name].draining = name in found.drain
        self._memory = found.memory.retire(found.retire, world.now_s)
        if found.undo or found.drain or found.retire:
            world.terminate([pods[name] for name in found.retire])

    def _load(self, name: str, pod: Pod) -> PodLoad:
        return PodLoad(
            pod=name,
            worker_id=name,
            busy=pod.busy,
            held=0,
            draining=pod.draining,
            age_s=self._world.now_s - pod.ready_s,
        )


class RandomCrew:
    """Scale in as a ReplicaSet does: pods that are not ready first, then any; SIGTERM at once."""

    def __init__(self, world: World, conditions: Conditions) -> None:
        self._world = world
        self._random = random.Random(conditions.seed + 1)  # noqa: S311 - a simulation

    def follow(self, desired: int) -> None:
        """Set the replicas."""
        world = self._world
        surplus = len(world.fleet.pods) - desired
        if surplus < 0:
            world.fleet.create(-surplus, world.now_s)
        elif surplus > 0:
            order = sorted(world.fleet.pods, key=lambda pod: (pod.ready, self._random.random()))
            world.terminate(order[:surplus])
