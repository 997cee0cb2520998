"""Samples of a run that has not ended: an interrupted run goes on where it was."""

import json
from pathlib import Path

from benchmarks.scenario import Case, Sample


class Journal:
    """One JSON line a sample, beside the result; of another commit or other options: dropped."""

    def __init__(self, out: Path, fingerprint: str) -> None:
        self._path = out.with_name(out.name + ".partial")
        self._samples: dict[str, Sample] = {}
        if self._path.exists():
            first, *lines = self._path.read_text().splitlines() or [""]
            if first == fingerprint:
                for line in lines:
                    entry = json.loads(line)
                    self._samples[entry["key"]] = entry["sample"]
                return
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._path.write_text(fingerprint + "\n")

    def get(self, case: Case, repeat: int) -> Sample | None:
        """Give the sample of an earlier try."""
        return self._samples.get(_key(case, repeat))

    def add(self, case: Case, repeat: int, sample: Sample) -> None:
        """Keep a sample."""
        self._samples[_key(case, repeat)] = sample
        with self._path.open("a") as file:
            file.write(json.dumps({"key": _key(case, repeat), "sample": sample}) + "\n")

    def close(self) -> None:
        """Remove the file: the result is written."""
        self._path.unlink(missing_ok=True)


def _key(case: Case, repeat: int) -> str:
    return f"{case.label} #{repeat}"
