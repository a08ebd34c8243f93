//! Verifies a bearer token of any issuer and prints what it says.
//!
//! ```text
//! cargo run -p oidc-core --example verify_token -- https://id.example/realms/lab hub eyJhbGciOi…
//! ```

#![expect(clippy::print_stdout, reason = "an example prints its result")]

use std::sync::Arc;

use anyhow::Context as _;
use oidc_core::http::reqwest::{HttpOptions, ReqwestHttp};
use oidc_core::{Issuer, Provider, RemoteKeys, Validation, Verifier};

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let usage = "usage: verify_token ISSUER AUDIENCE TOKEN";
    let issuer: Issuer = arguments.next().context(usage)?.parse()?;
    let audience = arguments.next().context(usage)?;
    let token = arguments.next().context(usage)?;

    let http = Arc::new(ReqwestHttp::new(HttpOptions::default())?);
    let keys = Arc::new(RemoteKeys::new(Provider::new(issuer.clone(), http)));
    let verifier = Verifier::new(Validation::new(issuer, audience), keys);

    match verifier.access_token(&token).await {
        Ok(token) => println!(
            "good: {} by way of {}, realm roles {:?}",
            token.subject(),
            token.client().unwrap_or("an unnamed client"),
            token.realm_roles().iter().collect::<Vec<_>>(),
        ),
        Err(refusal) => println!("refused ({}): {refusal}", refusal.code()),
    }
    Ok(())
}
