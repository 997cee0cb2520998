"""What a pod's spec, or a Deployment's template of it, says about its workers."""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from queueworker_operator.resource.kind import Body

CONCURRENCY_VARIABLE = "QUEUEWORKER_CONCURRENCY"
CONCURRENCY_FLAG = "--concurrency"
# Both are for workers alone; a sidecar may well have the QUEUEWORKER_DSN.
WORKER_VARIABLES = frozenset({CONCURRENCY_VARIABLE, "QUEUEWORKER_POD_NAME"})
WORKER_COMMAND = re.compile(r"(^|queueworker )worker( |$)")  # the image may begin it itself
SLOTS = re.compile(r"[0-9]{1,5}")  # anybody may write a template: no number of 5,000 digits
DEFAULT_GRACE_S = 30.0  # Kubernetes' own default


def workers_of(pod_spec: Body) -> Sequence[Body]:
    """Pick the containers that run a worker; all of them where none shows it."""
    containers = pod_spec.get("containers") or ()
    return [one for one in containers if _is_worker(one)] or containers


def slots_of(deployment: Body) -> int | None:
    """Give the slots that one pod will have; None where the template does not say."""
    for container in workers_of(_pod_spec(deployment)):
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


def _is_worker(container: Body) -> bool:
    names = {entry.get("name") for entry in container.get("env") or ()}
    command = WORKER_COMMAND.search(" ".join(_words(container)))
    return bool(command or _flag(container) or names & WORKER_VARIABLES)


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
