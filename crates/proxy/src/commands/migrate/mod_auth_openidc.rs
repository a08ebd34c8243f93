//! Apache with mod_auth_openidc: directives and `<Location>` sections.

mod locations;

use std::collections::BTreeMap;

use serde_json::json;
use url::Url;

use self::locations::{Location, require, routes};
use super::MigrateError;
use super::draft::Draft;
use super::patterns::Pattern;

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
    let mut set: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let mut proxied: Vec<(String, String)> = Vec::new();
    let mut locations: Vec<Location> = Vec::new();
    let mut inside: Option<Location> = None;
    for line in
        text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'))
    {
        let words = words(line);
        let Some((first, rest)) = words.split_first() else { continue };
        let name = first.trim_start_matches('<').trim_end_matches('>').to_ascii_lowercase();
        let argument =
            rest.first().map(|word| word.trim_end_matches('>').to_owned()).unwrap_or_default();
        match name.as_str() {
            "location" => inside = Some(Location { path: Some(argument), ..Location::default() }),
            "locationmatch" | "directorymatch" => {
                let path = Pattern::of_regex(&argument)
                    .filter(Pattern::is_open)
                    .map(|pattern| pattern.literal().to_owned());
                if path.is_none() {
                    draft.lost(
                        "LocationMatch",
                        "its expression is no plain prefix; write its rule by hand",
                    );
                }
                inside = Some(Location { path, ..Location::default() });
            }
            "directory" => {
                inside = Some(Location { path: Some("/".to_owned()), ..Location::default() })
            }
            "/location" | "/locationmatch" | "/directory" | "/directorymatch" => {
                locations.extend(inside.take())
            }
            "requireall" => {
                if let Some(location) = &mut inside {
                    location.all = true;
                }
            }
            "proxypass" => {
                let place = inside.as_ref().and_then(|location| location.path.clone());
                let (path, target) = match place {
                    Some(place) => (place, argument),
                    None => (argument, rest.get(1).cloned().unwrap_or_default()),
                };
                if target != "!" {
                    proxied.push((path, target));
                }
            }
            "authtype" => {
                if let Some(location) = &mut inside {
                    let kind = argument.to_ascii_lowercase();
                    location.openid |= kind == "openid-connect" || kind == "auth-openidc";
                    location.bearer |= kind == "oauth20" || kind == "auth-openidc";
                }
            }
            "oidcunauthaction" if inside.is_some() => {
                if let Some(location) = &mut inside {
                    location.challenge = argument == "401";
                    if argument == "pass" {
                        draft.weak("OIDCUnAuthAction pass", "callers without a session reached the application; here they are sent to sign in: write `allow: anyone` where they may");
                    }
                }
            }
            "require" => match &mut inside {
                Some(location) => require(rest, location, &mut draft),
                None => draft.lost(
                    "Require",
                    "it stands outside a Location; write it in `access` of the routes",
                ),
            },
            _ if name.starts_with("oidc")
                || matches!(
                    name.as_str(),
                    "servername"
                        | "listen"
                        | "sslcertificatefile"
                        | "sslcertificatekeyfile"
                        | "sslproxyverify"
                        | "proxypreservehost"
                ) =>
            {
                set.entry(name.clone()).or_default().extend(rest.iter().cloned());
            }
            _ => {}
        }
    }
    locations.extend(inside);
    if set.keys().all(|name| !name.starts_with("oidc")) {
        return Err(MigrateError::Nothing { program: "mod_auth_openidc" });
    }
    settings(&mut set, &locations, &mut draft);
    routes(proxied, &locations, &mut draft);
    remarks(set, &mut draft);
    Ok(draft)
}

fn one(set: &mut BTreeMap<String, Vec<String>>, name: &str) -> Option<String> {
    set.remove(name)?.into_iter().next()
}

fn settings(set: &mut BTreeMap<String, Vec<String>>, locations: &[Location], draft: &mut Draft) {
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
    if locations.iter().any(|location| location.bearer) {
        draft.audience(vec![client], "AuthType oauth20");
    }
    if let Some(passphrase) = one(set, "oidccryptopassphrase") {
        drop(passphrase);
        draft.task("sessions are not carried over: every user signs in once, under a new key");
    }
    let redirect =
        one(set, "oidcredirecturi").and_then(|url| Url::parse(&url).ok()).filter(Url::has_host);
    let name = one(set, "servername");
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

/// The words of a directive.
fn words(line: &str) -> Vec<String> {
    let mut words = Vec::new();
    let (mut word, mut quoted) = (String::new(), false);
    let mut any = false;
    for character in line.chars() {
        match character {
            '"' => {
                quoted = !quoted;
                any = true;
            }
            blank if blank.is_whitespace() && !quoted => {
                if any || !word.is_empty() {
                    words.push(std::mem::take(&mut word));
                }
                any = false;
            }
            other => word.push(other),
        }
    }
    if any || !word.is_empty() {
        words.push(word);
    }
    words
}
