"""Access to the hub, and the size of servers: decided by the gateway's assertion alone."""

from __future__ import annotations

import asyncio
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from jupyterhub.handlers import BaseHandler
from tornado import web
from traitlets.config import Config

import doorward
from doorward.jupyterhub import GatewayAuthenticator, Limits
from doorward.testing import Issuer

from .conftest import NAME, assertion
from .hub import Hub

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


@pytest.fixture
def kubespawner(monkeypatch: pytest.MonkeyPatch) -> Any:
    """KubeSpawner, with the settings of a cluster that is never asked."""
    import kubespawner

    monkeypatch.setattr("kubespawner.spawner.load_config", lambda **_: None)
    return kubespawner


def spawner_of(kind: Any, name: str = "alice", **config: Any) -> Any:
    user = SimpleNamespace(name=name, escaped_name=name, url=f"/user/{name}/", id=1)
    return kind(user=user, orm_spawner=None, config=Config({kind.__name__: config}), _mock=True)


# === Access ===


def test_an_assertion_of_the_gateway_signs_in(signer: Issuer) -> None:
    model = asyncio.run(Hub(signer).sign_in())
    assert (model["name"], model["admin"]) == ("alice", None)
    state = model["auth_state"]
    assert (state["roles"], state["groups"], state["client_roles"]) == (["scorer"], ["/finance"], {"churn": ["admin"]})


def test_only_the_assertion_identifies_the_user(signer: Issuer) -> None:
    hub = Hub(signer)
    good = assertion(signer, audience="jupyterhub")

    async def anonymous(*headers: tuple[str, str]) -> bool:
        handler = hub.request(*headers)
        return await hub.authenticator.get_authenticated_user(handler, {"username": "alice", "password": good}) is None

    async def main() -> None:
        assert await anonymous()
        assert await anonymous(("X-Forwarded-User", "alice"), ("X-Forwarded-Preferred-Username", "alice"))
        assert await anonymous(("Authorization", f"Bearer {good}"))
        assert await anonymous(("Cookie", f"{NAME}={good}"))
        assert await anonymous((NAME, good), (NAME, good))
        assert await anonymous((NAME, f"{good},{good}"))
        for wrong in (
            {"audience": "notebooks"},
            {"issuer": "https://evil.example"},
            {"expired": True},
            {"wrong_key": True},
            {"unsigned": True},
            {"without": ["preferred_username"]},
        ):
            assert await anonymous((NAME, assertion(signer, **{"audience": "jupyterhub", **wrong})))

    asyncio.run(main())


def test_without_the_gateways_keys_the_answer_is_503(signer: Issuer) -> None:
    hub = Hub(signer)
    handler = hub.vouched()
    with signer.outage(), pytest.raises(web.HTTPError) as raised:
        asyncio.run(hub.authenticator.authenticate(handler))
    assert raised.value.status_code == 503


def test_roles_and_groups_admit_users_and_administrators(signer: Issuer) -> None:
    def sign_in(*, roles: Any = (), groups: Any = (), client_roles: Any = None, **options: Any) -> Any:
        claims = {"roles": list(roles), "groups": list(groups), "client_roles": client_roles or {}}
        return asyncio.run(Hub(signer, **options).sign_in(claims=claims))

    assert sign_in() is not None, "the gateway has decided"
    assert sign_in(allowed_roles={"scorer"}) is None
    assert sign_in(allowed_roles={"scorer"}, roles=["scorer"]) is not None
    assert sign_in(allowed_roles={"scorer"}, client_roles={"churn": ["scorer"]}) is None, "a client's role is no realm role"
    assert sign_in(allowed_client_roles={"churn": ["scorer"]}, client_roles={"churn": ["scorer"]}) is not None
    assert sign_in(allowed_roles={"scorer"}, allowed_groups={"/finance"}, groups=["/finance"]) is not None
    assert sign_in(allowed_users={"alice"}) is not None
    assert sign_in(allowed_users={"bob"}) is None
    for setting in ("allowed_users", "allowed_roles", "allowed_groups"):
        assert sign_in(**{setting: set()}, roles=["scorer"], groups=["/finance"]) is None, "an empty set admits no user"
    assert sign_in(allowed_roles=set(), allow_all=True) is not None
    assert sign_in(blocked_users={"alice"}) is None
    assert sign_in(admin_roles={"boss"}, roles=["boss"])["admin"] is True
    assert sign_in(admin_roles={"boss"})["admin"] is False, "without the role the user is not an administrator"
    assert sign_in(admin_groups={"/boss"}, groups=["/boss"])["admin"] is True
    assert sign_in(admin_roles={"boss"}, admin_users={"alice"})["admin"] is True
    assert sign_in(manage_groups=True, groups=["/finance", "/lab/a"])["groups"] == ["finance", "lab/a"]


