"""What a Deployment's pod template says about its workers."""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from queueworker_operator.resource.kind import Body

CONCURRENCY_VARIABLE = "QUEUEWORKER_CONCURRENCY"
CONCURRENCY_FLAG = "--concurrency"
SLOTS = re.compile(r"[0-9]{1,5}")  # anybody may write a template: no number of 5,000 digits
DEFAULT_GRACE_S = 30.0  # Kubernetes' own default


def slots_of(deployment: Body) -> int | None:
    """Give the slots that one pod will have; None where the template does not say."""
    for container in _containers(deployment):
        for text in (_flag(container), _variable(container)):
            if text is not None and SLOTS.fullmatch(text) and int(text) > 0:
                return int(text)
    return None


def grace_s_of(deployment: Body) -> float:
    """Give the seconds between SIGTERM and SIGKILL."""
    value = _pod_spec(deployment).get("terminationGracePeriodSeconds")
    return DEFAULT_GRACE_S if value is None else float(value)


def _pod_spec(deployment: Body) -> Mapping[str, Any]:
    template = (deployment.get("spec") or {}).get("template") or {}
    return template.get("spec") or {}


def _containers(deployment: Body) -> Sequence[Body]:
    return _pod_spec(deployment).get("containers") or ()


def _flag(container: Body) -> str | None:
    words = _words(container)
    for word in words:
        if word == CONCURRENCY_FLAG:
            return next(words, None)
        if word.startswith(f"{CONCURRENCY_FLAG}="):
            return word.partition("=")[2]
    return None


def _words(container: Body) -> Iterator[str]:
    yield from (str(word) for word in container.get("command") or ())
    yield from (str(word) for word in container.get("args") or ())


def _variable(container: Body) -> str | None:
    for entry in container.get("env") or ():
        if entry.get("name") == CONCURRENCY_VARIABLE:
            value = entry.get("value")
            return None if value is None else str(value)
    return None
