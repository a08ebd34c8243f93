//! Events that an observer gets, and secrets that it never gets.

#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::sync::{Arc, Mutex};
use std::time::Duration;

use oidc_core::client::{ClientAuth, Grant, TokenEndpoint};
use oidc_core::keys::RemoteKeys;
use oidc_core::observer::{Event, Observer};
use oidc_core::testing::{Fault, TestIssuer};
use oidc_core::token::Algorithm;
use oidc_core::{Validation, Verifier};

/// Records the events, without the durations.
#[derive(Clone, Default)]
struct Notes(Arc<Mutex<Vec<String>>>);

impl Notes {
    fn observer(&self) -> Observer {
        let notes = Arc::clone(&self.0);
        Arc::new(move |event| {
            let note = match *event {
                Event::TokenVerified { kid, algorithm: Some(algorithm), .. } => {
                    format!("verified {} {algorithm}", kid.unwrap_or_default())
                }
                Event::TokenRefused { issuer, code, .. } => {
                    format!("refused {code} {}", issuer.is_some())
                }
                Event::TokenRemembered { .. } => "remembered".to_owned(),
                Event::KeysFetched { outcome, changed, took, .. } => {
                    assert!(took <= Duration::from_millis(20_001));
                    format!("keys {outcome:?} {changed}")
                }
                Event::Discovered { outcome, .. } => format!("discovered {outcome:?}"),
                Event::TokensRequested { grant_type, outcome, .. } => {
                    format!("requested {grant_type} {outcome:?}")
                }
                _ => format!("{event:?}"),
            };
            notes.lock().unwrap().push(note);
        })
    }

    fn take(&self) -> Vec<String> {
        std::mem::take(&mut *self.0.lock().unwrap())
    }
}

#[tokio::test(start_paused = true)]
async fn each_step_is_one_event_with_its_outcome() {
    let issuer = TestIssuer::with_algorithm(Algorithm::ES256);
    let notes = Notes::default();
    let provider = issuer.provider().with_observer(notes.observer());
    let keys = RemoteKeys::new(provider.clone());
    let verifier = Verifier::new(Validation::new(issuer.issuer(), "hub"), Arc::new(keys.clone()))
        .with_clock(issuer.clock())
        .with_observer(notes.observer());

    let token = issuer.access_token("hub");
    verifier.access_token(&token).await.unwrap();
    assert_eq!(notes.take(), ["discovered Ok(())", "keys Ok(()) true", "verified ES256-0 ES256"]);
    verifier.access_token(&token).await.unwrap();
    assert!(verifier.recall(&token).is_ok());
    assert_eq!(notes.take(), ["remembered", "remembered"]);

    verifier.access_token(&issuer.access_token("elsewhere")).await.unwrap_err();
    verifier.access_token("junk").await.unwrap_err();
    assert_eq!(notes.take(), ["refused wrong_audience true", "refused malformed false"]);

    keys.refresh_now().await.unwrap();
    issuer.rotate();
    keys.refresh_now().await.unwrap();
    for fault in [Fault::Down, Fault::Status(503), Fault::Garbage, Fault::Redirect, Fault::Hang] {
        issuer.fail_on("jwks", fault);
        keys.refresh_now().await.unwrap_err();
        tokio::time::sleep(Duration::from_secs(18)).await;
        keys.start();
        let noted = notes.take();
        let (last, before) = noted.split_last().unwrap();
        let code = match fault {
            Fault::Down => {
                assert_eq!(before.first().unwrap(), "keys Ok(()) false");
                assert_eq!(before.get(1).unwrap(), "keys Ok(()) true");
                "connect"
            }
            Fault::Status(_) => "status",
            Fault::Garbage => "invalid_key_set",
            Fault::Redirect => "redirected",
            _ => "timed_out",
        };
        assert_eq!(*last, format!("keys Err({code:?}) false"));
    }
}

#[tokio::test]
async fn token_request_events_have_grant_and_outcome_but_no_secret() {
    let issuer = TestIssuer::with_algorithm(Algorithm::ES256);
    let notes = Notes::default();
    let provider = issuer.provider().with_observer(notes.observer());
    provider.metadata().await.unwrap();
    assert_eq!(notes.take(), ["discovered Ok(())"]);
    let auth = ClientAuth::SecretBasic("hunter2".into());
    let endpoint = TokenEndpoint::new(provider, "job", auth);
    let refresh = || Grant::RefreshToken { refresh_token: "keepsake".into(), scope: None };

    endpoint.request(refresh()).await.unwrap();
    for (status, body) in [
        (400, r#"{"error":"invalid_grant"}"#),
        (400, r#"{"error":"invalid_scope"}"#),
        (400, r#"{"error":"hunter2 keepsake, an error code no provider uses"}"#),
        (503, ""),
    ] {
        issuer.answer("token", status, body);
        endpoint.request(refresh()).await.unwrap_err();
    }
    assert_eq!(
        notes.take(),
        [
            "requested refresh_token Ok(())",
            "requested refresh_token Err(\"invalid_grant\")",
            "requested refresh_token Err(\"invalid_scope\")",
            "requested refresh_token Err(\"refused\")",
            "requested refresh_token Err(\"unavailable\")",
        ]
    );
}
