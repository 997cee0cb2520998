"""`queueworker-operator run`: the operator in a cluster."""

import argparse
import asyncio
import os
from dataclasses import replace
from typing import Any

from queueworker_operator.cli.log import set_up_logging
from queueworker_operator.kube import find_credentials
from queueworker_operator.lag.foreign import close_environment
from queueworker_operator.settings import LogFormat, Settings, port


def add_parser(commands: "argparse._SubParsersAction[Any]") -> None:
    """Describe the command and its flags."""
    parser = commands.add_parser(
        "run",
        help="watch QueueWorkers and scale their Deployments",
        description="Watch QueueWorkers and scale their Deployments. Every flag has an "
        "environment variable QUEUEWORKER_OPERATOR_<FLAG>.",
    )
    parser.add_argument(
        "--namespace",
        action="append",
        default=[],
        metavar="NS",
        help="watch this namespace; may be given again (default: its own)",
    )
    parser.add_argument("--all-namespaces", action="store_true", help="watch the whole cluster")
    parser.add_argument("--port", help="of /livez, /readyz and /metrics (8080; 0: any free one)")
    parser.add_argument("--leader-namespace", metavar="NS", help="where the Lease is (its own)")
    parser.add_argument("--log-format", choices=[str(one) for one in LogFormat])
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Run until SIGTERM."""
    # kopf takes half a second to import: the other commands need not wait for it
    from queueworker_operator.handlers import check_watchable, operate  # noqa: PLC0415 see above

    close_environment(os.environ)
    settings = settings_of(arguments)
    set_up_logging(settings.log_format)
    credentials = find_credentials(os.environ)
    check_watchable(credentials)
    asyncio.run(operate(settings, credentials))
    return 0


def settings_of(arguments: argparse.Namespace) -> Settings:
    """Join the environment with the flags, which win."""
    settings = Settings.from_env(os.environ)
    if arguments.namespace or arguments.all_namespaces:
        settings = replace(
            settings,
            namespaces=tuple(arguments.namespace),
            all_namespaces=arguments.all_namespaces,
        )
    if arguments.port is not None:
        settings = replace(settings, port=port("PORT", arguments.port))
    if arguments.leader_namespace:
        settings = replace(settings, leader_namespace=arguments.leader_namespace)
    if arguments.log_format:
        settings = replace(settings, log_format=LogFormat(arguments.log_format))
    return settings
