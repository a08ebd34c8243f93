"""JupyterHub behind Doorward. Servers run on this machine; jupyterhub_config_kubernetes.py has each in a pod of its own."""

c = get_config()  # noqa: F821

# The path is the gateway's, and is not rewritten. Nobody else reaches this address.
c.JupyterHub.bind_url = "http://127.0.0.1:8000/jupyter/"

# Who: pip install doorward
c.JupyterHub.authenticator_class = "doorward"
c.GatewayAuthenticator.gateway = "https://platform.example"
c.GatewayAuthenticator.audience = ["jupyterhub"]  # the hub's route, and not that of people's servers
c.GatewayAuthenticator.admin_roles = {"admin"}
c.GatewayAuthenticator.manage_groups = True

# Fresh tokens in notebooks, from a client of the hub's own; kept sealed with the key in JUPYTERHUB_CRYPT_KEY.
c.GatewayAuthenticator.issuer = "https://keycloak.example/realms/platform"
c.GatewayAuthenticator.client = {"client_id": "jupyterhub", "secret_file": "/run/secrets/jupyterhub"}
c.GatewayAuthenticator.enable_auth_state = True

# How large: the first entry that fits decides. These two limits are enforced by spawners that can, such as SystemdSpawner.
c.GatewayAuthenticator.limits = [
    {"roles": ["ml-engineer", "admin"], "spawner_override": {"cpu_limit": 8, "mem_limit": "32G"}},
    {"spawner_override": {"cpu_limit": 2, "mem_limit": "4G"}},
]
c.Spawner.default_url = "/lab"
