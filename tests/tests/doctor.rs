//! `doorward doctor` against Keycloak: each misconfiguration is made by the admin API, found by its name, and gone when it is right.

use std::collections::BTreeSet;

use anyhow::{Context as _, Result, ensure};
use e2e::{
    World,
    keycloak::{GATEWAY_CLIENT, Realm},
    tools,
};
use serde_json::{Value, json};

mod clinic;

use clinic::{Clinic, SHARED, change, names, plan, put_right};

/// Settings of the realm that are wrong, those that are right, and the finding.
fn of_realm() -> Vec<(Value, Value, &'static str)> {
    vec![
        (
            json!({ "sslRequired": "none" }),
            json!({ "sslRequired": "external" }),
            "tls_not_required",
        ),
        (
            json!({ "bruteForceProtected": false }),
            json!({ "bruteForceProtected": true }),
            "brute_force_detection_off",
        ),
        (
            json!({ "passwordPolicy": "" }),
            json!({ "passwordPolicy": "length(12)" }),
            "password_policy_missing",
        ),
        (
            json!({ "accessTokenLifespan": 3600 }),
            json!({ "accessTokenLifespan": 300 }),
            "access_token_long",
        ),
        (
            json!({ "accessTokenLifespan": 30 }),
            json!({ "accessTokenLifespan": 300 }),
            "access_token_short",
        ),
        (
            json!({ "ssoSessionIdleTimeout": 600 }),
            json!({ "ssoSessionIdleTimeout": 3600 }),
            "sso_idle_short",
        ),
        (
            json!({ "ssoSessionMaxLifespan": 7200 }),
            json!({ "ssoSessionMaxLifespan": 43_200 }),
            "sso_lifetime_short",
        ),
        (
            json!({ "defaultSignatureAlgorithm": "ES256" }),
            json!({ "defaultSignatureAlgorithm": "RS256" }),
            "algorithm_not_accepted",
        ),
    ]
}

