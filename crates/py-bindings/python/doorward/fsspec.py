"""Tokens for `fsspec`_'s HTTP file system, and what reads through it: pandas, xarray, Zarr, ….

::

    store = fsspec.filesystem("https", get_client=client(tokens, "https://data.internal"))
    with store.open("https://data.internal/scores.parquet") as file:
        pandas.read_parquet(file)

pandas opens ``https://`` by itself, whatever its ``storage_options`` say: hand it the open file.
The token goes to the origins that are named and to no other. It is fresh for each request, however long the file is read.

.. _fsspec: https://filesystem-spec.readthedocs.io
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from aiohttp import ClientSession

from . import TokenSource
from .aiohttp import Bearer

__all__ = ["client"]


def client(tokens: TokenSource, *origins: str) -> Callable[..., Awaitable[ClientSession]]:
    """A value for ``get_client=``.

    Args:
        tokens: source of the tokens.
        origins: origins that may receive them.

    Raises:
        ValueError: if no origin is named, or what is named is not an origin.
    """
    authenticated = Bearer(tokens, *origins)

    async def get_client(**options: Any) -> ClientSession:
        # As fsspec's own does: its event loop is passed under another name.
        options.pop("loop", None)
        return ClientSession(middlewares=(authenticated,), **options)

    return get_client
