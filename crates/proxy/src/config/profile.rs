//! The form of an issuer's access tokens, and the claims that name their callers.

use std::borrow::Cow;
use std::path::PathBuf;

use oidc_core::provider::{InvalidIssuer, IssuerTemplate};
use oidc_core::token;
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize};

use super::issuer::IssuerConfig;
use super::text::{OneOrMany, one_or_many};

/// Rules that an access token must follow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Profile {
    /// Keycloak's: header `typ` is `JWT`, the claim `typ` is `Bearer`. ID tokens are refused.
    #[default]
    Keycloak,
    /// The JWT profile of RFC 9068: header `typ` is `at+jwt`.
    Rfc9068,
    /// Any provider's: header `typ` is absent, `JWT` or `at+jwt`; `iss`, `sub`, `aud` and `exp` are required. A token with a mark
    /// of an ID or logout token (`nonce`, `at_hash`, `c_hash`, `s_hash`, `events`) or of another kind is refused.
    Generic,
    /// Tokens that a platform gives its jobs: GitLab CI, GitHub Actions, Kubernetes, SPIFFE. The caller is a workload without a
    /// browser login, and without roles, groups, scopes and user name unless `claims` says where they are.
    Workload,
}

impl From<Profile> for oidc_core::verify::Profile {
    fn from(profile: Profile) -> Self {
        match profile {
            Profile::Keycloak => Self::Keycloak,
            Profile::Rfc9068 => Self::Rfc9068,
            Profile::Generic => Self::Generic,
            Profile::Workload => Self::Workload,
        }
    }
}

/// The claim that says which service an access token is for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum AudienceClaim {
    /// `aud` (RFC 7519 §4.1.3).
    #[default]
    Aud,
    /// `client_id`: the client that the token was issued to. For Amazon Cognito, whose access tokens have no `aud`.
    ClientId,
}

/// The claim `token_use` that an access token must have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum TokenUse {
    /// `access`.
    Access,
}

/// The way in which a platform's discovery document and keys are read.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Fetch {
    /// CA certificates (PEM), instead of the system's.
    /// Example: `/var/run/secrets/kubernetes.io/serviceaccount/ca.crt`.
    pub ca_file: Option<PathBuf>,
    /// A token that is sent with these requests, read at each of them.
    /// Example: `/var/run/secrets/kubernetes.io/serviceaccount/token`.
    pub token_file: Option<PathBuf>,
}

/// Paths of the caller's attributes in a token. Dots separate the steps of a path (`realm_access.roles`); a claim whose own name
/// is the whole path is preferred. A name in quotation marks is exactly that name: `'"https://acme.example/app".roles'`. The
/// defaults are Keycloak's claims; those of `generic` are named beside them; under `workload` no claim is read by default.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ClaimPaths {
    /// The subject of bearer tokens, instead of `sub`. Only where no browser login is offered, since sessions are of `sub`.
    /// Example: `oid`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
    /// The user name in rules (`users`) and logs. Default: `preferred_username`. Example: `preferred_username`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user_name: Option<String>,
    /// The e-mail address. Default: `email`. Example: `email`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub email: Option<String>,
    /// The display name. Default: `name`. Example: `name`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Realm roles; a rule names them without a colon (`data-scientist`). One path, or a list. A list of texts, one text, or an
    /// object whose keys are the roles, as Zitadel has it. Default: `realm_access.roles`, under `generic` `roles`.
    /// Example: `[realm_access.roles]`.
    #[serde(deserialize_with = "paths", skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<OneOrMany<String>>")]
    pub roles: Option<Vec<String>>,
    /// Client roles: an object `{ CLIENT: { roles: […] } }`. A rule names them `CLIENT:ROLE` (`churn:score`), so that a client
    /// role is never taken for a realm role; a realm role with a colon in its name is left out while this is set. `null`: no
    /// client roles. Default: `resource_access`, under `generic` none.
    /// Example: `resource_access`.
    #[serde(deserialize_with = "written", skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub client_roles: Option<Option<String>>,
    /// Groups; one path, or a list. Default: `groups`. Example: `groups`.
    #[serde(deserialize_with = "paths", skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<OneOrMany<String>>")]
    pub groups: Option<Vec<String>>,
    /// Scopes: words of one text, or a list with one scope in each text; one path, or a list. Default: `scope`, under `generic`
    /// `scope` and `scp`. Example: `[scope, scp]`.
    #[serde(deserialize_with = "paths", skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<OneOrMany<String>>")]
    pub scopes: Option<Vec<String>>,
}

fn paths<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Vec<String>>, D::Error> {
    one_or_many::deserialize(deserializer).map(Some)
}

/// A value that is written, `null` too.
fn written<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Option<String>>, D::Error> {
    Option::deserialize(deserializer).map(Some)
}

impl IssuerConfig {
    /// Whether people may sign in there with a browser: the gateway is its client.
    #[must_use]
    pub fn offers_login(&self) -> bool {
        self.client_id.is_some()
    }

    /// Its identifier. A template with one tenant, at which people sign in, is that tenant's issuer: a client that is
    /// registered in one tenant is unknown at the authority of all.
    #[must_use]
    pub fn identifier(&self) -> Cow<'_, str> {
        match &*self.tenants {
            [tenant] if self.offers_login() => IssuerTemplate::new(&self.url, [tenant])
                .ok()
                .and_then(|template| {
                    template.issuers().next().map(|it| it.as_str().to_owned().into())
                })
                .unwrap_or(Cow::Borrowed(&self.url)),
            _ => Cow::Borrowed(&self.url),
        }
    }

    /// The template of its tenants, if it has several issuers.
    ///
    /// # Errors
    ///
    /// The `url` is no template, or the tenants are none.
    pub fn template(&self) -> Result<Option<IssuerTemplate>, InvalidIssuer> {
        match &*self.tenants {
            [] => Ok(None),
            tenants => IssuerTemplate::new(&self.url, tenants).map(Some),
        }
    }

    /// The same issuer without a template where it has one identifier only.
    pub(super) fn settle(&mut self) {
        if let Cow::Owned(identifier) = self.identifier() {
            self.url = identifier;
            self.tenants.clear();
        }
    }

    /// The paths of names in its tokens: those that are written, and the defaults of its profile.
    #[must_use]
    pub fn claim_paths(&self) -> token::ClaimPaths {
        let mut paths = match self.profile {
            Profile::Keycloak | Profile::Rfc9068 => token::ClaimPaths::keycloak(),
            Profile::Generic => token::ClaimPaths::generic(),
            Profile::Workload => token::ClaimPaths::none(),
        };
        let own = &self.claims;
        for (path, own) in [
            (&mut paths.subject, &own.subject),
            (&mut paths.user_name, &own.user_name),
            (&mut paths.email, &own.email),
            (&mut paths.name, &own.name),
        ] {
            if own.is_some() {
                path.clone_from(own);
            }
        }
        for (paths, own) in [
            (&mut paths.roles, &own.roles),
            (&mut paths.groups, &own.groups),
            (&mut paths.scopes, &own.scopes),
        ] {
            if let Some(own) = own {
                paths.clone_from(own);
            }
        }
        if let Some(own) = &own.client_roles {
            paths.client_roles.clone_from(own);
        }
        paths
    }
}
