//! One token in memory: the end of its use, and the time of its refresh.

use std::time::{Duration, SystemTime};

use tokio::time::Instant;

use crate::access_token::AccessToken;

/// Longest time before expiry at which a refresh begins.
const MARGIN: Duration = Duration::from_secs(30);
/// Assumed life of a token when the issuer does not state it.
const UNSTATED_LIFE: Duration = Duration::from_secs(60);
/// Time for which a token is used that has expired on arrival, so that an issuer whose clock differs
/// is asked once a second and not once a call.
const SHORTEST_USE: Duration = Duration::from_secs(1);

/// Longest accepted life, so that sums of times never overflow.
const LONGEST_LIFE: Duration = Duration::from_secs(10 * 365 * 24 * 60 * 60);

/// The present moment, by both clocks.
///
/// The wall clock is what expiry times refer to, and it counts the time that the machine slept. The
/// monotonic clock still advances when the wall clock is set back.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Now {
    pub(crate) wall: SystemTime,
    pub(crate) monotonic: Instant,
}

impl std::ops::Add<Duration> for Now {
    type Output = Self;

    fn add(self, time: Duration) -> Self {
        Self { wall: self.wall + time, monotonic: self.monotonic + time }
    }
}

impl Now {
    /// True if this moment has come, by either clock.
    fn has_come(self, now: Self) -> bool {
        now.wall >= self.wall || now.monotonic >= self.monotonic
    }
}

#[derive(Clone, Debug)]
pub(crate) struct Held {
    pub(crate) token: AccessToken,
    /// End of its use; `None` if the expiry is unknown.
    ends: Option<Now>,
    refresh: Now,
    life: Duration,
}

impl Held {
    /// A token that was obtained at `obtained` by the wall clock: now, or earlier by another process.
    pub(crate) fn new(token: AccessToken, obtained: SystemTime, now: Now) -> Self {
        let left = life(&token, obtained).saturating_sub(since(obtained, now.wall));
        let left = left.max(SHORTEST_USE);
        let life = life(&token, obtained);
        let refresh = now + left.saturating_sub(margin(life));
        let ends = token.expires_at().map(|_| now + left);
        Self { token, ends, refresh, life }
    }

    /// A token that was obtained now, and is not kept after `end` even if it expires later.
    pub(crate) fn until(token: AccessToken, end: SystemTime, now: Now) -> Self {
        let held = Self::new(token, now.wall, now);
        let left = since(now.wall, end).min(LONGEST_LIFE);
        let cut = now + left;
        let ends = match held.ends {
            Some(ends) if ends.wall < cut.wall => ends,
            _ => cut,
        };
        let due = now + left.saturating_sub(margin(left));
        let refresh = if due.wall < held.refresh.wall { due } else { held.refresh };
        Self { ends: Some(ends), refresh, ..held }
    }

    pub(crate) fn is_good(&self, now: Now) -> bool {
        !self.ends.is_some_and(|ends| ends.has_come(now))
    }

    /// True if it is valid and its refresh is not due, by the wall clock alone.
    pub(crate) fn is_fresh(&self, wall: SystemTime) -> bool {
        wall < self.refresh.wall && self.ends.is_none_or(|ends| wall < ends.wall)
    }

    /// Time left to serve it; `None` if the expiry is unknown.
    pub(crate) fn left(&self, now: Instant) -> Option<Duration> {
        self.ends.map(|ends| ends.monotonic.saturating_duration_since(now))
    }

    pub(crate) fn is_due(&self, now: Now) -> bool {
        self.refresh.has_come(now)
    }

    /// The same token, whose refresh is not tried before `wait` has passed.
    pub(crate) fn refreshed_in(&self, wait: Duration, now: Now) -> Self {
        Self { refresh: now + wait, ..self.clone() }
    }

    /// Shortest time between two renewals for rejected tokens.
    pub(crate) fn between_renewals(&self) -> Duration {
        renewal_pause(self.life)
    }
}

/// Life of a token that was obtained at `obtained`.
pub(crate) fn life(token: &AccessToken, obtained: SystemTime) -> Duration {
    token.expires_at().map_or(UNSTATED_LIFE, |at| since(obtained, at)).min(LONGEST_LIFE)
}

/// True if it is time to ask for the next token.
#[cfg_attr(
    not(all(unix, feature = "file-cache")),
    expect(dead_code, reason = "for the file cache")
)]
pub(crate) fn is_due(token: &AccessToken, obtained: SystemTime, now: SystemTime) -> bool {
    let life = life(token, obtained);
    life.saturating_sub(since(obtained, now)) <= margin(life)
}

/// The pause between two renewals of tokens that live this long and are rejected.
pub(crate) fn renewal_pause(life: Duration) -> Duration {
    MARGIN.min(life / 2)
}

/// Time before expiry at which a token is refreshed. Random, so that the processes that hold it do
/// not all ask at once.
fn margin(life: Duration) -> Duration {
    MARGIN.min(life / 2).mul_f64(rand::random_range(0.8..=1.0))
}

fn since(earlier: SystemTime, later: SystemTime) -> Duration {
    later.duration_since(earlier).unwrap_or_default()
}
