use metrics_exporter_prometheus::PrometheusBuilder;

use access_policy::{Allow, Known, Policy, Requirement, Rule};

use super::*;

/// Rules about a job.
fn jobs() -> Policy {
    let requirement = Requirement {
        subjects: vec!["repo:corp/*:x".parse().unwrap()],
        issuers: vec!["ci".to_owned()],
        ..Requirement::default()
    };
    let allow = Allow::AnyOf(vec![requirement]);
    Policy::new(vec![Rule {
        path: None,
        methods: Vec::new(),
        messages: None,
        allow,
        shadow: false,
    }])
}

#[test]
fn every_metric_of_the_table_is_counted_and_no_other() {
    let recorder = PrometheusBuilder::new().build_recorder();
    let handle = recorder.handle();
    metrics::with_local_recorder(&recorder, || {
        login("main", "ok");
        exchanged("main", "ok");
        outbound("churn", "forwarded");
        logout("main", "here");
        refreshed("main", "ok");
        token_verified("main", "verified");
        api_key_refused("unknown");
        session_opened("opened");
        let took = Duration::from_millis(2);
        store(RedisEvent::Call { operation: "load", outcome: "ok", took });
        store(RedisEvent::Reconnected { connection: "calls" });
        store(RedisEvent::ChangesArriving(true));
        reloaded("ok");
        configured("abc", Some("xyz"));
        request("app", "no_route");
        underscored("app").increment(1);
        let meters = RouteMeters::new("app").with_workloads("app", &jobs());
        for (subject, allowed) in
            [("repo:corp/churn:x", true), ("repo:corp/churn", false), ("b", false)]
        {
            let known = Known { issuer: "ci".into(), subject: subject.into(), ..Known::default() };
            meters.called_by(Some(&known), true);
            meters.called_by(Some(&Known { workload: true, ..known }), allowed);
        }
        meters.called_by(None, true);
        meters.forwarded(
            http::StatusCode::NOT_FOUND,
            Duration::from_millis(7),
            Duration::from_millis(5),
        );
        meters.sent(5);
        meters.received(3);
        meters.retried(true);
        issuer_available("main", true);
        store_available(true);
        ejections("app", "http://app:8000").increment(1);
        upstream_healthy("app", "http://app:8000", true);
        // `stage` keeps handles of whichever recorder the first test to call it had.
        histogram!(STAGES, "stage" => "total").record(0.005);
        shadow("app", 1, "allow");
        connections(1.0);
        accept_failed();
        connections_limit(10);
        proxy_protocol_refused("untrusted");
        worker(0, 2, took);
        limit_reached("head");
        user_limit_reached("concurrent_streams");
        let (route, issuer) = ("app", "main");
        model_tokens(ModelTokens { route, issuer, client: "ci", model: "llama" }, 3, 5);
        model_answer("app", "counted");
        malformed("host");
        panicked();
        handshake_failed("timeout");
        certificate_reloaded("replaced");
        spans("exported").increment(1);
        let load = UpstreamLoad { connections: 2, ..UpstreamLoad::default() };
        sample(3, [("main".to_owned(), 2)].into_iter(), [("app", load)].into_iter(), 1);
    });
    let page = handle.render();
    let mut counted: Vec<&str> =
        page.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next()).collect();
    counted.sort_unstable();
    let mut documented: Vec<&str> = METRICS.iter().map(|metric| metric.name).collect();
    documented.sort_unstable();
    assert_eq!(counted, documented);
    assert!(page.contains("doorward_upstream_connections{route=\"app\"} 2"), "{page}");
    assert!(page.contains("doorward_config_info{hash=\"xyz\"} 0"), "{page}");
    for line in [
        "doorward_requests_total{route=\"app\",outcome=\"forwarded\"} 1",
        "doorward_upstream_responses_total{route=\"app\",status=\"4xx\"} 1",
        "doorward_body_bytes_total{route=\"app\",direction=\"sent\"} 5",
        "doorward_body_bytes_total{route=\"app\",direction=\"received\"} 3",
        "doorward_request_seconds_count{route=\"app\"} 1",
        "doorward_workload_requests_total{route=\"app\",issuer=\"ci\",subject=\"repo:corp/*:x\",outcome=\"allowed\"} 1",
        "doorward_workload_requests_total{route=\"app\",issuer=\"ci\",subject=\"-\",outcome=\"refused\"} 2",
    ] {
        assert!(page.contains(line), "{line}: {page}");
    }
    let build = format!("doorward_build_info{{version=\"{}\"}} 1", env!("CARGO_PKG_VERSION"));
    assert!(page.contains(&build), "{page}");
}
