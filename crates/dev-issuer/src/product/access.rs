//! Access tokens.

use serde_json::json;

use crate::jws::{Claims, text};
use crate::product::{AccessForm, Product, Unsigned, identity, kept, set};
use crate::tokens::Entitlement;

/// Scopes of OpenID Connect, which no access token for an API names.
const IDENTITY_SCOPES: [&str; 4] = ["openid", "profile", "email", "offline_access"];

pub(super) fn form(product: Product, entitled: &Entitlement, canonical: &Claims) -> AccessForm {
    let machine = entitled.session.is_none();
    let claims = match product {
        Product::Keycloak => return AccessForm::Own,
        // Service accounts present ID tokens of their own.
        Product::Google if machine => google_service_account(entitled, canonical),
        Product::Google | Product::GitLab => return AccessForm::Opaque,
        // Without an API there is nothing that a JWT could be for.
        Product::Auth0 if entitled.api().is_none() => return AccessForm::Opaque,
        Product::Dex => return AccessForm::IdToken,
        Product::EntraId => entra_id(entitled, canonical),
        Product::Okta => okta(entitled, canonical),
        Product::Auth0 => auth0(entitled, canonical),
        Product::Authentik => authentik(entitled, canonical),
        Product::Zitadel => zitadel(entitled, canonical),
        Product::Cognito => cognito(entitled, canonical),
        Product::Adfs => adfs(entitled, canonical),
    };
    // Okta and Cognito send `kid` and `alg` only.
    let typ = !matches!(product, Product::Okta | Product::Cognito);
    AccessForm::Jwt(Unsigned { typ: typ.then_some("JWT"), claims })
}

fn entra_id(entitled: &Entitlement, canonical: &Claims) -> Claims {
    let api = entitled.api().unwrap_or_default();
    let mut claims = kept(canonical, &["iss", "iat", "exp"]);
    set(&mut claims, "nbf", canonical.get("iat").cloned().unwrap_or_default());
    set(&mut claims, "aud", json!(api));
    set(&mut claims, "azp", json!(entitled.client.id));
    set(&mut claims, "azpacr", json!("1"));
    set(&mut claims, "ver", json!("2.0"));
    set(&mut claims, "roles", json!(entitled.user.roles));
    identity::add_entra_user(&mut claims, entitled, canonical, &api);
    if entitled.session.is_some() {
        set(&mut claims, "scp", json!(api_scopes(entitled).join(" ")));
    }
    claims
}

fn okta(entitled: &Entitlement, canonical: &Claims) -> Claims {
    let mut claims = kept(canonical, &["iss", "iat", "exp", "jti", "auth_time"]);
    set(&mut claims, "ver", json!(1));
    set(&mut claims, "aud", json!(entitled.api().unwrap_or_else(|| "api://default".to_owned())));
    set(&mut claims, "cid", json!(entitled.client.id));
    set(&mut claims, "scp", json!(entitled.scope.words().collect::<Vec<_>>()));
    if entitled.session.is_some() {
        set(&mut claims, "uid", json!(entitled.user.subject));
        set(&mut claims, "sub", json!(entitled.user.email));
        set(&mut claims, "groups", json!(identity::group_names(entitled)));
    } else {
        set(&mut claims, "sub", json!(entitled.client.id));
    }
    claims
}

fn auth0(entitled: &Entitlement, canonical: &Claims) -> Claims {
    let mut claims = kept(canonical, &["iss", "iat", "exp", "azp", "scope"]);
    let api = entitled.api().unwrap_or_default();
    set(&mut claims, "permissions", json!(api_scopes(entitled)));
    if entitled.session.is_some() {
        let user_info = format!("{}userinfo", text(canonical, "iss").unwrap_or_default());
        set(&mut claims, "aud", json!([api, user_info]));
        set(&mut claims, "sub", json!(format!("auth0|{}", entitled.user.subject)));
        set(&mut claims, identity::AUTH0_ROLES, json!(entitled.user.roles));
    } else {
        set(&mut claims, "aud", json!(api));
        set(&mut claims, "gty", json!("client-credentials"));
        set(&mut claims, "sub", json!(format!("{}@clients", entitled.client.id)));
        set(&mut claims, "scope", json!(api_scopes(entitled).join(" ")));
    }
    claims
}

