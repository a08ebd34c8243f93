use std::{sync::Arc, time::Duration};

use access_policy::Known;

use super::*;
use crate::log::tests::{after_time, of_events, of_fields};

fn trail() -> Trail {
    Trail { target: "/a\"b\u{1}".to_owned(), ..Trail::unread() }
}

fn whole() -> Trail {
    Trail {
        client: Some("2001:db8::1".parse().unwrap()),
        known: Some(Arc::new(Known {
            issuer: "main".to_owned(),
            subject: "s-1".to_owned(),
            preferred_username: Some("alice\u{85}".to_owned()),
            client: Some("gateway".to_owned()),
            ..Known::default()
        })),
        credential: "session",
        rule: Some(12),
        message: Some(Arc::new(McpMessage {
            method: "tools/call".to_owned(),
            name: Some("query_\"x\"".to_owned()),
        })),
        ..trail()
    }
}

/// Programs read both forms of the log.
#[test]
fn a_line_has_the_bytes_of_its_event() {
    let forbidden = Refusal::Internal { reason: "a \"reason\"".to_owned() };
    let login = Refusal::LoginNeeded {
        route: "app".to_owned(),
        redirect: true,
        return_to: "/".to_owned(),
        level: None,
    };
    let spent = |estimated| SpentTokens {
        model: Some("m \"7b\"".to_owned()),
        total: 44,
        input: 12,
        output: 30,
        estimated,
    };
    let (counted, estimated) = (spent(false), spent(true));
    let exchange =
        |bytes| Exchanged { request_id: "r-1", upstream: "http://app:8000", bytes, spent: None };
    let of_model = |spent| Exchanged { spent: Some(spent), ..exchange(Some((0, 4096))) };
    for (refusal, exchange) in [
        (None, None),
        (None, Some(exchange(None))),
        (None, Some(exchange(Some((0, 4096))))),
        (None, Some(of_model(&counted))),
        (None, Some(of_model(&estimated))),
        (Some(&forbidden), None),
        (Some(&login), None),
    ] {
        for trail in [trail(), whole()] {
            let line = Line {
                outcome: "forwarded",
                status: StatusCode::OK,
                refusal,
                took: Duration::from_micros(1234),
                exchange,
            };
            let event = of_events(|| trail.event(&line));
            let direct = of_fields(line.level(), "request", exchange.is_some(), |fields| {
                trail.fields(&line, fields);
            });
            assert_eq!(after_time(&direct), after_time(&event));
        }
    }
}
