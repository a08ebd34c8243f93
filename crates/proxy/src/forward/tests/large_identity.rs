//! Callers with many groups.

use access_policy::Known;

use super::{super::*, fixtures::*};

fn member_of(groups: usize) -> Known {
    let groups = (0..groups).map(|number| format!("/departments/{number:04}/members"));
    Known { groups: groups.collect(), ..known() }
}

#[tokio::test]
async fn only_groups_of_the_rules_are_sent_where_the_route_says_so() {
    let (stage, raw) = (Stage::new(), Raw::new().await);
    let alice = Arc::new(member_of(300));
    let ok = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
    for (groups, seen) in
        [(None, 300), (Some(vec!["/departments/0007/members", "/elsewhere"]), 1), (Some(vec![]), 0)]
    {
        let mut route = route(&[raw.url()]);
        route.groups = groups.map(|list| Arc::new(list.into_iter().map(str::to_owned).collect()));
        let route = Arc::new(route);
        let caller = || Caller::Known(Arc::clone(&alice));
        for _ in 0..2 {
            let asked = stage.ask_as(&route, get("/"), caller(), Credential::None);
            let (response, head) = tokio::join!(asked, raw.serve_one(ok));
            assert_eq!(response.unwrap().status(), 200);
            let sent = fields(&head, "x-forwarded-groups").join(",");
            assert_eq!(sent.split(',').filter(|group| !group.is_empty()).count(), seen);
            assert_eq!(fields(&head, "x-forwarded-preferred-username"), ["alice"]);
            let assertion = fields(&head, "x-doorward-assertion")[0];
            let claims = assertion.split('.').nth(1).unwrap();
            let claims = base64::Engine::decode(&base64::prelude::BASE64_URL_SAFE_NO_PAD, claims);
            let claims: serde_json::Value = serde_json::from_slice(&claims.unwrap()).unwrap();
            assert_eq!(claims["groups"].as_array().unwrap().len(), seen);
        }
    }
}

#[tokio::test]
async fn a_large_identity_is_warned_of_once() {
    let (stage, raw) = (Stage::new(), Raw::new().await);
    let ok = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
    for (groups, warned) in [(3, false), (400, true)] {
        let route = raw.route();
        let caller = Caller::Known(Arc::new(member_of(groups)));
        let asked = stage.ask_as(&route, get("/"), caller, Credential::None);
        let (response, _) = tokio::join!(asked, raw.serve_one(ok));
        assert_eq!(response.unwrap().status(), 200);
        let first = route.upstream.as_ref().unwrap().first_large_identity();
        assert_eq!(first, !warned, "{groups} groups");
    }
}