fn authentik(entitled: &Entitlement, canonical: &Claims) -> Claims {
    let mut claims = identity::authentik(entitled, canonical);
    set(&mut claims, "scope", json!(entitled.scope.to_string()));
    set(&mut claims, "azp", json!(entitled.client.id));
    set(&mut claims, "uid", canonical.get("jti").cloned().unwrap_or_default());
    if let Some(api) = entitled.api() {
        set(&mut claims, "aud", json!([entitled.client.id, api]));
    }
    claims
}

fn zitadel(entitled: &Entitlement, canonical: &Claims) -> Claims {
    let mut claims = kept(canonical, &["iss", "sub", "iat", "exp", "jti"]);
    set(&mut claims, "nbf", canonical.get("iat").cloned().unwrap_or_default());
    set(&mut claims, "client_id", json!(entitled.client.id));
    let audience: Vec<String> =
        std::iter::once(entitled.client.id.clone()).chain(entitled.api()).collect();
    set(&mut claims, "aud", json!(audience));
    set(&mut claims, identity::ZITADEL_ROLES, identity::zitadel_roles(entitled));
    claims
}

fn cognito(entitled: &Entitlement, canonical: &Claims) -> Claims {
    let mut claims = kept(canonical, &["iss", "sub", "iat", "exp", "jti", "auth_time"]);
    set(&mut claims, "version", json!(2));
    set(&mut claims, "client_id", json!(entitled.client.id));
    set(&mut claims, "token_use", json!("access"));
    set(&mut claims, "scope", json!(entitled.scope.to_string()));
    if entitled.session.is_some() {
        set(&mut claims, "username", json!(entitled.user.username));
        set(&mut claims, "cognito:groups", json!(identity::group_names(entitled)));
    } else {
        set(&mut claims, "sub", json!(entitled.client.id));
    }
    claims
}

fn adfs(entitled: &Entitlement, canonical: &Claims) -> Claims {
    let mut claims = kept(canonical, &["iat", "exp", "auth_time"]);
    let issuer = text(canonical, "iss").unwrap_or_default();
    set(&mut claims, "iss", json!(access_issuer(issuer)));
    set(&mut claims, "aud", json!(entitled.api().unwrap_or_default()));
    set(&mut claims, "appid", json!(entitled.client.id));
    set(&mut claims, "apptype", json!("Confidential"));
    set(&mut claims, "ver", json!("1.0"));
    set(&mut claims, "scp", json!(entitled.scope.to_string()));
    set(&mut claims, "sub", json!(entitled.user.subject));
    if entitled.session.is_some() {
        set(&mut claims, "upn", json!(entitled.user.email));
        set(&mut claims, "role", identity::one_or_list(&entitled.user.roles));
    }
    claims
}

/// The ID token that a Google service account asks for, with the audience that it names.
fn google_service_account(entitled: &Entitlement, canonical: &Claims) -> Claims {
    let mut claims = kept(canonical, &["iss", "iat", "exp"]);
    let address = format!("{}@project.iam.gserviceaccount.test", entitled.client.id);
    set(&mut claims, "aud", json!(entitled.api().unwrap_or_default()));
    set(&mut claims, "azp", json!(entitled.user.subject));
    set(&mut claims, "sub", json!(entitled.user.subject));
    set(&mut claims, "email", json!(address));
    set(&mut claims, "email_verified", json!(true));
    claims
}

/// `access_token_issuer` of AD FS, another identifier than its `issuer`.
pub(super) fn access_issuer(issuer: &str) -> String {
    format!("{issuer}/services/trust")
}

fn api_scopes(entitled: &Entitlement) -> Vec<&str> {
    entitled.scope.words().filter(|word| !IDENTITY_SCOPES.contains(word)).collect()
}
