//! Checks the files, variables and directories that a configuration names: a missing one is found
//! before the gateway starts, not at the first login.
//!
//! Only reads: nothing is created, and no connection is opened.

use std::path::Path;

use oidc_core::keys::FileKeys;
use oidc_core::{Clock as _, SystemClock};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};

use super::problem::KeyPath;
use super::session::SessionStoreConfig;
use super::validate::Findings;
use super::{
    ClientAuth, Config, ListenAddr, OutboundConfig, OutboundGrant, PrivateKeyJwt, RedisStore,
    RevocationLists, SecretRef, Tls, UpstreamTlsConfig,
};

/// Shortest accepted session key, in bytes.
const SHORTEST_KEY: usize = 32;

/// Shortest secret that is not warned about, in bytes.
const SHORT_SECRET: usize = 16;

/// Fewest different bytes of a session key that is not warned about; random ones have many more.
const DIFFERENT_BYTES: usize = 10;

/// Secrets of examples, demonstrations and fresh installations.
const WELL_KNOWN: [&str; 20] = [
    "admin",
    "changeit",
    "changeme",
    "change-me",
    "client-secret",
    "client_secret",
    "default",
    "demo",
    "doorward",
    "gateway",
    "hunter2",
    "keycloak",
    "letmein",
    "password",
    "password1",
    "redis",
    "replace-me",
    "s3cr3t",
    "secret",
    "test",
];

/// Checks everything that a configuration names.
pub(super) fn check(config: &Config, found: &mut Findings) {
    let root = KeyPath::root();
    for (here, tls) in Tls::with_places(&config.tls) {
        certificates(here.key("certificate"), &tls.certificate, found);
        private_key_file(here.key("key"), &tls.key, found);
        if let Some(file) = &tls.client_ca {
            certificates(here.key("client_ca"), file, found);
        }
        revocations(here.key("client_crl"), tls.client_crl.as_deref(), found);
    }
    if let Err(error) = config.admin.read_token() {
        found.problem(root.key("admin").key("token"), error.to_string());
    }
    for address in &config.listen {
        if let ListenAddr::Unix(path) = address {
            directory_of(root.key("listen"), path, found);
        }
    }
    for address in &config.redirect {
        if let ListenAddr::Unix(path) = address {
            directory_of(root.key("redirect"), path, found);
        }
    }
    if let Some(own) = &config.ext_authz {
        let here = root.key("ext_authz");
        if let ListenAddr::Unix(path) = &own.listen {
            directory_of(here.key("listen"), path, found);
        }
        if let Some(tls) = &own.tls {
            let here = here.key("tls");
            certificates(here.key("certificate"), &tls.certificate, found);
            private_key_file(here.key("key"), &tls.key, found);
            certificates(here.key("client_ca"), &tls.client_ca, found);
            revocations(here.key("client_crl"), tls.client_crl.as_deref(), found);
        }
    }
    if let Some(path) = &config.hand_over {
        directory_of(root.key("hand_over"), path, found);
    }
    for (name, issuer) in &config.issuers {
        let here = root.key("issuers").key(name);
        if let Some(file) = &issuer.ca_file {
            certificates(here.key("ca_file"), file, found);
        }
        let fetch = issuer.fetch.as_ref();
        if let Some(file) = fetch.and_then(|fetch| fetch.ca_file.as_ref()) {
            certificates(here.key("fetch").key("ca_file"), file, found);
        }
        if let Some(file) = fetch.and_then(|fetch| fetch.token_file.as_ref()) {
            read(here.key("fetch").key("token_file"), &SecretRef::File(file.clone()), found);
        }
        if let Some(Err(error)) = issuer.keys_file.as_ref().map(FileKeys::open) {
            found.problem(here.key("keys_file"), cli_auth::with_causes(&error));
        }
        client_auth(&here.key("client_auth"), &issuer.client_auth, found);
    }
    if let Some(outbound) = &config.outbound {
        self::outbound(&root.key("outbound"), outbound, found);
    }
    for (name, workloads) in &config.workload_certificates {
        let here = root.key("workload_certificates").key(name);
        certificates(here.key("ca_file"), &workloads.ca_file, found);
    }
    for (name, route) in &config.routes {
        if let Some(credentials) = &route.identity.credentials
            && let Err(error) = credentials.authorization()
        {
            let here = root.key("routes").key(name).key("identity").key("credentials");
            found.problem(here, error.to_string());
        } else if let Some(credentials) = &route.identity.credentials
            && let Ok(value) = credentials.secret().read()
        {
            let here = root.key("routes").key(name).key("identity").key("credentials");
            guessable(here, credentials.secret(), &value, found);
        }
        let here = root.key("routes").key(name).key("upstream_tls");
        upstream_tls(&here, &route.upstream_tls, found);
    }
    let here = root.key("telemetry");
    for (name, secret) in &config.telemetry.headers {
        if let Some(value) = read(here.key("headers").key(name), secret, found)
            && http::HeaderValue::from_str(value.expose()).is_err()
        {
            let message = format!(
                "invalid header value: {secret} holds characters that no header has; store one line of text there"
            );
            found.problem(here.key("headers").key(name), message);
        }
    }
    if let Some(file) = &config.telemetry.ca_file {
        certificates(here.key("ca_file"), file, found);
    }
    session(config, &root.key("session"), found);
}

