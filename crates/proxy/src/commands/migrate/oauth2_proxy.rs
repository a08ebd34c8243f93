//! oauth2-proxy: flags, environment variables, the configuration file, and the alpha configuration.

mod alpha;
mod session;
mod upstreams;

pub(super) use self::upstreams::plain_issuer;

use serde_json::{Value, json};
use url::Url;

use super::MigrateError;
use super::draft::Draft;
use super::options::Options;

/// Options that change nothing here, or that are always so.
const NOT_NEEDED: [&str; 22] = [
    "api_routes",
    "approval_prompt",
    "code_challenge_method",
    "config",
    "cookie_csrf_expire",
    "cookie_csrf_per_request",
    "cookie_httponly",
    "cookie_name",
    "cookie_path",
    "cookie_refresh",
    "cookie_samesite",
    "alpha_config",
    "provider_display_name",
    "proxy_websockets",
    "pass_user_headers",
    "ping_path",
    "ready_path",
    "session_cookie_minimal",
    "set_xauthrequest",
    "skip_auth_strip_headers",
    "skip_claims_from_profile_url",
    "skip_provider_button",
];

/// Options without an equal, each with the remedy.
const LOST: [(&str, &str); 21] = [
    ("backend_logout_url", "signing out ends the provider's session too; omit it"),
    ("banner", "pages have no banner; omit it"),
    (
        "cookie_domains",
        "a session belongs to the host of `public_url`; for sibling hosts read about `session.dangerous_cookie_domain`",
    ),
    ("custom_templates_dir", "pages have no templates; omit it"),
    ("footer", "pages have no footer; omit it"),
    ("force_https", "have the listener of port 80 redirect in front of the gateway"),
    ("htpasswd_file", "passwords belong to the provider; make the users there"),
    ("jwt_session_file", "it is no setting of this program; omit it"),
    ("login_url", "addresses come from the provider's discovery document; omit it"),
    (
        "oidc_jwks_url",
        "keys come from the provider's discovery document; for another way to it write `issuers.main.discovery_url`",
    ),
    (
        "pass_basic_auth",
        "write `identity: { credentials: { basic: … } }` where the application needs it",
    ),
    (
        "prefer_email_to_user",
        "write `identity: { set: { X-Remote-User: \"{email}\" } }` on the route",
    ),
    ("profile_url", "addresses come from the provider's discovery document; omit it"),
    (
        "real_client_ip_header",
        "`X-Forwarded-For` of the proxies in `trusted_proxies` is read; omit it",
    ),
    ("redeem_url", "addresses come from the provider's discovery document; omit it"),
    (
        "set_basic_auth",
        "write `identity: { credentials: { basic: … } }` where the application needs it",
    ),
    (
        "signature_key",
        "the upstream verifies `X-Doorward-Assertion` instead, with the key at /oauth2/jwks",
    ),
    (
        "skip_auth_preflight",
        "write `cors: { origins: […] }` on the routes; preflights are answered there",
    ),
    ("validate_url", "tokens are verified by their signature; omit it"),
    (
        "whitelist_domains",
        "a user returns only to hosts of routes; add a route for each other host",
    ),
    ("tls_cipher_suites", "the suites are fixed; omit it"),
];

/// Options that weaken a check, each with what became of it.
const WEAK: [(&str, &str); 6] = [
    (
        "insecure_oidc_skip_issuer_verification",
        "the issuer is always compared; write in `url` what the tokens name",
    ),
    ("insecure_oidc_skip_nonce", "the nonce is always compared"),
    (
        "skip_oidc_discovery",
        "addresses and keys come from discovery; for another way to it write `issuers.main.discovery_url`",
    ),
    (
        "ssl_insecure_skip_verify",
        "certificates are always verified; write `issuers.main.ca_file` for a CA of your own",
    ),
    (
        "ssl_upstream_insecure_skip_verify",
        "certificates are always verified; write `upstream_tls: { ca_file: … }` or `pin` on the route",
    ),
    (
        "insecure_oidc_allow_unverified_email",
        "addresses that the provider did not verify match no rule; have the provider verify them",
    ),
];

