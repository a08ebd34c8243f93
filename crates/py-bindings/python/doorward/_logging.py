"""Records of the native module: the logger ``doorward`` and its children."""

from __future__ import annotations

import logging

_LOGGERS = tuple(
    logging.getLogger(name)
    for name in (
        "doorward",
        "doorward.client",
        "doorward.http",
        "doorward.keys",
        "doorward.login",
        "doorward.provider",
        "doorward.tokens",
        "doorward.verify",
    )
)

# A library is silent until the application sets up logging.
_LOGGERS[0].addHandler(logging.NullHandler())


def level() -> int:
    """The lowest level that one of the loggers wants."""
    wanted = min(logger.getEffectiveLevel() for logger in _LOGGERS)
    return max(wanted, logging.root.manager.disable + 1)


def write(name: str, level: int, path: str, line: int, text: str) -> None:
    """Hand a record to the logger of this name."""
    logger = logging.getLogger(name)
    if logger.isEnabledFor(level):
        logger.handle(logger.makeRecord(name, level, path, line, text, (), None))
