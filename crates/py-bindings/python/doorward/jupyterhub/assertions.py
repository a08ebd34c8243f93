"""The gateway's assertion on a request of a browser to the hub: verified once for each request, and taken from its headers."""

from __future__ import annotations

from typing import Any

from tornado import web

from .. import Claims, InvalidToken, IssuerMisconfigured, IssuerUnavailable, Verifier
from .identity import Identity, Issuers

__all__ = ["vouched_for"]

_ASSERTION = "X-Doorward-Assertion"
_CLAIMS = "_doorward_claims"


async def vouched_for(handler: Any, verifier: Verifier, issuers: Issuers, log: Any) -> Claims | None:
    """The claims of the person who sent a request; ``None`` if the gateway vouches for none, or for one of an issuer that is refused.

    Raises:
        tornado.web.HTTPError: 503 if the gateway's keys cannot be fetched, 500 if its address is wrong.
    """
    known: Claims | None = getattr(handler, _CLAIMS, None)
    if known is not None:
        return known
    assertions = handler.request.headers.get_list(_ASSERTION)
    if len(assertions) != 1:
        return None
    # The hub logs the headers of requests that fail.
    del handler.request.headers[_ASSERTION]
    try:
        claims = await verifier.verify_async(assertions[0])
        objection = issuers.objection(Identity.of(claims))
    except InvalidToken as refused:
        objection = f"{refused} ({refused.code})"
    except IssuerUnavailable as unavailable:
        log.error("The gateway's keys cannot be fetched: %s", unavailable)
        raise web.HTTPError(503, "The gateway's keys cannot be fetched now. Try again in a moment.") from unavailable
    except IssuerMisconfigured as mistake:
        log.error("The gateway's assertions cannot be checked: %s", mistake)
        raise web.HTTPError(500, "The gateway's assertions cannot be checked. Ask the operators of the hub.") from mistake
    except ValueError as error:
        objection = str(error)
    if objection is not None:
        log.warning("The gateway's assertion is refused: %s", objection)
        return None
    setattr(handler, _CLAIMS, claims)
    return claims
