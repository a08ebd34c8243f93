"""JupyterHub behind Doorward. Servers run on this machine; jupyterhub_config_kubernetes.py has each in its own pod."""

c = get_config()  # noqa: F821

# The gateway's path, which it does not rewrite. Only the gateway may reach this address.
c.JupyterHub.bind_url = "http://127.0.0.1:8000/jupyter/"

# Authentication: pip install doorward
c.JupyterHub.authenticator_class = "doorward"
c.GatewayAuthenticator.gateway = "https://platform.example"
c.GatewayAuthenticator.audience = ["jupyterhub"]  # the hub's route, not that of users' servers
c.GatewayAuthenticator.admin_roles = {"admin"}
c.GatewayAuthenticator.manage_groups = True

# Fresh tokens in notebooks, through the hub's own client; stored sealed with the key in JUPYTERHUB_CRYPT_KEY.
c.GatewayAuthenticator.issuer = "https://keycloak.example/realms/platform"
c.GatewayAuthenticator.client = {"client_id": "jupyterhub", "secret_file": "/run/secrets/jupyterhub"}
c.GatewayAuthenticator.enable_auth_state = True

# Limits: the first entry that fits decides. Only some spawners, such as SystemdSpawner, enforce these two.
c.GatewayAuthenticator.limits = [
    {"roles": ["ml-engineer", "admin"], "spawner_override": {"cpu_limit": 8, "mem_limit": "32G"}},
    {"spawner_override": {"cpu_limit": 2, "mem_limit": "4G"}},
]
c.Spawner.default_url = "/lab"
