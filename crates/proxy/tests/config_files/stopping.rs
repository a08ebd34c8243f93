//! Keys about the end of the process and about the next one.

use std::{path::Path, time::Duration};

use doorward::config::Shutdown;

use super::{config, expect_each, small_with};

fn with(line: &str) -> String {
    small_with("session:", &format!("{line}\nsession:"))
}

#[test]
fn a_stop_has_times_for_each_kind_of_client() {
    let seconds = Duration::from_secs;
    let defaults = Shutdown { lame_duck: seconds(5), grace: seconds(30), streams: seconds(60) };
    assert_eq!(config(super::SMALL).shutdown, defaults);
    let some = config(&with("shutdown: { lame_duck: 0s, streams: 12h }")).shutdown;
    assert_eq!(some, Shutdown { lame_duck: Duration::ZERO, streams: seconds(43_200), ..defaults });
    let path = config(&with("hand_over: /run/doorward/next.sock")).hand_over;
    assert_eq!(path.as_deref(), Some(Path::new("/run/doorward/next.sock")));
}

#[test]
fn mistakes_about_the_stop_are_named() {
    let session = "session:";
    let case = |line: &str| format!("{line}\nsession:");
    let (long, unknown, relative, taken) = (
        case("shutdown: { grace: 25h }"),
        case("shutdown: { lame_duk: 5s }"),
        case("hand_over: next.sock"),
        case("listen: unix:/run/x.sock\nhand_over: /run/x.sock"),
    );
    expect_each(&[
        (session, &long, "shutdown.grace: invalid duration `1day 1h`: longer than a day"),
        (session, &unknown, "lame_duck"),
        (session, &relative, "hand_over: invalid path `next.sock`: not absolute"),
        (session, &taken, "hand_over: invalid path `/run/x.sock`: `listen` uses it"),
    ]);
}
