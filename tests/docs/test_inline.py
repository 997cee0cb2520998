"""Commands within a line of a page: each is one that its program understands."""

import os
import re
import shlex
import subprocess
import tomllib
from argparse import ArgumentParser
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest
from tests.support.chart import render_text
from tests.support.helm import helm_path
from tests.support.pages import PAGES, ROOT, block_of, code, spans

from queueworker.cli.parser import build_parser as worker_parser
from queueworker_operator.cli import build_parser as operator_parser
from queueworker_operator.plugin.parser import build_parser as plugin_parser

OURS = {
    "queueworker": worker_parser,
    "queueworker-operator": operator_parser,
    "kubectl queueworker": plugin_parser,
}
OF_EVERY_VERB = {"--namespace"}


def commands(program: str) -> Iterator[tuple[str, list[str]]]:
    """Give the spans that begin with `program` and say what to do: the page, and all later words."""
    for page in PAGES:
        for span in spans(page):
            if span.startswith(f"{program} ") and "..." not in span:
                yield page.name, shlex.split(span.removeprefix(program), comments=True)


def understands(parser: ArgumentParser, words: list[str]) -> bool:
    """Tell whether these are a command and what it needs, or its name alone."""
    is_name = not any(word.startswith("-") for word in words)
    return parses(parser, words) or (is_name and parses(parser, [*words, "--help"]))


def parses(parser: ArgumentParser, words: list[str]) -> bool:
    try:
        parser.parse_args(words)
    except SystemExit as exc:
        return exc.code == 0
    return True


@pytest.mark.parametrize("program", OURS)
def test_a_command_of_ours_within_a_line_is_understood(program: str) -> None:
    found = list(commands(program))

    assert found
    assert [one for one in found if not understands(OURS[program](), one[1])] == []


@cache
def help_of(program: str, verb: str) -> str:
    path = helm_path() if program == "helm" else helm_path().with_name(program)
    done = subprocess.run([path, verb, "--help"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{program} has no {verb}"
    return done.stdout


@pytest.mark.parametrize("program", ["helm", "kubectl"])
def test_a_command_of_helm_and_kubectl_within_a_line_has_flags_that_exist(program: str) -> None:
    found = [one for one in commands(program) if one[1][0] != "queueworker"]
    wrong = [
        (page, words)
        for page, words in found
        if not flags(words) - OF_EVERY_VERB <= flags(help_of(program, words[0]).split())
    ]

    assert found
    assert wrong == []


def flags(words: list[str]) -> set[str]:
    return {word.partition("=")[0].rstrip(":") for word in words if word.startswith("--")}


def test_a_script_of_a_page_knows_what_it_is_told_to_do() -> None:
    found = {
        (page.name, ROOT / script, verb)
        for page in PAGES
        for script, verb in re.findall(r"(?<![\w./])(hack/[\w./-]+\w)(?: ([a-z]+))?", code(page))
    }
    wrong = [one for one in found if not os.access(one[1], os.X_OK)]
    wrong += [
        (page, script, verb)
        for page, script, verb in found
        if verb and not re.search(rf"{script.name} {verb}\b", script.read_text())
    ]

    assert len(found) > 5
    assert wrong == []


def test_what_pip_is_told_to_bring_is_an_extra_of_the_package() -> None:
    known = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    named = {name for page in PAGES for name in re.findall(r"CHECKOUT\[([\w,]+)\]", code(page))}

    assert named
    assert {one for name in named for one in name.split(",")} <= set(known)


def test_helm_and_kubectl_are_there_after_the_pages_line() -> None:
    typed = block_of("docs/howto/install.md", "make --silent helm").text
    command = ["bash", "-euo", "pipefail", "-c", f"{typed}\ncommand -v helm kubectl"]

    found = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout

    assert found.split() == [str(helm_path()), str(helm_path().with_name("kubectl"))]


def test_the_values_for_the_local_cluster_name_the_images_that_it_has(tmp_path: Path) -> None:
    (tmp_path / "hack").symlink_to(ROOT / "hack")
    typed = block_of("docs/howto/install.md", "cat >images.yaml").text
    subprocess.run(["bash", "-euo", "pipefail", "-c", typed], cwd=tmp_path, check=True)

    names = subprocess.run(
        [ROOT / "hack/images", "names"], capture_output=True, text=True, check=True
    ).stdout.splitlines()
    rendered = render_text("--values", tmp_path / "images.yaml", "--set", "demo.enabled=true")

    assert set(re.findall(r"image: \"?([^\s\"]+)", rendered)) == {
        line.partition("=")[2]
        for line in names
        if line.partition("=")[0] in {"operator", "worker", "postgres"}
    }
