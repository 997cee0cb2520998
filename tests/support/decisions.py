"""A history of decisions, and the minutes of a DryRun, as an operator would have kept them."""

import asyncio
import json
import random
import time
from array import array
from dataclasses import dataclass, field, replace
from typing import Any

from queueworker.compat import override
from queueworker_operator.controller.record import Verdict, to_json
from queueworker_operator.controller.sampling import is_due
from queueworker_operator.decision.codec import encode
from queueworker_operator.decision.decide import observe
from queueworker_operator.decision.minutes import Following, Glimpse, Minute, follow
from queueworker_operator.decision.model import Decision, Mode, Policy
from queueworker_operator.lag.postgres import PostgresLag
from queueworker_operator.simulate.dbc import Dbc, Memory
from queueworker_operator.simulate.model import Conditions, Workload
from queueworker_operator.simulate.policies import Case, keda
from queueworker_operator.simulate.policy import Scaler, Seen
from queueworker_operator.simulate.reading import EPOCH_S
from queueworker_operator.simulate.run import simulate

POLICY = Policy(max_replicas=40, start_within_s=30.0, slots_per_pod=4)
CONDITIONS = Conditions(promise_s=30.0, slots=4)


def bursts(lasts_s: float = 1800.0) -> Workload:
    """Give a steady stream with a burst of 500 jobs each five minutes."""
    rng = random.Random(7)
    at_s = [lasts_s * rng.random() for _ in range(int(lasts_s * 5 / 3))]
    for burst in range(1, int(lasts_s // 300)):
        at_s += [300 * burst + 5 * rng.random() for _ in range(500)]
    at_s.sort()
    sizes = [rng.expovariate(1 / 1.5) for _ in at_s]
    return Workload(at_s=array("d", at_s), size_s=array("d", sizes), lasts_s=lasts_s)


@dataclass(frozen=True, kw_only=True)
class Recorder(Dbc):
    """Ours, and what is recorded of each change."""

    records: list[dict[str, Any]] = field(default_factory=list)

    @override
    def decide(self, memory: Memory, seen: Seen) -> tuple[Decision, Memory]:
        state, sample = memory.state, seen.sample
        assert sample is not None
        if is_due(sample, memory.observed_at_s):
            state = observe(self.policy, state, sample, seen.replicas)
        decision, after = super().decide(memory, seen)
        verdict = Verdict(
            policy=self.policy,
            state=state,
            sample=sample,
            replicas=seen.replicas,
            decision=decision,
        )
        changes = decision.desired != decision.current
        if changes or not self.records:
            self.records.append(to_json(verdict, decision.desired if changes else None))
        return decision, after


@dataclass(kw_only=True)
class Beside:
    """Another scaler acts; a DryRun's minutes are kept beside it, each second but the `blind` ones."""

    scaler: Scaler
    blind: range = range(0)
    drains: bool = False
    name: str = "beside"
    following: Following | None = None
    minutes: list[Minute] = field(default_factory=list)

    def begin(self, seed: int) -> Any:
        return self.scaler.begin(seed)

    def step(self, memory: Any, seen: Seen) -> tuple[int, Any]:
        if int(seen.at_s - EPOCH_S) not in self.blind:
            assert seen.sample is not None
            glimpse = Glimpse(
                clock_s=seen.at_s,
                sample=seen.sample,
                replicas=seen.replicas,
                desired=1,
                promise_s=30.0,
                grace_s=30.0,
            )
            self.following, minute = follow(self.following, glimpse)
            if minute is not None:
                self.minutes.append(minute)
        return self.scaler.step(memory, seen)


def store_history(dsn: str, key: str) -> None:
    """Record half an hour of a DryRun beside KEDA, decisions and minutes, as just now."""
    recorder = Recorder(policy=replace(POLICY, mode=Mode.DRY_RUN))
    simulate(bursts(), CONDITIONS, recorder)
    beside = Beside(scaler=keda(Case(policy=POLICY, workload=bursts(), conditions=CONDITIONS))[0])
    simulate(bursts(), CONDITIONS, beside)
    later_s = (time.time() - beside.minutes[-1].until_s) // 60 * 60

    async def write() -> None:
        source = PostgresLag(dsn)
        for record in recorder.records:
            await source.record_decision(key, json.loads(json.dumps(record)))
        for minute in beside.minutes:
            moved = replace(
                minute, minute_s=minute.minute_s + later_s, until_s=minute.until_s + later_s
            )
            await source.record_minute(key, moved.minute_s, encode(moved))
        await source.close()

    asyncio.run(write())
