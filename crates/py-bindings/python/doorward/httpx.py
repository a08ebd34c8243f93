"""Tokens on the requests of `httpx`_, sync and async.

A :class:`doorward.TokenSource` is the ``auth`` as it is, of one call or of a client::

    with httpx.Client(auth=tokens) as client: ...
    async with httpx.AsyncClient(auth=tokens) as client: ...

:class:`Auth` is the same as an explicit object, for code that wants a plain ``httpx.Auth``. The token goes to the origin that was
asked and to no other, whatever redirects say; httpx itself lets it follow one from ``http`` to ``https`` of the same host. A token that
is answered with 401 is replaced; the request is repeated once with the fresh one, if its body can be sent again: in memory, a form, or a
file that can be rewound.

.. _httpx: https://www.python-httpx.org
"""

from __future__ import annotations

from ._floor import needs

needs("httpx", "0.26", extra="httpx")

import httpx

from ._httpx import AuthFlows

__all__ = ["Auth"]


class Auth(AuthFlows, httpx.Auth):
    """Puts the tokens of a source on requests.

    Args:
        tokens: source of the tokens.
    """
