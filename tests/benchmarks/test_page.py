"""The page says what the result files say."""

import json
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

from benchmarks.keda import page as keda
from benchmarks.result import row_of, worst_foreign_load
from benchmarks.scenario import Case
from benchmarks.systems import System, Tuning
from benchmarks.systems.system import Command

from benchmarks import page

NOTHING = Command(arguments=())


def system(name: str, tuning: Tuning = Tuning.BEST) -> System:
    return System(
        name=name,
        tuning=tuning,
        version="1.0",
        settings="as they are",
        install=(),
        worker=NOTHING,
        producer=NOTHING,
        unfinished="",
        failed="",
        drain_jobs=1,
    )


def result(*rows: dict[str, object], foreign_load: float | None = 0.02) -> dict[str, Any]:
    return {
        "scenario": "drain",
        "rows": list(rows),
        "foreign_load": foreign_load,
        "repeats": 3,
        "commit": "abc",
        "at": "2026-01-02T03:04:05+00:00",
        "machine": {"python": "3.11.7", "cores": 2, "processor": "a", "memory_gib": 8.0},
        "postgres": {"version": "18.1"},
    }


def drained(name: str, *rates: float, tuning: Tuning = Tuning.BEST) -> dict[str, object]:
    case = Case(system=system(name, tuning), processes=1)
    return row_of(case, [{"jobs_per_s": rate, "client_cpu_us": 5.0} for rate in rates], [])


def write(folder: Path, content: dict[str, Any]) -> str:
    (folder / "drain.json").write_text(json.dumps(content))
    return page.files(folder)[page.PAGE]


def test_the_page_and_its_images_are_up_to_date_with_the_results() -> None:
    assert page.stale() == [], "run: python -m benchmarks page"


def test_the_page_gives_medians_and_our_ratio_to_each_rival(tmp_path: Path) -> None:
    text = write(tmp_path, result(drained("queueworker", 80, 100, 90), drained("cron", 30, 20, 31)))

    assert "| queueworker | 1 | 90 | 5 |  |" in text
    assert "| cron | 1 | 30 | 5 | 3.00 |" in text


def test_documented_defaults_are_marked(tmp_path: Path) -> None:
    text = write(tmp_path, result(drained("cron", 10, tuning=Tuning.DEFAULT)))

    assert "| cron (default) | 1 | 10 | 5 |" in text


def test_a_busy_machine_is_named_on_the_page(tmp_path: Path) -> None:
    quiet = write(tmp_path, result(drained("cron", 10)))
    busy = write(tmp_path, result(drained("cron", 10), foreign_load=0.4))

    assert "not to be quoted**" not in quiet
    assert "up to 40%; **the machine was busy: not to be quoted**" in busy


def test_a_failed_run_is_named_on_the_page(tmp_path: Path) -> None:
    case = Case(system=system("cron"), processes=1)

    text = write(tmp_path, result(row_of(case, [], ["3 jobs stay unfinished"])))

    assert "| cron (failed) | 1 |" in text


def test_the_plot_is_svg_with_a_bar_for_each_row(tmp_path: Path) -> None:
    write(tmp_path, result(drained("queueworker", 90), drained("cron", 30)))

    image = page.files(tmp_path)[page.IMAGES / "bench-drain.svg"]

    rectangles = ET.fromstring(image).findall("{http://www.w3.org/2000/svg}rect")  # noqa: S314
    assert len(rectangles) == 1 + 2
    assert float(rectangles[1].attrib["width"]) == 3 * float(rectangles[2].attrib["width"])


def test_only_what_was_measured_has_a_section_and_the_rest_its_command(tmp_path: Path) -> None:
    empty = page.files(tmp_path)[page.PAGE]
    write(tmp_path, result(drained("queueworker", 90), drained("cron", 30)))
    measured = page.files(tmp_path)[page.PAGE]

    assert "## Drain" not in empty
    assert "| `python -m benchmarks drain` |" in empty
    assert "## Drain" in measured
    assert "| `python -m benchmarks drain` |" not in measured
    assert "| `python -m benchmarks latency` |" in measured
    assert "Not measured" not in empty + measured


def test_a_load_that_nobody_measured_is_not_shown_as_none_at_all(tmp_path: Path) -> None:
    rows = [drained("cron", 10)]

    assert worst_foreign_load(rows) is None
    assert "foreign load not measured." in write(tmp_path, result(*rows, foreign_load=None))


def test_the_page_about_keda_has_the_figures_of_its_results() -> None:
    results = {"crash": {"kills": 7, "commit": "abc", "at": "2026-01-02", "seconds": 60.0}}
    results["crash"]["start_elsewhere"] = {"p50_ms": 1200, "p99_ms": 1900, "max_ms": 2500}
    text = "before\n<!-- figures: crash -->\nold\n<!-- end -->\nafter"

    filled = keda.fill(text, results)

    assert "| 7 | 1.20 | 1.90 | 2.50 |" in filled
    assert "old" not in filled
    assert keda.fill(filled, results) == filled
