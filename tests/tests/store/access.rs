//! Users, passwords, TLS.

use std::{sync::Arc, time::Duration};

use e2e::{World, authority::Authority};
use oidc_core::{Clock as _, Secret};
use tempfile::TempDir;
use web_sessions::{
    RedisNode, RedisOptions, RedisServers, RedisTls, SessionStore as _, SharedStore as _,
    ask_redis, session_store_conforms,
    testing::{MovableClock, record},
};

use super::{
    changes::arriving,
    servers::{Kind, PATIENCE, Server, options, store_of},
};

/// The rules in docs/guides/redis.md.
fn documented_rules() -> Vec<String> {
    let guide = include_str!("../../../docs/guides/redis.md");
    let line = guide
        .lines()
        .find(|line| line.starts_with("ACL SETUSER doorward "))
        .expect("the guide has the rules");
    line.split(' ').map(str::to_owned).collect()
}

fn with_password(options: RedisOptions, text: &'static str) -> RedisOptions {
    let read = Arc::new(move || Ok(Secret::from(text)));
    options.with_login(Some("doorward".to_owned()), Some(read))
}

#[tokio::test]
async fn the_documented_user_may_do_what_the_store_does_only() {
    for kind in [Kind::Valkey, Kind::Redis] {
        let server = Server::start(kind, &[]).await;
        let rules = documented_rules();
        let words: Vec<&str> = rules
            .iter()
            .map(|word| if word.starts_with('>') { ">hunter2" } else { word.as_str() })
            .collect();
        let set = server.ask(&words).await;
        assert!(set.starts_with("Ok("), "{set}");
        let servers = || RedisServers::Single(server.node());
        let count = std::cell::Cell::new(0);
        session_store_conforms(|clock| {
            count.set(count.get() + 1);
            let prefix = format!("doorward:{}:", count.get());
            store_of(with_password(options(servers(), &prefix), "hunter2"), clock)
        })
        .await;
        let clock = MovableClock::new();
        let store =
            store_of(with_password(options(servers(), "doorward:"), "hunter2"), clock.clone());
        arriving(&store).await;
        let ticket = store.create(&record(clock.now())).await.unwrap();
        let web_sessions::Turn::Ours(held) = store.take_turn(&ticket, 0).await.unwrap() else {
            panic!("the turn is free")
        };
        store.replace_in_turn(&ticket, &record(clock.now()), &held).await.unwrap();
        ask_redis(with_password(options(servers(), "doorward:"), "hunter2")).await.unwrap();
        // Keys of others are out of its reach.
        let other = ask_redis(with_password(options(servers(), "other:"), "hunter2")).await;
        let refused = other.unwrap_err();
        assert!(refused.contains("give the user the rules of docs/guides/redis.md"), "{refused}");
        for command in [&["FLUSHALL"][..], &["KEYS", "*"], &["CONFIG", "GET", "*"], &["MONITOR"]] {
            let rights = server.ask(&[&["ACL", "DRYRUN", "doorward"], command].concat()).await;
            assert!(rights.contains("no permissions"), "{command:?}: {rights}");
        }
    }
}

#[tokio::test]
async fn a_wrong_password_is_named_and_a_changed_one_is_used() {
    let server = Server::start(Kind::Valkey, &[]).await;
    let set = async |password: &str| {
        server
            .ask(&["ACL", "SETUSER", "doorward", "reset", "on", password, "~*", "&*", "+@all"])
            .await;
    };
    set(">first").await;
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("password");
    std::fs::write(&file, "first").unwrap();
    let read = {
        let file = file.clone();
        Arc::new(move || {
            std::fs::read_to_string(&file).map(Secret::from).map_err(|error| error.to_string())
        })
    };
    let servers = RedisServers::Single(server.node());
    let login = options(servers, "t:").with_login(Some("doorward".to_owned()), Some(read));
    let store = store_of(login.clone(), MovableClock::new());
    store.ready().await.unwrap();
    set(">second").await;
    server.ask(&["CLIENT", "KILL", "TYPE", "normal"]).await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    let error = store.ready().await.unwrap_err().to_string();
    assert!(
        error.contains("refused the user or the password; check `user` and `password`"),
        "{error}"
    );
    assert!(!error.contains("first") && !format!("{store:?} {login:?}").contains("first"));
    std::fs::write(&file, "second").unwrap();
    let began = tokio::time::Instant::now();
    while store.ready().await.is_err() {
        assert!(began.elapsed() < PATIENCE, "the changed password is not used");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn tls_knows_servers_by_authority_and_clients_by_certificate() {
    let world = World::new("store-tls").unwrap();
    let authority = Authority::new(world.folder()).unwrap();
    let files = authority.server().unwrap();
    let port = super::servers::free_port();
    let words = [
        ("--tls-port", port.to_string()),
        ("--tls-cert-file", files.certificate.display().to_string()),
        ("--tls-key-file", files.key.display().to_string()),
        ("--tls-ca-cert-file", authority.certificate().display().to_string()),
        ("--tls-auth-clients", "yes".to_owned()),
    ];
    let words: Vec<&str> =
        words.iter().flat_map(|(option, value)| [*option, value.as_str()]).collect();
    let server = Server::start(Kind::Redis, &words).await;
    let servers = || RedisServers::Single(RedisNode { host: "localhost".to_owned(), port });
    let ca_file = Some(authority.certificate());
    let own = authority.client("gateway").unwrap();
    let client = Some((own.certificate.clone(), own.key.clone()));
    let tls = RedisTls { ca_file, client };
    let store = store_of(options(servers(), "t:").with_tls(Some(tls.clone())), MovableClock::new());
    // Tests are built without optimization, and reading the system's certificates takes its time.
    arriving(&store).await;
    while store.ready().await.is_err() {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let ticket = store.create(&record(MovableClock::new().now())).await.unwrap();
    assert!(store.load(&ticket).await.unwrap().is_some());
    for (wrong, words) in [
        (RedisTls { client: None, ..tls.clone() }, "cannot be reached"),
        (RedisTls { ca_file: None, ..tls.clone() }, "ertificate"),
        (RedisTls { ca_file: Some("/nowhere".into()), ..tls.clone() }, "cannot read `/nowhere`"),
    ] {
        let refused = ask_redis(options(servers(), "t:").with_tls(Some(wrong))).await.unwrap_err();
        assert!(refused.contains(words), "{refused}");
    }
    let plain = ask_redis(options(servers(), "t:")).await.unwrap_err();
    assert!(plain.contains("localhost"), "{plain}");
    drop(server);
}
