//! Provider metadata (OpenID Connect Discovery 1.0 §3; RFC 8414 §2).
//!
//! `issuer` must equal the requested issuer, byte for byte, and every endpoint must use `https`
//! unless the issuer is on a loopback host or the caller allows plain `http` with its host. Of members
//! that no check needs, those of the wrong type are ignored; any other refuses the document.

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use url::Url;

use super::discovery::{Discovery, DiscoveryError};
use super::lenient;
use crate::foreign_text::{bounded, quoted};
use crate::http::{self, Http};
use crate::issuer::Issuer;
use crate::json;

/// The members of the discovery document that are used.
///
/// ```
/// use oidc_core::Issuer;
/// use oidc_core::provider::ProviderMetadata;
/// let issuer: Issuer = "https://id.example".parse()?;
/// let metadata = ProviderMetadata::parse(
///     &issuer,
///     br#"{"issuer":"https://id.example","jwks_uri":"https://id.example/jwks"}"#,
/// )?;
/// assert!(metadata.jwks_uri.is_some_and(|uri| uri.as_str() == "https://id.example/jwks"));
/// assert!(metadata.token_endpoint.is_none());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, Deserialize, Serialize)]
#[non_exhaustive]
pub struct ProviderMetadata {
    /// The provider's issuer identifier.
    #[serde(deserialize_with = "Issuer::as_written")]
    pub issuer: Issuer,
    /// URL of its key set. A provider without one signs nothing that can be verified; its opaque tokens
    /// can be introspected.
    pub jwks_uri: Option<Url>,
    /// URL for the browser to log in.
    pub authorization_endpoint: Option<Url>,
    /// URL that exchanges codes and refresh tokens.
    pub token_endpoint: Option<Url>,
    /// URL of claims about the person.
    pub userinfo_endpoint: Option<Url>,
    /// RFC 7662
    pub introspection_endpoint: Option<Url>,
    /// RFC 7009
    pub revocation_endpoint: Option<Url>,
    /// RFC 9126
    pub pushed_authorization_request_endpoint: Option<Url>,
    /// RFC 8628
    pub device_authorization_endpoint: Option<Url>,
    /// OpenID Connect RP-Initiated Logout 1.0
    pub end_session_endpoint: Option<Url>,
    /// RFC 9126 §5: only pushed requests are accepted.
    #[serde(default)]
    pub require_pushed_authorization_requests: bool,
    /// RFC 9207: the answer to an authorization request names the issuer.
    #[serde(default)]
    pub authorization_response_iss_parameter_supported: bool,
    /// OpenID Connect Back-Channel Logout 1.0 §2.1
    #[serde(default)]
    pub backchannel_logout_supported: bool,
    /// OpenID Connect Back-Channel Logout 1.0 §2.1: logout tokens carry `sid`.
    #[serde(default)]
    pub backchannel_logout_session_supported: bool,
    /// OpenID Connect Front-Channel Logout 1.0 §3
    #[serde(default)]
    pub frontchannel_logout_supported: bool,
    /// Scopes that may be asked for.
    #[serde(default)]
    pub scopes_supported: Vec<String>,
    /// Modes of an authorization response (OAuth 2.0 Multiple Response Types §2.1, JARM §2.3).
    #[serde(default)]
    pub response_modes_supported: Vec<String>,
    /// Response types that may be asked for.
    #[serde(default)]
    pub response_types_supported: Vec<String>,
    /// Kinds of subject identifier (OpenID Connect Core 1.0 §8): `public`, `pairwise`.
    #[serde(default)]
    pub subject_types_supported: Vec<String>,
    /// Grants the token endpoint supports.
    #[serde(default)]
    pub grant_types_supported: Vec<String>,
    /// PKCE methods (RFC 8414 §2).
    #[serde(default)]
    pub code_challenge_methods_supported: Vec<String>,
    /// Client authentication methods.
    #[serde(default)]
    pub token_endpoint_auth_methods_supported: Vec<String>,
    /// Algorithms for `private_key_jwt` and `client_secret_jwt`.
    #[serde(default)]
    pub token_endpoint_auth_signing_alg_values_supported: Vec<String>,
    /// Algorithms of ID tokens.
    #[serde(default)]
    pub id_token_signing_alg_values_supported: Vec<String>,
    /// Algorithms of signed UserInfo answers.
    #[serde(default)]
    pub userinfo_signing_alg_values_supported: Vec<String>,
    /// RFC 9449 §5.1: algorithms of proofs; empty where tokens cannot be bound to a key.
    #[serde(default)]
    pub dpop_signing_alg_values_supported: Vec<String>,
    /// RFC 8705 §3.3: tokens for clients with a certificate are bound to it.
    #[serde(default)]
    pub tls_client_certificate_bound_access_tokens: bool,
    /// RFC 8705 §5: the endpoints for a client with a certificate.
    #[serde(default)]
    pub mtls_endpoint_aliases: MtlsEndpointAliases,
}

