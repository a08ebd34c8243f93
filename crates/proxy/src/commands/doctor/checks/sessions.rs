//! Lifetimes of sessions and tokens, and their ends.

use std::time::Duration;

use serde_json::{Value, json};

use super::super::facts::{Client, Facts, Realm};
use super::super::finding::{Change, Check, Problem, Reads, Setting, Severity, Terraform};
use super::super::needs::Needs;
use super::own_client;

/// Longest usual lifetime of an access token.
const LONG: u64 = 15 * 60;
/// Shortest lifetime that leaves the time to refresh a token before it expires.
const SHORT: u64 = 60;
/// Keycloak's own default.
const USUAL: u64 = 5 * 60;

const URL: &str = "backchannel.logout.url";
const WITH_SESSION: &str = "backchannel.logout.session.required";

/// Logout tokens that name the session.
fn with_session() -> Setting {
    Setting::new(
        "attributes.\"backchannel.logout.session.required\"",
        "backchannel_logout_session_required",
        "true",
    )
    .written_as(Terraform::Argument("backchannel_logout_session_required", json!(true)))
}

pub(super) const BACKCHANNEL_LOGOUT_MISSING: Check = Check {
    name: "backchannel_logout_missing",
    severity: Severity::Weakens,
    summary: "Keycloak sends logout tokens to no address, or to one that is not the gateway's.",
    effect: "a session that ends at Keycloak lives on here until its next refresh",
    setting: "Backchannel logout URL",
    place: "Clients → {client} → Settings → Logout settings",
    reads: Reads::Administration,
    judge: |needs, facts| {
        let Some(own) = &needs.backchannel_logout else { return Vec::new() };
        let Some((_, client)) = own_client(needs, facts) else { return Vec::new() };
        let url = client.attribute(URL);
        // The host may be one that only Keycloak knows.
        let path = |url: &str| url::Url::parse(url).map(|url| url.path().to_owned()).ok();
        let text = match url {
            None => "Keycloak sends no logout tokens to the gateway".to_owned(),
            Some(url) if path(url).as_deref() == Some(own.path()) => return Vec::new(),
            Some(url) => {
                format!("Keycloak sends logout tokens to {url}, which is not the gateway's")
            }
        };
        let setting = Setting::new(
            "attributes.\"backchannel.logout.url\"",
            "backchannel_logout_url",
            own.as_str(),
        );
        let all = std::iter::once(setting)
            .chain((client.attribute(WITH_SESSION) != Some("true")).then(with_session));
        let change = |setting| Change::Client { client: needs.client.clone(), setting };
        vec![Problem::new(text, own.as_str()).with(all.map(change))]
    },
};

pub(super) const BACKCHANNEL_LOGOUT_WITHOUT_SESSION: Check = Check {
    name: "backchannel_logout_without_session",
    severity: Severity::Weakens,
    summary: "Logout tokens do not name the session.",
    effect: "one sign-out ends all sessions of the user",
    setting: "Backchannel logout session required",
    place: "Clients → {client} → Settings → Logout settings",
    reads: Reads::Administration,
    judge: |needs, facts| {
        let without = |(_, client): &(_, &Client)| {
            client.attribute(URL).is_some() && client.attribute(WITH_SESSION) != Some("true")
        };
        let found =
            own_client(needs, facts).filter(without).filter(|_| needs.backchannel_logout.is_some());
        let problem = |_| {
            let change = Change::Client { client: needs.client.clone(), setting: with_session() };
            Problem::new("logout tokens do not name the session", "on").with([change])
        };
        found.map(problem).into_iter().collect()
    },
};

/// A time as Keycloak's console shows it, and as the configuration writes it.
fn time(seconds: u64) -> String {
    humantime::format_duration(Duration::from_secs(seconds)).to_string().replace(' ', "")
}

/// A time that is to be at least another; the client's own value counts before the realm's.
struct Least {
    attribute: &'static str,
    member: &'static str,
    extra: &'static str,
    realm_member: &'static str,
    argument: &'static str,
    key: &'static str,
    what: &'static str,
    least: Duration,
}

impl Least {
    fn judge(
        &self,
        needs: &Needs,
        facts: &Facts,
        of_realm: impl FnOnce(&Realm) -> Option<u64>,
    ) -> Vec<Problem> {
        let Some((administration, client)) = own_client(needs, facts) else { return Vec::new() };
        let own = client.seconds(self.attribute);
        let realm = of_realm(&administration.realm).filter(|seconds| *seconds > 0);
        let least = self.least.as_secs();
        // The client's value cannot be longer than the realm's.
        let Some(found) = own.into_iter().chain(realm).min().filter(|found| *found < least) else {
            return Vec::new();
        };
        let mut changes = Vec::new();
        if realm.is_some_and(|realm| realm < least) {
            let setting = Setting::new(self.realm_member, self.argument, least)
                .written_as(Terraform::Argument(self.argument, json!(time(least))));
            changes.push(Change::Realm(setting));
        }
        if own.is_some_and(|own| own < least) {
            let value = Value::from(least.to_string());
            let setting = Setting::new(self.member, self.extra, value.clone())
                .written_as(Terraform::Argument(self.extra, value));
            changes.push(Change::Client { client: needs.client.clone(), setting });
        }
        let (found, wanted) = (time(found), time(least));
        let text = format!("{} after {found}, and `{}` is {wanted}", self.what, self.key);
        let value = format!("{wanted} or longer, or `{}: {found}` in the configuration", self.key);
        vec![Problem::new(text, value).with(changes)]
    }
}