/// Options that let in fewer users and have no equal. While one is set, no rule lets a user in.
const RESTRICTS: [(&str, &str); 11] = [
    ("bitbucket_repository", BETWEEN),
    ("bitbucket_team", BETWEEN),
    ("bitbucket_workspace", BETWEEN),
    (
        "entra_id_allowed_tenants",
        "write `tenants` and the URL with `{tenantid}` into `issuers.main`",
    ),
    ("github_org", BETWEEN),
    ("github_repo", BETWEEN),
    ("github_team", BETWEEN),
    ("github_users", BETWEEN),
    ("gitlab_projects", "name groups in the rules instead"),
    (
        "google_groups",
        "Google sends no groups; put Keycloak between, and name its groups in the rules",
    ),
    (
        "jwt_key",
        "the provider login.gov signs in users of an assurance level; write `acr` in the rules",
    ),
];

const BETWEEN: &str = "the program is no OpenID provider; put Keycloak or Dex between, and name its groups in the rules";

/// Reads all texts, and makes the draft.
pub(super) fn draft(texts: &[String]) -> Result<Draft, MigrateError> {
    let mut draft = Draft::new("oauth2-proxy");
    let mut options = Options::default();
    let mut alpha = Value::Null;
    for text in texts {
        if alpha::is_alpha(text) {
            alpha = crate::config::read_yaml("the alpha configuration", text)
                .map_err(|reason| MigrateError::Unreadable { reason })?;
            alpha::provider(&alpha, &mut options, &mut draft);
        } else {
            options.read(text)?;
        }
    }
    if options.is_empty() && alpha.is_null() {
        return Err(MigrateError::Nothing { program: "oauth2-proxy" });
    }
    for name in options.elsewhere() {
        draft.task(format!(
            "write the value of {name}, which the manifest takes from elsewhere, where `replace-me.invalid` stands"
        ));
    }
    listeners(&mut options, &mut draft);
    let kind = provider(&mut options, &mut draft);
    if kind != "keycloak-oidc" && !options.all("allowed_roles").is_empty() {
        let remark = format!(
            "the provider `{kind}` ignored it; write `roles` in the rules if that was meant"
        );
        draft.lost("allowed_roles", remark);
    }
    for (option, remedy) in RESTRICTS {
        if !options.all(option).is_empty() {
            draft.lost(
                option,
                format!("{remedy}; until then the rules name an address that no user has"),
            );
            draft.restricted = true;
        }
    }
    session::session(&mut options, &mut draft);
    let allow = upstreams::allow(&mut options, &mut draft);
    upstreams::routes(&mut options, &alpha, &allow, &mut draft);
    upstreams::skipped(&mut options, &mut draft);
    remarks(options, &mut draft);
    Ok(draft)
}