/// The credentials of a client.
fn client_auth(here: &KeyPath, auth: &ClientAuth, found: &mut Findings) {
    match auth {
        ClientAuth::Secret(secret) => {
            let here = here.key("secret");
            if let Some(value) = read(here.clone(), secret, found) {
                guessable(here, secret, &value, found);
            }
        }
        ClientAuth::PrivateKeyJwt(jwt) => {
            let here = here.key("private_key_jwt");
            if let Some(pem) = read(here.key("key"), &jwt.key, found) {
                private_key(here, jwt, &pem, found);
            }
        }
        ClientAuth::AssertionFile(path) => {
            read(here.key("assertion_file"), &SecretRef::File(path.clone()), found);
        }
        ClientAuth::Mtls(own) => {
            let here = here.key("mtls");
            certificates(here.key("certificate"), &own.certificate, found);
            private_key_file(here.key("key"), &own.key, found);
        }
        ClientAuth::None => {}
    }
}

/// The socket of the local listener, and the files of its targets.
fn outbound(here: &KeyPath, outbound: &OutboundConfig, found: &mut Findings) {
    if let ListenAddr::Unix(path) = &outbound.listen {
        directory_of(here.key("listen"), path, found);
    }
    for (name, target) in &outbound.targets {
        let here = here.key("targets").key(name);
        if let Some(client) = &target.client {
            client_auth(&here.key("client").key("auth"), &client.auth, found);
        }
        if let OutboundGrant::JwtBearer(path) = &target.grant {
            read(here.key("grant").key("jwt_bearer"), &SecretRef::File(path.clone()), found);
        }
        upstream_tls(&here.key("tls"), &target.tls, found);
    }
}

/// The files of the TLS to a service.
fn upstream_tls(here: &KeyPath, tls: &UpstreamTlsConfig, found: &mut Findings) {
    for (key, file) in [("ca_file", &tls.ca_file), ("client_certificate", &tls.client_certificate)]
    {
        if let Some(file) = file {
            certificates(here.key(key), file, found);
        }
    }
    if let Some(file) = &tls.client_key {
        private_key_file(here.key("client_key"), file, found);
    }
}

fn private_key_file(here: KeyPath, path: &Path, found: &mut Findings) {
    if let Err(error) = PrivateKeyDer::from_pem_file(path) {
        found.problem(here, no_pem(path, "private key", &error));
    }
}

fn private_key(here: KeyPath, jwt: &PrivateKeyJwt, pem: &oidc_core::Secret, found: &mut Findings) {
    let algorithm = jwt.algorithm.as_str();
    // oidc-core has every algorithm of the configuration.
    let Ok(parsed) = algorithm.parse() else { return };
    if let Err(error) = oidc_core::client::PrivateKeyJwt::from_pem(pem, parsed, None) {
        found.problem(here, format!("invalid key: {} does not fit {algorithm}: {error}", jwt.key));
    }
}

