"""`-o`: for people, or for programs."""

import argparse
import json
from typing import Any

import yaml

FORMATS = ("table", "json", "yaml")


def add_output(parser: argparse.ArgumentParser) -> None:
    """Describe the flag."""
    parser.add_argument(
        "-o", "--output", choices=FORMATS, default="table", help="how to print (table)"
    )


def print_document(document: Any, output: str) -> None:
    """Print for programs; `output` is json or yaml."""
    if output == "json":
        print(json.dumps(document, indent=2))
    else:
        plain = json.loads(json.dumps(document))  # YAML has no form for an enum
        print(yaml.safe_dump(plain, sort_keys=False, allow_unicode=True), end="")