fn listeners(options: &mut Options, draft: &mut Draft) {
    let prefix = options.one("proxy_prefix").map(|prefix| format!("/{}", prefix.trim_matches('/')));
    let callback = format!("{}/callback", prefix.as_deref().unwrap_or("/oauth2"));
    draft.endpoints = prefix.filter(|prefix| prefix != "/oauth2");
    if let Some(url) = options.one("redirect_url") {
        match Url::parse(&url) {
            Ok(url) if url.has_host() => {
                draft.public_url = Some(url.origin().ascii_serialization());
                if url.path() != callback {
                    draft.task(format!(
                        "register the redirect URI {}{callback} at the provider; it was {}",
                        url.origin().ascii_serialization(),
                        url.path()
                    ));
                }
            }
            _ => draft.task(format!(
                "register the redirect URI at the provider: `public_url` and {callback}"
            )),
        }
    }
    let (certificate, key) = (options.one("tls_cert_file"), options.one("tls_key_file"));
    let (http, https) = (options.one("http_address"), options.one("https_address"));
    let tls = certificate.zip(key);
    // With a certificate the plain listener only redirected or served the inside.
    let address = if tls.is_some() { https.or(http) } else { http };
    let usual = "127.0.0.1:4180".to_owned();
    draft.listen.push(address.and_then(|address| listen(&address)).unwrap_or(usual));
    draft.tls = tls.map(|(certificate, key)| json!({ "certificate": certificate, "key": key }));
    if let Some(address) = options.one("metrics_address").and_then(|address| listen(&address)) {
        draft.admin = Some(address);
    }
    let proxies = options.all("trusted_proxy_ips");
    if options.is_on("reverse_proxy") && proxies.is_empty() {
        let remark = "`X-Forwarded-*` of every client was trusted; write the networks of your proxies in `trusted_proxies`";
        draft.weak("reverse_proxy", remark);
        draft.task("write the networks of your proxies in `trusted_proxies`");
    }
    for proxy in proxies {
        match proxy.parse::<crate::config::TrustedProxy>() {
            Ok(_) => draft.trusted_proxies.push(proxy),
            Err(_) => {
                draft.lost("trusted_proxy_ips", "one entry is no network; write such as 10.0.0.0/8")
            }
        }
    }
    if !options.all("trusted_ips").is_empty() {
        let remark = "callers from these addresses were let in without sign-in, and an address proves no identity; let them present a token";
        draft.weak("trusted_ips", remark);
    }
}

/// An address as `listen` takes it; `None` if it is in another form.
fn listen(address: &str) -> Option<String> {
    let address = address.trim_start_matches("http://").trim_start_matches("https://");
    if let Some(socket) = address.strip_prefix("unix://") {
        return Some(format!("unix:{socket}"));
    }
    let address = match address.strip_prefix(':') {
        Some(port) => format!("0.0.0.0:{port}"),
        None => address.replace("localhost:", "127.0.0.1:"),
    };
    address.parse::<std::net::SocketAddr>().ok().map(|address| address.to_string())
}

/// Sets the issuer; returns the kind of the provider.
fn provider(options: &mut Options, draft: &mut Draft) -> String {
    let kind = options.one("provider").unwrap_or_else(|| "google".to_owned());
    let tenant = options.one("azure_tenant").or_else(|| options.one("entra_id_tenant"));
    let url = options.one("oidc_issuer_url").or_else(|| match kind.as_str() {
        "google" => Some("https://accounts.google.com".to_owned()),
        "gitlab" => Some("https://gitlab.com".to_owned()),
        "azure" | "entra-id" => {
            tenant.map(|tenant| format!("https://login.microsoftonline.com/{tenant}/v2.0"))
        }
        _ => None,
    });
    let client = options.one("client_id").unwrap_or_else(|| "gateway".to_owned());
    let usable = url.filter(|url| Url::parse(url).is_ok_and(|url| url.has_host()));
    match &usable {
        Some(url) => draft.issuer(url, &client),
        None => {
            draft.lost(
                "provider",
                format!("`{kind}` has no issuer here; name an OpenID provider in `issuers.main`"),
            );
            draft.task("write the URL of your provider into `issuers.main.url`");
            draft.issuer("https://id.example/realms/main", &client);
        }
    }
    if usable.is_some_and(|url| url.starts_with("http:")) {
        plain_issuer(draft);
    }
    let auth = match (options.one("client_secret_file"), options.one("client_secret")) {
        (Some(file), _) => json!({ "secret": { "file": file } }),
        (None, Some(_)) => json!({ "secret": draft.secret("client_secret", "client-secret") }),
        (None, None) => json!("none"),
    };
    draft.main.insert("client_auth".to_owned(), auth);
    if let Some(scope) = options.one("scope") {
        let mut scopes: Vec<&str> = scope.split_whitespace().collect();
        if !scopes.contains(&"openid") {
            scopes.insert(0, "openid");
        }
        draft.main.insert("scopes".to_owned(), json!(scopes));
    }
    if let Some(prompt) = options.one("prompt") {
        draft.main.insert("authorization".to_owned(), json!({ "prompt": prompt }));
    }
    let mut claims = serde_json::Map::new();
    for (option, key, usual) in
        [("oidc_groups_claim", "groups", "groups"), ("oidc_email_claim", "email", "email")]
    {
        if let Some(claim) = options.one(option).filter(|claim| claim != usual) {
            claims.insert(key.to_owned(), claim.into());
        }
    }
    // An older name of the e-mail address's claim.
    if let Some(claim) = options.one("user_id_claim").filter(|claim| claim != "email") {
        claims.entry("email").or_insert(claim.into());
    }
    if !claims.is_empty() {
        draft.main.insert("claims".to_owned(), claims.into());
    }
    let authorities = options.all("provider_ca_files");
    if let Some(file) = authorities.first() {
        draft.main.insert("ca_file".to_owned(), json!(file));
    }
    if authorities.len() > 1 {
        draft.task("join the files of `provider_ca_files` into the one of `issuers.main.ca_file`");
    }
    bearer(options, &client, draft);
    kind
}

