//! Facts about a request that its answer needs: the caller, the form of the answer, and the return address.
//!
//! They are recorded before the request is consumed, so that a refusal at any later stage can be answered properly.

use std::sync::Arc;

use http::{HeaderMap, HeaderName, Method, header};
use http_canonical::Wants;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use crate::listen::Glimpse;
use access_policy::{Known, StepUp};

use crate::config::SignedOut;
use crate::route::Offer;

/// Every byte with a meaning in a query is encoded.
const QUERY_VALUE: &AsciiSet =
    &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~').remove(b'/');

/// The longest link to one of the gateway's own URLs, in bytes: most servers, and this one, refuse a request line above 8 KiB.
const LONGEST_LINK: usize = 8000;

/// A request, as far as its answer needs it.
#[derive(Debug, Clone)]
pub struct AnswerContext {
    /// Data that all answers of this gateway share.
    pub site: Arc<Site>,
    /// Form of the answer.
    pub wants: Wants,
    /// The request's id: the reference number on a page, the key in the log.
    pub request_id: String,
    /// Path and query as they were requested.
    pub return_to: String,
    /// Origin before the path in redirects to the gateway's own URLs. Empty in line: the browser resolves the path. A proxy that
    /// asks a forward-auth question may resolve it against the gateway's address, which browsers cannot reach.
    pub origin: String,
    /// Whether the method is safe (GET, HEAD), so that the request can be repeated without harm.
    pub safe: bool,
    /// Whether a script of a page sent the request: its page shows the answer, or waits for a better one.
    pub script: bool,
    /// Answer of the route to such a script, when its user is not signed in.
    pub signed_out: SignedOut,
    /// Schemes that a challenge offers.
    pub offer: Offer,
    /// Display name of the service that the request is for, if a route was chosen.
    pub service: Option<String>,
    /// Name of the signed-in person, if known.
    pub who: Option<String>,
    /// Token of the sign-out form of that person's session: with it "Switch account" is one step, without it two.
    pub sign_out_token: Option<String>,
}

impl AnswerContext {
    /// Records the facts of a request.
    pub fn new(
        site: &Arc<Site>,
        method: &Method,
        wants: Wants,
        request_id: impl Into<String>,
        path_and_query: impl Into<String>,
    ) -> Self {
        Self {
            site: Arc::clone(site),
            wants,
            request_id: request_id.into(),
            return_to: path_and_query.into(),
            origin: String::new(),
            safe: matches!(*method, Method::GET | Method::HEAD),
            script: false,
            signed_out: SignedOut::default(),
            offer: Offer::default(),
            service: None,
            who: None,
            sign_out_token: None,
        }
    }

    /// A request that is refused before it was read.
    pub fn glimpsed(site: &Arc<Site>, request_id: impl Into<String>, glimpse: &Glimpse) -> Self {
        Self {
            wants: glimpse.wants,
            return_to: glimpse.path.clone(),
            safe: matches!(glimpse.method, Method::GET | Method::HEAD),
            ..Self::unread(site, request_id)
        }
    }

    /// A request of which only its id is known.
    pub fn unread(site: &Arc<Site>, request_id: impl Into<String>) -> Self {
        Self {
            site: Arc::clone(site),
            wants: Wants::Problem,
            request_id: request_id.into(),
            return_to: "/".to_owned(),
            origin: String::new(),
            safe: false,
            script: false,
            signed_out: SignedOut::default(),
            offer: Offer::default(),
            service: None,
            who: None,
            sign_out_token: None,
        }
    }

    /// Sets whether a script of a page sent the request: see [`is_script`].
    #[must_use]
    pub fn with_script(mut self, script: bool) -> Self {
        self.script = script;
        self
    }

    /// Sets the answer of the route to scripts of pages whose user is not signed in.
    #[must_use]
    pub fn with_signed_out(mut self, signed_out: SignedOut) -> Self {
        self.signed_out = signed_out;
        self
    }

    /// Sets the schemes that a challenge offers.
    #[must_use]
    pub fn with_offer(mut self, offer: Offer) -> Self {
        self.offer = offer;
        self
    }

    /// Sets the display name of the service.
    #[must_use]
    pub fn with_service(mut self, title: Option<&str>) -> Self {
        self.service = title.map(str::to_owned);
        self
    }

    /// Replaces the facts of the request by those of the request that a proxy asks about: its method, its path and query, and
    /// the origin of its host.
    #[must_use]
    pub fn about(mut self, method: &Method, path_and_query: String, origin: String) -> Self {
        self.safe = matches!(*method, Method::GET | Method::HEAD);
        self.return_to = path_and_query;
        self.origin = origin;
        self
    }

