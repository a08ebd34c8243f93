//! The OpenID providers.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use oidc_core::token::Algorithm;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::dpop::TokenRules;
use super::profile::{AudienceClaim, ClaimPaths, Fetch, Profile, TokenUse};
use super::secret::SecretRef;
use super::text::{OneOrMany, at_least_one, one_or_many};

/// One OpenID provider, and the gateway's client there.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct IssuerConfig {
    /// The issuer exactly as its discovery document and its tokens spell it, byte for byte.
    /// Example: `https://keycloak.example/realms/platform`.
    pub url: String,
    /// Another address of the same issuer, from which its discovery document is read: the address to which
    /// `/.well-known/openid-configuration` is appended, or the document's own. The document must still name `url` as its
    /// issuer; its endpoints are used as it announces them, those for browsers too.
    /// Example: `http://keycloak.svc:8080/realms/platform`.
    #[serde(default)]
    pub discovery_url: Option<String>,
    /// Hosts off loopback with which plain `http` is accepted, in `url`, `discovery_url` and the announced endpoints; one, or a
    /// list. Tokens and the client's secret can be read and changed on the way to them. Example: `[keycloak.svc]`.
    #[serde(default, with = "one_or_many", skip_serializing_if = "Vec::is_empty")]
    #[schemars(with = "OneOrMany<String>")]
    pub dangerous_allow_http: Vec<String>,
    /// The gateway's client there. Without it, which is for the profiles `generic` and `workload`, the issuer's bearer tokens are
    /// accepted and no browser login is offered. Example: `gateway`.
    #[serde(default)]
    pub client_id: Option<String>,
    /// Client authentication of the gateway. Default: `none`, a public client.
    /// Example: `{ secret: { file: /run/secrets/gateway } }`.
    #[serde(default)]
    pub client_auth: ClientAuth,
    /// Accepted `aud` of bearer tokens; one, or a list. Empty: this issuer is for browser logins
    /// only, and its bearer tokens are refused. Example: `[gateway]`.
    #[serde(default, with = "one_or_many")]
    #[schemars(with = "OneOrMany<String>")]
    pub audience: Vec<String>,
    /// Scopes asked for at login. Example: `[openid, profile, email]`.
    #[serde(default = "default_scopes")]
    pub scopes: Vec<String>,
    /// More parameters of the authorization request, by name. Those that the protocol sets are refused.
    /// Example: `{ prompt: select_account, kc_idp_hint: corp }`.
    #[serde(default)]
    pub authorization: BTreeMap<String, String>,
    /// Requests to the UserInfo endpoint (OpenID Connect Core 1.0 §5.3), after a login and after each refresh; an answer about
    /// another subject is refused. Example: `always`.
    #[serde(default)]
    pub userinfo: UserInfo,
    /// End of a session for which the issuer sent no refresh token. Example: `keep_identity`.
    #[serde(default)]
    pub without_refresh: WithoutRefresh,
    /// E-mail addresses. Example: `{ require_verified: true }`.
    #[serde(default)]
    pub email: Email,
    /// The tenants of an issuer whose `url` holds `{tenantid}`, as Microsoft Entra's; a token's `iss` must be the `url` with one of
    /// them, and its `tid`, if it has one, the same tenant. Metadata and keys are read at the tenant `organizations`, and people
    /// of all the tenants sign in there; with a `client_id` and one tenant, at that tenant. Example: `[9122040d-6c67-4c5b-b112-36a304b66dad]`.
    #[serde(default, with = "at_least_one", skip_serializing_if = "Vec::is_empty")]
    #[schemars(with = "OneOrMany<String>")]
    pub tenants: Vec<String>,
    /// The issuer that access tokens name, where it is another than `url`: AD FS announces it as `access_token_issuer`. A name
    /// only; nothing is fetched from it. Example: `http://adfs.example/adfs/services/trust`.
    #[serde(default)]
    pub access_token_issuer: Option<String>,
    /// Rules that its access tokens follow. Example: `keycloak`.
    #[serde(default)]
    pub profile: Profile,
    /// Requirements on its bearer tokens. Example: `{ bound: dpop }`.
    #[serde(default)]
    pub tokens: TokenRules,
    /// The claim that must hold one of `audience`; `client_id` is for Amazon Cognito and needs `token_use`.
    /// Example: `client_id`.
    #[serde(default)]
    pub audience_claim: AudienceClaim,
    /// The claim `token_use` that its access tokens must have. Example: `access`.
    #[serde(default)]
    pub token_use: Option<TokenUse>,
    /// The SPIFFE trust domain of its workloads: their `sub` must be in it, and `iss` may be missing. Example: `acme.example`.
    #[serde(default)]
    pub trust_domain: Option<String>,
    /// A file with its public keys (JWK Set), instead of those it publishes; read again when it changes.
    /// Example: `/run/spire/bundle.json`.
    #[serde(default)]
    pub keys_file: Option<PathBuf>,
    /// The way in which a platform's discovery document and keys are read, under the profile `workload`.
    /// Example: `{ ca_file: /run/secrets/ca.crt, token_file: /run/secrets/token }`.
    #[serde(default)]
    pub fetch: Option<Fetch>,
    /// Other clients whose ID tokens for the gateway are accepted at login (`azp`). Example: `[mobile-app]`.
    #[serde(default, with = "at_least_one", skip_serializing_if = "Vec::is_empty")]
    #[schemars(with = "OneOrMany<String>")]
    pub authorized_parties: Vec<String>,
    /// Accepts ID tokens as bearer tokens, under the profile `generic`: for Dex, which issues no others. A token that a person gave
    /// another application to sign in there is accepted here too, if that application is in `audience`. Example: `false`.
    #[serde(default)]
    pub dangerous_accept_id_tokens: bool,
    /// Ignores header members of tokens that name keys (`jku`, `jwk`, `x5u`, `x5c`), instead of refusing such tokens. They are
    /// never used. Example: `false`.
    #[serde(default)]
    pub dangerous_ignore_header_keys: bool,
    /// The signature algorithms of its ID, access and logout tokens; one, or a list. Without this key, those that its discovery
    /// document announces for ID tokens (`id_token_signing_alg_values_supported`). Example: `[RS256]`.
    #[serde(default, with = "at_least_one", skip_serializing_if = "Vec::is_empty")]
    #[schemars(with = "OneOrMany<String>")]
    pub algorithms: Vec<Algorithm>,
    /// Paths of names, roles, groups and scopes in its tokens; the defaults fit Keycloak.
    /// Example: `{ groups: teams }`.
    #[serde(default)]
    pub claims: ClaimPaths,
    /// Largest accepted difference between its clock and the gateway's. Example: `30s`.
    #[serde(default = "default_leeway", with = "humantime_serde")]
    #[schemars(with = "String")]
    pub leeway: Duration,
    /// Asks the provider about bearer tokens that are not JWTs (RFC 7662), as the gateway's client. Only one issuer may have
    /// this key, because such a token does not name its issuer. Example: `{ cache: 30s }`.
    #[serde(default)]
    pub introspection: Option<Introspection>,
    /// CA certificates (PEM) for connections to it, instead of the system's.
    /// Example: `/etc/doorward/ca.pem`.
    #[serde(default)]
    pub ca_file: Option<PathBuf>,
    /// Pushed authorization requests (RFC 9126). Example: `auto`.
    #[serde(default)]
    pub pushed_authorization: PushedAuthorization,
}