fn bearer(options: &mut Options, client: &str, draft: &mut Draft) {
    let mut audience = options.all("oidc_extra_audiences");
    if options.all("oidc_audience_claims").iter().any(|claim| claim != "aud") {
        draft.lost(
            "oidc_audience_claims",
            "the audience is the claim `aud`; have the provider write it",
        );
    }
    if options.is_on("skip_jwt_bearer_tokens") {
        audience.push(client.to_owned());
        draft.task("have programs send access tokens: ID tokens, which oauth2-proxy took as bearer tokens, are refused");
        draft.audience(audience, "skip_jwt_bearer_tokens");
    } else if !audience.is_empty() {
        draft.lost("oidc_extra_audiences", "without `skip_jwt_bearer_tokens` no bearer token was accepted; write `issuers.main.audience` to accept some");
    }
    for (number, pair) in options.all("extra_jwt_issuers").into_iter().enumerate() {
        let Some((url, audience)) = pair.split_once('=') else { continue };
        let mut issuer = serde_json::Map::new();
        issuer.insert("url".to_owned(), url.into());
        issuer.insert("profile".to_owned(), "generic".into());
        issuer.insert("audience".to_owned(), json!([audience]));
        draft.issuers.push((format!("extra-{}", number + 1), issuer));
        draft.task("name the issuer in each rule (`issuers: [main]`): several are trusted now");
    }
}

/// Names what is left.
fn remarks(mut options: Options, draft: &mut Draft) {
    // Both are on unless they are switched off, and each sends the fields.
    let switched_off = |name| options.switch(name) == Some(false);
    if ["pass_user_headers", "pass_basic_auth"].map(switched_off) == [true, true] {
        for route in &mut draft.routes {
            let identity = route.keys.entry("identity").or_insert_with(|| json!({}));
            identity["headers"] = json!(false);
        }
    }
    for (option, remark) in WEAK {
        if options.is_on(option) {
            draft.weak(option, remark);
        }
    }
    for (option, remedy) in LOST {
        if options.all(option).iter().any(|value| value != "false") {
            draft.lost(option, remedy);
        }
    }
    for option in options.rest() {
        let log = ["log", "logging", "silence"].iter().any(|part| option.contains(part));
        if log {
            draft.lost(&option, "the log is JSON on standard output; `log` has its settings");
        } else if !NOT_NEEDED.contains(&option.as_str()) {
            draft.lost(
                &option,
                "no equal is known; look for it in docs/reference/config.md, or omit it",
            );
        }
    }
}
