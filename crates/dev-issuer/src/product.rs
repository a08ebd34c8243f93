//! Documents and tokens in the shape of other providers.
//!
//! The provider works on Keycloak's shape inside. A [`Product`] changes what leaves it: the issuer's path, members of discovery,
//! claims and headers of tokens, UserInfo, and which sign-ins get a refresh token. The shapes follow the providers' public
//! documentation.

mod access;
mod discovery;
mod identity;

use std::fmt;
use std::str::FromStr;

use serde_json::{Value, json};
use thiserror::Error;

use crate::jws::Claims;
use crate::tokens::Entitlement;

/// A provider that the documents and tokens look like. Endpoints keep Keycloak's paths below the issuer, so a client that does not
/// read discovery fails.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use dev_issuer::{DevIssuer, Product};
///
/// let entra = DevIssuer::builder().product(Product::EntraId).start("127.0.0.1:0").await?;
/// assert!(entra.url().ends_with("/v2.0"));
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Product {
    /// Keycloak 26.
    #[default]
    Keycloak,
    /// Microsoft Entra ID, version 2.0 endpoints.
    EntraId,
    /// Google: opaque access tokens, no logout endpoint.
    Google,
    /// Okta with a custom authorization server.
    Okta,
    /// Auth0: an issuer with a trailing slash, roles in namespaced claims, opaque tokens without an API.
    Auth0,
    /// GitLab: opaque access tokens with introspection, groups in UserInfo.
    GitLab,
    /// Authentik: an issuer with a trailing slash, access tokens for the client itself.
    Authentik,
    /// Zitadel: roles as an object, names in UserInfo only.
    Zitadel,
    /// Dex: access tokens are ID tokens.
    Dex,
    /// AWS Cognito: access tokens without `aud`.
    Cognito,
    /// AD FS: another issuer in access tokens than in ID tokens.
    Adfs,
}

/// The text names no product.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error(
    "{name:?} is not one of keycloak, entra-id, google, okta, auth0, gitlab, authentik, zitadel, dex, cognito, adfs"
)]
pub struct UnknownProduct {
    /// The name given.
    pub name: String,
}

/// A token before it is signed.
#[derive(Debug)]
pub(crate) struct Unsigned {
    /// `typ` of the header, where there is one.
    pub(crate) typ: Option<&'static str>,
    pub(crate) claims: Claims,
}

/// Form of the access tokens that an entitlement gets.
#[derive(Debug)]
pub(crate) enum AccessForm {
    /// Keycloak's JWT, unchanged.
    Own,
    /// A JWT of this product.
    Jwt(Unsigned),
    /// A text that only introspection and UserInfo can read.
    Opaque,
    /// The ID token.
    IdToken,
}

impl Product {
    /// Every product.
    pub const ALL: [Self; 11] = [
        Self::Keycloak,
        Self::EntraId,
        Self::Google,
        Self::Okta,
        Self::Auth0,
        Self::GitLab,
        Self::Authentik,
        Self::Zitadel,
        Self::Dex,
        Self::Cognito,
        Self::Adfs,
    ];

    /// The issuer's path, without a trailing slash.
    pub(crate) fn path(self, realm: &str) -> String {
        match self {
            Self::Keycloak => format!("/realms/{realm}"),
            Self::EntraId => format!("/{}/v2.0", identity::tenant(realm)),
            Self::Okta => "/oauth2/default".to_owned(),
            Self::Authentik => format!("/application/o/{realm}"),
            Self::Dex => "/dex".to_owned(),
            Self::Cognito => format!("/eu-west-1_{realm}"),
            Self::Adfs => "/adfs".to_owned(),
            Self::Google | Self::Auth0 | Self::GitLab | Self::Zitadel => String::new(),
        }
    }

    /// The issuer identifier of a provider at this URL.
    pub(crate) fn issuer(self, base: &str) -> String {
        match self {
            Self::Auth0 | Self::Authentik => format!("{base}/"),
            _ => base.to_owned(),
        }
    }

    /// True if this sign-in gets a refresh token.
    pub(crate) fn refreshes(self, entitled: &Entitlement) -> bool {
        match self {
            Self::Google => entitled.offline,
            Self::EntraId
            | Self::Okta
            | Self::Auth0
            | Self::Authentik
            | Self::Zitadel
            | Self::Dex => entitled.scope.contains("offline_access"),
            Self::Keycloak | Self::GitLab | Self::Cognito | Self::Adfs => true,
        }
    }

    /// The access token of an entitlement, whose claims in Keycloak's shape are `canonical`.
    pub(crate) fn access(self, entitled: &Entitlement, canonical: &Claims) -> AccessForm {
        access::form(self, entitled, canonical)
    }

    /// The claims of an ID token, in Keycloak's shape, in this product.
    pub(crate) fn id(self, entitled: &Entitlement, canonical: Claims) -> Claims {
        identity::id(self, entitled, canonical)
    }

    /// The answer of UserInfo, in Keycloak's shape, in this product.
    pub(crate) fn user_info(self, entitled: &Entitlement, canonical: Claims) -> Claims {
        identity::user_info(self, entitled, canonical)
    }

    /// Changes the discovery document.
    pub(crate) fn discovery(self, issuer: &str, document: &mut Value) {
        discovery::adapt(self, issuer, document);
    }

    /// Changes the successful answer of the token endpoint.
    pub(crate) fn token_response(self, body: &mut Value) {
        let Value::Object(body) = body else { return };
        if self != Self::Keycloak {
            for own in ["not-before-policy", "session_state", "refresh_expires_in"] {
                body.remove(own);
            }
        }
        match self {
            Self::EntraId => {
                let lifetime = body.get("expires_in").cloned().unwrap_or_default();
                body.insert("ext_expires_in".to_owned(), lifetime);
            }
            Self::Auth0 | Self::Cognito => drop(body.remove("scope")),
            Self::Authentik => drop(body.insert("token_type".to_owned(), json!("bearer"))),
            Self::GitLab => drop(body.insert("created_at".to_owned(), json!(1_790_000_000))),
            _ => {}
        }
    }
}

impl fmt::Display for Product {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Keycloak => "keycloak",
            Self::EntraId => "entra-id",
            Self::Google => "google",
            Self::Okta => "okta",
            Self::Auth0 => "auth0",
            Self::GitLab => "gitlab",
            Self::Authentik => "authentik",
            Self::Zitadel => "zitadel",
            Self::Dex => "dex",
            Self::Cognito => "cognito",
            Self::Adfs => "adfs",
        })
    }
}

impl FromStr for Product {
    type Err = UnknownProduct;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .into_iter()
            .find(|product| product.to_string() == name)
            .ok_or_else(|| UnknownProduct { name: name.to_owned() })
    }
}

/// The members of `claims` with these names, in Keycloak's values.
fn kept(claims: &Claims, names: &[&str]) -> Claims {
    names.iter().filter_map(|name| Some(((*name).to_owned(), claims.get(*name)?.clone()))).collect()
}

fn set(claims: &mut Claims, name: &str, value: Value) {
    claims.insert(name.to_owned(), value);
}

#[cfg(test)]
mod tests {
    use super::{Product, UnknownProduct};

    #[test]
    fn every_product_is_read_by_its_name_and_named_in_the_error() {
        let error = UnknownProduct { name: String::new() }.to_string();
        for product in Product::ALL {
            assert_eq!(product.to_string().parse(), Ok(product));
            assert!(error.contains(&product.to_string()), "{error}");
        }
        assert!("Entra".parse::<Product>().is_err());
    }
}
