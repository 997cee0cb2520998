#!/usr/bin/env python3
"""Write the two Grafana dashboards of the chart from lists of panels.

hack/dashboards.py            write charts/queueworker/dashboards/{queue,operator}.json
hack/dashboards.py --check    write nothing; exit 1 and name the dashboards that are not up to date
"""

import argparse
import json
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from dashboard_panels import OPERATOR, QUEUE, Panel
from worker_panels import WORKERS

FOLDER = Path(__file__).resolve().parents[1] / "charts" / "queueworker" / "dashboards"
SOURCE = {"type": "prometheus", "uid": "${source}"}
WIDTH, HEIGHT, COLUMNS = 12, 8, 2


def panel(number: int, told: Panel) -> dict[str, Any]:
    """Make one panel, in its place on the grid."""
    return {
        "id": number + 1,
        "type": "timeseries",
        "title": told.title,
        "description": told.text,
        "datasource": SOURCE,
        "gridPos": {
            "h": HEIGHT,
            "w": WIDTH,
            "x": number % COLUMNS * WIDTH,
            "y": number // COLUMNS * HEIGHT,
        },
        "fieldConfig": {"defaults": {"unit": told.unit, "min": 0}, "overrides": []},
        "options": {
            "legend": {"displayMode": "list", "placement": "bottom"},
            "tooltip": {"mode": "multi", "sort": "desc"},
        },
        "targets": [
            {
                "refId": chr(ord("A") + line),
                "datasource": SOURCE,
                "expr": expression,
                "legendFormat": legend,
            }
            for line, (legend, expression) in enumerate(told.lines)
        ],
    }


def chosen(name: str, query: str) -> dict[str, Any]:
    """Make a variable over a label's values."""
    return {
        "name": name,
        "type": "query",
        "datasource": SOURCE,
        "query": {"query": query, "refId": name},
        "multi": True,
        "includeAll": True,
        "allValue": ".*",
        "current": {"text": "All", "value": "$__all"},
        "refresh": 2,
        "sort": 1,
    }


def dashboard(name: str, title: str, panels: Iterable[Panel], variables: Sequence[Any]) -> str:
    """Give a dashboard's JSON."""
    made = {
        "uid": f"queueworker-{name}",
        "title": title,
        "tags": ["queueworker"],
        "schemaVersion": 39,
        "editable": True,
        "refresh": "15s",
        "time": {"from": "now-1h", "to": "now"},
        "templating": {
            "list": [{"name": "source", "type": "datasource", "query": "prometheus"}, *variables]
        },
        "panels": [panel(number, told) for number, told in enumerate(panels)],
    }
    return json.dumps(made, indent=2) + "\n"


def dashboards() -> dict[Path, str]:
    """Give both dashboards by their file."""
    namespace = chosen("namespace", "label_values(queueworker_desired_replicas, namespace)")
    worker = chosen(
        "queueworker",
        'label_values(queueworker_desired_replicas{namespace=~"$namespace"}, queueworker)',
    )
    return {
        FOLDER / "queue.json": dashboard(
            "queue", "QueueWorker: queues and workers", (*QUEUE, *WORKERS), [namespace, worker]
        ),
        FOLDER / "operator.json": dashboard("operator", "QueueWorker: operator", OPERATOR, []),
    }


def main(arguments: list[str]) -> int:
    """Write the dashboards, or compare them."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", maxsplit=1)[0])
    parser.add_argument("--check", action="store_true", help="compare, write nothing")
    check = parser.parse_args(arguments).check
    stale = [
        path for path, text in dashboards().items() if not path.exists() or path.read_text() != text
    ]
    for path in stale:
        if check:
            sys.stderr.write(f"{path.name} is not up to date: run make docs\n")
        else:
            path.parent.mkdir(exist_ok=True)
            path.write_text(dashboards()[path])
    return int(check and bool(stale))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
