//! Reading a request's headers (RFC 6750 §2.1, §3.1; RFC 9449 §4.3, §7.1).

use http::{HeaderMap, HeaderName, HeaderValue, Method};
use oidc_core::dpop::DpopPolicy;
use oidc_core::verify::{InvalidRequest, Presented};

use super::World;

fn headers(lines: &[(&'static str, &[u8])]) -> HeaderMap {
    let line = |(name, value): &(&'static str, &[u8])| {
        (HeaderName::from_static(name), HeaderValue::from_bytes(value).unwrap())
    };
    lines.iter().map(line).collect()
}

#[test]
fn a_token_comes_from_one_well_formed_authorization_header() {
    const GOOD: [&[u8]; 6] = [
        b"Bearer mF_9.B5f-4.1JqM",
        b"bearer mF_9.B5f-4.1JqM",
        b"BEARER mF_9.B5f-4.1JqM",
        b"Bearer   mF_9.B5f-4.1JqM",
        b"Bearer abc==",
        b"Bearer a~b+c/d",
    ];
    const NONE: [&[u8]; 6] =
        [b"Basic YTpi", b"Negotiate x", b"", b"Bearer\tx", b"Bearertoken", b"DPoP abc"];
    const MALFORMED: [&[u8]; 9] = [
        b"Bearer",
        b"Bearer ",
        b"Bearer a b",
        b"Bearer a,b",
        b"Bearer a, Bearer b",
        b"Bearer =",
        b"Bearer \"abc\"",
        b"Bearer a=b",
        b"Bearer \xc3\xa4",
    ];
    let of = |value| {
        let headers = headers(&[("authorization", value)]);
        Presented::from_headers(&headers, &Method::GET, None).map(|found| found.is_some())
    };
    for value in GOOD {
        assert_eq!(of(value), Ok(true), "{}", value.escape_ascii());
    }
    for value in NONE {
        assert_eq!(of(value), Ok(false), "{}", value.escape_ascii());
    }
    for value in MALFORMED {
        assert_eq!(
            of(value),
            Err(InvalidRequest::MalformedAuthorization),
            "{}",
            value.escape_ascii()
        );
    }
}

#[test]
fn two_authorizations_are_one_too_many_whatever_they_hold() {
    for (one, two) in [("Bearer a", "Bearer a"), ("Basic YTpi", "Bearer a"), ("", "Bearer a")] {
        let headers =
            headers(&[("authorization", one.as_bytes()), ("authorization", two.as_bytes())]);
        assert_eq!(
            Presented::from_headers(&headers, &Method::GET, None).unwrap_err(),
            InvalidRequest::SeveralAuthorizations
        );
    }
}

#[tokio::test]
async fn the_scheme_dpop_needs_exactly_one_proof() {
    let world = World::new(DpopPolicy::default());
    let token = world.token();
    let dpop = format!("dpop {token}");
    let (one, two) = (world.proof(&token), world.proof(&token));
    for (proofs, code) in [
        (&[][..], "proof_missing"),
        (&[one.as_bytes(), two.as_bytes()], "proof_several"),
        (&[b"\xff"], "proof_malformed"),
        (&[one.as_bytes()], "accepted"),
    ] {
        let mut lines = vec![("authorization", dpop.as_bytes())];
        lines.extend(proofs.iter().map(|proof| ("dpop", *proof)));
        let headers = headers(&lines);
        let presented = Presented::from_headers(&headers, &Method::GET, Some(&world.url));
        assert_eq!(world.code(&presented.unwrap().unwrap()).await, code);
    }
}

#[test]
fn a_presented_token_prints_nothing() {
    let text = format!("{:?}", Presented::bearer("secret-token"));
    assert!(!text.contains("secret-token"), "{text}");
}
