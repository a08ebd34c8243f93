//! Posted forms and queries: a parameter has one value or the form is refused.

use percent_encoding::percent_decode;
use url::form_urlencoded;

use crate::{
    gateway::{Refusal, parameter},
    tokens,
};

/// The form of a logout token; the same reader takes the query of each of the gateway's own URLs.
pub fn logout_form(data: &[u8]) {
    for name in ["logout_token", "rd", "issuer", "state"] {
        let values: Vec<String> = data
            .split(|byte| *byte == b'&')
            .filter_map(|pair| {
                let mut halves = pair.splitn(2, |byte| *byte == b'=').map(decoded);
                let key = halves.next().filter(|_| !pair.is_empty())?;
                (key == name).then(|| halves.next().unwrap_or_default())
            })
            .collect();
        match (parameter(data, name), &values[..]) {
            (Ok(None), []) => {}
            (Ok(Some(value)), [only]) => {
                assert_eq!(value, *only);
                let mut form = form_urlencoded::Serializer::new(String::new());
                let written = form.append_pair(name, &value).finish();
                assert_eq!(parameter(written.as_bytes(), name).unwrap(), Some(value.clone()));
                if name == "logout_token" {
                    tokens::jws(value.as_bytes());
                }
            }
            (Err(Refusal::Malformed { .. }), [_, _, ..]) => {}
            (found, values) => panic!("{found:?} of {values:?}"),
        }
    }
}

fn decoded(text: &[u8]) -> String {
    let spaced: Vec<u8> =
        text.iter().map(|byte| if *byte == b'+' { b' ' } else { *byte }).collect();
    percent_decode(&spaced).decode_utf8_lossy().into_owned()
}
