//! The settings of [`Validation`]: each weakens or sharpens one rule.

use std::time::Duration;

use super::{Issuers, MAX_LEEWAY, Profile, Validation};
use crate::issuer::IssuerTemplate;
use crate::jose::Origin;
use crate::token::{Algorithm, ClaimPaths};

impl Validation {
    /// Accepts tokens of the listed tenants of a provider with one issuer for each, as Microsoft Entra. The keys are those of
    /// the provider [`IssuerTemplate::issuer`]; a key that names an issuer (`issuer`) signs no token of another.
    ///
    /// ```
    /// use oidc_core::Validation;
    /// use oidc_core::provider::IssuerTemplate;
    /// use oidc_core::verify::Profile;
    ///
    /// let entra = "https://login.microsoftonline.com/{tenantid}/v2.0";
    /// let template = IssuerTemplate::new(entra, ["9122040d-6c67-4c5b-b112-36a304b66dad"])?;
    /// let validation = Validation::for_tenants(template, "api://models").with_profile(Profile::Generic);
    /// assert_eq!(validation.issuer().as_str(), entra);
    /// # Ok::<(), oidc_core::provider::InvalidIssuer>(())
    /// ```
    pub fn for_tenants(template: IssuerTemplate, audience: impl Into<String>) -> Self {
        Self::new(template.issuer().clone(), audience).with_tenants(template)
    }

    /// The same for rules that are already made for [`IssuerTemplate::issuer`].
    #[must_use]
    pub fn with_tenants(mut self, template: IssuerTemplate) -> Self {
        self.issuer = template.issuer().clone();
        self.issuers = Issuers::Tenants(template.into());
        self
    }

    /// Sets the identifier that access tokens name (`iss`), where it is another than the provider's own: AD FS announces it as
    /// `access_token_issuer`, like `http://adfs.example/adfs/services/trust`. It is a name only, and nothing is fetched from it.
    #[must_use]
    pub fn with_access_token_issuer(mut self, identifier: impl Into<String>) -> Self {
        self.issuers = Issuers::OfAccessTokens(identifier.into().into());
        self
    }

    /// Also accepts access tokens without `iss` whose `sub` is a SPIFFE ID of this trust domain (JWT-SVID §3), and none of
    /// another.
    #[must_use]
    pub fn with_trust_domain(mut self, domain: impl Into<String>) -> Self {
        self.trust_domain = Some(domain.into());
        self
    }

    /// Takes the client that a token was issued to (`client_id`) for its audience, and requires `token_use: access`: Amazon
    /// Cognito writes no `aud`. The audiences are then ids of clients; an `aud` that is present must name one of them too. Only
    /// for [`Profile::Generic`] and [`Profile::Workload`].
    #[must_use]
    pub fn with_client_as_audience(mut self) -> Self {
        self.client_is_audience = true;
        self
    }

    /// Accepts ID tokens where access tokens are wanted, under [`Profile::Generic`]: Dex issues no other. A token that a person
    /// gave another application to sign in there is then accepted here, if that application has one of the audiences.
    #[must_use]
    pub fn dangerous_accept_id_tokens(mut self) -> Self {
        self.id_tokens = true;
        self
    }

    /// Ignores header members that name keys to trust (`jku`, `jwk`, `x5u`, `x5c`), which are refused unless this is set. They
    /// are never used: the keys are the issuer's own in either case.
    #[must_use]
    pub fn dangerous_ignore_header_keys(mut self) -> Self {
        self.ignores_header_keys = true;
        self
    }

    /// Reads user name, roles, groups and scopes of access tokens by these paths; unless set, as the profile's provider writes
    /// them.
    #[must_use]
    pub fn with_claims(mut self, paths: ClaimPaths) -> Self {
        self.claims = Some(paths);
        self
    }

    /// Also accepts ID tokens for this client that another client asked for (`azp`, OpenID Connect Core 1.0 §2), such as the
    /// mobile application of the same service.
    #[must_use]
    pub fn with_trusted_party(mut self, client: impl Into<String>) -> Self {
        self.parties.push(client.into());
        self
    }

    /// Accepts access tokens that were issued to `client` (`azp`) whatever their audience. Only for
    /// tokens this client got from the token endpoint itself, to read the claims about its own
    /// session: Keycloak names no audience there unless configured to. Never for tokens that a
    /// caller presents.
    #[must_use]
    pub fn with_authorized_party(mut self, client: impl Into<String>) -> Self {
        self.authorized_party = Some(client.into());
        self
    }

    /// Also accepts tokens for `audience`.
    #[must_use]
    pub fn with_audience(mut self, audience: impl Into<String>) -> Self {
        self.audiences.push(audience.into());
        self
    }

    /// Sets the allowed clock difference; 30 s unless set, 5 min at most.
    #[must_use]
    pub fn with_leeway(mut self, leeway: Duration) -> Self {
        self.leeway = leeway.min(MAX_LEEWAY);
        self
    }

    /// Sets the form of access tokens.
    #[must_use]
    pub fn with_profile(mut self, profile: Profile) -> Self {
        self.profile = profile;
        self
    }

    /// Accepts these algorithms only, whatever the issuer announces; for access, ID and logout tokens.
    #[must_use]
    pub fn with_algorithms(mut self, algorithms: impl IntoIterator<Item = Algorithm>) -> Self {
        self.algorithms = Some(algorithms.into_iter().collect());
        self
    }

    /// The form of access tokens.
    pub fn profile(&self) -> Profile {
        self.profile
    }

    pub(crate) fn ignores_header_keys(&self) -> bool {
        self.ignores_header_keys
    }

    /// Whether tokens with this identifier are of the trusted issuer, or of one of its tenants.
    pub fn names_issuer(&self, identifier: &str) -> bool {
        self.is_origin(Origin { issuer: Some(identifier), subject: None })
    }
}
