"""Access tokens in `Flask`_: a decorator for views, and the claims of the caller.

::

    caller = Bearer(issuer.verifier(audience="churn"), roles=["scorer"])

    @app.get("/score")
    @caller
    def score():
        return {"hello": claims().subject}

For a whole application, behind the gateway or not, wrap ``app.wsgi_app`` (see ``doorward.wsgi``); :func:`claims` knows both.

.. _Flask: https://flask.palletsprojects.com
"""

from __future__ import annotations

from ._floor import needs

needs("flask", "2.2", extra="flask")

import json
from collections.abc import Callable, Coroutine, Mapping, Sequence
from functools import wraps
from typing import Any, ParamSpec, TypeVar, overload

import flask

from . import Claims, Verifier
from .access import Guard, Names, Refused, Require, all_of

__all__ = ["Bearer", "Require", "all_of", "claims"]

P = ParamSpec("P")
R = TypeVar("R")

_CLAIMS = "doorward"


class Bearer:
    """Decorates views, sync or async: they run for callers with a good token and the right claims.

    Args:
        verifier: verifies the tokens.
        roles: see :class:`doorward.access.Require`; likewise the others.
        any: requirements of which one is enough, besides those given here.
        realm: the name of the protected space in challenges.
    """

    def __init__(
        self,
        verifier: Verifier,
        *,
        roles: Names | None = None,
        client_roles: Mapping[str, Names] | None = None,
        groups: Names | None = None,
        scopes: Names | None = None,
        clients: Names | None = None,
        any: Sequence[Require] = (),
        realm: str | None = None,
    ) -> None:
        self.guard = Guard(
            verifier, roles=roles, client_roles=client_roles, groups=groups, scopes=scopes, clients=clients, any=any, realm=realm
        )

    @overload
    def __call__(self, view: Callable[P, Coroutine[Any, Any, R]]) -> Callable[P, R | flask.Response]: ...
    @overload
    def __call__(self, view: Callable[P, R]) -> Callable[P, R | flask.Response]: ...
    def __call__(self, view: Callable[P, Any]) -> Callable[P, Any]:
        @wraps(view)
        def guarded(*args: P.args, **kwargs: P.kwargs) -> Any:
            try:
                known = self.guard.check(flask.request.headers.getlist("Authorization"))
            except Refused as refused:
                return _answer(refused)
            flask.request.environ[_CLAIMS] = known
            return flask.current_app.ensure_sync(view)(*args, **kwargs)

        return guarded


def claims() -> Claims:
    """The claims of the caller of this request.

    Raises:
        LookupError: if nothing verified them: the view is not decorated, nor the application wrapped.
    """
    known: Any = flask.request.environ.get(_CLAIMS)
    if known is None:
        raise LookupError("missing claims: decorate the view with Bearer, or wrap the application (doorward.wsgi)")
    return known  # type: ignore[no-any-return]


def _answer(refused: Refused) -> flask.Response:
    body = json.dumps(refused.problem())
    return flask.Response(body, refused.status, refused.headers, content_type="application/problem+json")