/// Endpoints for clients that authenticate with a certificate (RFC 8705 §5). For an absent one the
/// ordinary endpoint is used.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[non_exhaustive]
pub struct MtlsEndpointAliases {
    /// URL that issues tokens.
    pub token_endpoint: Option<Url>,
    /// RFC 7662
    pub introspection_endpoint: Option<Url>,
    /// RFC 7009
    pub revocation_endpoint: Option<Url>,
    /// RFC 9126
    pub pushed_authorization_request_endpoint: Option<Url>,
    /// RFC 8628
    pub device_authorization_endpoint: Option<Url>,
    /// URL of claims about the person.
    pub userinfo_endpoint: Option<Url>,
}

impl ProviderMetadata {
    /// The metadata of an issuer that only signs: its keys are at `jwks_uri`, and it has no other
    /// endpoints.
    ///
    /// ```
    /// use oidc_core::Issuer;
    /// use oidc_core::provider::ProviderMetadata;
    /// let gateway: Issuer = "https://platform.example".parse()?;
    /// assert!(ProviderMetadata::new(&gateway, "https://gateway.internal/oauth2/jwks").is_ok());
    /// assert!(ProviderMetadata::new(&gateway, "http://gateway.internal/oauth2/jwks").is_err());
    /// # Ok::<(), oidc_core::provider::InvalidIssuer>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`DiscoveryError::InsecureEndpoint`] if `jwks_uri` has no TLS;
    /// [`DiscoveryError::Invalid`] if it is not a URL.
    pub fn new(issuer: &Issuer, jwks_uri: &str) -> Result<Self, DiscoveryError> {
        let document = serde_json::json!({ "issuer": issuer, "jwks_uri": jwks_uri });
        Self::parse(issuer, document.to_string().as_bytes())
    }

    /// Fetches the metadata of `issuer`.
    ///
    /// # Errors
    ///
    /// [`DiscoveryError::Fetch`] when no document could be fetched; the others as
    /// [`ProviderMetadata::parse`].
    pub async fn discover(issuer: &Issuer, http: &dyn Http) -> Result<Self, DiscoveryError> {
        Self::discover_by(&Discovery::default(), issuer, http).await
    }

    /// Fetches the metadata of `issuer` from another address, or over plain `http`.
    pub(super) async fn discover_by(
        discovery: &Discovery,
        issuer: &Issuer,
        http: &dyn Http,
    ) -> Result<Self, DiscoveryError> {
        let answer = http::get(http, &discovery.document(issuer)?).await?;
        let document: &Bytes = answer.body();
        Self::parse_by(discovery, issuer, document)
    }

    /// Reads a discovery document that must be `issuer`'s.
    ///
    /// # Errors
    ///
    /// [`DiscoveryError::IssuerMismatch`] if it names another issuer (OpenID Connect
    /// Discovery 1.0 §4.3); [`DiscoveryError::InsecureEndpoint`] if an endpoint has no TLS;
    /// [`DiscoveryError::Member`] if a member that a check needs is of the wrong type;
    /// [`DiscoveryError::Invalid`] if it is not a discovery document.
    pub fn parse(issuer: &Issuer, document: &[u8]) -> Result<Self, DiscoveryError> {
        Self::parse_by(&Discovery::default(), issuer, document)
    }

