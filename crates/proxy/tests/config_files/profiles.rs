//! The keys that say which bearer tokens of an issuer are accepted.

use doorward::config::{AudienceClaim, Profile, TokenUse};

use super::{config, expect_each, problems, small_with};

/// An issuer without a client, and a route for programs.
pub(crate) const PROGRAMS: &str = "\
public_url: https://platform.example
issuers:
  ci:
    url: https://gitlab.example
    profile: workload
    audience: [doorward]
routes:
  app:
    match: { path: /app }
    upstream: http://app:8000
    sign_in: challenge
    access:
      - { allow: { subjects: ['project_path:data/*:ref_type:branch:ref:main'], issuers: [ci] } }
";

pub(crate) fn programs_with(old: &str, new: &str) -> Vec<String> {
    assert!(PROGRAMS.contains(old), "{old}");
    problems(&PROGRAMS.replacen(old, new, 1))
}

/// Each change of [`PROGRAMS`] must give exactly the one problem.
pub(crate) fn expect_each_program(cases: &[(&str, &str, &str)]) {
    for (old, new, expected) in cases {
        let found = programs_with(old, new);
        assert!(matches!(found.as_slice(), [only] if only.contains(expected)), "{new}: {found:#?}");
    }
}

#[test]
fn a_workload_issuer_needs_no_client_and_has_no_names() {
    let config = config(PROGRAMS);
    let issuer = &config.issuers["ci"];
    assert!(!issuer.offers_login());
    assert_eq!(issuer.profile, Profile::Workload);
    assert_eq!(issuer.claim_paths(), oidc_core::token::ClaimPaths::none());
    let more = "    audience: [doorward]\n    claims: { roles: user_access_level }\n";
    let config = super::config(&PROGRAMS.replace("    audience: [doorward]\n", more));
    let paths = config.issuers["ci"].claim_paths();
    assert_eq!(
        (paths.roles.as_slice(), paths.client_roles),
        (&["user_access_level".to_owned()][..], None)
    );
}

#[test]
fn people_of_a_templates_tenants_may_sign_in() {
    let template = "https://id.example/{tenantid}/v2.0";
    let with = |tenants: &str, more: &str| {
        let issuer = format!(
            "    url: \"{template}\"\n    tenants: {tenants}\n    profile: generic\n    audience: [\"api://models\"]\n{more}"
        );
        let ci =
            "    url: https://gitlab.example\n    profile: workload\n    audience: [doorward]\n";
        PROGRAMS.replace(ci, &issuer)
    };
    let client = "    client_id: gateway\n";
    let several = super::config(&with("[t-1, t-2]", client));
    assert_eq!(several.issuers["ci"].url, template);
    assert_eq!(several.issuers["ci"].tenants, ["t-1", "t-2"]);
    // A client of one tenant is unknown at the authority of all.
    let one = super::config(&with("[t-1]", client));
    assert_eq!(one.issuers["ci"].url, "https://id.example/t-1/v2.0");
    assert_eq!(one.issuers["ci"].tenants, [""; 0]);
    // Without a client there is no login, and the keys are those of all tenants.
    assert_eq!(super::config(&with("[t-1]", "")).issuers["ci"].url, template);
    let twin = "  twin:\n    url: https://id.example/t-1/v2.0\n    client_id: other\n";
    let found = problems(&with("[t-1]", &format!("{client}{twin}"))).join("\n");
    assert!(found.contains("issuers.twin.url"), "{found}");
}

#[test]
fn the_examples_of_other_providers_are_read() {
    let entra = "    url: \"https://login.microsoftonline.com/{tenantid}/v2.0\"\n    tenants: [t-1, t-2]\n    \
                 profile: generic\n    audience: [\"api://models\"]\n";
    let ci = "    url: https://gitlab.example\n    profile: workload\n    audience: [doorward]\n";
    assert_eq!(programs_with(ci, entra), [""; 0]);
    let cluster =
        format!("{ci}    fetch: {{ ca_file: /nowhere/ca.crt, token_file: /nowhere/token }}\n");
    assert_eq!(programs_with(ci, &cluster), [""; 0]);
    let spire =
        format!("{ci}    trust_domain: acme.example\n    keys_file: /nowhere/bundle.json\n");
    assert_eq!(programs_with(ci, &spire), [""; 0]);
    let adfs = "    url: https://adfs.example/adfs\n    profile: generic\n    access_token_issuer: \
                http://adfs.example/adfs/services/trust\n    audience: [models]\n    claims: { subject: oid }\n";
    assert_eq!(programs_with(ci, adfs), [""; 0]);
    let dex = "    audience: models\n    profile: generic\n    dangerous_accept_id_tokens: true\n    \
               dangerous_ignore_header_keys: true\n    authorized_parties: [mobile]\n";
    assert_eq!(problems(&small_with("    audience: [gateway]\n", dex)), [""; 0]);
    let cognito = "    profile: generic\n    audience: [57cb, gateway]\n    audience_claim: client_id\n    token_use: \
                   access\n    claims: { groups: 'cognito:groups', client_roles: null, scopes: [scope] }\n";
    let config = config(&small_with("    audience: [gateway]\n", cognito));
    let issuer = &config.issuers["main"];
    assert_eq!(issuer.audience_claim, AudienceClaim::ClientId);
    assert_eq!(issuer.token_use, Some(TokenUse::Access));
    let paths = issuer.claim_paths();
    assert_eq!((paths.groups, paths.client_roles), (vec!["cognito:groups".to_owned()], None));
    assert_eq!(paths.user_name.as_deref(), Some("preferred_username"));
}

