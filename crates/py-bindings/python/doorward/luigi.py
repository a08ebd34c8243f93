"""Tokens for the tasks of `Luigi`_, fetched once for all the worker processes of a run, and of the runs after it.

The client is in Luigi's configuration::

    [doorward]
    issuer = https://keycloak.example/realms/platform
    client_id = nightly
    secret_file = /run/secrets/nightly
    scope = score

and a task that calls services is a :class:`TokenTask` besides::

    import luigi

    from doorward.luigi import TokenTask

    class Score(TokenTask, luigi.Task):
        customer = luigi.Parameter()

        def output(self):
            return luigi.LocalTarget(f"scores/{self.customer}.txt")

        def run(self):
            with self.session() as session:
                answer = session.get(f"https://churn.example/score/{self.customer}", timeout=30)
            answer.raise_for_status()
            with self.output().open("w") as output:
                output.write(answer.text)

A task never holds a token: none is in its parameters, its id, what the scheduler shows, or what is written when it fails. Luigi reports
a failure and tries again (``retry_count``) as with any other task.

.. _Luigi: https://luigi.readthedocs.io
"""

from __future__ import annotations

from ._floor import needs

needs("luigi", "3.3", extra="luigi")

from typing import TYPE_CHECKING, ClassVar

import luigi

from . import TokenSource
from ._scheduled import Client

if TYPE_CHECKING:
    import requests

__all__ = ["ClientConfig", "TokenTask", "doorward"]


class ClientConfig(luigi.Config):
    """A client of an issuer, in the section that is called as the class: :class:`doorward`, or one of your own for a second client::

        class warehouse(ClientConfig):
            pass

        class Load(TokenTask, luigi.Task):
            token_client = warehouse

    Exactly one of ``secret_file``, ``private_key_file``, ``assertion_file`` and ``certificate_file`` is set.
    """

    issuer = luigi.Parameter(description="the issuer identifier, exactly as in its tokens")
    client_id = luigi.Parameter(description="the client's id at the issuer")
    secret_file = luigi.Parameter(default="", description="file with the client's secret, read at each request")
    private_key_file = luigi.Parameter(default="", description="private key (PEM or JWK) that signs an assertion instead of a secret")
    key_id = luigi.Parameter(default="", description="the key's kid at the issuer, if it has one")
    assertion_file = luigi.Parameter(default="", description="file with an assertion that the platform keeps fresh (Kubernetes)")
    certificate_file = luigi.Parameter(default="", description="client certificate and its key, in one PEM file")
    scope = luigi.Parameter(default="", description="scopes to ask for, with spaces between")
    audience = luigi.Parameter(default="", description="the service that the tokens are for, if the issuer supports that")
    resource = luigi.Parameter(default="", description="URIs the tokens are for (RFC 8707), with spaces between")
    ca_file = luigi.Parameter(default="", description="PEM file with the only certificates to trust")
    cache_dir = luigi.Parameter(default="", description="folder in which processes share tokens, or none")


class doorward(ClientConfig):
    """The client of section ``[doorward]``."""

    # The section keeps its name, whatever namespace the caller's tasks have.
    task_namespace = ""


class TokenTask:
    """A task that calls services in the name of a client; see the module.

    What its tokens are for may differ from task to task, as a class attribute or a parameter.
    """

    token_client: ClassVar[type[ClientConfig]] = doorward
    """The client whose tokens are used, by its configuration."""

    token_scope: str | None = None
    """Scopes to ask for, with spaces between; else those of the configuration."""

    token_audience: str | None = None
    """The service the tokens are for; else that of the configuration."""

    @property
    def tokens(self) -> TokenSource:
        """The source of tokens, the same one for all such tasks in this process; ``auth=`` of requests and httpx.

        Raises:
            ConfigurationError: if what is configured cannot be used.
            luigi.parameter.MissingParameterException: if issuer or client are not configured.
        """
        config = self.token_client()
        settings = {name: value for name, value in config.param_kwargs.items()}
        client = Client.of(settings, f"[{config.get_task_family()}]")
        return client.wanting(scope=self.token_scope, audience=self.token_audience).tokens()

    def token(self) -> str:
        """A token that is good now, to be sent at once; ask again for the next request.

        Raises:
            DoorwardError: see :meth:`doorward.TokenSource.token`.
        """
        return self.tokens.token()

    def session(self) -> requests.Session:
        """A session of requests that sends the token: to each origin it is asked to call, and no further on redirects. A call that is
        answered with 401 is repeated once, with a fresh token. Close it, or use it in a ``with``.
        """
        import requests

        session = requests.Session()
        session.auth = self.tokens
        return session
