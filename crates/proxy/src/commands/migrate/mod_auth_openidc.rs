//! Apache with mod_auth_openidc: directives and `<Location>` sections.

mod locations;
mod sections;

use std::collections::BTreeMap;

use serde_json::json;
use url::Url;

use self::locations::routes;
use self::sections::Sites;
use super::MigrateError;
use super::draft::Draft;

/// Directives without an equal, each with the remedy.
const LOST: [(&str, &str); 14] = [
    ("oidcauthrequestparams", "write `issuers.main.authorization: { NAME: VALUE }`"),
    (
        "oidccachetype",
        "keys and tokens are remembered in the process; sessions of several replicas: `session.store.redis`",
    ),
    (
        "oidcclaimprefix",
        "the upstream gets `X-Forwarded-*`; write others in `identity: { set: … }`",
    ),
    (
        "oidccookiedomain",
        "a session belongs to the host of `public_url`; for sibling hosts read about `session.dangerous_cookie_domain`",
    ),
    ("oidcdefaulturl", "the portal page stands at / where no route is; omit it"),
    ("oidcdefaultloggedouturl", "the signed-out page is the gateway's own; omit it"),
    ("oidcdiscoverurl", "the sign-in page offers each issuer; omit it"),
    ("oidchtmlerrortemplate", "pages have no templates; omit it"),
    (
        "oidcpassclaimsas",
        "the upstream gets `X-Forwarded-*`; write others in `identity: { set: { OIDC_CLAIM_NAME: \"{claims.NAME}\" } }`",
    ),
    ("oidcpreservepost", "a form that is sent without a session is not kept; omit it"),
    (
        "oidcproviderauthorizationendpoint",
        "addresses come from the provider's discovery document; omit it",
    ),
    ("oidcprovidertokenendpoint", "addresses come from the provider's discovery document; omit it"),
    ("oidcproviderjwksuri", "keys come from the provider's discovery document; omit it"),
    ("oidcstripcookies", "the gateway's cookies never reach the upstream; omit it"),
];

/// Makes the draft.
pub(super) fn draft(texts: &[String]) -> Result<Draft, MigrateError> {
    let text = texts.join("\n").replace("\\\n", " ");
    let mut draft = Draft::new("mod_auth_openidc");
    let (mut set, sites) = sections::read(&text, &mut draft);
    if set.keys().all(|name| !name.starts_with("oidc")) {
        return Err(MigrateError::Nothing { program: "mod_auth_openidc" });
    }
    settings(&mut set, &sites, &mut draft);
    let action = one(&mut set, "oidcunauthaction").unwrap_or_default();
    routes(&sites, &mut draft);
    match action.as_str() {
        "pass" => draft.weak("OIDCUnAuthAction pass", PASSES),
        "401" | "407" => {
            for route in &mut draft.routes {
                route.keys.insert("sign_in".to_owned(), json!("challenge"));
            }
        }
        _ => {}
    }
    remarks(set, &mut draft);
    Ok(draft)
}

/// The remark on `OIDCUnAuthAction pass`.
const PASSES: &str = "callers without a session reached the application; here they are sent to sign in: write `allow: anyone` where they may";

fn one(set: &mut BTreeMap<String, Vec<String>>, name: &str) -> Option<String> {
    set.remove(name)?.into_iter().next()
}

