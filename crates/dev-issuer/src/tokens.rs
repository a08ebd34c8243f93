//! Claims of the tokens, in Keycloak's shape.
//!
//! An access token is a JWT with `typ: Bearer` in its body; realm roles, client roles and groups are
//! three different claims; `aud` has `account`, the clients the person has roles on and the client's
//! own list, but not the client itself.

use aws_lc_rs::digest::digest;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value, json};

use crate::algorithm::Algorithm;
use crate::client::DevClient;
use crate::clock::seconds;
use crate::grant::Grant;
use crate::identifiers::random_uuid;
use crate::jws::Claims;
use crate::scope::Scope;
use crate::sessions::SessionMark;
use crate::user::User;

/// Level (`acr`) of a sign-in by password, and of tokens for programs.
pub(crate) const LOWEST_LEVEL: &str = "1";

/// Scopes that every client has, and that only the refresh token lists.
const REFRESH_TOKEN_SCOPES: &str = "acr basic roles web-origins";

/// The scope that a refresh token grants: its `scope` without [`REFRESH_TOKEN_SCOPES`].
pub(crate) fn granted_scope(claims: &Claims) -> Scope {
    let hidden = Scope::parse(REFRESH_TOKEN_SCOPES);
    let mut granted = Scope::default();
    let own = Scope::parse(claims.get("scope").and_then(Value::as_str).unwrap_or_default());
    own.words().filter(|word| !hidden.contains(word)).for_each(|word| granted.add(word));
    granted
}

/// Subject, client and grant of the tokens to issue.
#[derive(Clone, Debug)]
pub(crate) struct Entitlement {
    pub(crate) user: User,
    pub(crate) client: DevClient,
    pub(crate) scope: Scope,
    /// `None` for a machine that acts for itself.
    pub(crate) session: Option<SessionMark>,
    pub(crate) nonce: Option<String>,
    pub(crate) grant: Grant,
    /// Replaces the audience (token exchange, `resource`).
    pub(crate) audience: Option<Vec<String>>,
    /// The thumbprint of the key that the tokens are bound to (RFC 9449 §6).
    pub(crate) key: Option<String>,
    /// Actor on behalf of the person (RFC 8693 §4.1).
    pub(crate) actor: Option<Value>,
    /// The client asked for access while the person is away (`access_type=offline`).
    pub(crate) offline: bool,
}

/// Issuer and times of a token.
#[derive(Clone, Debug)]
pub(crate) struct Stamp {
    pub(crate) issuer: String,
    pub(crate) realm: String,
    pub(crate) now: u64,
    pub(crate) expires: u64,
}

impl Entitlement {
    /// Entitlement of this person at this client.
    pub(crate) fn of_person(
        user: User,
        client: DevClient,
        scope: Scope,
        session: SessionMark,
        grant: Grant,
    ) -> Self {
        Self { user, session: Some(session), grant, ..Self::of_machine(client, scope) }
    }

    /// Entitlement of a client that acts for itself.
    pub(crate) fn of_machine(client: DevClient, scope: Scope) -> Self {
        Self {
            user: client.service_account(),
            client,
            scope,
            session: None,
            nonce: None,
            grant: Grant::ClientCredentials,
            audience: None,
            key: None,
            actor: None,
            offline: false,
        }
    }