    /// Sets the name of the signed-in person.
    #[must_use]
    pub fn with_who(mut self, who: Option<String>) -> Self {
        self.who = who;
        self
    }

    /// Sets the token of this session's sign-out form.
    #[must_use]
    pub fn with_sign_out_token(mut self, token: Option<String>) -> Self {
        self.sign_out_token = token;
        self
    }

    /// The requested path, without its query: queries may hold private data.
    pub(super) fn path(&self) -> &str {
        self.return_to.split('?').next().unwrap_or_default()
    }
}

/// The field by which a browser tells how a request came about.
const SEC_FETCH_MODE: HeaderName = HeaderName::from_static("sec-fetch-mode");

/// Whether a script of a page sent these headers. Browsers send Fetch Metadata to https and loopback only; elsewhere cookies
/// make the difference, which the programs that are meant to see 401 do not send.
pub fn is_script(headers: &HeaderMap) -> bool {
    match headers.get(SEC_FETCH_MODE) {
        Some(mode) => mode != "navigate",
        None => headers.contains_key(header::COOKIE),
    }
}

/// Data that all answers of one gateway share: its own URLs, its realm, and the providers for sign-in.
#[derive(Debug, Clone)]
pub struct Site {
    endpoints: String,
    realm: String,
    providers: Vec<SignInWith>,
    form_targets: Vec<String>,
    dpop_algorithms: Option<String>,
    api_keys: bool,
}

/// A provider a person can sign in with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignInWith {
    /// Its name in the configuration.
    pub name: String,
    /// Its name on the button.
    pub title: String,
}

impl Site {
    /// A gateway whose own URLs begin with `endpoints` and whose challenges name `realm` (RFC 9110 §11.5).
    pub fn new(endpoints: impl Into<String>, realm: impl Into<String>) -> Self {
        let endpoints = endpoints.into().trim_end_matches('/').to_owned();
        Self {
            endpoints,
            realm: realm.into(),
            providers: Vec::new(),
            form_targets: Vec::new(),
            dpop_algorithms: None,
            api_keys: false,
        }
    }

    /// Offers DPoP in every challenge, with these algorithms: an issuer accepts no other tokens.
    #[must_use]
    pub fn with_dpop(mut self, algorithms: impl Into<String>) -> Self {
        self.dpop_algorithms = Some(algorithms.into());
        self
    }

    /// The algorithms of DPoP proofs, where every challenge offers them.
    pub(super) fn dpop_algorithms(&self) -> Option<&str> {
        self.dpop_algorithms.as_deref()
    }

    /// Has a page of API keys.
    #[must_use]
    pub fn with_api_keys(mut self, api_keys: bool) -> Self {
        self.api_keys = api_keys;
        self
    }

    /// Whether it has a page of API keys.
    pub fn has_api_keys(&self) -> bool {
        self.api_keys
    }

    /// Adds a provider. A sign-out form may lead to the origin of its URL.
    #[must_use]
    pub fn with_provider(
        mut self,
        name: impl Into<String>,
        title: impl Into<String>,
        url: &str,
    ) -> Self {
        self.providers.push(SignInWith { name: name.into(), title: title.into() });
        self.with_form_target(url)
    }

    /// Adds an origin that a sign-out form may lead to: that of a provider's end-session URL, if it is another one.
    #[must_use]
    pub fn with_form_target(mut self, url: &str) -> Self {
        if let Ok(url) = url::Url::parse(url) {
            let origin = url.origin();
            let target = origin.ascii_serialization();
            if origin.is_tuple() && !self.form_targets.contains(&target) {
                self.form_targets.push(target);
            }
        }
        self
    }

    /// The prefix of the gateway's own URLs, without a trailing slash.
    pub fn endpoints(&self) -> &str {
        &self.endpoints
    }

    /// The providers for sign-in, in the configuration's order.
    pub fn providers(&self) -> &[SignInWith] {
        &self.providers
    }

    /// Name of a person on pages: with several providers the provider's name too, because two of them may have the same name.
    pub(crate) fn name_of(&self, known: &Known) -> String {
        let name = known.display_name();
        match self.providers.iter().find(|provider| provider.name == known.issuer) {
            Some(provider) if self.providers.len() > 1 => format!("{name} ({})", provider.title),
            _ => name.to_owned(),
        }
    }

