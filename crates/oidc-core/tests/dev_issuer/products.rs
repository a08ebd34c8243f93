//! Login, bearer token, refresh, logout and roles at dev-issuer in the form of each provider's own answers.

use dev_issuer::{DevClient, DevIssuer, Mint, Product, User};
use oidc_core::client::ClientAuth;
use oidc_core::login::{LoginRequest, LogoutRequest};
use oidc_core::token::ClaimPaths;
use oidc_core::verify::Profile;
use oidc_core::{Validation, Verifier};
use url::Url;

use crate::elsewhere::Elsewhere;

/// A provider, the paths of its names, and what it can do.
struct Party {
    product: Product,
    /// Path of the claim with roles, and alice's role there.
    roles: (&'static str, &'static str),
    /// Audience of its access tokens; `None` where only the provider can read them.
    audience: Option<&'static str>,
    logs_out: bool,
}

const API: &str = "api://churn";

fn parties() -> [Party; 11] {
    let party = |product, roles, audience, logs_out| Party { product, roles, audience, logs_out };
    let zitadel = "urn:zitadel:iam:org:project:roles";
    [
        party(Product::Keycloak, ("realm_access.roles", "admin"), Some(API), true),
        party(Product::EntraId, ("roles", "admin"), Some(API), true),
        party(Product::Google, ("roles", "admin"), None, false),
        party(Product::Okta, ("groups", "lab"), Some(API), true),
        party(Product::Auth0, (r#""https://platform.example/roles""#, "admin"), Some(API), true),
        party(Product::GitLab, ("groups_direct", "lab"), None, false),
        party(Product::Authentik, ("groups", "lab"), Some(API), true),
        party(Product::Zitadel, (zitadel, "admin"), Some(API), true),
        party(Product::Dex, ("groups", "lab"), Some("models"), false),
        party(Product::Cognito, ("cognito:groups", "lab"), Some("gateway"), false),
        party(Product::Adfs, ("role", "admin"), Some(API), true),
    ]
}

async fn provider(product: Product) -> Elsewhere {
    let alice = User::new("alice", "alice").roles(["admin"]).groups(["/lab"]);
    let gateway = DevClient::confidential("gateway", "s3cret")
        .redirect_uri("https://platform.test/oauth2/callback")
        .audience(API);
    Elsewhere::start(DevIssuer::builder().user(alice).client(gateway).product(product)).await
}

#[tokio::test(start_paused = true)]
async fn each_product_signs_in_refreshes_and_signs_out() {
    for party in parties() {
        let name = party.product.to_string();
        let provider = provider(party.product).await;
        let client = provider.client("gateway", ClientAuth::SecretBasic("s3cret".into()));
        let request = LoginRequest::new("https://platform.test/oauth2/callback".parse().unwrap())
            .with_scopes(["openid", "profile", "email", "offline_access"])
            .with_parameter("access_type", "offline");
        let (url, pending) = client.begin_login(request).await.unwrap();
        let back: Url = provider.issuer.sign_in(url.as_str(), "alice").unwrap().parse().unwrap();
        let code = client.parse_callback(back.query().unwrap(), &pending).await.unwrap();
        let login = client.finish_login(code, &pending).await.unwrap();
        let subject = login.id_token.subject().to_owned();
        let user = client.user_info(&login.tokens.access_token, &subject).await.unwrap();
        assert_eq!(user.subject.as_deref(), Some(subject.as_str()), "{name}");

        let refresh_token = login.tokens.refresh_token.expect(&name);
        let refreshed = client.refresh(&refresh_token, &subject).await.unwrap();
        assert_eq!(refreshed.id_token.unwrap().subject(), subject, "{name}");
        let logout = client.logout_url(&LogoutRequest::default());
        assert_eq!(logout.is_some(), party.logs_out, "{name}");
    }
}

#[tokio::test(start_paused = true)]
async fn access_tokens_of_each_product_are_verified_with_roles() {
    for party in parties() {
        let Some(audience) = party.audience else { continue };
        let name = party.product.to_string();
        let provider = provider(party.product).await;
        let issuer = provider.issuer.url();
        let paths = ClaimPaths::generic().with_roles([party.roles.0]);
        let mut rules = Validation::new(issuer.parse().unwrap(), audience).with_claims(paths);
        if party.product != Product::Keycloak {
            rules = rules.with_profile(Profile::Generic);
        }
        rules = match party.product {
            Product::Dex => rules.dangerous_accept_id_tokens(),
            Product::Cognito => rules.with_client_as_audience(),
            Product::Adfs => rules.with_access_token_issuer(format!("{issuer}/services/trust")),
            _ => rules,
        };
        let verifier = Verifier::new(rules, provider.keys())
            .with_clock(std::sync::Arc::new(provider.clock.clone()));
        let access = || {
            let order = Mint::access("alice").client("gateway");
            if party.product == Product::Dex { order.audience([audience]) } else { order }
        };
        let good = provider.issuer.mint(access()).unwrap();
        let verified =
            verifier.access_token(&good).await.map_err(|refusal| (name.clone(), refusal));
        assert!(verified.unwrap().realm_roles().contains(party.roles.1), "{name}");
        let elsewhere = access().audience(["another"]).claim("client_id", "another");
        for wrong in [access().wrong_key(), access().expired(), elsewhere] {
            let token = provider.issuer.mint(wrong).unwrap();
            assert!(verifier.access_token(&token).await.is_err(), "{name}: {token}");
        }
        let logout = provider.issuer.mint(Mint::logout("alice").client("gateway")).unwrap();
        assert!(verifier.access_token(&logout).await.is_err(), "{name}");
    }
}
