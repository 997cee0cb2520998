"""The reference page of the public Python API: every name of `queueworker.__all__`, from its docstring."""

import inspect
import re
from collections.abc import Iterator

import queueworker
from queueworker import App, Context, Job, Task

HEAD = """\
# The Python API
Everything that `from queueworker import ...` gives; other modules are internal and may change. How to use it:
[quickstart](../quickstart.md) · [enqueue from your application](../howto/producers.md).
"""
PARTS = {
    "Applications and tasks": (App, Task),
    "Jobs": (Job,),
    "Inside a handler": (Context, queueworker.RetryAfter, queueworker.Discard),
}
ANNOTATIONS = (
    (r"\b(?:queueworker|collections\.abc|typing|datetime|psycopg|uuid|logging|types)(?:\.\w+)*\.(?=\w)", ""),
    (r"Literal\['keep', 'reject', 'replace'\]", "Policy"),
    (r"<class '(?:\w+\.)*(\w+)'>", r"\1"),
    (r"Optional\[((?:[^\[\]]|\[[^\]]*\])*)\]", r"\1 | None"),
    (r"['~]([A-Z]\w*)'?", r"\1"),
)  # fmt: skip


def python_page() -> str:
    """Describe every public name."""
    parts = [HEAD]
    told: set[object] = set()
    for title, things in PARTS.items():
        parts.append(f"## {title}\n")
        for thing in things:
            parts.extend(_class(thing))
            told.add(thing)
    names = [name for name in queueworker.__all__ if getattr(queueworker, name) not in told]
    errors = [name for name in names if _is_error(getattr(queueworker, name))]
    others = [name for name in names if name not in errors]
    parts.append("## Functions and other names\n")
    for name in others:
        parts.extend(_entry("###", name, getattr(queueworker, name)))
    parts.append("## Errors\n| error | is a | |\n|---|---|---|")
    parts.extend(_error_row(name, getattr(queueworker, name)) for name in errors)
    return "\n".join(parts).rstrip() + "\n"


def _is_error(thing: object) -> bool:
    return isinstance(thing, type) and issubclass(thing, BaseException)


def _error_row(name: str, error: type[BaseException]) -> str:
    parents = ", ".join(f"`{base.__name__}`" for base in error.__bases__)
    return f"| `{name}` | {parents} | {' '.join(_paragraphs(error))} |"


def _class(thing: type) -> Iterator[str]:
    yield from _entry("###", thing.__name__, thing)
    members = {name: member for name, member in vars(thing).items() if not name.startswith("_")}
    fields = [
        f"- `{name}`: {' '.join(_paragraphs(member.fget))}"
        for name, member in members.items()
        if isinstance(member, property)
    ]
    if fields:
        yield "\n".join(fields) + "\n"
    if thing is Task:
        yield from _entry("####", "a call", Task.__call__, shown="task")
    for name, member in members.items():
        if inspect.isfunction(member):
            yield from _entry("####", f"{thing.__name__}.{name}", member)


def _entry(level: str, name: str, thing: object, shown: str = "") -> Iterator[str]:
    yield f"{level} {name}\n```text\n{_signature(shown or name, thing)}\n```\n{_text(thing)}\n"


def _signature(name: str, thing: object) -> str:
    if not callable(thing) or _is_bare(thing):
        return name
    signature = inspect.signature(thing)
    kept = [p for p in signature.parameters.values() if p.name != "self"]
    text = str(signature.replace(parameters=kept)).replace("*misplaced: Never, ", "*, ")
    # An annotation that is a text, so that its module is not imported, is shown as the others are.
    text = re.sub(r": '([^']*)'(?=[ ,)])", r": \1", text)
    for pattern, shorter in ANNOTATIONS:
        text = re.sub(pattern, shorter, text)
    prefix = "await " if inspect.iscoroutinefunction(thing) else ""
    return f"{prefix}{name}{text.replace(' -> None', '')}"


def _is_bare(thing: object) -> bool:
    # Made by the worker, or by a decorator: nobody calls it.
    return thing in (Context, Task)


def _text(thing: object) -> str:
    return "\n\n".join(_paragraphs(thing))


def _paragraphs(thing: object) -> list[str]:
    paragraphs = re.split(r"\n\s*\n", inspect.getdoc(thing) or "")
    return [_listed(part) for part in paragraphs]


def _listed(paragraph: str) -> str:
    head, *rest = paragraph.split("\n")
    if head.strip() == "Raises:":
        lines = "\n".join(rest)
        found = re.findall(r"^ {4}([\w, ]+): (.*(?:\n {8}.*)*)", lines, re.MULTILINE)
        return "\n".join(f"- raises `{name}`: {' '.join(why.split())}" for name, why in found)
    return " ".join(paragraph.split())
