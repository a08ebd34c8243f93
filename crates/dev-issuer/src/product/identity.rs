//! Claims about the user: ID tokens and UserInfo.

use aws_lc_rs::digest::{SHA256, digest};
use serde_json::{Map, Value, json};

use crate::identifiers;
use crate::jws::{Claims, text};
use crate::product::{Product, kept, set};
use crate::tokens::Entitlement;

/// Claim for roles at Auth0, which names none itself: an action of the tenant adds it.
pub(super) const AUTH0_ROLES: &str = "https://platform.example/roles";
/// Claim in which Zitadel names the roles of the project.
pub(super) const ZITADEL_ROLES: &str = "urn:zitadel:iam:org:project:roles";

/// Claims of every ID token.
const PROTOCOL: [&str; 7] = ["iss", "aud", "iat", "exp", "nonce", "auth_time", "at_hash"];

pub(super) fn id(product: Product, entitled: &Entitlement, canonical: Claims) -> Claims {
    let mut claims = kept(&canonical, &PROTOCOL);
    match product {
        Product::Keycloak => return canonical,
        Product::EntraId => {
            for absent in ["auth_time", "at_hash"] {
                claims.remove(absent);
            }
            let client = entitled.client.id.clone();
            set(&mut claims, "nbf", canonical.get("iat").cloned().unwrap_or_default());
            set(&mut claims, "ver", json!("2.0"));
            set(&mut claims, "roles", json!(entitled.user.roles));
            claims.extend(kept(&canonical, &["sid"]));
            add_entra_user(&mut claims, entitled, &canonical, &client);
        }
        Product::Authentik => {
            claims.extend(authentik(entitled, &canonical));
            claims.extend(kept(&canonical, &["sid"]));
        }
        Product::Adfs => {
            claims.remove("at_hash");
            set(&mut claims, "sub", json!(entitled.user.subject));
            set(&mut claims, "upn", json!(entitled.user.email));
            set(&mut claims, "unique_name", json!(format!("CORP\\{}", entitled.user.username)));
            // With the scope `allatclaims`, or a client that is its own web API.
            set(&mut claims, "role", one_or_list(&entitled.user.roles));
            claims.extend(kept(&canonical, &["sid"]));
        }
        Product::Zitadel => {
            claims.extend(kept(&canonical, &["sub", "azp", "sid"]));
            set(&mut claims, "amr", json!(["pwd"]));
        }
        Product::Cognito => {
            set(&mut claims, "sub", json!(entitled.user.subject));
            set(&mut claims, "token_use", json!("id"));
            set(&mut claims, "cognito:username", json!(entitled.user.username));
            set(&mut claims, "cognito:groups", json!(group_names(entitled)));
            claims.extend(kept(&canonical, &["email", "email_verified", "jti"]));
        }
        Product::Google | Product::Okta | Product::Auth0 | Product::GitLab | Product::Dex => {
            claims.extend(user(product, entitled, &canonical));
            if matches!(product, Product::Google | Product::Dex) {
                claims.remove("auth_time");
            }
            if product == Product::Google {
                claims.extend(kept(&canonical, &["azp"]));
            }
            if matches!(product, Product::Okta | Product::Auth0) {
                claims.extend(kept(&canonical, &["sid"]));
            }
        }
    }
    claims
}

pub(super) fn user_info(product: Product, entitled: &Entitlement, canonical: Claims) -> Claims {
    match product {
        Product::Keycloak => canonical,
        Product::EntraId => {
            let mut claims = kept(&canonical, &["name", "given_name", "family_name", "email"]);
            set(&mut claims, "sub", json!(pairwise(&entitled.user.subject, &entitled.client.id)));
            claims
        }
        Product::Adfs => kept(&canonical, &["sub"]),
        Product::Cognito => {
            let mut claims = kept(&canonical, &["sub", "email"]);
            set(&mut claims, "email_verified", json!(entitled.user.email_verified.to_string()));
            set(&mut claims, "username", json!(entitled.user.username));
            claims
        }
        Product::Zitadel => {
            let mut claims = kept(&canonical, &["sub", "name", "email", "email_verified"]);
            set(&mut claims, "preferred_username", json!(entitled.user.email));
            set(&mut claims, ZITADEL_ROLES, zitadel_roles(entitled));
            claims
        }
        Product::Authentik => authentik_profile(entitled, &canonical),
        Product::Google | Product::Okta | Product::Auth0 | Product::GitLab | Product::Dex => {
            user(product, entitled, &canonical)
        }
    }
}

