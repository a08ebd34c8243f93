"""The same on Kubernetes: each user's server in its own pod, with the resources that their role allows."""

import os

c = get_config()  # noqa: F821

c.JupyterHub.bind_url = "http://:8000/jupyter/"
c.JupyterHub.hub_bind_url = "http://:8081"
c.JupyterHub.hub_connect_url = "http://hub:8081"

c.JupyterHub.authenticator_class = "doorward"
c.GatewayAuthenticator.gateway = "https://platform.example"
c.GatewayAuthenticator.audience = ["jupyterhub"]
c.GatewayAuthenticator.admin_roles = {"admin"}
c.GatewayAuthenticator.manage_groups = True
c.GatewayAuthenticator.issuer = "https://keycloak.example/realms/platform"
c.GatewayAuthenticator.client = {"client_id": "jupyterhub", "secret_file": "/run/secrets/jupyterhub"}
c.GatewayAuthenticator.enable_auth_state = True

images = os.environ.get("NOTEBOOK_IMAGES", "registry.example/notebooks")
plain = {"display_name": "Python", "kubespawner_override": {"image": f"{images}/plain:2026.11"}}
gpu = {
    "display_name": "Python with a GPU",
    "kubespawner_override": {
        "image": f"{images}/gpu:2026.11",
        "extra_resource_limits": {"nvidia.com/gpu": "1"},
        "node_selector": {"pool": "gpu"},
    },
}

c.GatewayAuthenticator.limits = [
    {
        "roles": ["ml-engineer"],
        "spawner_override": {
            "cpu_guarantee": 2,
            "cpu_limit": 16,
            "mem_guarantee": "8G",
            "mem_limit": "64G",
            "profile_list": [plain, gpu],
        },
    },
    {
        "roles": ["data-scientist", "admin"],
        "spawner_override": {"cpu_guarantee": 0.5, "cpu_limit": 4, "mem_guarantee": "1G", "mem_limit": "8G", "profile_list": [plain]},
    },
]

c.JupyterHub.spawner_class = "kubespawner.KubeSpawner"
c.KubeSpawner.pod_name_template = "notebook-{username}--{servername}"
c.KubeSpawner.storage_pvc_ensure = True
c.KubeSpawner.pvc_name_template = "home-{username}"
c.KubeSpawner.storage_capacity = "20Gi"
c.KubeSpawner.volumes = [{"name": "home", "persistentVolumeClaim": {"claimName": "home-{username}"}}]
c.KubeSpawner.volume_mounts = [{"name": "home", "mountPath": "/home/jovyan"}]
# Notebooks get no credential of the cluster.
c.KubeSpawner.automount_service_account_token = False
c.KubeSpawner.allow_privilege_escalation = False
c.Spawner.default_url = "/lab"
