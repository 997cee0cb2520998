"""PURE: which pods to drain, to spare and to end so that no job in flight is killed.

A victim is asked to drain; once it holds no job it may be retired (the target is scaled by one);
a retired pod is leaving until the target no longer lists it. Demand back, or a job longer than
the patience, undoes a drain.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace

from queueworker_operator.decision.scale_in import PodLoad, Victim, choose, finished

# A retired pod that is still there after this long was not the one that was ended.
LEAVES_WITHIN_S = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What a new controller finds: live pods, how many are to end, workers and who drains."""

    pods: Collection[str]
    ending: int
    loads: Sequence[PodLoad]
    drained: Collection[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class ScaleIn:
    """What is under way: victims and since when; pods that leave; pods spared until when."""

    victims: Mapping[Victim, float] = field(default_factory=dict)
    leaving: Mapping[Victim, float] = field(default_factory=dict)
    spared: Mapping[str, float] = field(default_factory=dict)

    @property
    def is_under_way(self) -> bool:
        """Tell whether any pod was asked to drain."""
        return bool(self.victims or self.leaving)

    def worker_ids(self) -> tuple[str, ...]:
        """Name the workers that were asked to drain."""
        return ids((*self.victims, *self.leaving))

    def adopt(self, found: Found, now_s: float) -> "ScaleIn":
        """Take over the drains that an earlier controller (a crash, a leader) left.

        Where the target was scaled in already, the idle ones are about to end: as many as it has
        pods too many.
        """
        known = {victim.pod for victim in (*self.victims, *self.leaving)}
        drained = [
            load
            for load in found.loads
            if load.worker_id in found.drained and load.pod in found.pods and load.pod not in known
        ]
        drained.sort(key=lambda load: load.busy + load.held)
        victims = [Victim(pod=load.pod, worker_id=load.worker_id) for load in drained]
        return replace(
            self,
            victims={**self.victims, **dict.fromkeys(victims[found.ending :], now_s)},
            leaving={**self.leaving, **dict.fromkeys(victims[: found.ending], now_s)},
        )

    def retire(self, pods: Collection[str], now_s: float) -> "ScaleIn":
        """Note that the target was scaled in for these victims."""
        gone = {victim: now_s for victim in self.victims if victim.pod in pods}
        kept = {victim: at for victim, at in self.victims.items() if victim not in gone}
        return replace(self, victims=kept, leaving={**self.leaving, **gone})


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """What one step looks at. `wanted` pods are to go; `pods` live; `starting` are not Ready."""

    now_s: float
    wanted: int
    pods: Collection[str]
    loads: Sequence[PodLoad]
    starting: int
    patience_s: float
    spare_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """What to do now: workers to undo, workers to drain, pods to end; and what is remembered."""

    memory: ScaleIn
    undo: tuple[str, ...] = ()
    drain: tuple[str, ...] = ()
    retire: tuple[str, ...] = ()
    blocked: str = ""


def step(memory: ScaleIn, scene: Scene) -> Step:
    """Decide one step of the scale-in; asked again at each tick until `wanted` is 0."""
    memory, strays = forget_gone(memory, scene)
    done = frozenset(finished(tuple(memory.victims), scene.loads))
    late = tuple(
        victim
        for victim, since_s in memory.victims.items()
        if victim.pod not in done and scene.now_s - since_s > scene.patience_s
    )
    spared = {**memory.spared, **{victim.pod: scene.now_s + scene.spare_s for victim in late}}
    patient = {victim: at for victim, at in memory.victims.items() if victim not in late}
    kept = keep(patient, done, scene)
    surplus = tuple(victim for victim in patient if victim not in kept)
    chosen, unmatched = choose_more(replace(memory, spared=spared, victims=kept), scene)
    victims = {**kept, **dict.fromkeys(chosen, scene.now_s)}
    return Step(
        memory=ScaleIn(victims=victims, leaving=memory.leaving, spared=spared),
        undo=ids((*strays, *late, *surplus)),
        drain=ids(chosen),
        retire=tuple(victim.pod for victim in kept if victim.pod in done),
        blocked=blocked(scene, len(victims), spared, unmatched),
    )


def forget_gone(memory: ScaleIn, scene: Scene) -> tuple[ScaleIn, tuple[Victim, ...]]:
    """Drop what is over; give retired pods that were not ended.

    A victim whose worker registered since (or anew) was not asked to drain: it is chosen afresh.
    """
    here = set(scene.pods)
    rows: dict[str, set[str | None]] = {}
    for load in scene.loads:
        rows.setdefault(load.pod, set()).add(load.worker_id)
    stay = {victim: at for victim, at in memory.leaving.items() if victim.pod in here}
    strays = tuple(v for v, at in stay.items() if scene.now_s - at > LEAVES_WITHIN_S)
    return ScaleIn(
        victims={
            victim: at
            for victim, at in memory.victims.items()
            if victim.pod in here and victim.worker_id in rows.get(victim.pod, {victim.worker_id})
        },
        leaving={victim: at for victim, at in stay.items() if victim not in strays},
        spared={
            p: until for p, until in memory.spared.items() if p in here and until > scene.now_s
        },
    ), strays


def keep(
    victims: Mapping[Victim, float], done: Collection[str], scene: Scene
) -> Mapping[Victim, float]:
    """Keep at most `wanted` victims: those that are done, then those with the least to do."""
    busy = {load.pod: load.busy + load.held for load in scene.loads}
    order = sorted(victims, key=lambda v: (v.pod not in done, busy.get(v.pod, 0), victims[v]))
    return {victim: victims[victim] for victim in order[: max(0, scene.wanted)]}


def choose_more(memory: ScaleIn, scene: Scene) -> tuple[tuple[Victim, ...], int]:
    """Choose the victims still missing; a Ready pod that no worker row names is never one."""
    missing = scene.wanted - len(memory.victims)
    taken = {victim.pod for victim in (*memory.victims, *memory.leaving)} | set(memory.spared)
    rows = {load.pod for load in scene.loads}
    rowless = [pod for pod in scene.pods if pod not in rows and pod not in taken]
    unmatched = max(0, len(rowless) - scene.starting)
    candidates = [pod for pod in scene.pods if pod not in taken and (pod in rows or not unmatched)]
    if missing <= 0 or not candidates:
        return (), unmatched
    loads = tuple(load for load in scene.loads if load.pod in candidates)
    return choose(loads, tuple(candidates), min(missing, len(candidates))), unmatched


def blocked(scene: Scene, victims: int, spared: Mapping[str, float], unmatched: int) -> str:
    """Say why fewer pods drain than should go; nothing when they all do."""
    short = scene.wanted - victims
    if short <= 0:
        return ""
    if unmatched:
        return (
            f"{unmatched} Ready pods have no worker row, so they cannot be drained: set "
            "QUEUEWORKER_POD_NAME from metadata.name in the pod template"
        )
    if spared:
        return (
            f"{short} of {scene.wanted} pods to remove still ran jobs after {scene.patience_s:g} s "
            f"of draining; they work on and are asked again within {scene.spare_s:g} s"
        )
    return ""


def ids(victims: Collection[Victim]) -> tuple[str, ...]:
    """Name the workers of victims that have one."""
    return tuple(victim.worker_id for victim in victims if victim.worker_id is not None)
