"""Find the app that a command line names; what is wrong with its module is said in one line."""

import functools
import importlib
import sys
import sysconfig
import traceback
from pathlib import Path

from queueworker.app import App
from queueworker.errors import AppNotFound, QueueWorkerError
from queueworker.redaction import shortened

OWN = str(Path(__file__).parent)
MOST_CHARACTERS = 500
MOST_FRAMES = 10


def load_app(reference: str) -> App:
    """Import `module:attribute` (the attribute is `app` unless given) and give the app there.

    Raises:
        AppNotFound: the module or the attribute does not exist, or is no app, or its import failed;
            the notes of the error are the module's own lines that led there.
    """
    module_name, _, attribute = reference.partition(":")
    if not module_name:
        raise AppNotFound("no app is named; give --app MODULE:APP or set QUEUEWORKER_APP")
    if module_name.startswith("."):
        raise AppNotFound(f"module {module_name!r} is relative; give --app its full name")
    if "" not in sys.path:
        sys.path.insert(0, "")
    try:
        module = importlib.import_module(module_name)
    except QueueWorkerError:
        raise
    except ModuleNotFoundError as exc:
        raise _not_found(module_name, attribute, exc) from exc
    except (Exception, SystemExit) as exc:
        raise _failed(module_name, exc) from exc
    app = getattr(module, attribute or "app", None)
    if not isinstance(app, App):
        raise AppNotFound(
            f"module {module_name!r} has no App named {attribute or 'app'!r}; give --app MODULE:APP"
        )
    return app


def is_foreign(filename: str) -> bool:
    """Tell whether a file is not one of the user's: Python's, a package's, or this package's."""
    return filename.startswith(_foreign())


@functools.cache
def _foreign() -> tuple[str, ...]:
    paths = sysconfig.get_paths()
    return (OWN, "<", *(paths[name] for name in ("stdlib", "platstdlib", "purelib", "platlib")))


def _not_found(module_name: str, attribute: str, exc: ModuleNotFoundError) -> AppNotFound:
    missing = exc.name or ""
    if f"{module_name}.".startswith(f"{missing}."):
        near = _meant(module_name, attribute)
        remedy = (
            f"did you mean --app {near}?"
            if near
            else f"correct --app, or run in the folder that holds {_first_file(module_name)}"
        )
        return AppNotFound(f"there is no module {module_name!r} in {Path.cwd()}; {remedy}")
    frames = _frames(exc)
    where = f" ({_place(frames[-1])})" if frames else ""
    return AppNotFound(
        f"module {module_name!r} needs {missing!r}, which is not installed here{where};"
        " install it, or correct the import"
    )


def _first_file(module_name: str) -> str:
    name, dot, _ = module_name.partition(".")
    return f"{name}/" if dot else f"{name}.py"


def _meant(module_name: str, attribute: str) -> str | None:
    """Guess what `tasks.py`, `shop/tasks.py` and `tasks.app` mean."""
    name, _, last = module_name.replace("/", ".").lstrip(".").rpartition(".")
    if name and last == "py":
        return f"{name}:{attribute or 'app'}"
    if isinstance(getattr(sys.modules.get(name), last, None), App):
        return f"{name}:{last}"
    return None


def _failed(module_name: str, exc: BaseException) -> AppNotFound:
    frames = _frames(exc)
    text = shortened(" ".join(str(exc).split()), MOST_CHARACTERS)
    told = f"{type(exc).__name__}: {text}" if text else type(exc).__name__
    where = f" ({_place(frames[-1])})" if frames and not isinstance(exc, SyntaxError) else ""
    error = AppNotFound(f"importing {module_name!r} failed: {told}{where}")
    if len(frames) > 1:
        shown = "".join(traceback.format_list(frames[-MOST_FRAMES:]))
        error.add_note(shortened(shown.rstrip(), MOST_FRAMES * MOST_CHARACTERS))
    return error


def _frames(exc: BaseException) -> list[traceback.FrameSummary]:
    """Give the frames of the user's own modules: not Python's, not ours, not those of packages."""
    frames = traceback.extract_tb(exc.__traceback__)
    return [frame for frame in frames if not is_foreign(frame.filename)]


def _place(frame: traceback.FrameSummary) -> str:
    return f"{Path(frame.filename).name}:{frame.lineno}"
