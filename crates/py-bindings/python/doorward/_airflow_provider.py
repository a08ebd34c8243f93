"""Metadata of connections of type ``doorward``, for Airflow's web interface and command line. Imports nothing, Airflow included."""

from __future__ import annotations

from typing import Any

_FIELDS = {
    "secret_file": ("Secret file", "File with the client's secret on the workers, read at each request. Better than a secret here."),
    "private_key_file": ("Private key file", "Private key (PEM or JWK) that signs an assertion instead of a secret."),
    "key_id": ("Key ID", "The key's kid at the issuer, if it has one."),
    "assertion_file": ("Assertion file", "An assertion that is kept fresh: a projected Kubernetes service-account token."),
    "certificate_file": ("Certificate file", "Client certificate and its key, in one PEM file."),
    "scope": ("Scope", "Scopes to ask for, with spaces between."),
    "audience": ("Audience", "The service that the tokens are for, if the issuer supports that."),
    "resource": ("Resource", "URIs the tokens are for (RFC 8707), with spaces between."),
    "ca_file": ("CA file", "PEM file with the only certificates to trust."),
    "cache_dir": ("Cache folder", "Folder in which the tasks of a machine share the token; none: each task requests its own."),
}


def get_provider_info() -> dict[str, Any]:
    """The entry point ``apache_airflow_provider``."""
    return {
        "package-name": "doorward",
        "name": "Doorward",
        "description": "OpenID Connect: tokens for tasks that call APIs, one request for each token's life.",
        "integrations": [
            {"integration-name": "Doorward", "external-doc-url": "https://github.com/doorward/doorward", "tags": ["protocol"]}
        ],
        "hooks": [{"integration-name": "Doorward", "python-modules": ["doorward.airflow"]}],
        "connection-types": [
            {
                "connection-type": "doorward",
                "hook-class-name": "doorward.airflow.DoorwardHook",
                "hook-name": "Doorward (OpenID Connect)",
                "conn-fields": {
                    name: {"label": label, "description": about, "schema": {"type": ["string", "null"]}}
                    for name, (label, about) in _FIELDS.items()
                },
                "ui-field-behaviour": {
                    "hidden-fields": ["schema", "port", "extra"],
                    "relabeling": {"host": "Issuer URL", "login": "Client ID", "password": "Client secret"},
                    "placeholders": {
                        "host": "https://keycloak.example/realms/platform",
                        "login": "airflow-run",
                        "password": "better: a file, below",
                        "secret_file": "/run/secrets/airflow",
                    },
                },
            }
        ],
    }