def test_each_request_of_a_browser_is_authenticated_again(signer: Issuer) -> None:
    hub = Hub(signer, allowed_roles={"scorer"}, admin_roles={"boss"})

    async def main() -> None:
        await hub.sign_in()
        assert await hub.refresh("alice", hub.vouched()) is True, "nothing is new"
        promoted = await hub.refresh("alice", hub.vouched(claims={"roles": ["scorer", "boss"]}))
        assert promoted["admin"] is True
        assert not hub.cleared
        assert await hub.refresh("alice", hub.vouched(claims={"preferred_username": "bob"})) is False
        assert hub.cleared, "what alice's cookies open in bob's browser ends"
        assert await hub.refresh("alice", hub.vouched(claims={"roles": []})) is False, "the role is gone"
        assert await hub.refresh("alice", hub.vouched(expired=True)) is False
        assert await hub.refresh("alice", hub.request()) is False, "signed out at the gateway, or around it"
        # Requests by a token come from servers and programs, not through the gateway.
        assert await hub.refresh("alice", hub.request(by_token=True)) is True
        assert await hub.authenticator.refresh_user(hub.people["alice"], None) is True
        # Another person's request, about alice.
        other = hub.vouched(claims={"preferred_username": "bob"}, user=object())
        assert await hub.authenticator.refresh_user(hub.people["alice"], other) is True

    asyncio.run(main())


def test_a_servers_request_does_not_skip_the_next_check(signer: Issuer) -> None:
    hub = Hub(signer)

    async def main() -> None:
        await hub.sign_in()
        alice = hub.people["alice"]
        for _ in range(2):
            server = hub.request(user=alice, by_token=True)
            assert await BaseHandler.refresh_auth(server, alice) is alice
            browser = hub.vouched(claims={"preferred_username": "bob"}, user=alice)
            assert await BaseHandler.refresh_auth(browser, alice) is None

    asyncio.run(main())


def test_a_name_of_another_subject_is_refused(signer: Issuer) -> None:
    hub = Hub(signer)

    async def main() -> None:
        await hub.sign_in()
        other = {"preferred_username": "alice", "sub": "another-subject"}
        with pytest.raises(web.HTTPError) as raised:
            await hub.sign_in(claims=other)
        assert raised.value.status_code == 403
        assert await hub.refresh("alice", hub.vouched(claims=other)) is False
        alice = hub.people.pop("alice")
        hub.authenticator.delete_user(alice)
        hub.db.delete(alice.orm_user)
        hub.db.commit()
        assert await hub.sign_in(claims=other) is not None

    asyncio.run(main())


def test_invalid_settings_are_refused_at_start() -> None:
    for options in (
        {},
        {"gateway": "https://platform.example"},
        {"gateway": "http://platform.example", "audience": ["jupyterhub"]},
        {"gateway": "https://platform.example", "audience": ["jupyterhub"], "client": {"client_id": "jupyterhub", "secret": "-"}},
    ):
        with pytest.raises(doorward.ConfigurationError):
            GatewayAuthenticator(**options)
    with pytest.raises(doorward.ConfigurationError, match="unknown cpu_limit"):
        Limits([{"roles": ["a"], "cpu_limit": 2}])
    with pytest.raises(doorward.ConfigurationError, match="missing spawner_override"):
        Limits([{"roles": ["a"]}])
    for entry in ({"roles": None}, {"groups": [1]}, {"users": {"alice": 1}}, {"client_roles": ["large"]}, {"client_roles": {"hub": None}}):
        with pytest.raises(doorward.ConfigurationError, match="not names"):
            Limits([{**entry, "spawner_override": {}}])
    Limits([{"users": "alice", "roles": {"a"}, "groups": ("/x",), "client_roles": {"hub": "large"}, "spawner_override": {}}])


EXAMPLES = Path(__file__).parents[3] / "examples/jupyterhub"


@pytest.mark.parametrize("name", ["jupyterhub_config.py", "jupyterhub_config_kubernetes.py"])
def test_the_examples_use_known_settings(name: str, kubespawner: Any) -> None:
    config = Config()
    exec(compile((EXAMPLES / name).read_text(), name, "exec"), {"get_config": lambda: config})
    authenticator = GatewayAuthenticator(config=config)
    for kind in (authenticator, kubespawner.KubeSpawner):
        known = kind.trait_names() if kind is authenticator else kind.class_trait_names()
        section = config.get(type(kind).__name__ if kind is authenticator else kind.__name__, {})
        assert not set(section) - set(known)
    about = {"roles": ["admin"], "groups": []}
    assert Limits(authenticator.limits).of("carol", about)

    async def pod() -> Any:
        spawner = spawner_of(kubespawner.KubeSpawner, "carol", **config.KubeSpawner)
        authenticator.limit(spawner, about)
        await spawner.load_user_options()
        return (await spawner.get_pod_manifest()).to_dict()["spec"]["containers"][0]

    if "KubeSpawner" in config:
        container = asyncio.run(pod())
        assert container["image"] == "registry.example/notebooks/plain:2026.11"
        assert container["resources"]["limits"] == {"cpu": 4, "memory": 8 * 2**30}


# === Sizes ===

