"""PURE: what may follow on a command line that an argparse parser understands."""

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from enum import Enum, auto
from pathlib import Path
from typing import Any


class Kind(Enum):
    """What the next word is; all but WORDS are known elsewhere than in the parser."""

    WORDS = auto()
    FILES = auto()
    QUEUE_WORKERS = auto()
    PODS = auto()
    ANYTHING = auto()


POSITIONALS = {"name": Kind.QUEUE_WORKERS, "pod": Kind.PODS}


@dataclass(frozen=True, slots=True, kw_only=True)
class Next:
    """The candidates with their help, if the parser knows them; else of which kind they are."""

    kind: Kind
    words: dict[str, str] = field(default_factory=dict)


def candidates(parser: argparse.ArgumentParser, before: Sequence[str], word: str) -> Next:
    """Say what `word` may become after the words before it."""
    open_option: argparse.Action | None = None
    for one in before:
        if open_option is not None:
            open_option = None
        elif one.startswith("-"):
            option = _options(parser).get(one)
            open_option = option if option is not None and option.nargs != 0 else None
        else:
            parser = _commands(parser).get(one, parser)
    if open_option is not None:
        return _value_of(open_option)
    if word.startswith("-"):
        return Next(kind=Kind.WORDS, words={n: _help(o) for n, o in _options(parser).items()})
    if commands := _purposes(parser):
        return Next(kind=Kind.WORDS, words=commands)
    kinds = [POSITIONALS[a.dest] for a in _actions(parser) if a.dest in POSITIONALS]
    return Next(kind=kinds[0] if kinds else Kind.ANYTHING)


def _value_of(option: argparse.Action) -> Next:
    if option.choices is not None:
        return Next(kind=Kind.WORDS, words={str(choice): "" for choice in option.choices})
    is_file = option.type is Path or "FILE" in str(option.metavar)
    return Next(kind=Kind.FILES if is_file else Kind.ANYTHING)


def _actions(parser: argparse.ArgumentParser) -> Sequence[argparse.Action]:
    return parser._actions  # noqa: SLF001 - argparse has no public way


def _options(parser: argparse.ArgumentParser) -> dict[str, argparse.Action]:
    return {name: action for action in _actions(parser) for name in action.option_strings}


def _help(action: argparse.Action) -> str:
    return action.help or ""


def _several(parser: argparse.ArgumentParser) -> Iterator[Any]:
    for action in _actions(parser):
        if isinstance(action, argparse._SubParsersAction):  # noqa: SLF001
            yield action


def _commands(parser: argparse.ArgumentParser) -> dict[str, argparse.ArgumentParser]:
    return {name: inner for action in _several(parser) for name, inner in action.choices.items()}


def _purposes(parser: argparse.ArgumentParser) -> dict[str, str]:
    return {
        choice.dest: choice.help or ""
        for action in _several(parser)
        for choice in action._choices_actions  # noqa: SLF001
    }
