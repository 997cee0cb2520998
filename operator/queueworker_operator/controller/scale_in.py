"""PURE: which pods to drain, to spare and to end so that no job in flight is killed.

A victim is asked to drain; once it holds no job it may be retired (the target is scaled by one);
a retired pod is leaving until the target no longer lists it. Demand back, or a job longer than
the patience, undoes a drain.
"""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace

from queueworker_operator.decision.scale_in import PodLoad, Victim, choose, finished
from queueworker_operator.text import counted

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
        jobs, workers = jobs_by_pod(found.loads), workers_by_pod(found.loads)
        drained = {pod: tuple(sorted(ids & set(found.drained))) for pod, ids in workers.items()}
        victims = [
            Victim(pod=pod, worker_ids=drained[pod])
            for pod in sorted(jobs, key=lambda pod: (jobs[pod], pod))
            if drained[pod] and pod in found.pods and pod not in known
        ]
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
    """Drop what is over; give whose drain is undone: retired pods that were not ended, and old victims.

    A victim with a worker that registered since was not asked to drain whole: it is chosen afresh.
    """
    here, workers = set(scene.pods), workers_by_pod(scene.loads)
    live = {victim: at for victim, at in memory.victims.items() if victim.pod in here}
    stay = {victim: at for victim, at in memory.leaving.items() if victim.pod in here}
    strays = (
        *(v for v, at in stay.items() if scene.now_s - at > LEAVES_WITHIN_S),
        *(v for v in live if not workers.get(v.pod, set()) <= set(v.worker_ids)),
    )
    return ScaleIn(
        victims={victim: at for victim, at in live.items() if victim not in strays},
        leaving={victim: at for victim, at in stay.items() if victim not in strays},
        spared={
            p: until for p, until in memory.spared.items() if p in here and until > scene.now_s
        },
    ), strays


def workers_by_pod(loads: Sequence[PodLoad]) -> Mapping[str, set[str]]:
    """Name the registered workers of each pod."""
    workers: dict[str, set[str]] = {}
    for load in loads:
        workers.setdefault(load.pod, set()).add(load.worker_id)
    return workers


def jobs_by_pod(loads: Sequence[PodLoad]) -> Mapping[str, int]:
    """Count the jobs that the workers of each pod hold."""
    jobs: Counter[str] = Counter()
    for load in loads:
        jobs[load.pod] += load.jobs
    return jobs


def keep(
    victims: Mapping[Victim, float], done: Collection[str], scene: Scene
) -> Mapping[Victim, float]:
    """Keep at most `wanted` victims: those that are done, then those with the least to do."""
    jobs = jobs_by_pod(scene.loads)
    order = sorted(victims, key=lambda v: (v.pod not in done, jobs.get(v.pod, 0), victims[v]))
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
            f"{counted(unmatched, 'Ready pod has', 'Ready pods have')} no worker row and cannot be drained: set "
            "QUEUEWORKER_POD_NAME from metadata.name and QUEUEWORKER_POD_NAMESPACE from "
            "metadata.namespace in the pod template"
        )
    if spared:
        return (
            f"{short} of {counted(scene.wanted, 'pod')} to remove still ran jobs after {scene.patience_s:g} s "
            f"of draining; they work on and are asked again within {scene.spare_s:g} s"
        )
    return ""


def ids(victims: Collection[Victim]) -> tuple[str, ...]:
    """Name the workers of victims."""
    return tuple(worker_id for victim in victims for worker_id in victim.worker_ids)
