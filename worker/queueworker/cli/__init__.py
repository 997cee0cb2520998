"""The command line `queueworker`."""

from queueworker.cli.main import main

__all__ = ["main"]
