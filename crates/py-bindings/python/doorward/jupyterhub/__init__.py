"""People signed into `JupyterHub`_ by the gateway, each with a server of the size their role allows, and tokens in their notebooks.

In ``jupyterhub_config.py``::

    c.JupyterHub.authenticator_class = "doorward"
    c.GatewayAuthenticator.gateway = "https://platform.example"
    c.GatewayAuthenticator.audience = ["jupyterhub"]            # the name of the route that leads to the hub
    c.GatewayAuthenticator.admin_roles = {"platform-admin"}
    c.GatewayAuthenticator.limits = [
        {"roles": ["ml-engineer"], "spawner_override": {"cpu_limit": 16, "mem_limit": "64G"}},
        {"spawner_override": {"cpu_limit": 2, "mem_limit": "4G"}},
    ]

The hub accepts the gateway's assertion and nothing else: no header that says a name, no password, no form.

People's servers are behind a route of their own, without assertion and without access token, because their owners control what runs there:
a server that another person visits would get the visitor's. The guide *JupyterHub* has both routes.

.. _JupyterHub: https://jupyterhub.readthedocs.io
"""

from .._floor import needs

needs("jupyterhub", "5.0", extra="jupyterhub")

from .authenticator import GatewayAuthenticator
from .limits import Limits

__all__ = ["GatewayAuthenticator", "Limits"]
