"""``python -m doorward``: tokens at a terminal and in scripts, where the program ``doorward`` is not installed.

The commands ``login``, ``token``, ``logout`` and ``verify``, their flags, texts, exit codes and files are those of the program: both
run the same code, and a login made by one is used by the other. Exit codes: 0 fine, 1 failed, 2 invalid arguments, 4 sign in first.
"""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Sequence

from ._native import command

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command and return its exit code; 130 if Ctrl-C ended it.

    The command reads and writes the standard streams of the process, not ``sys.stdout`` or ``sys.stderr``.

    Args:
        arguments: those after ``python -m doorward``; the process's own unless given.
    """
    words = list(sys.argv[1:] if arguments is None else arguments)
    if sys.stdout is not None:
        sys.stdout.flush()
    is_main = threading.current_thread() is threading.main_thread()
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)} if is_main else {}
    try:
        return command(words)
    except KeyboardInterrupt:
        return 130
    finally:
        # A command may receive signals itself, and does not stop doing so when it has ended.
        for number, handler in handlers.items():
            if handler is not None:
                signal.signal(number, handler)


if __name__ == "__main__":
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        # Ctrl-C ends this process as it ends the program `doorward`: by the signal, which a shell notices.
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    sys.exit(main())
