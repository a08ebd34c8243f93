//! Cross-origin requests to a route ([Fetch §3.3]).
//!
//! A preflight is answered here: it never reaches the upstream, and needs no credential, as browsers send none with it. Whatever
//! the upstream says about origins is replaced, because two answers would be two readings.
//!
//! [Fetch §3.3]: https://fetch.spec.whatwg.org/#http-cors-protocol

use http::{HeaderMap, HeaderName, HeaderValue, Method, header};
use http_canonical::CanonicalMethod;

/// Pages of other origins that may read the answers of a route.
#[derive(Debug, Clone)]
pub struct Cors {
    /// `None`: pages of every origin.
    pub origins: Option<Vec<HeaderValue>>,
    /// The methods, separated by `, `.
    pub methods: HeaderValue,
    /// The fields of requests.
    pub headers: Option<HeaderValue>,
    /// The fields of answers.
    pub expose: Option<HeaderValue>,
    /// Whether requests may carry a session.
    pub credentials: bool,
    /// Seconds for which a preflight holds.
    pub max_age: HeaderValue,
}

/// Fields about origins for one answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CorsFields {
    fields: Vec<(HeaderName, HeaderValue)>,
    /// Whether the answer depends on the origin that asks.
    varies: bool,
}

/// A browser's question whether a script may send a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Preflight {
    /// It may.
    Admitted,
    /// It may not; the origin of its page, shortened.
    Refused(String),
}

impl Cors {
    /// The preflight that a request is, if it is one.
    pub fn preflight(&self, method: &CanonicalMethod, headers: &HeaderMap) -> Option<Preflight> {
        let origin = preflight_origin(method, headers)?;
        Some(match self.admitted(origin) {
            Some(_) => Preflight::Admitted,
            None => {
                let text = String::from_utf8_lossy(origin.as_bytes());
                Preflight::Refused(text.chars().take(200).collect())
            }
        })
    }

    /// The fields of the answer to a request with this method and these fields.
    pub fn fields(&self, method: &CanonicalMethod, headers: &HeaderMap) -> CorsFields {
        let mut fields = Vec::new();
        let admitted = headers.get(header::ORIGIN).and_then(|origin| self.admitted(origin));
        if let Some(origin) = admitted {
            fields.push((header::ACCESS_CONTROL_ALLOW_ORIGIN, origin));
            if self.credentials {
                let yes = HeaderValue::from_static("true");
                fields.push((header::ACCESS_CONTROL_ALLOW_CREDENTIALS, yes));
            }
            if preflight_origin(method, headers).is_some() {
                fields.push((header::ACCESS_CONTROL_ALLOW_METHODS, self.methods.clone()));
                fields.push((header::ACCESS_CONTROL_MAX_AGE, self.max_age.clone()));
                let headers = self.headers.iter().cloned();
                fields.extend(headers.map(|all| (header::ACCESS_CONTROL_ALLOW_HEADERS, all)));
            } else {
                let expose = self.expose.iter().cloned();
                fields.extend(expose.map(|all| (header::ACCESS_CONTROL_EXPOSE_HEADERS, all)));
            }
        }
        CorsFields { fields, varies: self.origins.is_some() }
    }

    /// Whether the page that sent these fields is one that may read answers.
    pub(crate) fn admits(&self, headers: &HeaderMap) -> bool {
        headers.get(header::ORIGIN).is_some_and(|origin| self.admitted(origin).is_some())
    }

    /// `Access-Control-Allow-Origin` for a page. Origins are compared as browsers write them: whole, byte for byte.
    fn admitted(&self, origin: &HeaderValue) -> Option<HeaderValue> {
        match &self.origins {
            None => Some(HeaderValue::from_static("*")),
            Some(origins) => origins.iter().find(|one| *one == origin).cloned(),
        }
    }
}

/// The origin of a preflight ([Fetch §4.9](https://fetch.spec.whatwg.org/#cors-preflight-fetch)).
fn preflight_origin<'h>(
    method: &CanonicalMethod,
    headers: &'h HeaderMap,
) -> Option<&'h HeaderValue> {
    let origin = headers.get(header::ORIGIN)?;
    let asks = method.as_str() == Method::OPTIONS.as_str()
        && headers.contains_key(header::ACCESS_CONTROL_REQUEST_METHOD);
    asks.then_some(origin)
}

impl CorsFields {
    /// Replaces whatever an answer says about origins.
    pub fn put_on(self, headers: &mut HeaderMap) {
        let foreign = |name: &&HeaderName| name.as_str().starts_with("access-control-");
        let foreign: Vec<HeaderName> = headers.keys().filter(foreign).cloned().collect();
        for name in foreign {
            headers.remove(name);
        }
        for (name, value) in self.fields {
            headers.insert(name, value);
        }
        if self.varies {
            headers.append(header::VARY, HeaderValue::from_static("Origin"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cors(origins: Option<&[&'static str]>) -> Cors {
        let value = HeaderValue::from_static;
        Cors {
            origins: origins.map(|all| all.iter().map(|one| value(one)).collect()),
            methods: value("GET, POST"),
            headers: Some(value("authorization")),
            expose: Some(value("etag")),
            credentials: origins.is_some(),
            max_age: value("600"),
        }
    }

    fn map(fields: &[(&'static str, &'static str)]) -> HeaderMap {
        let fields = fields
            .iter()
            .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)));
        fields.collect()
    }

    #[test]
    fn an_origin_is_compared_as_a_whole() {
        let cors = cors(Some(&["https://apps.example"]));
        let answer = |origin| {
            let method = "GET".parse().unwrap();
            let mut headers = map(&[("access-control-allow-origin", "*"), ("vary", "accept")]);
            cors.fields(&method, &map(&[("origin", origin)])).put_on(&mut headers);
            assert_eq!(headers.get_all("vary").iter().collect::<Vec<_>>(), ["accept", "Origin"]);
            headers.get("access-control-allow-origin").cloned()
        };
        assert_eq!(answer("https://apps.example").unwrap(), "https://apps.example");
        for other in [
            "http://apps.example",
            "https://apps.example:8443",
            "https://apps.example.evil.test",
            "https://evil.test/https://apps.example",
            "https://xapps.example",
            "https://APPS.example",
            "https://apps.example/",
            "null",
            "*",
            "",
        ] {
            assert_eq!(answer(other), None, "{other}");
        }
    }

    #[test]
    fn only_a_preflight_is_answered_as_one() {
        let cors = cors(Some(&["https://apps.example"]));
        let of = |method: &str, fields: &[(&'static str, &'static str)]| {
            cors.preflight(&method.parse().unwrap(), &map(fields))
        };
        let asks = [("origin", "https://apps.example"), ("access-control-request-method", "PUT")];
        assert_eq!(of("OPTIONS", &asks), Some(Preflight::Admitted));
        assert_eq!(of("GET", &asks), None);
        assert_eq!(of("OPTIONS", &asks[..1]), None);
        assert_eq!(of("OPTIONS", &asks[1..]), None);
        let foreign = [("origin", "https://evil.test"), asks[1]];
        let refused = Preflight::Refused("https://evil.test".to_owned());
        assert_eq!(of("OPTIONS", &foreign), Some(refused));
    }

    #[test]
    fn every_origin_is_admitted_without_credentials() {
        let method = "GET".parse().unwrap();
        let mut headers = HeaderMap::new();
        let asks = map(&[("origin", "https://any.example")]);
        cors(None).fields(&method, &asks).put_on(&mut headers);
        let expected =
            map(&[("access-control-allow-origin", "*"), ("access-control-expose-headers", "etag")]);
        assert_eq!(headers, expected);
    }
}
