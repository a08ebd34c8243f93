"""Tokens for the tasks of `Airflow`_: a connection type and its hook. The tasks of a machine share a token, in one folder of its memory.

The connection ``doorward_default`` is of type ``doorward``: the issuer's URL is its host, the client its login, and the rest has fields
of its own in the web interface, or is in ``extra``::

    AIRFLOW_CONN_DOORWARD_DEFAULT='{"conn_type": "doorward", "host": "https://keycloak.example/realms/platform",
        "login": "airflow-run", "extra": {"secret_file": "/run/secrets/airflow", "scope": "score"}}'

A task calls services with it::

    @task
    def score(customer: str) -> float:
        with DoorwardHook().session() as session:
            answer = session.get(f"https://churn.example/score/{customer}")
            answer.raise_for_status()
            return answer.json()["score"]

The hook logs no token, and has Airflow mask those it hands out, so that a task that prints one prints asterisks. Never return a token
from a task: it would be kept as its XCom.

.. _Airflow: https://airflow.apache.org
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from ._floor import needs

needs("apache-airflow-task-sdk", "1.1", extra="airflow", because="Airflow 3.1")

from airflow.sdk import BaseHook
from airflow.sdk.log import mask_secret

from . import DoorwardError, TokenSource
from ._airflow_provider import get_provider_info
from ._scheduled import Client

if TYPE_CHECKING:
    import requests

__all__ = ["DoorwardHook", "get_provider_info"]


class DoorwardHook(BaseHook):
    """Tokens of the client that a connection describes.

    Args:
        doorward_conn_id: the connection.
        scope: scopes to ask for, with spaces between; else those of the connection.
        audience: the service the tokens are for; else that of the connection.
    """

    conn_name_attr = "doorward_conn_id"
    default_conn_name = "doorward_default"
    conn_type = "doorward"
    hook_name = "Doorward (OpenID Connect)"

    def __init__(
        self, doorward_conn_id: str = default_conn_name, *, scope: str | None = None, audience: str | None = None, **options: Any
    ) -> None:
        super().__init__(**options)
        self.doorward_conn_id = doorward_conn_id
        self._wanted = {"scope": scope, "audience": audience}
        self._client: Client | None = None

    def auth(self) -> TokenSource:
        """The source of tokens, one for each client and process: ``auth=`` of requests and httpx, and what the adapters of
        ``doorward`` take.

        Raises:
            ConfigurationError: if what the connection says cannot be used.
            airflow.exceptions.AirflowNotFoundException: if there is no such connection.
        """
        if self._client is None:
            connection = self.get_connection(self.doorward_conn_id)
            self._client = self._described(connection, connection.extra_dejson)
        return self._client.tokens()

    async def auth_async(self) -> TokenSource:
        """:meth:`auth`, for triggers and other coroutines."""
        if self._client is None:
            connection = await self.aget_connection(self.doorward_conn_id)
            self._client = self._described(connection, await _extra(connection))
        return self._client.tokens()

    def token(self) -> str:
        """A token that is good now, to be sent at once; ask again for the next request.

        Raises:
            DoorwardError: see :meth:`doorward.TokenSource.token`.
        """
        token = self.auth().token()
        mask_secret(token)
        return token

    async def token_async(self) -> str:
        """:meth:`token`, to be awaited; it never blocks the event loop."""
        token = await (await self.auth_async()).token_async()
        await _mask(token)
        return token

    def session(self) -> requests.Session:
        """A session of requests that sends the token: to each origin it is asked to call, and no further on redirects. A call that is
        answered with 401 is repeated once, with a fresh token. Close it, or use it in a ``with``.
        """
        import requests

        session = requests.Session()
        session.auth = self.auth()
        return session

    def get_conn(self) -> requests.Session:
        """:meth:`session`, as Airflow calls it."""
        return self.session()

    def test_connection(self) -> tuple[bool, str]:
        """Action of the button *Test*: asks for a token."""
        try:
            source = self.auth()
            source.token()
        except DoorwardError as error:
            return False, str(error)
        return True, f"{source.issuer} gives tokens to {source.client_id}"

    def _described(self, connection: Any, extra: dict[str, Any]) -> Client:
        settings = {**extra, "issuer": connection.host, "client_id": connection.login, "secret": connection.password}
        return Client.of(settings, f"connection {self.doorward_conn_id!r}").wanting(**self._wanted)

    def __getstate__(self) -> dict[str, Any]:
        # A copy asks for the connection again: it may hold a secret.
        return {**self.__dict__, "_client": None}


# Both tell the supervisor what to mask. Before Airflow 3.3 that waits, and fails on the thread of an event loop.


async def _extra(connection: Any) -> dict[str, Any]:
    if hasattr(connection, "aextra_dejson"):
        extra: dict[str, Any] = await connection.aextra_dejson()
        return extra
    return await asyncio.to_thread(lambda: connection.extra_dejson)


async def _mask(token: str) -> None:
    try:
        from airflow.sdk.log import amask_secret
    except ImportError:
        await asyncio.to_thread(mask_secret, token)
    else:
        await amask_secret(token)
