//! The alpha configuration: providers, upstreams and injected headers in YAML.

#![expect(clippy::indexing_slicing, reason = "indexing JSON answers null for what is absent")]

use serde_json::Value;

use super::super::draft::Draft;
use super::super::options::Options;

/// Whether a text is the alpha configuration.
pub(super) fn is_alpha(text: &str) -> bool {
    let sections = [
        "providers:",
        "upstreamConfig:",
        "injectRequestHeaders:",
        "injectResponseHeaders:",
        "metricsServer:",
    ];
    text.lines().any(|line| sections.iter().any(|section| line.starts_with(section)))
}

/// Sets the options that the first provider and the servers stand for.
pub(super) fn provider(alpha: &Value, options: &mut Options, draft: &mut Draft) {
    let providers = alpha["providers"].as_array().map(Vec::as_slice).unwrap_or_default();
    if providers.len() > 1 {
        draft.lost(
            "providers",
            "only the first is carried over; a second issuer for sign-in stands beside `main`",
        );
    }
    let Some(provider) = providers.first() else { return };
    let oidc = &provider["oidcConfig"];
    for (option, value) in [
        ("provider", &provider["provider"]),
        ("client_id", &provider["clientID"]),
        ("client_secret", &provider["clientSecret"]),
        ("client_secret_file", &provider["clientSecretFile"]),
        ("scope", &provider["scope"]),
        ("provider_ca_file", &provider["caFiles"]),
        ("allowed_group", &provider["allowedGroups"]),
        ("allowed_role", &provider["keycloakConfig"]["roles"]),
        ("login_url", &provider["loginURL"]),
        ("redeem_url", &provider["redeemURL"]),
        ("profile_url", &provider["profileURL"]),
        ("validate_url", &provider["validateURL"]),
        ("backend_logout_url", &provider["backendLogoutURL"]),
        ("code_challenge_method", &provider["code_challenge_method"]),
        ("bitbucket_team", &provider["bitbucketConfig"]["team"]),
        ("bitbucket_workspace", &provider["bitbucketConfig"]["workspace"]),
        ("bitbucket_repository", &provider["bitbucketConfig"]["repository"]),
        ("entra_id_allowed_tenant", &provider["microsoftEntraIDConfig"]["allowedTenants"]),
        ("github_org", &provider["githubConfig"]["org"]),
        ("github_repo", &provider["githubConfig"]["repo"]),
        ("github_team", &provider["githubConfig"]["team"]),
        ("github_user", &provider["githubConfig"]["users"]),
        ("gitlab_group", &provider["gitlabConfig"]["group"]),
        ("gitlab_project", &provider["gitlabConfig"]["projects"]),
        ("google_group", &provider["googleConfig"]["group"]),
        ("keycloak_group", &provider["keycloakConfig"]["groups"]),
        ("azure_tenant", &provider["azureConfig"]["tenant"]),
        ("oidc_issuer_url", &oidc["issuerURL"]),
        ("oidc_jwks_url", &oidc["jwksURL"]),
        ("oidc_email_claim", &oidc["emailClaim"]),
        ("oidc_groups_claim", &oidc["groupsClaim"]),
        ("user_id_claim", &oidc["userIDClaim"]),
        ("oidc_audience_claims", &oidc["audienceClaims"]),
        ("oidc_extra_audience", &oidc["extraAudiences"]),
        ("insecure_oidc_allow_unverified_email", &oidc["insecureAllowUnverifiedEmail"]),
        ("insecure_oidc_skip_issuer_verification", &oidc["insecureSkipIssuerVerification"]),
        ("insecure_oidc_skip_nonce", &oidc["insecureSkipNonce"]),
        ("skip_oidc_discovery", &oidc["skipDiscovery"]),
        ("http_address", &alpha["server"]["BindAddress"]),
        ("https_address", &alpha["server"]["SecureBindAddress"]),
        ("metrics_address", &alpha["metricsServer"]["BindAddress"]),
    ] {
        options.add(option, value);
    }
    for header in ["injectRequestHeaders", "injectResponseHeaders"] {
        if alpha[header].as_array().is_some_and(|headers| !headers.is_empty()) {
            draft.lost(header, "`X-Forwarded-User` and its like are always sent; write others in `identity: { set: { NAME: \"{user_name}\" } }` of the route");
        }
    }
}
