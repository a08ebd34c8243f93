//! Parameters of requests to the admin listener.

use std::collections::HashMap;

use axum::{
    http::StatusCode,
    response::{IntoResponse, Response},
};

/// The reason a query is invalid.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Invalid(pub(super) String);

impl IntoResponse for Invalid {
    fn into_response(self) -> Response {
        (StatusCode::BAD_REQUEST, format!("{}\n", self.0)).into_response()
    }
}

/// The parameters of a query, each one known, given once, and UTF-8: a misspelt one must not end more sessions than meant.
pub(super) fn parameters<const N: usize>(
    query: Option<&str>,
    known: [&'static str; N],
) -> Result<HashMap<&'static str, String>, Invalid> {
    let mut given = HashMap::with_capacity(N);
    for (name, value) in url::form_urlencoded::parse(query.unwrap_or_default().as_bytes()) {
        let Some(known) = known.iter().find(|known| **known == name) else {
            return Err(Invalid(match known.join("`, `") {
                none if none.is_empty() => "unknown parameter: none is taken here".to_owned(),
                known => format!("unknown parameter: `{known}` are taken here"),
            }));
        };
        if value.contains(char::REPLACEMENT_CHARACTER) {
            return Err(Invalid(format!("invalid parameter `{known}`: not UTF-8")));
        }
        if given.insert(*known, value.into_owned()).is_some() {
            return Err(Invalid(format!("parameter `{known}` is given twice")));
        }
    }
    Ok(given)
}

#[cfg(test)]
mod tests {
    use super::parameters;

    #[test]
    fn each_parameter_is_known_and_given_once() {
        let read = |query| parameters(Some(query), ["user", "issuer"]);
        let given = read("user=a%2Bb&issuer=main").unwrap();
        assert_eq!((given["user"].as_str(), given["issuer"].as_str()), ("a+b", "main"));
        assert!(parameters(None, ["user"]).unwrap().is_empty());
        assert!(read("").unwrap().is_empty());
        for bad in [
            "user=a&user=a",
            "user=a&us%65r=b",
            "User=a",
            "user=a&x",
            "user[]=a",
            "subject=a",
            "user=%ff",
        ] {
            assert!(read(bad).is_err(), "{bad}");
        }
        assert!(parameters(Some("user=a"), []).is_err());
    }
}