    /// Authentication scheme in which the access token must be presented.
    pub(crate) fn token_type(&self) -> &'static str {
        if self.key.is_some() { "DPoP" } else { "Bearer" }
    }

    /// The API that the access token is for, where the client has one.
    pub(crate) fn api(&self) -> Option<String> {
        let audience = self.audience.as_ref().unwrap_or(&self.client.audience);
        audience.iter().find(|audience| **audience != self.client.id).cloned()
    }

    pub(crate) fn access_claims(&self, stamp: &Stamp) -> Claims {
        let mut claims = self.common_claims(stamp, self.token_type());
        if let Some(key) = &self.key {
            set(&mut claims, "cnf", json!({ "jkt": key }));
        }
        if let Some(actor) = &self.actor {
            set(&mut claims, "act", actor.clone());
        }
        set(&mut claims, "jti", json!(format!("{}:{}", self.jti_prefix(), random_uuid())));
        let origins = self.client.origins();
        if !origins.is_empty() {
            set(&mut claims, "allowed-origins", json!(origins));
        }
        set(&mut claims, "realm_access", json!({ "roles": self.realm_roles(&stamp.realm) }));
        set(&mut claims, "resource_access", self.resource_access());
        set(&mut claims, "scope", json!(self.scope.to_string()));
        set_audience(&mut claims, self.access_audience());
        if self.session.is_none() {
            set(&mut claims, "client_id", json!(self.client.id));
            set(&mut claims, "clientHost", json!("127.0.0.1"));
            set(&mut claims, "clientAddress", json!("127.0.0.1"));
        }
        claims.extend(self.profile_claims());
        claims
    }

    /// Claims of the ID token. `access_token`: the one issued with it, and the ID token's algorithm,
    /// for `at_hash`.
    pub(crate) fn id_claims(
        &self,
        stamp: &Stamp,
        access_token: Option<(&str, Algorithm)>,
    ) -> Claims {
        let mut claims = self.common_claims(stamp, "ID");
        set(&mut claims, "jti", json!(random_uuid()));
        set(&mut claims, "aud", json!(self.client.id));
        if let Some(nonce) = &self.nonce {
            set(&mut claims, "nonce", json!(nonce));
        }
        if let Some((token, algorithm)) = access_token {
            set(&mut claims, "at_hash", json!(left_half_of_hash(token, algorithm)));
        }
        claims.extend(self.profile_claims());
        claims
    }

    pub(crate) fn refresh_claims(&self, stamp: &Stamp, jti: &str, chain: &str) -> Claims {
        let mut claims = self.common_claims(stamp, "Refresh");
        for left_out in ["auth_time", "acr"] {
            claims.remove(left_out);
        }
        set(&mut claims, "jti", json!(jti));
        set(&mut claims, "aud", json!(stamp.issuer));
        set(&mut claims, "aud_x", json!(self.access_audience()));
        set(&mut claims, "prov", json!("default"));
        set(&mut claims, "scope", json!(format!("{} {REFRESH_TOKEN_SCOPES}", self.scope)));
        set(&mut claims, "reuse_id", json!(chain));
        // RFC 9449 §5: a public client's refresh token is bound to the key, as the client does not
        // authenticate.
        if let Some(key) = self.key.as_ref().filter(|_| self.client.is_public()) {
            set(&mut claims, "cnf", json!({ "jkt": key }));
        }
        claims
    }

    /// Claims of the userinfo answer, which access and ID tokens have too.
    pub(crate) fn profile_claims(&self) -> Claims {
        let mut claims = Map::new();
        let user = &self.user;
        set(&mut claims, "preferred_username", json!(user.username));
        if self.session.is_some() {
            let (given, family) = user.name.split_once(' ').unwrap_or((&user.name, ""));
            set(&mut claims, "name", json!(user.name));
            set(&mut claims, "given_name", json!(given));
            if !family.is_empty() {
                set(&mut claims, "family_name", json!(family));
            }
            set(&mut claims, "email", json!(user.email));
            set(&mut claims, "groups", json!(user.groups));
        }
        set(&mut claims, "email_verified", json!(self.session.is_some() && user.email_verified));
        claims.extend(user.claims.clone());
        claims
    }

    fn common_claims(&self, stamp: &Stamp, typ: &str) -> Claims {
        let mut claims = Map::new();
        set(&mut claims, "exp", json!(stamp.expires));
        set(&mut claims, "iat", json!(stamp.now));
        set(&mut claims, "iss", json!(stamp.issuer));
        set(&mut claims, "sub", json!(self.user.subject));
        set(&mut claims, "typ", json!(typ));
        set(&mut claims, "azp", json!(self.client.id));
        let level = self.session.as_ref().map_or(LOWEST_LEVEL, |session| &session.level);
        set(&mut claims, "acr", json!(level));
        if let Some(session) = &self.session {
            set(&mut claims, "sid", json!(session.id));
            set(&mut claims, "auth_time", json!(seconds(session.auth_time)));
        }
        claims
    }

    fn realm_roles(&self, realm: &str) -> Vec<String> {
        let mut roles = self.user.roles.clone();
        roles.push(format!("default-roles-{realm}"));
        roles.extend(["offline_access", "uma_authorization"].map(str::to_owned));
        roles
    }

    fn resource_access(&self) -> Value {
        let mut access = Map::new();
        for (client, roles) in &self.user.client_roles {
            set(&mut access, client, json!({ "roles": roles }));
        }
        let account = ["manage-account", "manage-account-links", "view-profile"];
        set(&mut access, "account", json!({ "roles": account }));
        Value::Object(access)
    }

    fn access_audience(&self) -> Vec<String> {
        if let Some(audience) = &self.audience {
            return audience.clone();
        }
        let mut audience = self.client.audience.clone();
        let resolved = self.user.client_roles.keys().filter(|client| **client != self.client.id);
        for client in resolved.cloned().chain(["account".to_owned()]) {
            if !audience.contains(&client) {
                audience.push(client);
            }
        }
        audience
    }

    /// Prefix of `jti` in which Keycloak marks the grant of a token.
    fn jti_prefix(&self) -> &'static str {
        match self.grant {
            Grant::AuthorizationCode => "onrtac",
            Grant::RefreshToken => "onrtrt",
            Grant::ClientCredentials => "trrtcc",
            Grant::TokenExchange => "onrtte",
            Grant::DeviceCode => "onrtdg",
            Grant::JwtBearer => "onrtjb",
            Grant::Other => "onrtna",
        }
    }
}