pub(super) const SSO_IDLE_SHORT: Check = Check {
    name: "sso_idle_short",
    severity: Severity::Fails,
    summary: "Keycloak ends idle sessions before the gateway does.",
    effect: "users who return within `session.idle` have to sign in again",
    setting: "SSO Session Idle, and the client's Client Session Idle",
    place: "Realm settings → Sessions; Clients → {client} → Advanced → Advanced settings",
    reads: Reads::Administration,
    judge: |needs, facts| {
        let least = Least {
            attribute: "client.session.idle.timeout",
            member: "attributes.\"client.session.idle.timeout\"",
            extra: "client_session_idle_timeout",
            realm_member: "ssoSessionIdleTimeout",
            argument: "sso_session_idle_timeout",
            key: "session.idle",
            what: "Keycloak ends idle sessions",
            least: needs.idle,
        };
        least.judge(needs, facts, |realm| realm.sso_session_idle_timeout)
    },
};

pub(super) const SSO_LIFETIME_SHORT: Check = Check {
    name: "sso_lifetime_short",
    severity: Severity::Fails,
    summary: "Keycloak ends sessions before `session.lifetime`.",
    effect: "active users have to sign in again earlier than the configuration says",
    setting: "SSO Session Max, and the client's Client Session Max",
    place: "Realm settings → Sessions; Clients → {client} → Advanced → Advanced settings",
    reads: Reads::Administration,
    judge: |needs, facts| {
        let least = Least {
            attribute: "client.session.max.lifespan",
            member: "attributes.\"client.session.max.lifespan\"",
            extra: "client_session_max_lifespan",
            realm_member: "ssoSessionMaxLifespan",
            argument: "sso_session_max_lifespan",
            key: "session.lifetime",
            what: "Keycloak ends sessions",
            least: needs.lifetime,
        };
        least.judge(needs, facts, |realm| realm.sso_session_max_lifespan)
    },
};

/// The lifetime of access tokens, and the changes to another.
fn lifetime(needs: &Needs, facts: &Facts) -> Option<(u64, Vec<Change>)> {
    let Some((administration, client)) = own_client(needs, facts) else {
        return Some((facts.own_token.as_ref()?.lifetime?, Vec::new()));
    };
    if let Some(own) = client.seconds("access.token.lifespan") {
        let setting = Setting::new(
            "attributes.\"access.token.lifespan\"",
            "access_token_lifespan",
            USUAL.to_string(),
        );
        return Some((own, vec![Change::Client { client: needs.client.clone(), setting }]));
    }
    let setting = Setting::new("accessTokenLifespan", "access_token_lifespan", USUAL)
        .written_as(Terraform::Argument("access_token_lifespan", json!(time(USUAL))));
    Some((administration.realm.access_token_lifespan?, vec![Change::Realm(setting)]))
}

/// The problem of a lifetime of access tokens, in seconds, that is `wrong`.
fn lifetime_problem(needs: &Needs, facts: &Facts, wrong: impl Fn(u64) -> bool) -> Vec<Problem> {
    let problem = |(found, changes)| {
        Problem::new(format!("access tokens live for {}", time(found)), time(USUAL)).with(changes)
    };
    lifetime(needs, facts).filter(|(found, _)| wrong(*found)).map(problem).into_iter().collect()
}

pub(super) const ACCESS_TOKEN_LONG: Check = Check {
    name: "access_token_long",
    severity: Severity::Weakens,
    summary: "Access tokens live for more than 15 minutes.",
    effect: "a stolen token, or a role that was taken away, counts for as long",
    setting: "Access Token Lifespan",
    place: "Realm settings → Tokens; Clients → {client} → Advanced → Advanced settings",
    reads: Reads::Both,
    judge: |needs, facts| lifetime_problem(needs, facts, |found| found > LONG),
};

pub(super) const ACCESS_TOKEN_SHORT: Check = Check {
    name: "access_token_short",
    severity: Severity::Fails,
    summary: "Access tokens live for less than a minute.",
    effect: "requests wait for refreshes, and tokens expire on their way",
    setting: "Access Token Lifespan",
    place: "Realm settings → Tokens; Clients → {client} → Advanced → Advanced settings",
    reads: Reads::Both,
    judge: |needs, facts| lifetime_problem(needs, facts, |found| found < SHORT),
};

pub(super) const REFRESH_ROTATION: Check = Check {
    name: "refresh_rotation",
    severity: Severity::Fails,
    summary: "Each refresh token counts once, and sessions are in cookies, which several replicas refresh at once.",
    effect: "the second of two refreshes ends the user's session at Keycloak",
    setting: "Refresh Token Max Reuse, or Revoke Refresh Token",
    place: "Realm settings → Tokens",
    reads: Reads::Administration,
    judge: |needs, facts| {
        let fights = |realm: &&Realm| {
            needs.cookie_sessions
                && !needs.redirect_uris.is_empty()
                && realm.revoke_refresh_token
                && realm.refresh_token_max_reuse == 0
        };
        let realm = facts.administration.as_ref().map(|administration| &administration.realm);
        let setting = Setting::new("refreshTokenMaxReuse", "refresh_token_max_reuse", 1);
        let problem = |_| {
            let text = "each refresh token counts once, although replicas with `session.store: cookie` do not know of each \
                        other's refreshes";
            let value = "1, or Revoke Refresh Token off, or a store that replicas share in the configuration";
            Problem::new(text, value).with([Change::Realm(setting)])
        };
        realm.filter(fights).map(problem).into_iter().collect()
    },
};
