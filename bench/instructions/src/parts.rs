//! A gateway with two routes, made from a configuration as `doorward serve` makes it.

use std::{
    net::SocketAddr,
    sync::Arc,
    time::{Duration, UNIX_EPOCH},
};

use access_policy::Known;
use doorward::{
    assemble::{self, Lasting},
    config::Config,
    gateway::Serving,
    identify::issuers::Issuers,
    listen::{Drain, Limits, ListenAddr, Listener},
};
use oidc_core::{Clock, Secret, SystemClock, testing::TestIssuer, token::Algorithm};
use serde_json::json;
use tokio::runtime::Runtime;
use web_sessions::Record;

use crate::peers;

const ISSUER: &str = "https://id.example/realms/platform";

const CONFIGURATION: &str = r#"
public_url: https://platform.example
listen: 127.0.0.1:0
issuers:
  main: { url: "https://id.example/realms/platform", client_id: gateway, audience: [gateway] }
session: { store: { embedded: { path: FOLDER/sessions.redb } }, key: { file: FOLDER/key } }
routes:
  open: { match: { path: /open }, upstream: "UPSTREAM", access: [ { allow: anyone } ] }
  closed: { match: { path: /closed }, upstream: "UPSTREAM", access: [ { allow: { roles: [data-scientist] } } ] }
"#;

/// All that the cases share.
pub(crate) struct Parts {
    pub(crate) runtime: Runtime,
    pub(crate) config: Config,
    pub(crate) lasting: Lasting,
    pub(crate) issuers: Arc<Issuers>,
    provider: TestIssuer,
    _folder: tempfile::TempDir,
}

impl Parts {
    pub(crate) fn new() -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let _inside = runtime.enter();
        let folder = tempfile::tempdir().unwrap();
        let provider = TestIssuer::named(ISSUER, Algorithm::RS256);
        std::fs::write(folder.path().join("key"), "0123456789abcdef0123456789abcdef").unwrap();
        std::fs::write(folder.path().join("keys.json"), provider.jwks()).unwrap();
        let text = CONFIGURATION
            .replace("FOLDER", folder.path().to_str().unwrap())
            .replace("UPSTREAM", &format!("http://{}", peers::upstream()));
        let mut config = Config::parse("doorward.yaml", &text).unwrap().config;
        // A file is only for workloads, and an issuer on the network would take part in what is counted.
        for issuer in config.issuers.values_mut() {
            issuer.keys_file = Some(folder.path().join("keys.json"));
        }
        let lasting = Lasting::new(&config, Drain::new(Duration::ZERO)).unwrap();
        let issuers = assemble::issuers(&config, &lasting.clock, None, None).unwrap();
        drop(_inside);
        Self { runtime, config, lasting, issuers, provider, _folder: folder }
    }

    /// Serves a configuration, and returns its address.
    pub(crate) fn serve(&self, config: &Config) -> SocketAddr {
        let issuers = Arc::clone(&self.issuers);
        let app = assemble::app_with(config, &self.lasting, issuers, None).unwrap();
        let listener = self.runtime.block_on(Listener::bind(&config.listen, None)).unwrap();
        let listener = listener.with_limits(Limits::from(&config.limits));
        let address = match listener.local_addrs().first() {
            Some(ListenAddr::Tcp(address)) => *address,
            other => panic_at(other),
        };
        self.runtime.spawn(listener.serve(Serving::new(app), self.lasting.drain.clone()));
        address
    }

    /// The nth access token, of 1.3 kB as Keycloak's are.
    pub(crate) fn token(&self, n: usize) -> String {
        let now = SystemClock.now().duration_since(UNIX_EPOCH).unwrap().as_secs();
        self.provider.sign(&json!({
            "exp": now + 36_000, "iat": now, "auth_time": now - 60,
            "jti": format!("onrtac:5f0c1a52-6f0e-4c2f-9c4e-{n:012}"),
            "iss": ISSUER, "aud": ["gateway", "account"],
            "sub": "f9a1c1de-6a44-4f0f-9f3e-0b5e6b6f3f11", "typ": "Bearer", "azp": "airflow",
            "sid": "a5b0c7e4-2d0b-4a6f-8b55-8a3d5f4f7f55", "acr": "1",
            "realm_access": {"roles": ["data-scientist", "offline_access", "uma_authorization"]},
            "resource_access": {"account": {"roles": ["manage-account", "view-profile"]}},
            "scope": "openid profile email", "email_verified": true, "name": "Alice Example",
            "preferred_username": "alice", "given_name": "Alice", "family_name": "Example",
            "email": "alice@example.org",
        }))
    }

    /// The value of the cookie of a new session.
    pub(crate) fn ticket(&self) -> String {
        let strings = |list: &[&str]| list.iter().map(|text| (*text).to_owned()).collect();
        let known = Known {
            issuer: "main".to_owned(),
            iss: ISSUER.to_owned(),
            subject: "f9a1c1de-6a44-4f0f-9f3e-0b5e6b6f3f11".to_owned(),
            preferred_username: Some("alice".to_owned()),
            email: Some("alice@example.org".to_owned()),
            email_verified: true,
            roles: strings(&["data-scientist", "offline_access", "uma_authorization"]),
            groups: strings(&["/lab", "/finance"]),
            client: Some("gateway".to_owned()),
            ..Known::default()
        };
        let now = self.lasting.clock.now();
        let end = now + Duration::from_secs(36_000);
        let record = Record::new(known, Secret::from("an-access-token"), end, now);
        let (ticket, _) = self.runtime.block_on(self.lasting.sessions.create(record)).unwrap();
        ticket.expose().to_owned()
    }
}

fn panic_at(address: Option<&ListenAddr>) -> ! {
    unreachable!("the listener is on {address:?}")
}

/// The head of a browser's request with a session cookie.
pub(crate) fn browser(path: &str, ticket: &str) -> String {
    format!(
        "GET {path} HTTP/1.1\r\n\
         Host: platform.example\r\n\
         User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36\r\n\
         Accept: application/json, text/plain, */*\r\n\
         Accept-Encoding: gzip, deflate, br, zstd\r\n\
         Accept-Language: en-GB,en;q=0.9,fr;q=0.8\r\n\
         Referer: https://platform.example/closed/\r\n\
         Sec-Fetch-Dest: empty\r\n\
         Sec-Fetch-Mode: cors\r\n\
         Sec-Fetch-Site: same-origin\r\n\
         Cookie: theme=dark; __Host-doorward={ticket}; _xsrf=2|7586b241|47c876d965112a2f547c63c95cbc44b1|1402910163\r\n\r\n"
    )
}

/// The head of a program's request, with a field beside the usual ones.
pub(crate) fn program(path: &str, field: &str) -> String {
    format!(
        "GET {path} HTTP/1.1\r\n\
         Host: platform.example\r\n\
         User-Agent: python-httpx/0.28.1\r\n\
         Accept: */*\r\n\
         Accept-Encoding: gzip, deflate\r\n\
         {field}\r\n\r\n"
    )
}
