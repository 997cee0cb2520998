"""Pure translation: manifests to specs, decisions to status, conditions and events. No I/O."""

from queueworker_operator.resource.conditions import Condition, ConditionReason, Trouble
from queueworker_operator.resource.conflicts import Claim, find_conflicts
from queueworker_operator.resource.events import WARNINGS, decision_event, trouble_event
from queueworker_operator.resource.kind import GROUP, KIND, PLURAL, VERSION, key_of
from queueworker_operator.resource.schedule import in_force
from queueworker_operator.resource.spec import SPEC_FIELDS, ResourceSpec, parse
from queueworker_operator.resource.status import Facts, same_story, status_of
from queueworker_operator.resource.template import grace_s_of, slots_of, workers_of

__all__ = [
    "GROUP",
    "KIND",
    "PLURAL",
    "SPEC_FIELDS",
    "VERSION",
    "WARNINGS",
    "Claim",
    "Condition",
    "ConditionReason",
    "Facts",
    "ResourceSpec",
    "Trouble",
    "decision_event",
    "find_conflicts",
    "grace_s_of",
    "in_force",
    "key_of",
    "parse",
    "same_story",
    "slots_of",
    "status_of",
    "trouble_event",
    "workers_of",
]