fn settings(set: &mut BTreeMap<String, Vec<String>>, sites: &Sites, draft: &mut Draft) {
    let client = one(set, "oidcclientid").unwrap_or_else(|| "gateway".to_owned());
    let metadata = one(set, "oidcprovidermetadataurl").or_else(|| one(set, "oidcproviderissuer"));
    match metadata.filter(|url| Url::parse(url).is_ok_and(|url| url.has_host())) {
        Some(url) => {
            let url = url.trim_end_matches("/.well-known/openid-configuration");
            draft.issuer(url, &client);
            if url.starts_with("http:") {
                super::oauth2_proxy::plain_issuer(draft);
            }
        }
        None => {
            draft.task("write the URL of your provider into `issuers.main.url`");
            draft.issuer("https://id.example/realms/main", &client);
        }
    }
    let auth = match one(set, "oidcclientsecret") {
        Some(_) => json!({ "secret": draft.secret("OIDCClientSecret", "client-secret") }),
        None => json!("none"),
    };
    draft.main.insert("client_auth".to_owned(), auth);
    if let Some(scope) = one(set, "oidcscope") {
        draft.main.insert("scopes".to_owned(), json!(scope.split_whitespace().collect::<Vec<_>>()));
    }
    if let Some(claim) =
        one(set, "oidcremoteuserclaim").filter(|claim| claim != "preferred_username")
    {
        let claim = claim.split('@').next().unwrap_or_default().to_owned();
        if !claim.is_empty() {
            draft.main.insert("claims".to_owned(), json!({ "user_name": claim }));
        }
    }
    if sites.locations.iter().any(|location| location.bearer) {
        draft.audience(vec![client], "AuthType oauth20");
    }
    if let Some(passphrase) = one(set, "oidccryptopassphrase") {
        drop(passphrase);
        draft.task("sessions are not carried over: every user signs in once, under a new key");
    }
    let redirect =
        one(set, "oidcredirecturi").and_then(|url| Url::parse(&url).ok()).filter(Url::has_host);
    let name = sites.names.iter().flatten().next();
    if let Some(url) = redirect {
        draft.public_url = Some(url.origin().ascii_serialization());
    } else if let Some(name) = name.and_then(|name| Url::parse(&format!("https://{name}")).ok()) {
        draft.public_url = Some(name.origin().ascii_serialization());
    }
    draft.task("register the redirect URI at the provider: `public_url` and /oauth2/callback");
    if let Some(port) = one(set, "listen") {
        let address = if port.contains(':') { port } else { format!("0.0.0.0:{port}") };
        if address.parse::<std::net::SocketAddr>().is_ok() {
            draft.listen.push(address);
        }
    }
    if let Some((certificate, key)) =
        one(set, "sslcertificatefile").zip(one(set, "sslcertificatekeyfile"))
    {
        draft.tls = Some(json!({ "certificate": certificate, "key": key }));
    }
    lifetimes(set, draft);
}

fn lifetimes(set: &mut BTreeMap<String, Vec<String>>, draft: &mut Draft) {
    let mut seconds = |name: &str| one(set, name).and_then(|text| text.parse::<u64>().ok());
    let idle = seconds("oidcsessioninactivitytimeout").unwrap_or(300);
    let lifetime = seconds("oidcsessionmaxduration").unwrap_or(8 * 3600);
    if lifetime == 0 {
        draft.lost(
            "OIDCSessionMaxDuration",
            "0 followed the ID token; a session has a limit here, 8h now",
        );
    }
    let lifetime = if lifetime == 0 { 8 * 3600 } else { lifetime };
    if lifetime > 24 * 3600 {
        draft.weak("OIDCSessionMaxDuration", "a session lives for more than a day");
    }
    draft.session.insert("idle".to_owned(), json!(format!("{}s", idle.clamp(1, lifetime))));
    draft.session.insert("lifetime".to_owned(), json!(format!("{lifetime}s")));
    draft.session.insert("store".to_owned(), json!("cookie"));
}

fn remarks(mut set: BTreeMap<String, Vec<String>>, draft: &mut Draft) {
    for (name, written) in [
        ("oidcsslvalidateserver", "OIDCSSLValidateServer"),
        ("oidcoauthsslvalidateserver", "OIDCOAuthSSLValidateServer"),
    ] {
        if one(&mut set, name).is_some_and(|value| value.eq_ignore_ascii_case("off")) {
            draft.weak(&format!("{written} Off"), "certificates are always verified; write `issuers.main.ca_file` for a CA of your own");
        }
    }
    if one(&mut set, "sslproxyverify").is_some_and(|value| value.eq_ignore_ascii_case("none")) {
        draft.weak("SSLProxyVerify none", "certificates are always verified; write `upstream_tls: { ca_file: … }` or `pin` on the route");
    }
    if one(&mut set, "oidcvalidateissuer").is_some_and(|value| value.eq_ignore_ascii_case("off")) {
        draft.weak("OIDCValidateIssuer Off", "the issuer is always compared");
    }
    set.remove("proxypreservehost");
    for (name, remedy) in LOST {
        if set.remove(name).is_some() {
            draft.lost(name, remedy);
        }
    }
    for name in set.into_keys() {
        draft.lost(&name, "no equal is known; look for it in docs/reference/config.md, or omit it");
    }
}