fn session(config: &Config, here: &KeyPath, found: &mut Findings) {
    for (index, key) in config.session.key.iter().enumerate() {
        let here = if config.session.key.len() == 1 {
            here.key("key")
        } else {
            here.key("key").item(index)
        };
        if let Some(secret) = read(here.clone(), key, found) {
            let length = secret.expose().len();
            if length < SHORTEST_KEY {
                let message = format!(
                    "invalid session key: {key} has {length} bytes, fewer than {SHORTEST_KEY}; \
                     make one with `openssl rand -base64 32`"
                );
                found.problem(here, message);
            } else if different_bytes(&secret) < DIFFERENT_BYTES {
                let message = format!(
                    "{key} repeats a few characters, and keys that can be guessed open every session; make one with `openssl rand -base64 32`"
                );
                found.warning(here, message);
            }
        }
    }
    if let SessionStoreConfig::Embedded(store) = &config.session.store
        && !config.session.key.is_empty()
    {
        let here = here.key("store");
        directory_of(here, &store.path, found);
    }
    if let SessionStoreConfig::Redis(store) = &config.session.store {
        redis(&here.key("store").key("redis"), store, found);
    }
}

/// The files of the store in Valkey or Redis.
fn redis(here: &KeyPath, store: &RedisStore, found: &mut Findings) {
    let sentinel = store.sentinel.as_ref().and_then(|sentinel| sentinel.password.as_ref());
    for (here, password) in [
        (here.key("password"), &store.password),
        (here.key("sentinel").key("password"), &sentinel.cloned()),
    ] {
        if let Some(password) = password
            && let Some(value) = read(here.clone(), password, found)
        {
            guessable(here, password, &value, found);
        }
    }
    let Some(tls) = &store.tls else { return };
    let here = here.key("tls");
    for (key, file) in [("ca_file", &tls.ca_file), ("client_certificate", &tls.client_certificate)]
    {
        if let Some(file) = file {
            certificates(here.key(key), file, found);
        }
    }
    if let Some(file) = &tls.client_key {
        private_key_file(here.key("client_key"), file, found);
    }
}

fn read(here: KeyPath, secret: &SecretRef, found: &mut Findings) -> Option<oidc_core::Secret> {
    match secret.read() {
        Ok(secret) => Some(secret),
        Err(error) => {
            found.problem(here, error.to_string());
            None
        }
    }
}

/// Warns of a secret that is short, or that others know from examples.
fn guessable(here: KeyPath, source: &SecretRef, secret: &oidc_core::Secret, found: &mut Findings) {
    // All are compared, so that the time tells nothing.
    let known = WELL_KNOWN.iter().filter(|known| secret.matches(known)).count() > 0;
    if known {
        let message = format!(
            "{source} holds a secret of examples and demonstrations, which every attacker tries first; store a random one"
        );
        found.warning(here, message);
    } else if secret.expose().len() < SHORT_SECRET {
        let message = format!(
            "{source} holds fewer than {SHORT_SECRET} bytes, which can be guessed; store a random one of 32"
        );
        found.warning(here, message);
    }
}

fn different_bytes(secret: &oidc_core::Secret) -> usize {
    secret.expose().bytes().collect::<std::collections::BTreeSet<u8>>().len()
}

fn certificates(here: KeyPath, file: &Path, found: &mut Findings) {
    let first = CertificateDer::pem_file_iter(file)
        .and_then(|mut all| all.next().unwrap_or(Err(rustls_pki_types::pem::Error::NoItemsFound)));
    if let Err(error) = first {
        let message = no_pem(file, "certificate", &error);
        found.problem(here, message);
    }
}

fn revocations(here: KeyPath, file: Option<&Path>, found: &mut Findings) {
    match file.map(RevocationLists::read) {
        Some(Err(error)) => found.problem(here, error.to_string()),
        Some(Ok(lists)) if lists.until() <= SystemClock.now() => {
            let until = humantime::format_rfc3339_seconds(lists.until());
            let message = format!(
                "expired revocation list: its `nextUpdate` was {until}, so that no certificate of its authority is accepted; get the present one"
            );
            found.warning(here, message);
        }
        _ => {}
    }
}

fn no_pem(file: &Path, what: &str, error: &rustls_pki_types::pem::Error) -> String {
    let file = file.display();
    match error {
        rustls_pki_types::pem::Error::Io(error) => format!("cannot read `{file}`: {error}"),
        _ => format!("invalid {what}: `{file}` holds none in PEM form"),
    }
}

fn directory_of(here: KeyPath, file: &Path, found: &mut Findings) {
    let directory = match file.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => return,
    };
    if !directory.is_dir() {
        let message = format!(
            "missing directory `{}` for `{}`; create it, or name another path",
            directory.display(),
            file.display()
        );
        found.problem(here, message);
    }
}
