//! Verifies a bearer token of any issuer and prints its subject, client and roles.
//!
//! ```text
//! cargo run -p oidc-core --example verify_token -- https://id.example/realms/lab hub eyJhbGciOi…
//! ```

#![expect(clippy::print_stdout, reason = "an example prints its result")]

use anyhow::Context as _;
use oidc_core::Verifier;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let usage = "usage: verify_token ISSUER AUDIENCE TOKEN";
    let issuer = arguments.next().context(usage)?;
    let audience = arguments.next().context(usage)?;
    let token = arguments.next().context(usage)?;

    let verifier = Verifier::for_issuer(&issuer, audience)?;

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
