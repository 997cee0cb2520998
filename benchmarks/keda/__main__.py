"""`python -m benchmarks.keda NAME --json OUT`."""

from benchmarks.keda.command import main

if __name__ == "__main__":  # the processes of the pool import this module too
    raise SystemExit(main())