fn default_scopes() -> Vec<String> {
    ["openid", "profile", "email"].map(str::to_owned).to_vec()
}

fn default_leeway() -> Duration {
    Duration::from_secs(30)
}

/// Client authentication at the token endpoint.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ClientAuth {
    /// No authentication: a public client, protected by PKCE alone.
    #[default]
    None,
    /// A client secret, sent by a method that the provider supports (basic before post).
    Secret(SecretRef),
    /// A JWT signed with a private key (RFC 7523 §2.2).
    PrivateKeyJwt(PrivateKeyJwt),
    /// A file with a ready-made client assertion (RFC 7523 §2.2), read at each request: a projected Kubernetes
    /// service account token. Example: `/var/run/secrets/tokens/keycloak`.
    AssertionFile(PathBuf),
    /// A TLS client certificate (RFC 8705 §2); read again when its files change.
    Mtls(Mtls),
}

/// Requests to the UserInfo endpoint.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum UserInfo {
    /// If the ID token and the access token lack the user name, the e-mail address, or a claim that a rule reads.
    #[default]
    WhenMissing,
    /// Always; a login without its answer fails.
    Always,
    /// Never.
    Never,
}

/// End of a session without a refresh token.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum WithoutRefresh {
    /// With its access token, whose lifetime the issuer chooses.
    #[default]
    EndWithToken,
    /// At the limits of `session`. The user keeps the identity of the sign-in: what the issuer changes or ends meanwhile takes
    /// no effect, except by back-channel logout. Routes with `identity.access_token` then send no expired token.
    KeepIdentity,
}

