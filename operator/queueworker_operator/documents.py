"""The documents of a manifest file, refused as kubectl and the API server would refuse them."""

from collections.abc import Iterator, Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import yaml

from queueworker_operator.errors import InvalidResource
from queueworker_operator.resource import GROUP, SPEC_FIELDS, VERSION

Body = Mapping[str, Any]

DEFAULT_NAMESPACE = "default"


def documents(file: Path) -> Iterator[Body]:
    """Read the objects of `file`, each with a name and a namespace.

    Raises:
        InvalidResource: names the file, what is wrong and what to do.
    """
    try:
        for document in yaml.safe_load_all(file.read_text()):
            if document is None:
                continue
            if not isinstance(document, Mapping) or "kind" not in document:
                raise InvalidResource(f"{file.name} is no manifest: it has no `kind`")
            for item in _items(document):
                yield _placed(item, file)
    except OSError as exc:
        raise InvalidResource(f"{file} cannot be read ({exc.strerror}): check its path") from exc
    except (yaml.YAMLError, UnicodeDecodeError) as exc:
        where = getattr(exc, "problem_mark", None)
        line = f" (line {where.line + 1})" if where else ""
        raise InvalidResource(f"{file.name} is not readable as YAML{line}: mend it") from exc


def _items(document: Body) -> Sequence[Body]:
    """Take apart the List that `kubectl get -o yaml` prints."""
    items = document.get("items")
    if document["kind"] != "List" or not isinstance(items, list):
        return [document]
    return [item for item in items if isinstance(item, Mapping) and "kind" in item]


def _placed(document: Body, file: Path) -> Body:
    """Give `document` with a name checked and the namespace that kubectl would choose."""
    metadata = document.get("metadata")
    if not isinstance(metadata, Mapping) or not metadata.get("name"):
        raise InvalidResource(f"{file.name} has a {document['kind']} without metadata.name: add it")
    return {**document, "metadata": {"namespace": DEFAULT_NAMESPACE, **metadata}}


def refuse_unknown(name: str, body: Body) -> None:
    """Refuse what kubectl and the API server would: a misspelt field must not be a default.

    Raises:
        InvalidResource: names the field, and the one that was meant.
    """
    if body.get("apiVersion") != f"{GROUP}/{VERSION}":
        raise InvalidResource(f"QueueWorker {name}: apiVersion must be {GROUP}/{VERSION}")
    spec = body.get("spec")
    unknown = sorted(set(map(str, spec)) - SPEC_FIELDS) if isinstance(spec, Mapping) else []
    for field in unknown:
        nearest = get_close_matches(field, SPEC_FIELDS, n=1)
        remedy = f"did you mean {nearest[0]}?" if nearest else "remove it"
        raise InvalidResource(f"QueueWorker {name}: spec.{field} is not a field: {remedy}")
