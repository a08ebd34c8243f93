//! Attacks on the running gateway: real octets in, and what the upstream saw and the client got.
//!
//! Every attack stands beside its legitimate neighbour, which must pass: a gateway that refuses everything would be safe
//! and useless. The provider is dev-issuer in this process, so that nothing but cargo is needed.

#![expect(
    clippy::indexing_slicing,
    reason = "indexing JSON answers null for what is absent; a scenario may panic, which is how it fails"
)]

#[path = "attacks/stage.rs"]
mod stage;

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
#[path = "attacks/questions.rs"]
mod questions;
#[path = "attacks/audit.rs"]
mod audit;
#[path = "attacks/admin.rs"]
mod admin;
#[path = "attacks/headers.rs"]
mod headers;
#[path = "attacks/forwarding.rs"]
mod forwarding;
#[path = "attacks/credentials.rs"]
mod credentials;
#[path = "attacks/foreign_tokens.rs"]
mod foreign_tokens;
#[path = "attacks/two_issuers.rs"]
mod two_issuers;
#[path = "attacks/framing.rs"]
mod framing;
#[path = "attacks/answers.rs"]
mod answers;
#[path = "attacks/websockets.rs"]
mod websockets;
#[path = "attacks/open_streams.rs"]
mod open_streams;
#[path = "attacks/ways_past.rs"]
mod ways_past;
#[path = "attacks/private_answers.rs"]
mod private_answers;
#[path = "attacks/tokens.rs"]
mod tokens;
#[path = "attacks/token_forms.rs"]
mod token_forms;
#[path = "attacks/token_bombs.rs"]
mod token_bombs;
#[path = "attacks/token_places.rs"]
mod token_places;
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
#[path = "attacks/cookies.rs"]
mod cookies;
#[path = "attacks/sessions.rs"]
mod sessions;
#[path = "attacks/refreshes.rs"]
mod refreshes;
#[path = "attacks/logs.rs"]
mod logs;
#[path = "attacks/floods.rs"]
mod floods;
#[path = "attacks/bad_days.rs"]
mod bad_days;