/// The claims of a logout token ([OpenID Connect Back-Channel Logout 1.0 §2.4]).
///
/// [OpenID Connect Back-Channel Logout 1.0 §2.4]: https://openid.net/specs/openid-connect-backchannel-1_0.html#LogoutToken
pub(crate) fn logout_claims(stamp: &Stamp, subject: &str, client: &str, sid: &str) -> Claims {
    let mut claims = Map::new();
    set(&mut claims, "iss", json!(stamp.issuer));
    set(&mut claims, "iat", json!(stamp.now));
    set(&mut claims, "exp", json!(stamp.expires));
    set(&mut claims, "jti", json!(random_uuid()));
    set(&mut claims, "aud", json!(client));
    set(&mut claims, "sub", json!(subject));
    set(&mut claims, "sid", json!(sid));
    set(&mut claims, "typ", json!("Logout"));
    let event = "http://schemas.openid.net/event/backchannel-logout";
    set(&mut claims, "events", json!({ event: {} }));
    claims
}

/// `aud` as Keycloak writes it: nothing, one string, or a list.
pub(crate) fn set_audience(claims: &mut Claims, mut audience: Vec<String>) {
    match audience.len() {
        0 => drop(claims.remove("aud")),
        1 => set(claims, "aud", json!(audience.pop())),
        _ => set(claims, "aud", json!(audience)),
    }
}

/// `at_hash` ([OpenID Connect Core 1.0 §3.1.3.6](https://openid.net/specs/openid-connect-core-1_0.html#CodeIDToken)).
fn left_half_of_hash(token: &str, algorithm: Algorithm) -> String {
    let hash = digest(algorithm.hash(), token.as_bytes());
    let (left, _) = hash.as_ref().split_at(hash.as_ref().len() / 2);
    URL_SAFE_NO_PAD.encode(left)
}

fn set(claims: &mut Claims, name: &str, value: Value) {
    claims.insert(name.to_owned(), value);
}
