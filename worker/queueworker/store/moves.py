"""What the store tells of a queue that moves or goes: frozen values, no behaviour."""

from dataclasses import dataclass
from enum import Enum


class MoveState(Enum):
    """How far a queue's move has got: a backlog is on its way, the rest runs, all is moved."""

    MOVING = "moving"
    FINISHING = "finishing"
    MOVED = "moved"


@dataclass(frozen=True, slots=True, kw_only=True)
class MoveStep:
    """One batch of a move."""

    moved: int
    state: MoveState


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueContents:
    """What the removal of a queue would take away."""

    jobs: int
    dead: int
    workers: int