#[test]
fn each_mistake_of_a_profile_is_named() {
    let audience = "    audience: [gateway]\n";
    let generic = "    audience: [gateway]\n    profile: generic\n";
    let api = "    audience: [api]\n    profile: generic\n";
    let with = |text: &str, more: &str| format!("{text}    {more}\n");
    let cases: Vec<(String, &str)> = vec![
        (
            generic.to_owned(),
            "6:5: issuers.main.audience: invalid audience `gateway`: it is the `client_id`, so an ID token",
        ),
        (
            with(api, "audience_claim: client_id"),
            "8:21: issuers.main.audience_claim: missing `token_use`",
        ),
        (
            with(api, "token_use: access"),
            "issuers.main.token_use: invalid without `audience_claim: client_id`",
        ),
        (with(api, "token_use: id"), "issuers.main.token_use: unsupported value `id`"),
        (
            with(audience, "audience_claim: client_id\n    token_use: access"),
            "issuers.main.audience_claim: invalid with this profile",
        ),
        (
            with(audience, "dangerous_accept_id_tokens: true"),
            "issuers.main.dangerous_accept_id_tokens: invalid with this profile",
        ),
        (
            with(audience, "trust_domain: acme.example"),
            "issuers.main.trust_domain: invalid with this profile: only `workload`",
        ),
        (
            with(audience, "keys_file: /nowhere"),
            "issuers.main.keys_file: invalid with this profile",
        ),
        (
            with(audience, "fetch: {}"),
            "issuers.main.fetch: invalid with this profile: only `workload` has it; write `ca_file`",
        ),
        (
            with(audience, "access_token_issuer: https://keycloak.example/realms/platform"),
            "issuers.main.access_token_issuer: invalid issuer: it is the `url`",
        ),
        (
            with(audience, "access_token_issuer: 'a b'"),
            "issuers.main.access_token_issuer: invalid issuer: write it as",
        ),
        (
            with(audience, "tenants: [t]"),
            "issuers.main.tenants: issuer template \"https://keycloak.example/realms/platform\": it must hold {tenantid} once",
        ),
        (with(audience, "tenants: []"), "issuers.main.tenants: invalid list: it is empty"),
        (
            with(audience, "claims: { roles: '\"a' }"),
            "issuers.main.claims.roles: invalid claim path `\"a`",
        ),
        (
            with(audience, "claims: { scopes: '' }"),
            "issuers.main.claims.scopes: invalid claim name: it is empty",
        ),
        (
            with(audience, "claims: { subject: oid }"),
            "issuers.main.claims.subject: invalid with `client_id`: sessions are of `sub`",
        ),
        (with(audience, "profile: okta"), "issuers.main.profile: unsupported value `okta`"),
    ];
    let cases: Vec<_> =
        cases.iter().map(|(new, expected)| (audience, new.as_str(), *expected)).collect();
    expect_each(&cases);
}

#[test]
fn each_mistake_of_a_workload_is_named() {
    let url = "    url: https://gitlab.example\n";
    let profile = "    profile: workload\n";
    expect_each_program(&[
        (
            "    audience: [doorward]\n",
            "",
            "issuers.ci.audience: missing `audience`: without a client",
        ),
        (
            profile,
            "    profile: workload\n    client_id: gateway\n",
            "issuers.ci.client_id: invalid with `profile: workload`",
        ),
        (
            profile,
            "    profile: workload\n    trust_domain: Acme.example\n",
            "issuers.ci.trust_domain: invalid trust domain `Acme.example`",
        ),
        (
            profile,
            "    profile: workload\n    trust_domain: spiffe://acme.example\n",
            "issuers.ci.trust_domain: invalid trust domain",
        ),
        (
            profile,
            "    profile: workload\n    keys_file: /a\n    fetch: {}\n",
            "issuers.ci.fetch: invalid with `keys_file`",
        ),
        (
            profile,
            "    profile: workload\n    ca_file: /a\n    fetch: { ca_file: /b }\n",
            "issuers.ci.fetch.ca_file: invalid with `ca_file`",
        ),
        (
            profile,
            "    profile: workload\n    fetch: { ca: /b }\n",
            "issuers.ci.fetch.ca: unknown key; write `ca_file` or `token_file`",
        ),
        (
            url,
            "    url: https://id.example/{tenantid}/v2.0\n",
            "issuers.ci.url: missing `tenants`: the URL holds `{tenantid}`",
        ),
        (
            url,
            "    url: https://id.example/{tenantid}/v2.0\n    tenants: [common]\n",
            "issuers.ci.tenants: tenant \"common\": it stands for many tenants",
        ),
        (
            url,
            "    url: https://{tenantid}.id.example/v2.0\n    tenants: [t]\n",
            "issuers.ci.url: ",
        ),
        (
            ", issuers: [ci]",
            "",
            "subjects: missing `issuers`: a subject is unique within its issuer only",
        ),
    ]);
    let found = programs_with("    sign_in: challenge\n", "").join("\n");
    assert!(found.contains("issuers: missing login: no issuer has a `client_id`"), "{found}");
}
