//! The answer to Envoy: a request is let through with changes to its header, or its client gets an answer of the gateway's.

use std::collections::BTreeSet;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, Response, StatusCode, header};
use http_body_util::{BodyExt as _, Limited};
use http_canonical::{X_DOORWARD_TOKEN, reserved::is_hop_by_hop};

use super::messages::{
    APPEND, CheckResponse, DeniedHttpResponse, HeaderValue, HeaderValueOption, HttpStatus,
    OVERWRITE, OkHttpResponse, Status,
};
use crate::{
    forward::{
        Described, X_DOORWARD_ASSERTION, X_FORWARDED_EMAIL, X_FORWARDED_GROUPS, X_FORWARDED_ISSUER,
        X_FORWARDED_PREFERRED_USERNAME, X_FORWARDED_ROLES, X_FORWARDED_USER,
    },
    listen::Body,
};

/// Most bytes of a page; every page is far below.
const LONGEST: usize = 1024 * 1024;

/// Fields about Envoy's own connections and its own trace. It writes them itself.
const OF_ENVOY: [&str; 12] = [
    "connection",
    "content-length",
    "expect",
    "host",
    "http2-settings",
    "keep-alive",
    "proxy-connection",
    "te",
    "traceparent",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// Fields that are removed also when Envoy is configured not to mention them.
static NEVER_OF_A_CLIENT: [HeaderName; 8] = [
    X_DOORWARD_ASSERTION,
    X_DOORWARD_TOKEN,
    X_FORWARDED_EMAIL,
    X_FORWARDED_GROUPS,
    X_FORWARDED_ISSUER,
    X_FORWARDED_PREFERRED_USERNAME,
    X_FORWARDED_ROLES,
    X_FORWARDED_USER,
];

/// `google.rpc.Code`
const OK: i32 = 0;
const PERMISSION_DENIED: i32 = 7;
const UNAUTHENTICATED: i32 = 16;

/// Lets a request through. `sent` is its header as Envoy has it, `answer` what the client's answer is to have besides.
pub(super) fn let_through(
    sent: &HeaderMap,
    described: Described,
    answer: &HeaderMap,
) -> CheckResponse {
    let Described { headers, reserved } = described;
    let of_envoy = |name: &HeaderName| OF_ENVOY.binary_search(&name.as_str()).is_ok();
    let mut ok = OkHttpResponse::default();
    let mut unsendable = Vec::new();
    for name in headers.keys().filter(|name| !of_envoy(name)) {
        if headers.get_all(name).iter().eq(sent.get_all(name).iter()) {
            continue;
        }
        match replacing(&headers, name) {
            Some(fields) => ok.headers.extend(fields),
            // What the client sent must not stay either: a cookie of the gateway's may be in it.
            None => unsendable.push(name),
        }
    }
    // Envoy removes after it has set: no name may be in both lists.
    let gone = sent.keys().chain(&reserved).chain(&NEVER_OF_A_CLIENT);
    let gone: BTreeSet<&str> = gone
        .filter(|name| !of_envoy(name) && !headers.contains_key(*name))
        .chain(unsendable)
        .map(HeaderName::as_str)
        .collect();
    ok.headers_to_remove = gone.into_iter().map(str::to_owned).collect();
    for (name, value) in answer {
        // The upstream may set cookies and vary its answer, too.
        let adds = *name == header::SET_COOKIE || *name == header::VARY;
        let action = if adds { APPEND } else { OVERWRITE };
        ok.response_headers_to_add.extend(field(name, value, action));
    }
    CheckResponse {
        status: Some(Status { code: OK }),
        ok_response: Some(ok),
        ..CheckResponse::default()
    }
}

/// Answers the client with this response.
pub(super) async fn refused(response: Response<Body>) -> CheckResponse {
    let (parts, body) = response.into_parts();
    let body = match Limited::new(body, LONGEST).collect().await {
        Ok(body) => body.to_bytes(),
        Err(_) => Bytes::new(),
    };
    let of_connection =
        |name: &HeaderName| is_hop_by_hop(name.as_str()) || *name == header::CONTENT_LENGTH;
    let headers = parts
        .headers
        .keys()
        .filter(|name| !of_connection(name))
        .filter_map(|name| replacing(&parts.headers, name))
        .flatten()
        .collect();
    let code = match parts.status {
        StatusCode::UNAUTHORIZED | StatusCode::FOUND => UNAUTHENTICATED,
        _ => PERMISSION_DENIED,
    };
    CheckResponse {
        status: Some(Status { code }),
        denied_response: Some(DeniedHttpResponse {
            status: Some(HttpStatus { code: status(parts.status) }),
            headers,
            body: String::from_utf8_lossy(&body).into_owned(),
        }),
        ..CheckResponse::default()
    }
}

/// A status that Envoy knows (`envoy.type.v3.StatusCode`). It takes an answer with another one for a failure of this service.
fn status(status: StatusCode) -> i32 {
    let known = matches!(
        status.as_u16(),
        200..=208 | 226 | 300..=305 | 307 | 308 | 400..=417 | 421..=424 | 426 | 428 | 429 | 431
            | 500..=508 | 510 | 511
    );
    let status = if known { status } else { StatusCode::FORBIDDEN };
    i32::from(status.as_u16())
}

/// Every value of a name, the first in place of those that are there; `None` if one of them is no text.
fn replacing(headers: &HeaderMap, name: &HeaderName) -> Option<Vec<HeaderValueOption>> {
    let action = |index| if index == 0 { OVERWRITE } else { APPEND };
    let values = headers.get_all(name).iter().enumerate();
    values.map(|(index, value)| field(name, value, action(index))).collect()
}

/// A value; `None` if it is not UTF-8, because Envoy takes text only.
fn field(
    name: &HeaderName,
    value: &http::HeaderValue,
    append_action: i32,
) -> Option<HeaderValueOption> {
    let value = std::str::from_utf8(value.as_bytes()).ok()?.to_owned();
    let header = HeaderValue { key: name.as_str().to_owned(), value, ..HeaderValue::default() };
    Some(HeaderValueOption { header: Some(header), append_action })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(fields: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            headers.append(*name, http::HeaderValue::from_static(value));
        }
        headers
    }

    fn let_through_with(sent: &[(&'static str, &'static str)]) -> OkHttpResponse {
        let headers = map(&[("accept", "*/*"), ("x-forwarded-user", "alice"), ("cookie", "a=1")]);
        let reserved = vec![HeaderName::from_static("x-team")];
        let described = Described { headers, reserved };
        let answer =
            map(&[("set-cookie", "s=1"), ("set-cookie", "t=2"), ("cache-control", "private")]);
        let_through(&map(sent), described, &answer).ok_response.unwrap()
    }

    fn names(fields: &[HeaderValueOption]) -> Vec<(&str, i32)> {
        fields
            .iter()
            .map(|field| (field.header.as_ref().unwrap().key.as_str(), field.append_action))
            .collect()
    }

    #[test]
    fn what_the_upstream_must_not_get_is_removed() {
        let ok = let_through_with(&[
            ("accept", "*/*"),
            ("authorization", "Bearer t"),
            ("cookie", "a=1; session=s"),
            ("x-forwarded-user", "mallory"),
            ("x-forwarded-groups", "admin"),
            ("x-original-url", "/admin"),
            ("x_forwarded_user", "mallory"),
            ("connection", "upgrade"),
            ("host", "a"),
        ]);
        assert_eq!(names(&ok.headers), [("x-forwarded-user", OVERWRITE), ("cookie", OVERWRITE)]);
        for name in [
            "authorization",
            "x-doorward-assertion",
            "x-doorward-token",
            "x-forwarded-groups",
            "x-forwarded-roles",
            "x-original-url",
            "x-team",
            "x_forwarded_user",
        ] {
            assert!(ok.headers_to_remove.iter().any(|removed| removed == name), "{name}");
        }
        for name in ["x-forwarded-user", "cookie", "accept", "connection", "host"] {
            assert!(ok.headers_to_remove.iter().all(|removed| removed != name), "{name}");
        }
    }

    #[test]
    fn a_value_that_is_no_text_is_removed_and_not_kept() {
        let mut headers = map(&[]);
        headers.insert("cookie", http::HeaderValue::from_bytes(b"a=\xe9").unwrap());
        let described = Described { headers, reserved: Vec::new() };
        let sent = map(&[("cookie", "session=s")]);
        let ok = let_through(&sent, described, &map(&[])).ok_response.unwrap();
        assert!(ok.headers.is_empty() && ok.headers_to_remove.iter().any(|name| name == "cookie"));
    }

    #[test]
    fn cookies_of_the_answer_join_those_of_the_upstream() {
        let ok = let_through_with(&[]);
        let added = names(&ok.response_headers_to_add);
        assert_eq!(
            added,
            [("set-cookie", APPEND), ("set-cookie", APPEND), ("cache-control", OVERWRITE)]
        );
    }

    #[test]
    fn the_lists_are_sorted_for_the_search() {
        assert!(OF_ENVOY.is_sorted());
    }

    #[tokio::test]
    async fn envoy_gets_statuses_that_it_knows_only() {
        for (status, sent) in
            [(401, 401), (302, 302), (421, 421), (429, 429), (599, 403), (299, 403)]
        {
            let mut response = Response::new(Body::from("text"));
            *response.status_mut() = StatusCode::from_u16(status).unwrap();
            response
                .headers_mut()
                .insert(header::CONNECTION, http::HeaderValue::from_static("close"));
            let answer = refused(response).await;
            let denied = answer.denied_response.unwrap();
            assert_eq!(denied.status.unwrap().code, sent);
            assert!(denied.headers.is_empty() && denied.body == "text");
            assert_ne!(answer.status.unwrap().code, OK);
        }
    }
}
