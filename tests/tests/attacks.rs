//! Attacks on the running gateway: they send real bytes and check the upstream's record and the client's answer.
//!
//! Beside every attack a similar legitimate request must pass, since a gateway that refuses everything is useless. The
//! provider is dev-issuer in this process, so the tests need cargo only.

#![expect(
    clippy::indexing_slicing,
    reason = "indexing JSON answers null for what is absent; a scenario may panic, which is how it fails"
)]

#[path = "attacks/stage.rs"]
mod stage;

#[path = "attacks/load.rs"]
mod load;
#[path = "attacks/browser.rs"]
mod browser;
#[path = "attacks/forger.rs"]
mod forger;

#[path = "attacks/paths.rs"]
mod paths;
#[path = "attacks/methods.rs"]
mod methods;
#[path = "attacks/side_doors.rs"]
mod side_doors;
#[path = "attacks/ext_authz.rs"]
mod ext_authz;
#[path = "attacks/ext_authz_ends.rs"]
mod ext_authz_ends;
#[path = "attacks/ext_authz_tls.rs"]
mod ext_authz_tls;
#[path = "attacks/proxy_protocol.rs"]
mod proxy_protocol;
#[path = "attacks/to_https.rs"]
mod to_https;
#[path = "attacks/question_addresses.rs"]
mod question_addresses;
#[path = "attacks/questions.rs"]
mod questions;
#[path = "attacks/held_requests.rs"]
mod held_requests;
#[path = "attacks/audit.rs"]
mod audit;
#[path = "attacks/admin.rs"]
mod admin;
#[path = "attacks/agents.rs"]
mod agents;
#[path = "attacks/activity.rs"]
mod activity;
#[path = "attacks/api_keys.rs"]
mod api_keys;
#[path = "attacks/api_key_page.rs"]
mod api_key_page;
#[path = "attacks/headers.rs"]
mod headers;
#[path = "attacks/forwarding.rs"]
mod forwarding;
#[path = "attacks/credentials.rs"]
mod credentials;
#[path = "attacks/token_carriers.rs"]
mod token_carriers;
#[path = "attacks/basic.rs"]
mod basic;
#[path = "attacks/certificate_callers.rs"]
mod certificate_callers;
#[path = "attacks/certificates.rs"]
mod certificates;
#[path = "attacks/dpop.rs"]
mod dpop;
#[path = "attacks/dpop_clients.rs"]
mod dpop_clients;
#[path = "attacks/dpop_grpc.rs"]
mod dpop_grpc;
#[path = "attacks/dpop_websockets.rs"]
mod dpop_websockets;
#[path = "attacks/origins.rs"]
mod origins;
#[path = "attacks/outbound.rs"]
mod outbound;
#[path = "attacks/overview.rs"]
mod overview;
#[path = "attacks/foreign_tokens.rs"]
mod foreign_tokens;
#[path = "attacks/sidecar.rs"]
mod sidecar;
#[path = "attacks/lab_and_run.rs"]
mod lab_and_run;
#[path = "attacks/workloads.rs"]
mod workloads;
#[path = "attacks/provider_guides.rs"]
mod provider_guides;
#[path = "attacks/two_issuers.rs"]
mod two_issuers;
#[path = "attacks/framing.rs"]
mod framing;
#[path = "attacks/answers.rs"]
mod answers;
#[path = "attacks/websockets.rs"]
mod websockets;
#[path = "attacks/websockets_http2.rs"]
mod websockets_http2;
#[path = "attacks/workers.rs"]
mod workers;
#[path = "attacks/proxying.rs"]
mod proxying;
#[path = "attacks/open_streams.rs"]
mod open_streams;
#[path = "attacks/long_exchanges.rs"]
mod long_exchanges;
#[path = "attacks/limits.rs"]
mod limits;
#[path = "attacks/model_usage.rs"]
mod model_usage;
#[path = "attacks/user_limits.rs"]
mod user_limits;
#[path = "attacks/late_answers.rs"]
mod late_answers;
#[path = "attacks/readiness.rs"]
mod readiness;
#[path = "attacks/upstreams.rs"]
mod upstreams;
#[path = "attacks/unread.rs"]
mod unread;
#[path = "attacks/ways_past.rs"]
mod ways_past;
#[path = "attacks/private_answers.rs"]
mod private_answers;
#[path = "attacks/tenants.rs"]
mod tenants;
#[path = "attacks/cookie_domain.rs"]
mod cookie_domain;
#[path = "attacks/tokens.rs"]
mod tokens;
#[path = "attacks/token_forms.rs"]
mod token_forms;
#[path = "attacks/token_bombs.rs"]
mod token_bombs;
#[path = "attacks/token_places.rs"]
mod token_places;
#[path = "attacks/token_exchange.rs"]
mod token_exchange;
#[path = "attacks/keys.rs"]
mod keys;
#[path = "attacks/algorithms.rs"]
mod algorithms;
#[path = "attacks/login_flow.rs"]
mod login_flow;
#[path = "attacks/id_tokens.rs"]
mod id_tokens;
#[path = "attacks/pages.rs"]
mod pages;
#[path = "attacks/redirects.rs"]
mod redirects;
#[path = "attacks/return_address.rs"]
mod return_address;
#[path = "attacks/cookies.rs"]
mod cookies;
#[path = "attacks/sessions.rs"]
mod sessions;
#[path = "attacks/shared_settings.rs"]
mod shared_settings;
#[path = "attacks/conformance.rs"]
mod conformance;
#[path = "attacks/cookie_names.rs"]
mod cookie_names;
#[path = "attacks/sign_outs.rs"]
mod sign_outs;
#[path = "attacks/double_encoded.rs"]
mod double_encoded;
#[path = "attacks/refreshes.rs"]
mod refreshes;
#[path = "attacks/logs.rs"]
mod logs;
#[path = "attacks/providers.rs"]
mod providers;
#[path = "attacks/user_info.rs"]
mod user_info;
#[path = "attacks/migrated.rs"]
mod migrated;
#[path = "attacks/misconfigured.rs"]
mod misconfigured;
#[path = "attacks/floods.rs"]
mod floods;
#[path = "attacks/traces.rs"]
mod traces;
#[path = "attacks/collectors.rs"]
mod collectors;
#[path = "attacks/trailers.rs"]
mod trailers;
#[path = "attacks/exchanges.rs"]
mod exchanges;
#[path = "attacks/provider_faults.rs"]
mod provider_faults;
#[path = "attacks/profiles.rs"]
mod profiles;
#[path = "attacks/reloads.rs"]
mod reloads;
#[path = "attacks/hand_overs.rs"]
mod hand_overs;
#[path = "attacks/revocations.rs"]
mod revocations;
#[path = "attacks/stops.rs"]
mod stops;
#[path = "attacks/rules.rs"]
mod rules;
#[path = "attacks/sign_in_levels.rs"]
mod sign_in_levels;
#[path = "attacks/applications.rs"]
mod applications;
#[path = "attacks/cross_origin.rs"]
mod cross_origin;
#[path = "attacks/audiences.rs"]
mod audiences;