    fn parse_by(
        discovery: &Discovery,
        issuer: &Issuer,
        document: &[u8],
    ) -> Result<Self, DiscoveryError> {
        let members =
            json::parse_object(document).map_err(|reason| DiscoveryError::Invalid { reason })?;
        let found = members.get("issuer").and_then(|issuer| issuer.as_str()).unwrap_or_default();
        if found != issuer.as_str() {
            return Err(DiscoveryError::IssuerMismatch {
                expected: issuer.to_string(),
                found: quoted(found),
            });
        }
        let members = lenient::read(members);
        let read = |members| serde_json::from_value::<Self>(serde_json::Value::Object(members));
        let metadata = read(members.clone()).map_err(|error| {
            let alone = |members| match read(members) {
                Ok(_) => Ok(()),
                Err(error) => Err(bounded(&error.to_string())),
            };
            match lenient::culprit(&members, alone) {
                Some((member, problem)) => DiscoveryError::Member { member, problem },
                None => DiscoveryError::Invalid { reason: bounded(&error.to_string()) },
            }
        })?;
        metadata.check_endpoints(discovery)?;
        Ok(metadata)
    }

    /// Whether the provider offers `client_secret_post` and not `client_secret_basic`, which is the
    /// default where it lists no methods (RFC 8414 §2).
    #[cfg(feature = "token")]
    pub(crate) fn takes_secrets_in_the_body_only(&self) -> bool {
        let offers = |name: &str| {
            self.token_endpoint_auth_methods_supported.iter().any(|offered| offered == name)
        };
        offers("client_secret_post") && !offers("client_secret_basic")
    }