    /// URL that begins a sign-in which returns to `return_to`. It says so where that is too long to be on a link: a request line
    /// of that length is refused.
    pub fn start(&self, return_to: &str) -> String {
        let return_to = utf8_percent_encode(return_to, QUERY_VALUE);
        let start = format!("{}/start?rd={return_to}", self.endpoints);
        if start.len() > LONGEST_LINK {
            return format!("{}/start?too_long=1", self.endpoints);
        }
        start
    }

    /// URL that begins a sign-in with one provider.
    pub fn start_with(&self, provider: &str, return_to: &str) -> String {
        let provider = utf8_percent_encode(provider, QUERY_VALUE);
        format!("{}&issuer={provider}", self.start(return_to))
    }

    /// URL that begins a sign-in that is strong and recent enough.
    pub(crate) fn start_stronger(&self, issuer: &str, return_to: &str, step_up: &StepUp) -> String {
        at_level(self.start_with(issuer, return_to), step_up)
    }

    /// The same with the only provider, or one that the user chooses.
    pub(crate) fn start_at_level(&self, return_to: &str, step_up: &StepUp) -> String {
        at_level(self.start(return_to), step_up)
    }

    /// URL to sign out, and return to `return_to` as another user.
    pub fn sign_out(&self, return_to: &str) -> String {
        let encoded = utf8_percent_encode(return_to, QUERY_VALUE);
        let link = format!("{}/sign_out?rd={encoded}", self.endpoints);
        if link.len() > LONGEST_LINK { format!("{}/sign_out", self.endpoints) } else { link }
    }

    pub(super) fn realm(&self) -> &str {
        &self.realm
    }

    /// The origins that a form of the gateway may be redirected to, for `form-action`: browsers check the whole chain of
    /// redirects.
    pub(crate) fn form_targets(&self) -> &[String] {
        &self.form_targets
    }
}

/// A link that begins a sign-in of this strength and age.
fn at_level(mut start: String, step_up: &StepUp) -> String {
    if !step_up.acr_values.is_empty() {
        let levels = step_up.acr_values.join(" ");
        let levels = utf8_percent_encode(&levels, QUERY_VALUE);
        start.push_str(&format!("&acr_values={levels}"));
    }
    if let Some(max_age) = step_up.max_age {
        start.push_str(&format!("&max_age={}", max_age.as_secs()));
    }
    start
}

#[cfg(test)]
mod tests {
    use super::Site;
    use access_policy::Known;

    #[test]
    fn the_return_address_survives_as_one_query_value() {
        let site = Site::new("/oauth2/", "platform.example");
        let start = site.start("/lab?a=1&rd=//evil.test#x\r\n é");
        assert_eq!(start, "/oauth2/start?rd=/lab%3Fa%3D1%26rd%3D//evil.test%23x%0D%0A%20%C3%A9");
        assert!(site.start_with("a&b", "/").ends_with("rd=/&issuer=a%26b"));
    }

    #[test]
    fn no_link_is_longer_than_a_request_line() {
        let site = Site::new("/oauth2", "platform.example");
        assert!(site.start(&format!("/{}", "a".repeat(7900))).contains("rd=/aaa"));
        for long in [format!("/{}", "a".repeat(8000)), format!("/{}", "%C3%A9".repeat(900))] {
            assert_eq!(site.start(&long), "/oauth2/start?too_long=1");
            assert_eq!(site.start_with("main", &long), "/oauth2/start?too_long=1&issuer=main");
            assert_eq!(site.sign_out(&long), "/oauth2/sign_out");
        }
    }

    #[test]
    fn with_several_providers_a_name_says_whose_it_is() {
        let known = Known {
            issuer: "partner".to_owned(),
            preferred_username: Some("alice".to_owned()),
            ..Known::default()
        };
        let one =
            Site::new("/oauth2", "r").with_provider("partner", "Partner", "https://p.example");
        assert_eq!(one.name_of(&known), "alice");
        let two = one.with_provider("main", "Main", "https://m.example");
        assert_eq!(two.name_of(&known), "alice (Partner)");
    }

    #[test]
    fn only_origins_reach_the_form_targets() {
        let site = Site::new("/oauth2", "r")
            .with_provider("main", "Keycloak", "https://id.example:8443/realms/lab?x;y")
            .with_provider("more", "More", "https://id.example:8443/realms/more")
            .with_provider("odd", "Odd", "data:text/html,x")
            .with_provider("bad", "Bad", "not a url");
        assert_eq!(site.form_targets(), ["https://id.example:8443"]);
        assert_eq!(site.providers().len(), 4);
    }
}
