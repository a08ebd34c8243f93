"""``python -m doorward``, and ``doorward`` where pip put it: tokens at a terminal and in scripts, without the gateway's program.

The commands ``login``, ``token``, ``logout`` and ``verify``, their flags, texts, exit codes and files are those of the program: both
run the same code, and a login made by one is used by the other. Exit codes: 0 fine, 1 failed, 2 invalid arguments, 4 sign in first.

The gateway's program has the same name. Where pip's is found first, the commands of the gateway end with an error that says so, and
names the gateway's program if it is on ``PATH``.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Sequence

from ._native import command

__all__ = ["console", "main"]

_GATEWAY = frozenset({"serve", "demo", "check", "explain", "doctor", "migrate", "schema", "healthcheck", "completions", "key", "presets"})


def main(arguments: Sequence[str] | None = None, name: str = "python -m doorward") -> int:
    """Run a command and return its exit code; 130 if Ctrl-C ended it.

    The command reads and writes the standard streams of the process, not ``sys.stdout`` or ``sys.stderr``.

    Args:
        arguments: those after ``python -m doorward``; the process's own unless given.
        name: the name that help and errors call the program by.
    """
    words = list(sys.argv[1:] if arguments is None else arguments)
    if sys.stdout is not None:
        sys.stdout.flush()
    is_main = threading.current_thread() is threading.main_thread()
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)} if is_main else {}
    try:
        return command(words, name)
    except KeyboardInterrupt:
        return 130
    finally:
        # A command may receive signals itself, and does not stop doing so when it has ended.
        for number, handler in handlers.items():
            if handler is not None:
                signal.signal(number, handler)


def console() -> int:
    """The console script ``doorward``."""
    asked = next((word for word in sys.argv[1:] if not word.startswith("-")), "")
    if asked in _GATEWAY:
        found = _gateway(sys.argv[0])
        where = f"run {found}" if found else "its program is not on PATH"
        print(f"doorward: {asked} is a command of the gateway, and {sys.argv[0]} belongs to the Python package; {where}", file=sys.stderr)
        return 2
    _end_by_signal()
    return main(name="doorward")


def _gateway(script: str) -> str | None:
    """The first program ``doorward`` on ``PATH`` that is no script of Python's."""
    for folder in os.get_exec_path():
        path = os.path.join(folder, "doorward")
        try:
            if os.access(path, os.X_OK) and not os.path.samefile(path, script) and not _is_script(path):
                return path
        except OSError:
            continue
    return None


def _is_script(path: str) -> bool:
    with open(path, "rb") as file:
        return file.read(2) == b"#!"


def _end_by_signal() -> None:
    """Have Ctrl-C end this process as it ends the program ``doorward``: by the signal, which a shell notices."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)


if __name__ == "__main__":
    _end_by_signal()
    sys.exit(main())
