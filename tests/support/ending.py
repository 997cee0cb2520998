"""The end of a process that a test or a benchmark started."""

import subprocess


def end(process: "subprocess.Popen[bytes]", within_s: float) -> bool:
    """Ask a process to end, kill it after `within_s`; tell whether it ended by itself."""
    if process.poll() is None:
        process.terminate()
    try:
        process.wait(within_s)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
        return False
    return True