/// Claims of the user at providers whose ID token and UserInfo say the same.
fn user(product: Product, entitled: &Entitlement, canonical: &Claims) -> Claims {
    let mut claims = kept(canonical, &["name", "email", "email_verified"]);
    set(&mut claims, "sub", json!(entitled.user.subject));
    match product {
        Product::Google => {
            claims.extend(kept(canonical, &["given_name", "family_name"]));
            let host = entitled.user.email.split_once('@').map_or("", |(_, host)| host);
            set(&mut claims, "hd", json!(host));
        }
        Product::Okta => {
            set(&mut claims, "ver", json!(1));
            set(&mut claims, "preferred_username", json!(entitled.user.email));
            set(&mut claims, "groups", json!(group_names(entitled)));
        }
        Product::Auth0 => {
            set(&mut claims, "sub", json!(format!("auth0|{}", entitled.user.subject)));
            set(&mut claims, "nickname", json!(entitled.user.username));
            set(&mut claims, "updated_at", json!("2026-01-01T00:00:00.000Z"));
            set(&mut claims, AUTH0_ROLES, json!(entitled.user.roles));
        }
        Product::GitLab => {
            set(&mut claims, "nickname", json!(entitled.user.username));
            set(&mut claims, "preferred_username", json!(entitled.user.username));
            set(&mut claims, "groups_direct", json!(group_names(entitled)));
        }
        _ => {
            set(&mut claims, "preferred_username", json!(entitled.user.username));
            set(&mut claims, "groups", json!(group_names(entitled)));
        }
    }
    claims
}

/// Claims of both tokens of Authentik.
pub(super) fn authentik(entitled: &Entitlement, canonical: &Claims) -> Claims {
    let mut claims = kept(canonical, &["iss", "iat", "exp", "auth_time", "jti"]);
    set(&mut claims, "aud", json!(entitled.client.id));
    set(&mut claims, "acr", json!("goauthentik.io/providers/oauth2/default"));
    set(&mut claims, "amr", json!(["pwd"]));
    claims.extend(authentik_profile(entitled, canonical));
    claims
}

fn authentik_profile(entitled: &Entitlement, canonical: &Claims) -> Claims {
    let mut claims = kept(canonical, &["name", "given_name", "email", "email_verified"]);
    set(&mut claims, "sub", json!(sha256_hex(&entitled.user.subject)));
    set(&mut claims, "preferred_username", json!(entitled.user.username));
    set(&mut claims, "nickname", json!(entitled.user.username));
    set(&mut claims, "groups", json!(group_names(entitled)));
    claims
}

/// The user in tokens of Entra ID: `sub` differs for each application, `oid` does not.
pub(super) fn add_entra_user(
    claims: &mut Claims,
    entitled: &Entitlement,
    canonical: &Claims,
    application: &str,
) {
    set(claims, "oid", json!(entitled.user.subject));
    let issuer = text(canonical, "iss").unwrap_or_default();
    let tenant = issuer.trim_end_matches("/v2.0").rsplit('/').next().unwrap_or_default();
    set(claims, "tid", json!(tenant));
    if entitled.session.is_some() {
        set(claims, "sub", json!(pairwise(&entitled.user.subject, application)));
        set(claims, "name", json!(entitled.user.name));
        set(claims, "preferred_username", json!(entitled.user.email));
    } else {
        set(claims, "sub", json!(entitled.user.subject));
        set(claims, "idtyp", json!("app"));
    }
}

/// The directory's identifier, made of the realm's name. The realm `organizations` is the authority at which all
/// directories sign in.
pub(super) fn tenant(realm: &str) -> String {
    if realm == "organizations" {
        return realm.to_owned();
    }
    let hash = digest(&SHA256, realm.as_bytes());
    let mut bytes = [0_u8; 16];
    for (byte, from) in bytes.iter_mut().zip(hash.as_ref()) {
        *byte = *from;
    }
    identifiers::uuid(bytes, 8)
}

/// Names of groups, without the leading slash of Keycloak's paths.
pub(super) fn group_names(entitled: &Entitlement) -> Vec<&str> {
    entitled.user.groups.iter().map(|group| group.trim_start_matches('/')).collect()
}

pub(super) fn zitadel_roles(entitled: &Entitlement) -> Value {
    let granted = json!({ "310000000000000001": "platform.example" });
    let roles: Map<String, Value> =
        entitled.user.roles.iter().map(|role| (role.clone(), granted.clone())).collect();
    Value::Object(roles)
}

/// AD FS writes a claim with one value as text.
pub(super) fn one_or_list(values: &[String]) -> Value {
    match values {
        [one] => json!(one),
        all => json!(all),
    }
}

fn pairwise(subject: &str, application: &str) -> String {
    sha256_hex(&format!("{subject} {application}"))
}

fn sha256_hex(text: &str) -> String {
    digest(&SHA256, text.as_bytes()).as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}
