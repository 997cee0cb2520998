"""TAB after `queueworker` and `queueworker-operator`, in a real bash with the script that they print."""

import subprocess
import sys
from pathlib import Path

import pytest

COMPLETE = """
source "$1"; shift
function=$(complete -p "$1" | sed 's/.*-F \\([^ ]*\\) .*/\\1/')
COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); COMP_LINE="$*"; COMP_POINT=${#COMP_LINE}
"$function" "$1" "${COMP_WORDS[COMP_CWORD]}" "${COMP_WORDS[COMP_CWORD - 1]}"
printf '%s\\n' "${COMPREPLY[@]}"
"""
MODULES = {"queueworker": "queueworker", "queueworker-operator": "queueworker_operator"}


def script_of(program: str, shell: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", MODULES[program], "completion", shell],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    return done.stdout


def completed(folder: Path, *words: str) -> set[str]:
    """Give what bash offers for the last of the words."""
    script = folder / "completion.bash"
    script.write_text(script_of(words[0], "bash"))
    done = subprocess.run(
        ["bash", "--norc", "-c", COMPLETE, "bash", str(script), *words],
        cwd=folder,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert done.stderr == ""
    return set(done.stdout.split())


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("queueworker en", {"enqueue"}),
        ("queueworker dead re", {"retry"}),
        ("queueworker worker --conc", {"--concurrency"}),
        ("queueworker worker --log-format j", {"json"}),
        ("queueworker-operator expl", {"explain"}),
        ("queueworker-operator record --ev", {"--every"}),
        ("queueworker-operator record --out arr", {"arrivals.csv"}),
    ],
)
def test_bash_completes_commands_options_values_and_files(
    tmp_path: Path, line: str, expected: set[str]
) -> None:
    (tmp_path / "arrivals.csv").touch()

    assert completed(tmp_path, *line.split()) == expected


@pytest.mark.parametrize("program", MODULES)
@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_there_are_scripts_for_other_shells(program: str, shell: str) -> None:
    assert program in script_of(program, shell)
    assert len(script_of(program, shell).splitlines()) > 50


@pytest.mark.parametrize("main", ["queueworker.cli", "queueworker_operator.cli"])
def test_without_the_extra_it_says_what_to_install(main: str) -> None:
    code = (
        f"import sys; sys.modules['shtab'] = None; from {main} import main;"
        " sys.exit(main(['completion', 'bash']))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=60
    )

    assert done.returncode > 0
    assert done.stderr.count("\n") == 1
    assert "python -m pip install shtab" in done.stderr
