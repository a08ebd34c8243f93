"""The person who is signed in, in a `Streamlit`_ app behind the gateway.

::

    who = signed_in(doorward.Gateway("https://platform.example").verifier(audience="demand"))
    st.write(f"Hello {who.name}")

A page has one long connection, and its headers are those it began with. The assertion among them is verified when the page first asks,
and accepted as long as the connection lives: the gateway ends it when the person is signed out. Keep what belongs to a person by
``who["idp"]`` and ``who.subject``: two issuers may use the same name, and the same subject.

.. _Streamlit: https://docs.streamlit.io
"""

from __future__ import annotations

from ._floor import needs

needs("streamlit", "1.37", extra="streamlit")

from collections.abc import Mapping, Sequence

import streamlit as st

from . import Claims, Verifier
from .access import GatewayGuard, Names, Refused, Require

__all__ = ["signed_in"]

_KEPT = "doorward"


def signed_in(
    verifier: Verifier,
    *,
    roles: Names | None = None,
    client_roles: Mapping[str, Names] | None = None,
    groups: Names | None = None,
    any: Sequence[Require] = (),
) -> Claims:
    """The claims of the person whose page this is. Without an assertion or the right claims, the page ends with a message.

    Args:
        verifier: verifies assertions; its audience is the route's name in the gateway (see :class:`doorward.Gateway`).
        roles: see :class:`doorward.access.Require`; likewise the others.
        any: requirements of which one is enough, besides those given here.
    """
    guard = GatewayGuard(verifier, roles=roles, client_roles=client_roles, groups=groups, any=any)
    try:
        return guard.allow(_known(guard))
    except Refused as refused:
        st.error(refused.detail)
    st.stop()


def _known(guard: GatewayGuard) -> Claims:
    assertions = st.context.headers.get_all("X-Doorward-Assertion")
    kept = st.session_state.get(_KEPT)
    if kept is not None and kept[0] == assertions and guard.would_say(kept[1]):
        known: Claims = kept[1]
        return known
    claims = guard.verified(assertions)
    st.session_state[_KEPT] = (assertions, claims)
    return claims
