"""Who is signed in, in a `Gradio`_ app behind the gateway.

Each event is a request of its own, with a fresh assertion::

    verifier = doorward.Gateway("https://platform.example").verifier(audience="demand")

    def greet(request: gr.Request):
        return f"Hello {signed_in(request, verifier).name}"

    app = gr.mount_gradio_app(app, blocks, path="/", auth_dependency=username(verifier))

This module does not import Gradio: anything with ``headers`` is a request.

.. _Gradio: https://www.gradio.app
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from . import Claims, InvalidToken, IssuerUnavailable, Verifier
from .access import Guard, Names, Refused, Require
from .asgi import the_assertion, vouched_for

__all__ = ["signed_in", "username"]


class HasHeaders(Protocol):
    """A request of Gradio, Starlette or FastAPI."""

    @property
    def headers(self) -> Any: ...


def signed_in(
    request: HasHeaders,
    verifier: Verifier,
    *,
    roles: Names | None = None,
    client_roles: Mapping[str, Names] | None = None,
    groups: Names | None = None,
    any: Sequence[Require] = (),
) -> Claims:
    """The claims of the person who sent a request.

    Args:
        request: the event's request.
        verifier: verifies assertions; its audience is the route's name in the gateway (see :class:`doorward.Gateway`).
        roles: see :class:`doorward.access.Require`; likewise the others.
        any: requirements of which one is enough, besides those given here.

    Raises:
        doorward.access.Refused: for nobody, or without the right claims.
    """
    guard = Guard(verifier, roles=roles, client_roles=client_roles, groups=groups, any=any)
    values = _values(request.headers)
    try:
        return guard.allow(verifier.verify(the_assertion(values)))
    except (InvalidToken, IssuerUnavailable) as error:
        raise vouched_for(guard.refused(error)) from error


def username(verifier: Verifier, **required: Any) -> Callable[[Any], str | None]:
    """What ``auth_dependency=`` of Gradio wants: the name of the person who sent a request, or ``None``.

    Args:
        verifier: verifies assertions.
        required: what :func:`signed_in` requires.
    """

    def name(request: Any) -> str | None:
        try:
            claims = signed_in(request, verifier, **required)
        except Refused:
            return None
        return claims.username or claims.subject

    return name


def _values(headers: Any) -> Sequence[str]:
    name = "x-doorward-assertion"
    if hasattr(headers, "getlist"):
        values: Sequence[str] = headers.getlist(name)
        return values
    value = headers.get(name)
    return [] if value is None else [value]
