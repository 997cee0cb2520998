"""The goals, and our figure beside each."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import mean

from tests.scenarios.catalogue import EXTERNAL_S, Part
from tests.scenarios.measure import SETTINGS, Measured, scenario_of

COLUMNS = tuple(setting.name for setting in SETTINGS)
BUFFERED, TIGHT, SLOW = COLUMNS


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One goal at one setting: its bound in words, the figure, and whether it is met."""

    goal: str
    setting: str
    bound: str
    figure: str
    met: bool | None


class Results:
    """What was measured, to be picked from."""

    def __init__(self, measured: Sequence[Measured]) -> None:
        self._measured = measured

    def of(self, kind: str, setting: str, part: Part | None = None) -> list[Measured]:
        """Pick scenarios of a kind at a setting."""
        return [
            one
            for one in self._measured
            if scenario_of(one.task.scenario).kind == kind
            and one.task.setting.name == setting
            and (part is None or scenario_of(one.task.scenario).part is part)
        ]


def rows_of(measured: Sequence[Measured]) -> list[Row]:
    """Give all rows that the measured scenarios have figures for."""
    results = Results(measured)
    rows = [row for setting in COLUMNS for row in ordinary(results, setting)]
    rows += [*long(results), *special(results), *saturation(results)]
    return rows


def ordinary(results: Results, setting: str) -> Iterable[Row]:
    """Judge lateness, cost against each rival and calm, on the workloads of JUDGE."""
    judged = results.of("ordinary", setting, Part.JUDGE)
    tuned = results.of("ordinary", setting, Part.TUNE)
    if not judged:
        return
    buffered = setting == BUFFERED
    bound = {BUFFERED: (0.5, 1.5), TIGHT: (2.0, 100.0), SLOW: (1.0, 100.0)}[setting]
    yield lateness("late jobs, judged", setting, judged, bound)
    if tuned:
        yield lateness("late jobs, tuned on", setting, tuned, (100.0, 100.0))
    costs = {
        "clairvoyant": ("pod-hours against a clairvoyant plan", 1.05 if buffered else 1.30),
        "keda": ("pod-hours against KEDA's documented example", {BUFFERED: 0.65, TIGHT: 0.85, SLOW: 0.75}[setting]),
        "keda-300": ("against the best KEDA in hindsight, window 300 s", 0.90 if buffered else 0.95),
        "keda-any": ("against the best KEDA in hindsight, any window, two triggers", 1.05),
    }  # fmt: skip
    compared = [one for one in judged if "keda" in one.figures]
    for rival, (goal, most) in costs.items() if compared else ():
        yield cost(goal, setting, compared, rival, most)
    events = mean(one.figures["dbc"].scale_events_per_hour for one in judged)
    most = 35.0 if buffered else 50.0
    yield Row(
        goal="scale events per hour, mean",
        setting=setting,
        bound=f"<= {most:g}",
        figure=f"{events:.1f}",
        met=events <= most,
    )
    reversals = mean(one.figures["dbc"].reversals_per_hour for one in judged)
    yield Row(
        goal="of these taken back within 2 minutes",
        setting=setting,
        bound="",
        figure=f"{reversals:.1f}",
        met=None,
    )
    lost = sum(one.figures["dbc"].interrupted_jobs for one in judged)
    yield Row(
        goal="jobs interrupted",
        setting=setting,
        bound="<= 1 per 10,000",
        figure=str(lost),
        met=lost == 0,
    )


def lateness(
    goal: str, setting: str, picked: Sequence[Measured], bound: tuple[float, float]
) -> Row:
    """Judge the mean and the highest share of late jobs, percent."""
    late = [100 * one.figures["dbc"].late_fraction for one in picked]
    worst = max(picked, key=lambda one: one.figures["dbc"].late_fraction).task.scenario
    words = f"mean <= {bound[0]:g} %" + (f", none > {bound[1]:g} %" if bound[1] < 100 else "")
    return Row(
        goal=goal,
        setting=setting,
        bound=words if bound[0] < 100 else "",
        figure=f"mean {mean(late):.2f} %, most {max(late):.2f} % ({worst}), {len(late)} workloads",
        met=mean(late) <= bound[0] and max(late) <= bound[1] if bound[0] < 100 else None,
    )


def cost(goal: str, setting: str, judged: Sequence[Measured], rival: str, most: float) -> Row:
    """Judge the mean of our pod-hours over a rival's, and say how late the rival was."""
    ratios = [one.figures["dbc"].pod_hours / one.figures[rival].pod_hours for one in judged]
    later = mean(100 * one.figures[rival].late_fraction for one in judged)
    return Row(
        goal=goal,
        setting=setting,
        bound=f"<= {most:.2f}x",
        figure=f"{mean(ratios):.2f}x, highest {max(ratios):.2f}x, {len(judged)} workloads (it is {later:.2f} % late)",
        met=mean(ratios) <= most,
    )


