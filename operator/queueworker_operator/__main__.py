"""`python -m queueworker_operator` is `queueworker-operator`."""

import sys


def main() -> int:
    """Run the command line; without the extra `operator`, say how to get it."""
    try:
        from queueworker_operator.cli import main as run_command  # noqa: PLC0415 - may be missing
    except ModuleNotFoundError as exc:
        print(
            f"queueworker-operator: the module {exc.name!r} is missing;"
            " run: python -m pip install 'queueworker[operator]'",
            file=sys.stderr,
        )
        return 1
    return run_command()


if __name__ == "__main__":
    sys.exit(main())
