//! Documents and tokens of each product, from discovery to the end of the session.

use dev_issuer::{DevIssuer, Mint, Product};
use reqwest::StatusCode;
use serde_json::Value;

use crate::browser::http;
use crate::party::{CALLBACK, CHALLENGE, VERIFIER, claims, gateway, header, provider, query};

/// A relying party that knows its provider by discovery.
struct Party {
    issuer: DevIssuer,
    discovery: Value,
}

impl Party {
    async fn start(product: Product) -> Self {
        let client = gateway().audience("api://churn");
        let issuer = provider().client(client).product(product).start("127.0.0.1:0").await.unwrap();
        let discovery =
            format!("{}/.well-known/openid-configuration", issuer.url().trim_end_matches('/'));
        let discovery = http().get(discovery).send().await.unwrap().json().await.unwrap();
        Self { issuer, discovery }
    }

    fn endpoint(&self, name: &str) -> &str {
        self.discovery[name].as_str().unwrap()
    }

    fn authorization_url(&self, extra: &str) -> String {
        let endpoint = self.endpoint("authorization_endpoint");
        let callback = CALLBACK.replace(':', "%3A");
        format!(
            "{endpoint}?response_type=code&client_id=gateway&redirect_uri={callback}&state=s&nonce=n-1\
             &code_challenge={CHALLENGE}&code_challenge_method=S256{extra}"
        )
    }

    async fn token(&self, fields: &[(&str, &str)]) -> (StatusCode, Value) {
        let request = http().post(self.endpoint("token_endpoint")).form(fields);
        let answer = request.basic_auth("gateway", Some("s3cret%3A%26")).send().await.unwrap();
        (answer.status(), answer.json().await.unwrap())
    }

    async fn log_in(&self, extra: &str) -> Value {
        let back = self.issuer.sign_in(&self.authorization_url(extra), "alice").unwrap();
        let code = query(&back, "code").unwrap();
        let fields = [
            ("grant_type", "authorization_code"),
            ("code", &code),
            ("redirect_uri", CALLBACK),
            ("code_verifier", VERIFIER),
        ];
        let (status, tokens) = self.token(&fields).await;
        assert_eq!(status, StatusCode::OK, "{tokens}");
        tokens
    }

    async fn user_info(&self, tokens: &Value) -> Value {
        let request = http().get(self.endpoint("userinfo_endpoint"));
        let answer =
            request.bearer_auth(tokens["access_token"].as_str().unwrap()).send().await.unwrap();
        assert_eq!(answer.status(), StatusCode::OK);
        answer.json().await.unwrap()
    }
}

/// Asks for everything: the API's scope, a refresh token in both spellings.
const ALL: &str = "&scope=openid+profile+email+offline_access+models%3Aread&access_type=offline";

#[tokio::test]
async fn each_product_signs_in_refreshes_and_answers_user_info() {
    for product in Product::ALL {
        let party = Party::start(product).await;
        let issuer = party.issuer.url();
        assert_eq!(party.discovery["issuer"], *issuer, "{product}");
        let tokens = party.log_in(ALL).await;
        let id = claims(tokens["id_token"].as_str().unwrap());
        assert_eq!((&id["iss"], &id["nonce"]), (&issuer.into(), &"n-1".into()), "{product}");
        assert_eq!(id["aud"], "gateway", "{product}");
        let user = party.user_info(&tokens).await;
        assert_eq!(user["sub"], id["sub"], "{product}");
        let refresh = tokens["refresh_token"].as_str().unwrap();
        let fields = [("grant_type", "refresh_token"), ("refresh_token", refresh)];
        let (status, next) = party.token(&fields).await;
        assert_eq!(status, StatusCode::OK, "{product}: {next}");
        assert_eq!(claims(next["id_token"].as_str().unwrap())["sub"], id["sub"], "{product}");
    }
}

#[tokio::test]
async fn a_refresh_token_has_to_be_asked_for_where_it_must() {
    for product in Product::ALL {
        let party = Party::start(product).await;
        let plain = party.log_in("&scope=openid+profile+email").await;
        let always = matches!(
            product,
            Product::Keycloak | Product::GitLab | Product::Cognito | Product::Adfs
        );
        assert_eq!(plain["refresh_token"].is_string(), always, "{product}");
    }
}

