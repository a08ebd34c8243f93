//! Sessions of providers that send no refresh token, or no name of their own session.

use super::*;

fn unrefreshable(now: SystemTime) -> Record {
    record(now).with_refresh_token(None)
}

fn keeping(fixture: &Fixture) -> Arc<Sessions> {
    let (store, clock) = (Arc::clone(&fixture.store) as _, Arc::clone(&fixture.clock) as _);
    let sessions = Sessions::new(store, Limits::new(IDLE, LIFETIME), clock);
    Arc::new(sessions.with_identity_kept(Arc::new(|record| record.known.issuer == "main")))
}

#[tokio::test]
async fn a_kept_identity_lives_to_the_limits_without_its_token() {
    for fixture in [Fixture::embedded(), Fixture::cookie()] {
        let sessions = keeping(&fixture);
        let (ticket, session) = sessions.create(unrefreshable(fixture.clock.now())).await.unwrap();
        assert_eq!(sessions.fresh(&session).await, Ok(Freshness::Current));
        assert!(session.access_token(fixture.clock.now()).is_some());
        fixture.pass(Duration::from_secs(301));
        assert_eq!(sessions.fresh(&session).await, Ok(Freshness::Kept));
        assert!(session.access_token(fixture.clock.now()).is_none(), "no expired token is sent");
        assert!(!sessions.is_unconfirmed(&session));
        fixture.pass(Duration::from_secs(120));
        sessions.check().await;
        assert!(!session.ended().is_cancelled() && !sessions.is_unconfirmed(&session));
        fixture.pass(IDLE);
        assert!(sessions.open(&ticket).await.unwrap().is_none(), "its limits hold");
    }
}

#[tokio::test]
async fn only_the_sessions_that_the_rule_names_are_kept() {
    for fixture in [Fixture::embedded(), Fixture::cookie()] {
        let sessions = keeping(&fixture);
        let other = Record {
            known: Arc::new(person("other", "alice")),
            ..unrefreshable(fixture.clock.now())
        };
        let (_, other) = sessions.create(other).await.unwrap();
        // With a refresh token, the provider decides.
        let (_, refreshable) = sessions.create(record(fixture.clock.now())).await.unwrap();
        fixture.pass(Duration::from_secs(301));
        assert_eq!(sessions.fresh(&other).await, Err(RenewError::NoRefreshToken));
        assert!(sessions.fresh(&refreshable).await.is_err());
        let (_, unruled) =
            fixture.sessions.create(unrefreshable(fixture.clock.now())).await.unwrap();
        fixture.pass(Duration::from_secs(301));
        assert_eq!(fixture.sessions.fresh(&unruled).await, Err(RenewError::NoRefreshToken));
    }
}

#[tokio::test]
async fn sessions_without_a_sid_are_found_by_their_subject() {
    let which = Which::Unnamed { issuer: "main".to_owned(), subject: "alice".to_owned() };
    for fixture in [Fixture::embedded(), Fixture::cookie()] {
        let (named, _) = fixture.signed_in().await;
        let nameless = lasting(fixture.clock.now()).with_provider_session(None);
        let bobs = Record { known: Arc::new(person("main", "bob")), ..nameless.clone() };
        let (unnamed, _) = fixture.sessions.create(nameless).await.unwrap();
        let (bobs, _) = fixture.sessions.create(bobs).await.unwrap();
        let ended = fixture.sessions.end_matching(&which).await.unwrap();
        assert_eq!(ended.len(), 1);
        for sessions in [&fixture.sessions, &fixture.restarted()] {
            assert!(sessions.open(&unnamed).await.unwrap().is_none());
            assert!(sessions.open(&named).await.unwrap().is_some());
            assert!(sessions.open(&bobs).await.unwrap().is_some());
        }
    }
}

#[tokio::test]
async fn a_logout_during_the_code_exchange_ends_the_session() {
    let named =
        |sid: &str| Which::ProviderSession { issuer: "main".to_owned(), sid: sid.to_owned() };
    let subject = Which::Subject { issuer: "main".to_owned(), subject: "alice".to_owned() };
    for fixture in [Fixture::embedded(), Fixture::cookie()] {
        for (which, signed_with, ends) in [
            (named("sid-1"), Some(Algorithm::RS256), true),
            (named("sid-2"), Some(Algorithm::RS256), false),
            (named("sid-1"), Some(Algorithm::ES256), false),
            (subject.clone(), None, true),
        ] {
            fixture.pass(Duration::from_secs(1));
            let exchanged_at = fixture.clock.now();
            fixture.pass(Duration::from_millis(10));
            fixture.sessions.end_signed(&which, signed_with).await.unwrap();
            fixture.pass(Duration::from_millis(10));
            let record = lasting(fixture.clock.now());
            let created = fixture.sessions.create_since(record, exchanged_at).await.unwrap();
            assert_eq!(created.is_none(), ends, "{which:?} {signed_with:?}");
            fixture.pass(Duration::from_millis(10));
            let (later, record) = (fixture.clock.now(), lasting(fixture.clock.now()));
            assert!(fixture.sessions.create_since(record, later).await.unwrap().is_some());
        }
    }
}