/// The e-mail addresses of an issuer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Email {
    /// Whether only an address that the issuer marks as verified (`email_verified`) counts for rules and is sent to upstreams.
    /// With `false` every address counts as verified: only for an issuer whose users cannot choose their addresses.
    /// Example: `true`.
    pub require_verified: bool,
}

impl Default for Email {
    fn default() -> Self {
        Self { require_verified: true }
    }
}

/// The key of `private_key_jwt`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PrivateKeyJwt {
    /// The private key, PEM (PKCS #8). Example: `{ file: /run/secrets/client-key.pem }`.
    pub key: SecretRef,
    /// The signature algorithm. Example: `RS256`.
    #[serde(default)]
    pub algorithm: SigningAlgorithm,
    /// The `kid` of the public key at the provider. Example: `gateway-2026`.
    #[serde(default)]
    pub key_id: Option<String>,
}

/// Signature algorithms for client assertions (RFC 7518 §3.1, RFC 8037).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[expect(missing_docs, reason = "the names are those of the standard")]
pub enum SigningAlgorithm {
    #[default]
    RS256,
    RS384,
    RS512,
    PS256,
    PS384,
    PS512,
    ES256,
    ES384,
    EdDSA,
}

impl SigningAlgorithm {
    /// Its name in JOSE.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::RS256 => "RS256",
            Self::RS384 => "RS384",
            Self::RS512 => "RS512",
            Self::PS256 => "PS256",
            Self::PS384 => "PS384",
            Self::PS512 => "PS512",
            Self::ES256 => "ES256",
            Self::ES384 => "ES384",
            Self::EdDSA => "EdDSA",
        }
    }
}

/// The client certificate of `mtls`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Mtls {
    /// The certificate chain, PEM. Example: `/run/secrets/client.crt`.
    pub certificate: PathBuf,
    /// Its private key, PEM. Example: `/run/secrets/client.key`.
    pub key: PathBuf,
}

/// Token introspection (RFC 7662).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Introspection {
    /// Time for which an answer is cached; a revoked token may stay accepted that long. Example: `30s`.
    #[serde(with = "humantime_serde")]
    #[schemars(with = "String")]
    pub cache: Duration,
}

impl Default for Introspection {
    fn default() -> Self {
        Self { cache: Duration::from_secs(30) }
    }
}

/// Pushed authorization: sends the login request to the provider directly (RFC 9126), not in the URL.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum PushedAuthorization {
    /// If the provider offers it.
    #[default]
    Auto,
    /// Always; a provider without it is a problem.
    Required,
    /// Never.
    Never,
}