#[tokio::test]
async fn access_tokens_have_the_shape_of_the_product() {
    // typ of the header, audience, scope claim, and a claim with the user's role or group.
    let shapes = [
        (Product::EntraId, "JWT", "api://churn", "scp", "roles"),
        (Product::Okta, "", "api://churn", "scp", "groups"),
        (Product::Auth0, "JWT", "api://churn", "scope", "https://platform.example/roles"),
        (Product::Authentik, "JWT", "gateway", "scope", "groups"),
        (Product::Zitadel, "JWT", "gateway", "", "urn:zitadel:iam:org:project:roles"),
        (Product::Dex, "JWT", "gateway", "", "groups"),
        (Product::Cognito, "", "", "scope", "cognito:groups"),
        (Product::Adfs, "JWT", "api://churn", "scp", "role"),
    ];
    for (product, typ, audience, scope, roles) in shapes {
        let party = Party::start(product).await;
        let issued = party.log_in(ALL).await["access_token"].as_str().unwrap().to_owned();
        let minted = party.issuer.mint(Mint::access("alice").client("gateway")).unwrap();
        for token in [issued, minted] {
            let claims = claims(&token);
            assert_eq!(header(&token)["typ"].as_str().unwrap_or_default(), typ, "{product}");
            let aud = claims["aud"].as_array().map_or(&claims["aud"], |all| &all[0]);
            assert_eq!(aud.as_str().unwrap_or_default(), audience, "{product}: {claims}");
            assert!(scope.is_empty() || !claims[scope].is_null(), "{product}: {claims}");
            assert!(!claims[roles].is_null(), "{product}: {claims}");
            assert!(claims["realm_access"].is_null(), "{product}: {claims}");
        }
    }
    for product in [Product::Google, Product::GitLab] {
        let party = Party::start(product).await;
        let tokens = party.log_in(ALL).await;
        assert!(!tokens["access_token"].as_str().unwrap().contains('.'), "{product}");
    }
}

#[tokio::test]
async fn auth0_tokens_without_an_api_are_opaque() {
    let bare = dev_issuer::DevClient::confidential("gateway", "s3cret:&")
        .redirect_uri("http://127.0.0.1:*/oauth2/callback");
    let builder = provider().client(bare).product(Product::Auth0);
    let issuer = builder.start("127.0.0.1:0").await.unwrap();
    let tokens = issuer.log_in("alice", "gateway", "openid").unwrap();
    assert!(!tokens.access_token.contains('.'));
}

#[tokio::test]
async fn entra_subjects_differ_by_application() {
    let party = Party::start(Product::EntraId).await;
    let tokens = party.log_in(ALL).await;
    let access = claims(tokens["access_token"].as_str().unwrap());
    let id = claims(tokens["id_token"].as_str().unwrap());
    assert_ne!(access["sub"], id["sub"]);
    assert_eq!(access["oid"], id["oid"]);
    assert!(party.issuer.url().contains(id["tid"].as_str().unwrap()));
}

#[tokio::test]
async fn discovery_lacks_what_the_provider_lacks() {
    let absent = [
        (Product::EntraId, "code_challenge_methods_supported"),
        (Product::Google, "end_session_endpoint"),
        (Product::Auth0, "introspection_endpoint"),
        (Product::GitLab, "end_session_endpoint"),
        (Product::Dex, "revocation_endpoint"),
        (Product::Cognito, "end_session_endpoint"),
    ];
    for (product, name) in absent {
        let party = Party::start(product).await;
        assert!(party.discovery[name].is_null(), "{product}: {name}");
    }
    let adfs = Party::start(Product::Adfs).await;
    assert_ne!(adfs.discovery["access_token_issuer"], adfs.discovery["issuer"]);
}

#[tokio::test]
async fn an_id_token_of_a_product_is_a_hint_at_sign_out() {
    for product in
        [Product::EntraId, Product::Okta, Product::Auth0, Product::Zitadel, Product::Adfs]
    {
        let party = Party::start(product).await;
        let tokens = party.log_in(ALL).await;
        assert_eq!(party.issuer.sessions(), 1);
        let hint = tokens["id_token"].as_str().unwrap();
        let url = format!("{}?id_token_hint={hint}", party.endpoint("end_session_endpoint"));
        http().get(url).send().await.unwrap();
        assert_eq!(party.issuer.sessions(), 0, "{product}");
    }
}
