use std::time::Duration;

use dev_issuer::{Algorithm, Mint, MintError};
use serde_json::json;

use crate::party::{claims, header, provider};

#[tokio::test]
async fn a_minted_token_is_wrong_in_the_chosen_way_only() {
    let issuer = provider().start("127.0.0.1:0").await.unwrap();
    let mint = |order: Mint| issuer.mint(order).unwrap();
    let now = jsonwebtoken::get_current_timestamp();
    let access = || Mint::access("alice").client("gateway");

    assert!(claims(&mint(access().expired()))["exp"].as_u64().unwrap() < now - 3000);
    let long = claims(&mint(access().expires_in(Duration::from_secs(900))));
    assert!(long["exp"].as_u64().unwrap() >= now + 899);
    let later = claims(&mint(access().not_before_in(Duration::from_secs(60))));
    assert!(later["nbf"].as_u64().unwrap() > now + 30);
    assert_eq!(claims(&mint(access().audience(["x"])))["aud"], "x");
    assert_eq!(claims(&mint(access().audience(["x", "y"])))["aud"], json!(["x", "y"]));
    assert_eq!(claims(&mint(access().without("aud"))).get("aud"), None);
    assert_eq!(claims(&mint(access().issuer("https://o.example")))["iss"], "https://o.example");
    assert_eq!(claims(&mint(access().claim("acr", "2")))["acr"], "2");
    assert_eq!(header(&mint(access().header("typ", "at+jwt")))["typ"], "at+jwt");
    assert_eq!(header(&mint(access().without_header("kid"))).get("kid"), None);
    assert_eq!(header(&mint(access().algorithm(Algorithm::PS256)))["alg"], "PS256");
    assert_eq!(header(&mint(access().hmac_with_public_key()))["alg"], "HS256");
    let unsigned = mint(access().unsigned());
    assert_eq!(header(&unsigned)["alg"], "none");
    assert!(unsigned.ends_with('.'));
    let stranger = mint(access().wrong_key());
    assert_eq!(header(&stranger)["kid"], issuer.signing_key_id());
    assert_eq!(claims(&stranger)["sub"], claims(&mint(access()))["sub"]);
}

#[tokio::test]
async fn every_kind_of_token_can_be_minted() {
    let issuer = provider().start("127.0.0.1:0").await.unwrap();
    let typ = |order: Mint| claims(&issuer.mint(order).unwrap())["typ"].clone();
    assert_eq!(typ(Mint::access("alice")), "Bearer");
    assert_eq!(typ(Mint::service("gateway")), "Bearer");
    assert_eq!(typ(Mint::id("alice").nonce("n")), "ID");
    assert_eq!(typ(Mint::refresh("alice")), "Refresh");
    assert_eq!(typ(Mint::logout("alice").sid("s")), "Logout");
}

#[tokio::test]
async fn unknown_users_and_clients_are_named() {
    let issuer = provider().start("127.0.0.1:0").await.unwrap();
    assert!(matches!(issuer.mint(Mint::access("carol")), Err(MintError::UnknownUser(_))));
    let order = Mint::access("alice").client("unknown");
    assert!(matches!(issuer.mint(order), Err(MintError::UnknownClient(_))));
}
