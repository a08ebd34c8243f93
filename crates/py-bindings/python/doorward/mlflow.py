"""Tokens on the requests of `MLflow`_'s client: a plugin, used where ``MLFLOW_TRACKING_AUTH`` is ``doorward``.

::

    export MLFLOW_TRACKING_URI=https://mlflow.internal MLFLOW_TRACKING_AUTH=doorward
    export DOORWARD_ISSUER=https://keycloak.example/realms/platform DOORWARD_CLIENT_ID=training
    export DOORWARD_CLIENT_SECRET_FILE=/run/secrets/training

The client then needs no line of its own, however long a training runs: each request carries a token that is good, a request that is
answered with 401 is repeated once with a fresh one, and the processes of a machine share a token. The variables are those of the command
``doorward token``.

The token goes to the tracking server and the model registry of MLflow, and to the origins in ``DOORWARD_ORIGINS`` (with spaces between),
such as that of a ``MlflowClient`` with an address of its own. Artifacts on other servers are requested without it. A provider of
headers could not do that: MLflow calls it without the address.

.. _MLflow: https://mlflow.org
"""

from __future__ import annotations

from ._floor import needs

needs("mlflow-skinny", "2.15", extra="mlflow")
needs("requests", "2.31", extra="mlflow")

import os
from collections.abc import Iterator
from typing import TYPE_CHECKING

import mlflow

from . import ConfigurationError, TokenSource
from ._origin import origin_named, origin_of
from ._scheduled import Client

if TYPE_CHECKING:
    from requests import PreparedRequest

__all__ = ["AuthProvider", "TrackingAuth"]

_SETTINGS = {
    "DOORWARD_ISSUER": "issuer",
    "DOORWARD_CLIENT_ID": "client_id",
    "DOORWARD_CLIENT_SECRET_FILE": "secret_file",
    "DOORWARD_PRIVATE_KEY_FILE": "private_key_file",
    "DOORWARD_PRIVATE_KEY_ID": "key_id",
    "DOORWARD_CLIENT_ASSERTION_FILE": "assertion_file",
    "DOORWARD_CLIENT_CERTIFICATE": "certificate_file",
    "DOORWARD_SCOPE": "scope",
    "DOORWARD_AUDIENCE": "audience",
    "DOORWARD_RESOURCE": "resource",
    "DOORWARD_CA_FILE": "ca_file",
    "DOORWARD_CACHE_DIR": "cache_dir",
}


class AuthProvider:
    """The entry point ``mlflow.request_auth_provider``."""

    def get_name(self) -> str:
        """The value of ``MLFLOW_TRACKING_AUTH`` that selects it."""
        return "doorward"

    def get_auth(self) -> TrackingAuth:
        """The ``auth`` of a request; MLflow asks for each.

        Raises:
            ConfigurationError: if the environment names no issuer, no client or not exactly one credential.
        """
        return TrackingAuth(_tokens(), *os.environ.get("DOORWARD_ORIGINS", "").split())


class TrackingAuth:
    """The ``auth`` of a request: puts the token on it if it goes to MLflow's own servers or one of the origins.

    Args:
        tokens: source of the tokens.
        origins: origins that may receive them besides those of MLflow.

    Raises:
        ValueError: if what is named is not an origin.
    """

    def __init__(self, tokens: TokenSource, *origins: str) -> None:
        self._tokens = tokens
        self._origins = frozenset(map(origin_named, origins))

    def __call__(self, request: PreparedRequest) -> PreparedRequest:
        origin = origin_of(request.url or "")
        if origin in self._origins or any(origin == origin_of(server) for server in _servers()):
            signed: PreparedRequest = self._tokens(request)
            return signed
        return request


def _servers() -> Iterator[str]:
    yield mlflow.get_tracking_uri()
    yield mlflow.get_registry_uri()


def _tokens() -> TokenSource:
    for variable in ("DOORWARD_ISSUER", "DOORWARD_CLIENT_ID"):
        if not os.environ.get(variable):
            raise ConfigurationError(f"MLFLOW_TRACKING_AUTH=doorward: missing {variable}", code="settings", remedy=f"set {variable}")
    settings = {name: os.environ.get(variable) for variable, name in _SETTINGS.items()}
    return Client.of(settings, "MLFLOW_TRACKING_AUTH=doorward").tokens()
