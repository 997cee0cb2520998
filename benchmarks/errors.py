"""What goes wrong with a measurement; each message ends with the remedy.

BenchmarkError
├── RivalUnavailable     a rival cannot be installed: leave it out, or mend the package index
├── ProgramFailed        a measured program ended in an error: read its log
├── NotCompleted         jobs were lost, or done by no handler: the figure would be void
└── MachineBusy          --strict, and other processes use the machine
"""


class BenchmarkError(Exception):
    """Base of this package's errors."""


class RivalUnavailable(BenchmarkError):
    """A rival's environment cannot be built."""


class ProgramFailed(BenchmarkError):
    """A producer or a worker ended in an error, or did not start."""


class NotCompleted(BenchmarkError):
    """The jobs were not all completed, so there is no figure."""


class MachineBusy(BenchmarkError):
    """Other processes use too much of the machine for a figure to be quoted."""