/// The same of the gateway's client.
fn of_client(world: &World) -> Vec<(Value, Value, &'static str)> {
    let callback = world.url("/oauth2/callback");
    let attribute = |name: &str, wrong: &str, right: &str| {
        (json!({ "attributes": { name: wrong } }), json!({ "attributes": { name: right } }))
    };
    let with = |(wrong, right), name| (wrong, right, name);
    let switch = |name: &str, right: bool| (json!({ name: !right }), json!({ name: right }));
    let redirects =
        |wrong: Value| (json!({ "redirectUris": wrong }), json!({ "redirectUris": [&callback] }));
    let url = "backchannel.logout.url";
    let logout = world.url("/oauth2/backchannel_logout");
    vec![
        with(attribute("id.token.signed.response.alg", "HS256", ""), "algorithm_not_accepted"),
        with(
            attribute("access.token.header.type.rfc9068", "true", "false"),
            "token_type_not_accepted",
        ),
        with(redirects(json!(["http://localhost:9/oauth2/callback"])), "redirect_uri_missing"),
        with(redirects(json!([&callback, "http://localhost:9/*"])), "redirect_uri_wildcard"),
        with(
            attribute("post.logout.redirect.uris", "http://localhost:9/", "+##http://localhost*"),
            "post_logout_uri_missing",
        ),
        with(attribute("pkce.code.challenge.method", "", "S256"), "pkce_not_required"),
        (json!({ "webOrigins": ["*"] }), json!({ "webOrigins": [] }), "web_origins_any"),
        with(switch("fullScopeAllowed", false), "full_scope_allowed"),
        with(switch("directAccessGrantsEnabled", false), "password_grant_on"),
        with(switch("implicitFlowEnabled", false), "implicit_flow_on"),
        with(switch("serviceAccountsEnabled", true), "service_accounts_off"),
        with(attribute("standard.token.exchange.enabled", "false", "true"), "token_exchange_off"),
        with(attribute(url, "", &logout), "backchannel_logout_missing"),
        with(attribute(url, "http://localhost:9/logout", &logout), "backchannel_logout_missing"),
        with(
            attribute("backchannel.logout.session.required", "false", "true"),
            "backchannel_logout_without_session",
        ),
        with(attribute("client.session.idle.timeout", "60", ""), "sso_idle_short"),
        with(attribute("access.token.lifespan", "7200", ""), "access_token_long"),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn each_misconfiguration_of_keycloak_has_its_finding() -> Result<()> {
    let world = World::new("doctor-findings")?;
    let realm = world.realm().await?;
    put_right(&realm, &world).await?;
    let clinic = Clinic::new(&world, &plan(&world, &realm)?)?;
    assert_eq!(clinic.names()?, BTreeSet::new(), "the realm is right");
    for (wrong, right, name) in of_realm() {
        realm.configure(&wrong).await?;
        clinic.has_only(name, &wrong)?;
        realm.configure(&right).await?;
    }
    for (wrong, right, name) in of_client(&world) {
        change(&realm, &wrong).await?;
        clinic.has_only(name, &wrong)?;
        change(&realm, &right).await?;
    }
    assert_eq!(clinic.names()?, BTreeSet::new(), "the realm is right again");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_tokens_lack_has_its_finding() -> Result<()> {
    let world = World::new("doctor-tokens")?;
    let realm = world.realm().await?;
    put_right(&realm, &world).await?;
    let clinic = Clinic::new(&world, &plan(&world, &realm)?)?;

    let mut mappers = Vec::new();
    for client in [GATEWAY_CLIENT, "airflow-run"] {
        mappers.push((client, realm.take_mapper(client, "audience gateway").await?));
    }
    clinic.has_only("audience_missing", &json!("no audience mapper"))?;
    for (client, mapper) in &mappers {
        realm.add_mapper(client, mapper).await?;
    }
    realm.take_client_scope("agent", "tools").await?;
    clinic.has_only("mcp_audience_missing", &json!("no scope with the resource"))?;
    realm.give_client_scope("agent", "tools", false).await?;

    realm.take_client_scope(GATEWAY_CLIENT, "roles").await?;
    clinic.has_only("roles_missing", &json!("no scope `roles`"))?;
    realm.give_client_scope(GATEWAY_CLIENT, "roles", true).await?;
    realm.take_role_from_scope(GATEWAY_CLIENT, "data-scientist").await?;
    clinic.has_only("roles_outside_scope", &json!("a role outside of the scope"))?;
    realm.put_role_in_scope(GATEWAY_CLIENT, "data-scientist").await?;

    let mut groups = realm.take_mapper(GATEWAY_CLIENT, "groups").await?;
    clinic.has_only("groups_missing", &json!("no mapper of groups"))?;
    groups["config"]["full.path"] = json!("false");
    realm.add_mapper(GATEWAY_CLIENT, &groups).await?;
    clinic.has_only("groups_path_form", &json!("groups without a path"))?;
    realm.take_mapper(GATEWAY_CLIENT, "groups").await?;
    groups["config"]["full.path"] = json!("true");
    realm.add_mapper(GATEWAY_CLIENT, &groups).await?;

    realm.give_client_scope(GATEWAY_CLIENT, "offline_access", false).await?;
    clinic.has_only("offline_access_offered", &json!("offline tokens"))?;
    realm.take_client_scope(GATEWAY_CLIENT, "offline_access").await?;

    realm.set_secret(GATEWAY_CLIENT, "another secret").await?;
    clinic.has_only("client_refused", &json!("another secret"))?;
    realm.set_secret(GATEWAY_CLIENT, &Realm::secret(GATEWAY_CLIENT)).await?;
    change(&realm, &json!({ "publicClient": true, "serviceAccountsEnabled": false })).await?;
    let names = clinic.names()?;
    assert!(names.contains("client_is_public"), "{names:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn without_an_administrator_the_client_itself_is_asked() -> Result<()> {
    let world = World::new("doctor-client")?;
    let realm = world.realm().await?;
    let clinic = Clinic::new(&world, &plan(&world, &realm)?)?;
    let (code, printed) = clinic.run(&[])?;
    assert_eq!(code, 1, "{printed}");
    for line in [
        "service_accounts_off [fails]",
        "Clients → gateway → Settings → Capability config",
        "checks not made",
        "1 finding: 1 of what fails, 0 of what weakens",
    ] {
        assert!(printed.contains(line), "«{line}» is missing: {printed}");
    }
    let wrong = json!({
        "serviceAccountsEnabled": true,
        "redirectUris": ["http://localhost:9/"],
        "attributes": { "access.token.header.type.rfc9068": "true", "access.token.lifespan": "7200" },
    });
    change(&realm, &wrong).await?;
    realm.take_mapper(GATEWAY_CLIENT, "audience gateway").await?;
    let (code, printed) = clinic.run(&["--json"])?;
    assert_eq!(code, 1, "{printed}");
    let found = names(&printed)?;
    let expected = [
        "access_token_long",
        "audience_missing",
        "full_scope_allowed",
        "redirect_uri_missing",
        "token_type_not_accepted",
    ];
    assert_eq!(found, expected.map(str::to_owned).into(), "{printed}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn rotation_fights_with_sessions_in_cookies() -> Result<()> {
    let world = World::new("doctor-rotation")?;
    let realm = world.realm().await?;
    put_right(&realm, &world).await?;
    let clinic = Clinic::new(&world, &plan(&world, &realm)?.with_cookie_sessions())?;
    clinic.has_only("refresh_rotation", &json!("reuse 0"))?;
    realm.configure(&json!({ "refreshTokenMaxReuse": 1 })).await?;
    assert_eq!(clinic.names()?, BTreeSet::new());
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_usage_is_exit_code_two() -> Result<()> {
    let world = World::new("doctor-usage")?;
    let realm = world.realm().await?;
    let clinic = Clinic::new(&world, &plan(&world, &realm)?)?;
    std::fs::write(&clinic.password, "not the administrator's")?;
    let (code, printed) = clinic.as_administrator(&[])?;
    assert_eq!(code, 2, "{printed}");
    assert!(printed.contains("does not accept the administrator"), "{printed}");
    assert!(!printed.contains("not the administrator's"), "{printed}");
    for wrong in [
        &["--issuer", "elsewhere"][..],
        &["--admin-user", "admin"],
        &["--admin-url", "http://keycloak.example", "--admin-token-file", "/dev/null"],
        &["--fix=ansible"],
    ] {
        let (code, printed) = clinic.run(wrong)?;
        assert_eq!(code, 2, "{wrong:?}: {printed}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_printed_commands_put_a_realm_right() -> Result<()> {
    let world = World::new("doctor-fix")?;
    let realm = world.realm().await?;
    realm.add_agent(&world.url("/tools"), "http://localhost:9/callback").await?;
    realm.take_client_scope("agent", "tools").await?;
    for client in [GATEWAY_CLIENT, "airflow-run"] {
        realm.take_mapper(client, "audience gateway").await?;
    }
    let mut groups = realm.take_mapper(GATEWAY_CLIENT, "groups").await?;
    groups["config"]["full.path"] = json!("false");
    realm.add_mapper(GATEWAY_CLIENT, &groups).await?;
    let wrong = json!({
        "webOrigins": ["*"],
        "redirectUris": ["http://localhost:9/*"],
        "attributes": { "pkce.code.challenge.method": "", "id.token.signed.response.alg": "ES256" },
    });
    change(&realm, &wrong).await?;
    let clinic = Clinic::new(&world, &plan(&world, &realm)?)?;
    let before = clinic.names()?;
    assert!(before.len() > 12, "{before:?}");

    let (code, printed) = clinic.as_administrator(&["--fix", "--json"])?;
    assert_eq!(code, 1, "{printed}");
    let document: Value = serde_json::from_str(&printed)?;
    let script = document["issuers"][0]["fix"].as_str().context("no fix")?;
    let script = script.replace("for name in ; do", "for name in agent airflow-run; do");
    assert_eq!(clinic.names()?, before, "printing changes nothing");
    let bin = tools::installed("keycloak")?.join("bin");
    let search = format!("{}:{}", bin.display(), tools::search_path()?);
    let server = format!("http://{}", realm.address());
    let sign_in = format!(
        "kcadm.sh config credentials --server {server} --realm master --user admin --password admin"
    );
    // Each command is a virtual machine of its own: the fast compiler saves half of the time.
    let output = std::process::Command::new("sh")
        .args(["-c", &format!("set -e\n{sign_in}\n{script}")])
        .env("HOME", world.folder())
        .env("PATH", search)
        .env("JAVA_TOOL_OPTIONS", "-XX:TieredStopAtLevel=1")
        .output()?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "the script fails: {said}\n{script}");
    assert_eq!(clinic.names()?, BTreeSet::new(), "{script}\n{said}");

    let (_, printed) = clinic.as_administrator(&["--fix=terraform"])?;
    assert!(printed.contains("nothing to change") || printed.contains(SHARED), "{printed}");
    Ok(())
}
