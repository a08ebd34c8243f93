"""Tokens for `fsspec`_'s HTTP file system, and what reads through it: pandas, xarray, Zarr, dask, ….

::

    store = fsspec.filesystem("https", get_client=client(tokens, "https://data.internal"))
    with store.open("https://data.internal/scores.parquet") as file:
        pandas.read_parquet(file)

pandas opens ``https://`` by itself, whatever its ``storage_options`` say: hand it the open file.

:class:`Client` is the same for file systems that are sent to other processes, as dask sends them to its workers. It is made from
configuration, so that a pickle of it holds no token and no secret, and each process fetches its own token or shares one::

    data = Client("https://data.internal", issuer="https://keycloak.example/realms/platform", client_id="loader",
                  secret_file="/run/secrets/loader")
    dask.bag.read_text("https://data.internal/*.csv", storage_options={"get_client": data})

The token goes to the origins that are named and to no other. It is fresh for each request, however long the file is read.

.. _fsspec: https://filesystem-spec.readthedocs.io
"""

from __future__ import annotations

from ._floor import needs

needs("aiohttp", "3.12.15", extra="fsspec")
needs("fsspec", "2025.7", extra="fsspec")

import uuid
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

from aiohttp import ClientSession

from . import TokenSource
from . import _scheduled as configured
from .aiohttp import Bearer, origins_named

if TYPE_CHECKING:
    from typing_extensions import Never

__all__ = ["Client", "client"]


def client(tokens: TokenSource, *origins: str) -> Callable[..., Awaitable[ClientSession]]:
    """A value for ``get_client=`` of a file system that stays in this process; else :class:`Client`.

    Args:
        tokens: source of the tokens.
        origins: origins that may receive them.

    Raises:
        ValueError: if no origin is named, or what is named is not an origin.
    """
    return _ClientHere(tokens, *origins)


class Client:
    """A value for ``get_client=``, made from configuration: it may be pickled, compared and tokenized (dask).

    Exactly one of ``secret_file``, ``private_key_file``, ``assertion_file`` and ``certificate_file`` is given. The files are read where
    the file system reads, so a worker needs them at the same path.

    Args:
        origins: origins that may receive tokens.
        issuer: the issuer identifier, exactly as in its tokens.
        client_id: the client's id at the issuer.
        secret_file: file with the client's secret, read at each token request.
        private_key_file: private key (PEM or JWK) that signs an assertion instead of a secret.
        key_id: the key's kid at the issuer, if it has one.
        assertion_file: file with an assertion that the platform keeps fresh (Kubernetes).
        certificate_file: client certificate and its key, in one PEM file.
        scope: scopes to ask for, with spaces between.
        audience: the service that the tokens are for, if the issuer supports that.
        resource: URIs the tokens are for (RFC 8707), with spaces between.
        ca_file: PEM file with the only certificates to trust.
        cache_dir: folder in which processes of a machine share tokens; ``none``: they do not. By default one in memory.

    Raises:
        ConfigurationError: if a setting is missing or not a text.
        ValueError: if no origin is named, or what is named is not an origin.
    """

    def __init__(
        self,
        *origins: str,
        issuer: str,
        client_id: str,
        secret_file: str | None = None,
        private_key_file: str | None = None,
        key_id: str | None = None,
        assertion_file: str | None = None,
        certificate_file: str | None = None,
        scope: str | None = None,
        audience: str | None = None,
        resource: str | None = None,
        ca_file: str | None = None,
        cache_dir: str | None = None,
    ) -> None:
        settings = {
            "issuer": issuer,
            "client_id": client_id,
            "secret_file": secret_file,
            "private_key_file": private_key_file,
            "key_id": key_id,
            "assertion_file": assertion_file,
            "certificate_file": certificate_file,
            "scope": scope,
            "audience": audience,
            "resource": resource,
            "ca_file": ca_file,
            "cache_dir": cache_dir,
        }
        self._settings = {name: value for name, value in settings.items() if value}
        self._origins = origins
        self._client = configured.Client.of(self._settings, "doorward.fsspec.Client")
        origins_named(*origins)

    async def __call__(self, **options: Any) -> ClientSession:
        return _session(Bearer(self._client.tokens(), *self._origins), options)

    def __reduce__(self) -> tuple[Any, ...]:
        return _made, (self._origins, self._settings)

    def __dask_tokenize__(self) -> tuple[Any, ...]:
        return "doorward.fsspec.Client", self._origins, sorted(self._settings.items())

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Client):
            return NotImplemented
        return (self._origins, self._settings) == (other._origins, other._settings)

    def __hash__(self) -> int:
        return hash((self._origins, *sorted(self._settings.items())))

    # fsspec keeps file systems by the text of their arguments.
    def __repr__(self) -> str:
        arguments = [*map(repr, self._origins), *(f"{name}={value!r}" for name, value in self._settings.items())]
        return f"doorward.fsspec.Client({', '.join(arguments)})"


def _made(origins: tuple[str, ...], settings: dict[str, str]) -> Client:
    return Client(*origins, **settings)


class _ClientHere:
    """A value for ``get_client=`` that holds a source of tokens."""

    def __init__(self, tokens: TokenSource, *origins: str) -> None:
        self._tokens = tokens
        self._bearer = Bearer(tokens, *origins)
        # Another source may read other content from the same address.
        self._name = f"<doorward.fsspec.client of {tokens!r} for {', '.join(origins)}, {uuid.uuid4()}>"

    async def __call__(self, **options: Any) -> ClientSession:
        return _session(self._bearer, options)

    def __reduce__(self) -> Never:
        raise TypeError(
            "a file system with doorward.fsspec.client(tokens, …) cannot be pickled: it holds credentials; "
            "use doorward.fsspec.Client, which is made from the issuer, the client and the file of its secret"
        )

    def __reduce_ex__(self, protocol: object) -> Never:
        self.__reduce__()

    def __dask_tokenize__(self) -> str:
        return self._name

    def __repr__(self) -> str:
        return self._name


def _session(bearer: Bearer, options: dict[str, Any]) -> ClientSession:
    # As fsspec's own does: its event loop is passed under another name.
    options.pop("loop", None)
    return ClientSession(middlewares=(bearer,), **options)
