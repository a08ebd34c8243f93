"""``python -m doorward``: tokens at a terminal and in scripts, where the program ``doorward`` is not installed.

The commands, flags, exit codes and files are those of the program's ``verify``, ``token``, ``login`` and ``logout``: a login made by one
is used by the other. Exit codes: 0 fine, 1 not, 2 wrong usage, 4 sign-in needed.
"""

from __future__ import annotations

import argparse
import io
import os
import sys
from collections.abc import Sequence

from . import ConfigurationError, DoorwardError, LoginNeeded, __version__
from ._commands import login, logout, token, verify

__all__ = ["main"]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m doorward", description="OpenID Connect at a terminal and in scripts.")
    parser.add_argument("--version", action="version", version=f"doorward {__version__}")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    for command in (login, token, logout, verify):
        name = command.__name__.rpartition(".")[2]
        summary = (command.__doc__ or "").splitlines()[0]
        flags = commands.add_parser(name, help=summary, description=summary, allow_abbrev=False)
        command.add_flags(flags)
        flags.set_defaults(run=command.run, parser=flags)
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; its exit code.

    Args:
        arguments: those after ``python -m doorward``; the process's own unless given.
    """
    words = list(sys.argv[1:] if arguments is None else arguments)
    rest: list[str] = []
    if words[:1] == ["token"] and "--" in words:
        at = words.index("--")
        words, rest = words[:at], words[at + 1 :]
    given = _parser().parse_args(words)
    given.command = rest
    if isinstance(sys.stdout, io.TextIOWrapper):
        # A terminal that lacks a letter of a person's name does not change the verdict on their token.
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        code: int = given.run(given)
        sys.stdout.flush()
        return code
    except BrokenPipeError:
        # A reader such as `head` may close the pipe early. That is no error, neither here nor in the flush at the end of the interpreter.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except KeyboardInterrupt:
        return 130
    except LoginNeeded as error:
        return _failed(error, 4)
    except (DoorwardError, OSError, ValueError) as error:
        return _failed(error, 1)


def _failed(error: Exception, code: int) -> int:
    remedy = error.remedy if isinstance(error, ConfigurationError) else None
    more = f"; {remedy}" if remedy and remedy != "see the message" else ""
    print(f"doorward: {error}{more}", file=sys.stderr)
    return code


if __name__ == "__main__":
    sys.exit(main())