def long(results: Results) -> Iterable[Row]:
    """Judge jobs of minutes."""
    for setting in (BUFFERED, "120 s"):
        picked = [one for one in results.of("long", setting) if "keda-any" in one.figures]
        if picked:
            yield lateness("long jobs: late", setting, picked, (0.8, 1.5))
            yield cost("long jobs: against the best KEDA", setting, picked, "keda-any", 1.05)


def special(results: Results) -> Iterable[Row]:
    """Judge stuck jobs, announced jobs, sparse queues and pods that do not start."""
    stuck = [one for one in results.of("stuck", BUFFERED) if one.calm is not None]
    if stuck:
        ratios = [one.figures["dbc"].pod_hours / one.calm.pod_hours for one in stuck if one.calm]
        yield plain("stuck jobs: cost against none", "<= 1.10x", max(ratios), "x", 1.1)
    told, untold = results.of("announced", TIGHT), results.of("untold", TIGHT)
    if told and untold:
        late = [
            100 * max(one.figures["dbc"].late_fraction for one in part) for part in (told, untold)
        ]
        row = plain("announced jobs: late", "<= 0.7 %", late[0], " %", 0.7, TIGHT)
        yield Row(goal=row.goal, setting=row.setting, bound=row.bound, met=row.met, figure=f"{row.figure} (not announced: {late[1]:.1f} %)")  # fmt: skip
    sparse = results.of("sparse", BUFFERED)
    if sparse:
        shares = [
            100 * one.figures["dbc"].pod_hours / one.task.hours for one in sparse
        ]  # fmt: skip
        late = [100 * one.figures["dbc"].late_fraction for one in sparse]
        yield plain("sparse queue: pod-hours of min 1", "<= 25 %", max(shares), " %", 25)
        yield plain("sparse queue: late", "<= 1 %", mean(late), " %", 1)
    broken = results.of("no-start", BUFFERED)
    for one in broken:
        name = f"no new pod becomes ready: pods ({one.task.scenario})"
        yield plain(name, "the ready ones and a few", one.pods, "", 20)
    for kind, bound in (("silent", 2.0), ("fault", 1.5)):
        picked = results.of(kind, BUFFERED)
        if picked:
            yield lateness(f"{kind}: late", BUFFERED, picked, (bound, 100.0))


def saturation(results: Results) -> Iterable[Row]:
    """Judge a database that saturates, and that an honest slow-down is none."""
    over: list[float] = []
    for kind in ("saturated", "external"):
        over += [one.pods / scenario_of(one.task.scenario).knee_pods for one in results.of(kind, BUFFERED)]  # fmt: skip
    if over:
        near = sum(ratio <= 1.5 for ratio in over), sum(ratio <= 1.8 for ratio in over)
        yield Row(
            goal="saturated database: pods over the knee",
            setting=BUFFERED,
            bound="<= 1.5x in 12 of 23, <= 1.8x in 19 of 23",
            figure=f"<= 1.5x in {near[0]}, <= 1.8x in {near[1]} of {len(over)}",
            met=near[0] * 23 >= 12 * len(over) and near[1] * 23 >= 19 * len(over),
        )
    yield from pairs(results)
    honest = results.of("honest", BUFFERED)
    if honest:
        alarms = sum(one.saturated_s is not None for one in honest)
        yield plain("honest slow-down: alarms", f"0 of {len(honest)}", alarms, "", 0)
    ends = [
        (one.saturated_s[1] - EXTERNAL_S[1]) / 60
        for one in results.of("external", BUFFERED)
        if one.saturated_s is not None
    ]
    if ends:
        yield plain("bottleneck over: cap off after", "<= 5 min", max(ends), " min", 5)


def pairs(results: Results) -> Iterable[Row]:
    """Show each saturation and each honest slow-down without and with the guard."""
    for kind in ("saturated", "external", "honest"):
        for one in results.of(kind, BUFFERED):
            if one.unguarded is None:
                continue
            knee, ours, off = scenario_of(one.task.scenario).knee_pods, one.figures["dbc"], one.unguarded  # fmt: skip
            pods = f"pods over the knee {one.unguarded_pods / knee:.2f} -> {one.pods / knee:.2f}; " if knee else ""  # fmt: skip
            yield Row(
                goal=f"guard off -> on: {one.task.scenario}",
                setting=BUFFERED,
                bound="<= 1.8x" if knee else "no later than off",
                figure=f"{pods}cost {off.cost_ratio:.2f}x -> {ours.cost_ratio:.2f}x; late {100 * off.late_fraction:.2f} -> {100 * ours.late_fraction:.2f} %",
                met=one.pods <= 1.8 * knee if knee else ours.late_fraction <= off.late_fraction,
            )


def plain(  # noqa: PLR0917 - a row of a table
    goal: str, bound: str, value: float, unit: str, most: float, setting: str = BUFFERED
) -> Row:
    """Give a row of one figure with a bound."""
    return Row(
        goal=goal, setting=setting, bound=bound, figure=f"{value:.2f}{unit}", met=value <= most
    )
