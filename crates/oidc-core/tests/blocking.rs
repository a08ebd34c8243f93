//! The API for code that is not async.

use std::sync::{Arc, Barrier};
use std::thread;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use oidc_core::blocking::{self, BlockingError, PresentedError, VerifyError};
use oidc_core::testing::{Fault, TestIssuer};
use oidc_core::verify::{PresentationRefusal, Presented};
use oidc_core::{Validation, Verifier};

fn verifier(issuer: &TestIssuer) -> blocking::Verifier {
    let keys = issuer.keys();
    let verifier = Verifier::new(Validation::new(issuer.issuer(), "hub"), keys);
    blocking::Verifier::new(verifier.with_clock(issuer.clock()))
}

#[test]
fn twenty_threads_with_a_cold_key_set_fetch_the_keys_once() {
    let issuer = TestIssuer::new();
    let verifier = verifier(&issuer);
    let ready = Arc::new(Barrier::new(20));
    let callers: Vec<_> = (0..20)
        .map(|_| {
            let (verifier, ready) = (verifier.clone(), Arc::clone(&ready));
            let token = issuer.access_token("hub");
            thread::spawn(move || {
                ready.wait();
                verifier.access_token(&token).map(|token| token.subject().to_owned())
            })
        })
        .collect();
    for caller in callers {
        assert_eq!(caller.join().unwrap().unwrap(), oidc_core::testing::SUBJECT);
    }
    assert_eq!(issuer.requests("/jwks"), 1);
}

#[test]
fn a_refusal_is_the_same_as_from_the_async_verifier() {
    let issuer = TestIssuer::new();
    let refusal = verifier(&issuer).access_token(&issuer.access_token("elsewhere")).unwrap_err();
    assert!(matches!(refusal, VerifyError::Refused(refusal) if refusal.code() == "wrong_audience"));
}

#[test]
fn missing_keys_are_not_an_invalid_token() {
    let issuer = TestIssuer::new();
    issuer.fail(Fault::Down);
    let refusal = verifier(&issuer).access_token(&issuer.access_token("hub")).unwrap_err();
    assert!(matches!(refusal, VerifyError::Refused(refusal) if refusal.is_unavailable()));
}

#[test]
fn inside_a_runtime_only_a_remembered_token_is_answered() {
    let issuer = TestIssuer::new();
    let verifier = verifier(&issuer);
    let token = issuer.access_token("hub");
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let error = verifier.access_token(&token).unwrap_err();
        assert_eq!(error, VerifyError::NotRun(BlockingError::InsideRuntime));
    });
    verifier.access_token(&token).unwrap();
    runtime.block_on(async { assert!(verifier.access_token(&token).is_ok()) });
}

#[test]
fn a_bound_token_needs_its_proof_each_time() {
    let issuer = TestIssuer::new();
    let verifier = verifier(&issuer);
    let certificate = b"the DER of a certificate";
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, certificate);
    let mut claims = issuer.claims("hub");
    claims["cnf"] = serde_json::json!({"x5t#S256": URL_SAFE_NO_PAD.encode(digest)});
    let token = issuer.sign(&claims);
    let bearer = Presented::bearer(&token);
    let bound = bearer.clone().with_certificate(certificate);
    for _ in 0..2 {
        assert!(verifier.presented(&bound).is_ok());
        let refusal = verifier.presented(&bearer).unwrap_err();
        assert_eq!(refusal, PresentedError::Refused(PresentationRefusal::CertificateMissing));
        assert!(verifier.access_token(&token).is_err());
    }
    assert!(verifier.presented(&Presented::bearer(&issuer.access_token("hub"))).is_ok());
}

#[test]
fn a_panic_there_is_an_error_here_and_the_thread_lives_on() {
    let answer = blocking::run(async { panic!("on purpose") });
    assert_eq!(answer, Err::<(), _>(BlockingError::NoAnswer));
    assert_eq!(blocking::run(async { 1 }), Ok(1));
}
