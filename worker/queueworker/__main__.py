"""`python -m queueworker` is the command `queueworker`."""

from queueworker.cli import main

if __name__ == "__main__":
    raise SystemExit(main())