LIMITS: list[dict[str, Any]] = [
    {"roles": ["ml-engineer"], "groups": ["/gpu"], "spawner_override": {"cpu_limit": 16, "mem_limit": "64G", "image": "lab:gpu"}},
    {"client_roles": {"jupyterhub": ["large"]}, "spawner_override": {"cpu_limit": 8, "node_selector": {"pool": "large"}}},
    {"users": ["carol"], "roles": ["scorer"], "spawner_override": {"cpu_limit": 1, "mem_limit": "1G"}},
    {"roles": ["scorer"], "spawner_override": {"cpu_limit": 2, "cpu_guarantee": 0.5, "mem_limit": "4G"}},
]


def test_the_first_matching_entry_decides() -> None:
    limits = Limits(LIMITS)

    def cpu(name: str = "alice", **about: Any) -> Any:
        settings = limits.of(name, about)
        return None if settings is None else settings["cpu_limit"]

    assert cpu(roles=["ml-engineer", "scorer"], groups=["/gpu"]) == 16
    assert cpu(roles=["ml-engineer", "scorer"], groups=["/cpu"]) == 2, "every key of an entry must fit"
    assert cpu(roles=["scorer"], client_roles={"jupyterhub": ["large"]}) == 8
    assert cpu(roles=["scorer"], client_roles={"other": ["large"]}) == 2
    assert cpu("carol", roles=["scorer"]) == 1
    assert cpu(roles=["guest"]) is None


def test_each_pod_has_the_limits_of_its_users_role(signer: Issuer, kubespawner: Any) -> None:
    hub = Hub(signer, limits=LIMITS)

    async def pod(spawner: Any, **claims: Any) -> Any:
        await hub.sign_in(claims={"client_roles": {}, **claims})
        await hub.authenticator.pre_spawn_start(hub.people["alice"], spawner)
        return (await spawner.get_pod_manifest()).to_dict()["spec"]

    async def main() -> None:
        spawner = spawner_of(kubespawner.KubeSpawner, image="lab:plain", node_selector={"zone": "a"}, namespace="hub")
        large = await pod(spawner, roles=["ml-engineer"], groups=["/gpu"])
        container = large["containers"][0]
        assert container["image"] == "lab:gpu"
        assert container["resources"]["limits"] == {"cpu": 16, "memory": 64 * 2**30}
        small = await pod(spawner, roles=["scorer"], groups=[])
        container = small["containers"][0]
        assert container["image"] == "lab:plain", "nothing is left of an earlier role"
        assert container["resources"]["limits"] == {"cpu": 2, "memory": 4 * 2**30}
        assert container["resources"]["requests"]["cpu"] == 0.5
        elsewhere = await pod(spawner, client_roles={"jupyterhub": ["large"]})
        assert elsewhere["node_selector"] == {"zone": "a", "pool": "large"}
        assert (await pod(spawner, roles=["scorer"]))["node_selector"] == {"zone": "a"}
        with pytest.raises(web.HTTPError) as raised:
            await pod(spawner, roles=["guest"])
        assert raised.value.status_code == 403

    asyncio.run(main())


def test_the_form_offers_the_profiles_of_the_role(signer: Issuer, kubespawner: Any) -> None:

    def profiles(*names: str) -> list[dict[str, Any]]:
        return [{"display_name": name, "kubespawner_override": {"image": f"lab:{name}"}} for name in names]

    limits = [
        {"roles": ["ml-engineer"], "spawner_override": {"profile_list": profiles("plain", "gpu")}},
        {"roles": ["scorer"], "spawner_override": {"profile_list": profiles("plain")}},
        {"spawner_override": {}},
    ]
    hub = Hub(signer, limits=limits)

    async def form(spawner: Any, role: str) -> str:
        await hub.sign_in(claims={"roles": [role]})
        hub.authenticator.limit(spawner, None)
        return str(await spawner.get_options_form() or "")

    async def main() -> None:
        spawner = spawner_of(kubespawner.KubeSpawner)
        assert "gpu" in await form(spawner, "ml-engineer")
        assert "plain" in (plain := await form(spawner, "scorer")) and "gpu" not in plain
        assert not await form(spawner, "guest")
        assert "gpu" in await form(spawner, "ml-engineer")

    asyncio.run(main())


def test_a_user_with_unknown_roles_gets_no_server(signer: Issuer) -> None:
    from jupyterhub.spawner import SimpleLocalProcessSpawner

    hub = Hub(signer, limits=LIMITS)
    with pytest.raises(web.HTTPError):
        hub.authenticator.limit(spawner_of(SimpleLocalProcessSpawner), None)
    spawner = spawner_of(SimpleLocalProcessSpawner)
    hub.authenticator.limit(spawner, {"roles": ["scorer"]})
    assert (spawner.cpu_limit, spawner.mem_limit) == (2, 4 * 2**30), "what the hub has kept counts after its restart"
    with pytest.raises(doorward.ConfigurationError, match="SimpleLocalProcessSpawner has no image"):
        hub.authenticator.limit(spawner, {"roles": ["ml-engineer"], "groups": ["/gpu"]})
