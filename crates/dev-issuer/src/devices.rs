//! Device authorizations ([RFC 8628]): a program without a browser polls until a person has typed its
//! code in a browser. A PKCE challenge in the first request binds the code to the program.
//!
//! [RFC 8628]: https://www.rfc-editor.org/rfc/rfc8628

use std::collections::HashMap;
use std::time::{Duration, SystemTime};

use crate::identifiers::random_handle;
use crate::pkce::Challenge;
use crate::scope::Scope;
use crate::shared::Shared;

pub(crate) const LIFETIME: Duration = Duration::from_secs(600);
pub(crate) const INTERVAL: Duration = Duration::from_secs(5);

/// Letters that are hard to confuse and spell no words (RFC 8628 §6.1).
const ALPHABET: &[u8] = b"BCDFGHJKLMNPQRSTVWXZ";

#[derive(Debug, Default)]
pub(crate) struct Devices(Shared<HashMap<String, Device>>);

#[derive(Clone, Debug)]
pub(crate) struct Device {
    pub(crate) client: String,
    pub(crate) scope: Scope,
    pub(crate) user_code: String,
    code_challenge: Option<Challenge>,
    answer: Answer,
    issued: SystemTime,
    last_poll: Option<SystemTime>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Answer {
    Pending,
    Allowed { session: String },
    Denied,
}

/// Answer to a poll of the device.
#[derive(Debug)]
pub(crate) enum Poll {
    Pending,
    TooSoon,
    Denied,
    Expired,
    Unknown,
    WrongVerifier,
    Allowed { scope: Scope, session: String },
}

impl Devices {
    /// `(device_code, user_code)`
    pub(crate) fn begin(
        &self,
        client: &str,
        scope: Scope,
        code_challenge: Option<Challenge>,
        now: SystemTime,
    ) -> (String, String) {
        let mut devices = self.0.lock();
        devices.retain(|_, device| device.age(now) < LIFETIME * 2);
        let code = random_handle();
        let device = Device {
            client: client.to_owned(),
            scope,
            user_code: user_code(),
            code_challenge,
            answer: Answer::Pending,
            issued: now,
            last_poll: None,
        };
        let user_code = device.user_code.clone();
        devices.insert(code.clone(), device);
        (code, user_code)
    }

    /// The device that waits under this code. Only letters and digits of the typed code count,
    /// in either case.
    pub(crate) fn waiting(&self, user_code: &str, now: SystemTime) -> Option<Device> {
        let typed = normalised(user_code);
        let devices = self.0.lock();
        devices.values().find(|device| device.is_waiting_for(&typed, now)).cloned()
    }

    /// Records the person's answer; false when no device waits under this code.
    pub(crate) fn answer(&self, user_code: &str, session: Option<String>, now: SystemTime) -> bool {
        let typed = normalised(user_code);
        let mut devices = self.0.lock();
        let Some(device) = devices.values_mut().find(|device| device.is_waiting_for(&typed, now))
        else {
            return false;
        };
        device.answer = session.map_or(Answer::Denied, |session| Answer::Allowed { session });
        true
    }

    pub(crate) fn poll(
        &self,
        device_code: &str,
        client: &str,
        code_verifier: Option<&str>,
        now: SystemTime,
    ) -> Poll {
        let mut devices = self.0.lock();
        let Some(device) = devices.get_mut(device_code).filter(|device| device.client == client)
        else {
            return Poll::Unknown;
        };
        if device.age(now) >= LIFETIME {
            return Poll::Expired;
        }
        let challenge = device.code_challenge.as_ref();
        if challenge.is_some_and(|own| !code_verifier.is_some_and(|sent| own.is_answered_by(sent)))
        {
            return Poll::WrongVerifier;
        }
        let last = device.last_poll.replace(now);
        match &device.answer {
            Answer::Denied => Poll::Denied,
            Answer::Allowed { session } => {
                let (scope, session) = (device.scope.clone(), session.clone());
                devices.remove(device_code);
                Poll::Allowed { scope, session }
            }
            Answer::Pending => match last.and_then(|last| now.duration_since(last).ok()) {
                Some(since) if since < INTERVAL => Poll::TooSoon,
                _ => Poll::Pending,
            },
        }
    }
}

impl Device {
    fn age(&self, now: SystemTime) -> Duration {
        now.duration_since(self.issued).unwrap_or(Duration::ZERO)
    }

    fn is_waiting_for(&self, typed: &str, now: SystemTime) -> bool {
        self.answer == Answer::Pending
            && self.age(now) < LIFETIME
            && normalised(&self.user_code) == typed
    }
}

/// `BCDF-GHJK`
fn user_code() -> String {
    let letters: Vec<char> = rand::random::<[u16; 8]>()
        .iter()
        .filter_map(|random| ALPHABET.get(usize::from(*random) % ALPHABET.len()))
        .map(|letter| char::from(*letter))
        .collect();
    let (left, right) = letters.split_at(4);
    left.iter().chain(&['-']).chain(right).collect()
}

fn normalised(typed: &str) -> String {
    typed.chars().filter(char::is_ascii_alphanumeric).map(|c| c.to_ascii_uppercase()).collect()
}
