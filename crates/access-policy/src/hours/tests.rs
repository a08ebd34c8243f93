use super::*;

fn at(text: &str) -> SystemTime {
    let seconds = DateTime::parse_from_rfc3339(text).unwrap().timestamp();
    UNIX_EPOCH + Duration::from_secs(seconds.unsigned_abs())
}

fn office() -> Hours {
    use Weekday::{Friday, Monday, Thursday, Tuesday, Wednesday};
    Hours::new("09:00", "18:00", "Europe/Paris")
        .unwrap()
        .on([Monday, Tuesday, Wednesday, Thursday, Friday])
        .except(["2026-12-25"])
        .unwrap()
}

#[test]
fn hours_are_those_of_the_zone_in_winter_and_summer() {
    for (time, open) in [
        ("2026-11-30T07:59:59Z", false),
        ("2026-11-30T08:00:00Z", true),
        ("2026-11-30T16:59:59Z", true),
        ("2026-11-30T17:00:00Z", false),
        ("2026-07-01T07:00:00Z", true),
        ("2026-07-01T06:59:59Z", false),
        ("2026-11-28T12:00:00Z", false),
        ("2026-12-25T12:00:00Z", false),
        ("2026-12-24T12:00:00Z", true),
    ] {
        assert_eq!(office().include(at(time)), open, "{time}");
    }
}

#[test]
fn hours_past_midnight_belong_to_the_day_they_begin() {
    let night = Hours::new("22:00", "06:00", "UTC").unwrap().on([Weekday::Monday]);
    for (time, open) in [
        ("2026-11-30T21:59:00Z", false),
        ("2026-11-30T22:00:00Z", true),
        ("2026-12-01T05:59:00Z", true),
        ("2026-12-01T06:00:00Z", false),
        ("2026-12-01T22:30:00Z", false),
        ("2026-11-30T03:00:00Z", false),
    ] {
        assert_eq!(night.include(at(time)), open, "{time}");
    }
    // A holiday takes its whole night with it, and leaves the night before.
    let night = Hours::new("22:00", "06:00", "UTC").unwrap().except(["2026-12-01"]).unwrap();
    assert!(night.include(at("2026-12-01T05:00:00Z")));
    assert!(!night.include(at("2026-12-02T05:00:00Z")));
}

#[test]
fn the_end_is_the_first_moment_that_is_closed() {
    let end = |hours: &Hours, time| hours.end_after(at(time));
    assert_eq!(end(&office(), "2026-11-30T10:00:00Z"), Some(at("2026-11-30T17:00:00Z")));
    assert_eq!(end(&office(), "2026-11-30T19:00:00Z"), None);
    let night = Hours::new("22:00", "06:00", "Europe/Paris").unwrap();
    assert_eq!(end(&night, "2026-11-30T23:00:00Z"), Some(at("2026-12-01T05:00:00Z")));
    let whole = Hours::new("00:00", "24:00", "UTC").unwrap();
    assert!(whole.include(at("2026-11-30T23:59:59Z")) && whole.include(at("2026-11-30T00:00:00Z")));
    assert_eq!(end(&whole, "2026-11-30T12:00:00Z"), None);
    let weekend = whole.on([Weekday::Saturday, Weekday::Sunday]);
    assert_eq!(end(&weekend, "2026-11-28T12:00:00Z"), Some(at("2026-11-30T00:00:00Z")));
}

#[test]
fn the_end_is_found_when_clocks_change() {
    // 2026-03-29 in Paris: 02:00 becomes 03:00. 2026-10-25: 03:00 becomes 02:00.
    let early = Hours::new("00:30", "02:30", "Europe/Paris").unwrap();
    let end = early.end_after(at("2026-03-29T00:00:00Z")).unwrap();
    assert!(!early.include(end) && early.include(end - Duration::from_secs(3600)));
    let end = early.end_after(at("2026-10-24T23:00:00Z")).unwrap();
    assert_eq!(end, at("2026-10-25T01:30:00Z"));
}

#[test]
fn each_bad_value_says_what_to_write() {
    let message = |from, to, zone| Hours::new(from, to, zone).unwrap_err().to_string();
    for text in ["9:00", "09:60", "24:01", "0900", "09:00:00", "", "-9:00", "+9:00"] {
        assert!(message(text, "18:00", "UTC").contains("such as `09:00`"), "{text}");
    }
    assert!(message("09:00", "09:00", "UTC").contains("are the same"));
    for zone in ["Paris", "europe/paris", "CEST", ""] {
        assert!(message("09:00", "18:00", zone).contains("IANA"), "{zone}");
    }
    for date in ["2026-02-30", "25.12.2026", "2026-1-2", ""] {
        let error = office().except([date]).unwrap_err();
        assert!(error.to_string().contains("such as `2026-12-25`"), "{date}");
    }
}

#[test]
fn a_time_that_no_calendar_has_is_closed() {
    let whole = Hours::new("00:00", "24:00", "UTC").unwrap();
    assert!(!whole.include(UNIX_EPOCH - Duration::from_secs(1)));
    assert!(!whole.include(UNIX_EPOCH + Duration::from_secs(u64::from(u32::MAX) * 100_000)));
}

#[test]
fn hours_are_shown_in_words() {
    assert_eq!(
        office().to_string(),
        "09:00 to 18:00 in Europe/Paris on Mon, Tue, Wed, Thu, Fri, except 1 date"
    );
}
