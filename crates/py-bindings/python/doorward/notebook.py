"""Fresh access tokens in a notebook, for hours.

::

    import doorward.notebook, requests

    requests.post(url, json=features, headers={"Authorization": f"Bearer {doorward.notebook.token()}"})

Ask for the token at each request: one in memory is given at once, and replaced shortly before it ends. It is the token of the person
whose server this is, from the hub (:mod:`doorward.jupyterhub`), which alone holds longer-lived tokens. Anything that runs in
this server may ask for it.
"""

from __future__ import annotations

import asyncio
import http.client
import json
import os
import ssl
import threading
import time
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from . import ConfigurationError, DoorwardError, IssuerMisconfigured, IssuerUnavailable, TokenRequestRefused

__all__ = ["SignInNeeded", "token", "token_async"]

_TIMEOUT = 30.0
_EARLY = 15.0
"""Seconds before its end at which a token is replaced, unless a quarter of its life is less."""


class SignInNeeded(DoorwardError):
    """The hub has no valid token of yours: your session has ended, or the hub was restarted."""

    code = "sign_in_needed"
    remedy = "open the hub's home page, which signs you in again"


@dataclass
class _Kept:
    lock: threading.Lock = field(default_factory=threading.Lock)
    token: str | None = field(default=None, repr=False)
    until: float = 0.0


_kept: dict[str | None, _Kept] = {}
_of_kept = threading.Lock()


def _after_fork() -> None:
    # A lock that another thread held at the fork would never be released in the child.
    global _of_kept
    _of_kept = threading.Lock()
    for kept in _kept.values():
        kept.lock = threading.Lock()


os.register_at_fork(after_in_child=_after_fork)


def token(audience: str | None = None, *, rejected: str | None = None) -> str:
    """An access token of yours that is good now.

    Args:
        audience: the service the token is for, if not the hub's client. The hub has it exchanged (RFC 8693), if its administrators allow
            this audience (``c.GatewayAuthenticator.token_audiences``).
        rejected: a token that a service answered with 401. Another one is asked for.

    Raises:
        SignInNeeded: if your session has ended.
        TokenRequestRefused: if there is no such token for you.
        IssuerUnavailable: to be tried again later.
        ConfigurationError: outside of a server that a hub with :mod:`doorward.jupyterhub` has started.
    """
    with _of_kept:
        kept = _kept.setdefault(audience, _Kept())
    with kept.lock:
        if kept.token is None or kept.token == rejected or time.monotonic() >= kept.until:
            asked = time.monotonic()
            answer = _ask(audience)
            life = float(answer["expires_in"])
            kept.token = str(answer["access_token"])
            kept.until = asked + life - min(_EARLY, life / 4)
        return kept.token


async def token_async(audience: str | None = None, *, rejected: str | None = None) -> str:
    """:func:`token`, to be awaited: the event loop goes on meanwhile."""
    kept = _kept.get(audience)
    if kept is not None and kept.token not in (None, rejected) and time.monotonic() < kept.until:
        return str(kept.token)
    return await asyncio.to_thread(token, audience, rejected=rejected)


def _ask(audience: str | None) -> dict[str, Any]:
    hub, secret = os.environ.get("JUPYTERHUB_API_URL"), os.environ.get("JUPYTERHUB_API_TOKEN")
    if not hub or not secret:
        raise ConfigurationError(
            "missing JUPYTERHUB_API_URL and JUPYTERHUB_API_TOKEN: this is not a server of a JupyterHub",
            field="JUPYTERHUB_API_URL",
            remedy="run it in a notebook; a job gets its own token: doorward.Issuer(…).client_credentials(…)",
        )
    url = urlsplit(hub)
    if url.scheme not in ("http", "https") or url.hostname is None:
        raise ConfigurationError(f"invalid JUPYTERHUB_API_URL {hub!r}: not a URL", field="JUPYTERHUB_API_URL")
    # Straight to the hub: no proxy of the environment, and no redirect that would carry the server's token elsewhere.
    connection: http.client.HTTPConnection
    if url.scheme == "https":
        connection = http.client.HTTPSConnection(url.hostname, url.port, timeout=_TIMEOUT, context=_tls())
    else:
        connection = http.client.HTTPConnection(url.hostname, url.port, timeout=_TIMEOUT)
    headers = {"Authorization": f"token {secret}", "Content-Type": "application/json", "Accept": "application/json"}
    try:
        connection.request("POST", f"{url.path.rstrip('/')}/doorward/token", json.dumps({"audience": audience}), headers)
        response = connection.getresponse()
        status, body = response.status, response.read()
    except (OSError, http.client.HTTPException) as error:
        raise IssuerUnavailable(f"the hub does not answer: {error}") from error
    finally:
        connection.close()
    try:
        answer = json.loads(body)
    except ValueError:
        answer = None
    if not isinstance(answer, dict):
        raise IssuerUnavailable(f"the hub answered {status} without JSON")
    if status == 200 and "access_token" in answer and "expires_in" in answer:
        return answer
    raise _refusal(status, answer)


def _refusal(status: int, answer: dict[str, Any]) -> DoorwardError:
    message = str(answer.get("message") or f"the hub answered {status}")
    facts: dict[str, Any] = {"remedy": answer["remedy"]} if answer.get("remedy") else {}
    if status == 404:
        return ConfigurationError(
            "this hub issues no tokens",
            field="JUPYTERHUB_API_URL",
            remedy="an administrator can use doorward.jupyterhub.GatewayAuthenticator, and a client for it",
        )
    if answer.get("code") == SignInNeeded.code:
        return SignInNeeded(message, **facts)
    if answer.get("code") == IssuerMisconfigured.code:
        return IssuerMisconfigured(message, **facts)
    if status >= 500:
        return IssuerUnavailable(message, **facts)
    return TokenRequestRefused(message, status=status, error=answer.get("code"), **facts)


def _tls() -> ssl.SSLContext:
    """With the hub's own certificates, where it has given some to its servers (``internal_ssl``)."""
    authority = os.environ.get("JUPYTERHUB_SSL_CLIENT_CA") or os.environ.get("SSL_CERT_FILE") or os.environ.get("REQUESTS_CA_BUNDLE")
    context = ssl.create_default_context(cafile=authority or None)
    certificate, key = os.environ.get("JUPYTERHUB_SSL_CERTFILE"), os.environ.get("JUPYTERHUB_SSL_KEYFILE")
    if certificate and key:
        context.load_cert_chain(certificate, key)
    return context