    fn check_endpoints(&self, discovery: &Discovery) -> Result<(), DiscoveryError> {
        let endpoints = [
            ("jwks_uri", self.jwks_uri.as_ref()),
            ("authorization_endpoint", self.authorization_endpoint.as_ref()),
            ("token_endpoint", self.token_endpoint.as_ref()),
            ("userinfo_endpoint", self.userinfo_endpoint.as_ref()),
            ("introspection_endpoint", self.introspection_endpoint.as_ref()),
            ("revocation_endpoint", self.revocation_endpoint.as_ref()),
            (
                "pushed_authorization_request_endpoint",
                self.pushed_authorization_request_endpoint.as_ref(),
            ),
            ("device_authorization_endpoint", self.device_authorization_endpoint.as_ref()),
            ("end_session_endpoint", self.end_session_endpoint.as_ref()),
        ];
        let aliases = &self.mtls_endpoint_aliases;
        let alias_members = [
            ("mtls_endpoint_aliases.token_endpoint", &aliases.token_endpoint),
            ("mtls_endpoint_aliases.introspection_endpoint", &aliases.introspection_endpoint),
            ("mtls_endpoint_aliases.revocation_endpoint", &aliases.revocation_endpoint),
            (
                "mtls_endpoint_aliases.pushed_authorization_request_endpoint",
                &aliases.pushed_authorization_request_endpoint,
            ),
            (
                "mtls_endpoint_aliases.device_authorization_endpoint",
                &aliases.device_authorization_endpoint,
            ),
            ("mtls_endpoint_aliases.userinfo_endpoint", &aliases.userinfo_endpoint),
        ];
        let aliases = alias_members.into_iter().map(|(member, url)| (member, url.as_ref()));
        for (member, url) in endpoints.into_iter().chain(aliases) {
            let Some(url) = url else { continue };
            if !discovery.accepts(&self.issuer, url) {
                return Err(DiscoveryError::InsecureEndpoint { member, url: quoted(url.as_str()) });
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{DiscoveryError, ProviderMetadata};
    use crate::issuer::Issuer;

    fn parse(
        issuer: &str,
        document: &serde_json::Value,
    ) -> Result<ProviderMetadata, DiscoveryError> {
        let Ok(issuer) = issuer.parse::<Issuer>() else { unreachable!("{issuer} is an issuer") };
        ProviderMetadata::parse(&issuer, document.to_string().as_bytes())
    }

    #[test]
    fn the_issuer_must_be_the_one_asked_for() {
        for other in ["https://id.example/", "https://ID.example", "https://evil.test", ""] {
            let document = json!({"issuer": other, "jwks_uri": "https://id.example/jwks"});
            assert!(matches!(
                parse("https://id.example", &document),
                Err(DiscoveryError::IssuerMismatch { .. })
            ));
        }
    }

    #[test]
    fn endpoints_need_tls_unless_the_issuer_is_on_loopback() {
        let document = |issuer: &str, url: &str| json!({"issuer": issuer, "jwks_uri": "https://id.example/jwks", "token_endpoint": url});
        let remote = "https://id.example";
        assert!(parse(remote, &document(remote, "https://id.example/token")).is_ok());
        for bad in [
            "http://id.example/token",
            "http://127.0.0.1/token",
            "file:///etc/passwd",
            "ldap://id.example",
        ] {
            assert!(
                matches!(
                    parse(remote, &document(remote, bad)),
                    Err(DiscoveryError::InsecureEndpoint { member: "token_endpoint", .. })
                ),
                "{bad}"
            );
        }
        let aliased = json!({"issuer": remote, "jwks_uri": "https://id.example/jwks", "mtls_endpoint_aliases": {"token_endpoint": "http://mtls.id.example/token"}});
        let refused = parse(remote, &aliased);
        assert!(matches!(refused, Err(DiscoveryError::InsecureEndpoint { .. })), "{refused:?}");
        let local = "http://127.0.0.1:8080";
        assert!(parse(local, &document(local, "http://127.0.0.1:8080/token")).is_ok());
        assert!(parse(local, &document(local, "file:///etc/passwd")).is_err());
    }

    #[test]
    fn a_member_that_a_check_needs_must_have_its_type() {
        for (member, value) in [
            ("jwks_uri", json!(1)),
            ("jwks_uri", json!("not a url")),
            ("token_endpoint", json!(["https://id.example/token"])),
            ("authorization_response_iss_parameter_supported", json!("true")),
            ("id_token_signing_alg_values_supported", json!("RS256")),
            ("mtls_endpoint_aliases", json!({"token_endpoint": 1})),
        ] {
            let mut document =
                json!({"issuer": "https://id.example", "jwks_uri": "https://id.example/jwks"});
            document[member] = value;
            let refused = parse("https://id.example", &document);
            assert!(
                matches!(&refused, Err(DiscoveryError::Member { member: found, .. }) if *found == member),
                "{member}: {refused:?}"
            );
        }
    }

    #[test]
    fn members_that_no_check_needs_are_read_leniently() {
        let mut document =
            json!({"issuer": "https://id.example", "jwks_uri": "https://id.example/jwks"});
        for (member, value) in [
            ("scopes_supported", json!("openid")),
            ("grant_types_supported", json!({"a": 1})),
            ("response_modes_supported", json!(["query", null, 1])),
            ("code_challenge_methods_supported", json!(null)),
            ("userinfo_endpoint", json!("")),
            ("end_session_endpoint", json!(null)),
            ("id_token_signing_alg_values_supported", json!(null)),
            ("require_pushed_authorization_requests", json!(null)),
            ("backchannel_logout_supported", json!("true")),
            ("frontchannel_logout_supported", json!("yes")),
            ("mtls_endpoint_aliases", json!({"token_endpoint": ""})),
            ("a_member_of_its_own", json!([{"b": null}])),
        ] {
            document[member] = value;
        }
        let metadata = parse("https://id.example", &document).unwrap();
        assert_eq!(metadata.scopes_supported, ["openid"]);
        assert_eq!(metadata.response_modes_supported, ["query"]);
        assert!(metadata.grant_types_supported.is_empty());
        assert!(metadata.backchannel_logout_supported);
        assert!(!metadata.frontchannel_logout_supported);
        assert!(metadata.userinfo_endpoint.is_none());
    }

    #[test]
    fn a_provider_needs_no_key_set() {
        for document in [
            json!({"issuer": "https://id.example"}),
            json!({"issuer": "https://id.example", "jwks_uri": null}),
        ] {
            assert!(parse("https://id.example", &document).unwrap().jwks_uri.is_none());
        }
    }
}
