"""What can go wrong in the operator: one base, a leaf for each reaction a caller may have.

OperatorError
├── InvalidSettings     the operator's own flags or environment: print one line, exit 2
├── InvalidResource     a QueueWorker or manifest that cannot be acted on: a condition, no retry
├── LagUnavailable      the database gave no usable answer: hold, try again
│   ├── AccessRefused   it refused the user or the password: read the Secret again
│   └── GrantMissing    one function or the schema is missing or not granted: go on without it
├── TargetConflict      somebody else changed the target meanwhile: read again, decide again
├── TargetUnavailable   the target could not be read or written: try again at the next tick
├── ClusterUnavailable  the Kubernetes API gave no usable answer: try again
├── ClusterRestored     its versions went back: forget all that was read, and begin anew
├── AccessDenied        the Kubernetes API refuses a verb on a resource: grant it
├── ObjectMissing       the Kubernetes API has no such object (or no such kind)
├── ObjectChanged       the object changed since it was read: read again
└── NotLeader           another replica holds the lease: write nothing

Messages say what, which object, and what to do. They never carry a DSN or a password.
"""


class OperatorError(Exception):
    """Anything that the operator reports in one line."""


class InvalidSettings(OperatorError):
    """The operator was started with settings that it cannot use."""


class InvalidResource(OperatorError):
    """A QueueWorker, a Deployment or a Secret that cannot be acted on as it is.

    Args:
        message: What is wrong, on which object, and what to do.
        reason: The word for the condition, in CamelCase.
    """

    def __init__(self, message: str, *, reason: str = "InvalidSpec") -> None:
        super().__init__(message)
        self.reason = reason


class LagUnavailable(OperatorError):
    """The database gave no usable answer. An error is never a zero."""


class AccessRefused(LagUnavailable):
    """The database refused the user or the password: the Secret may have been rotated."""


class GrantMissing(LagUnavailable):
    """A function, a table or the schema is missing, or the role may not use it."""


class TargetConflict(OperatorError):
    """Somebody else changed the target since it was read."""


class TargetUnavailable(OperatorError):
    """The target could not be read or written."""


class ClusterUnavailable(OperatorError):
    """The Kubernetes API gave no usable answer."""


class ClusterRestored(OperatorError):
    """The Kubernetes API's versions went back: what was read before may hide what is true now."""


class AccessDenied(OperatorError):
    """The Kubernetes API refuses us: `refused` names the verb, the resource and the namespace."""

    def __init__(self, refused: str, remedy: str = "") -> None:
        super().__init__(f"{refused}: {remedy}" if remedy else refused)
        self.refused = refused


class ObjectMissing(OperatorError):
    """The Kubernetes API has no such object, or does not know its kind."""


class ObjectChanged(OperatorError):
    """The object changed since it was read: the write did not happen."""


class NotLeader(OperatorError):
    """Another replica of the operator holds the lease."""
