//! Header fields that a route fills from facts about the caller.
//!
//! Values are encoded as those of the identity headers are: text of a token never becomes header syntax, nor does it look like
//! another part of the template. A field is left out when a value of its template is missing or has no form as text.

use http::{HeaderName, HeaderValue};
use serde_json::Value;

use super::identity::{SYNTAX, encoded, joined, one, roles};
use crate::{
    config::{IdentityTemplate, TemplatePart},
    route::SetFields,
};
use access_policy::Known;

/// The fields that this caller gives a value.
pub fn filled(fields: &SetFields, known: &Known) -> Vec<(HeaderName, HeaderValue)> {
    let filled =
        fields.iter().map(|(name, template)| Some((name.clone(), value(template, known)?)));
    filled.flatten().collect()
}

fn value(template: &IdentityTemplate, known: &Known) -> Option<HeaderValue> {
    let mut text = String::new();
    for part in template.parts() {
        let value = match part {
            TemplatePart::Text(own) => {
                text.push_str(own);
                continue;
            }
            TemplatePart::UserName => known.preferred_username.as_deref().and_then(plain),
            // An address that anyone can claim would let a user in as another.
            TemplatePart::Email => {
                known.email.as_deref().filter(|_| known.email_verified).and_then(plain)
            }
            TemplatePart::Subject => plain(&known.subject),
            TemplatePart::Issuer => plain(&known.iss),
            TemplatePart::Groups => joined(known.groups.iter().map(|group| encoded(group, SYNTAX))),
            TemplatePart::Roles => joined(roles(known)),
            TemplatePart::Claim(path) => known.claim(path).and_then(claim),
        };
        text.push_str(&without(value?, template.delimiters(), part));
    }
    one(&text)
}

/// An encoded value in which the characters that end it are encoded too. No encoding holds them, and the gateway's own `:` between a
/// client and its role stays: in names it is encoded before.
fn without(mut value: String, delimiters: &[char], part: &TemplatePart) -> String {
    for delimiter in delimiters {
        if !(*delimiter == ':' && *part == TemplatePart::Roles) && value.contains(*delimiter) {
            value = value.replace(*delimiter, &format!("%{:02X}", u32::from(*delimiter)));
        }
    }
    value
}

fn plain(text: &str) -> Option<String> {
    Some(encoded(text, SYNTAX)).filter(|text| !text.is_empty())
}

/// A text, number or truth value, or a list of these.
fn claim(value: &Value) -> Option<String> {
    let Value::Array(members) = value else { return scalar(value).filter(|text| !text.is_empty()) };
    let members: Vec<String> = members.iter().map(scalar).collect::<Option<_>>()?;
    joined(members.into_iter())
}

fn scalar(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(encoded(text, SYNTAX)),
        Value::Number(_) | Value::Bool(_) => Some(value.to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn written(template: &str, known: &Known) -> Option<String> {
        let value = value(&template.parse().unwrap(), known)?;
        Some(value.to_str().unwrap().to_owned())
    }

    #[test]
    fn every_placeholder_is_filled_from_the_caller() {
        let claims = json!({
            "department": "risk", "level": 3, "active": true, "teams": ["a,b", "c", "", 7],
            "org": { "unit": "lab" }, "mixed": ["a", { "b": 1 }], "nothing": null, "empty": "",
            "https://acme.example/tier": "gold",
        });
        let known = Known {
            subject: "s-1".into(),
            iss: "https://id.example".into(),
            preferred_username: Some("alice".into()),
            email: Some("alice@example".into()),
            email_verified: true,
            groups: vec!["/lab".into(), "dev,admin".into()],
            roles: vec!["admin".into()],
            client_roles: [("churn".to_owned(), vec!["score".to_owned()])].into(),
            claims: claims.as_object().unwrap().clone(),
            ..Known::default()
        };
        for (template, expected) in [
            ("{user_name}", "alice"),
            ("{email}", "alice@example"),
            ("{subject} of {issuer}", "s-1 of https://id.example"),
            ("{groups}", "/lab,dev%2Cadmin"),
            ("{roles}", "admin,churn:score"),
            ("d={claims.department};l={claims.level};{claims.active}", "d=risk;l=3;true"),
            ("{claims.teams}", "a%2Cb,c,7"),
            ("{claims.org.unit}", "lab"),
            ("{claims.https://acme.example/tier}", "gold"),
        ] {
            assert_eq!(written(template, &known).as_deref(), Some(expected), "{template}");
        }
        for template in [
            "{claims.org}",
            "{claims.mixed}",
            "{claims.nothing}",
            "{claims.empty}",
            "{claims.absent}",
            "{user_name}:{claims.absent}",
        ] {
            assert_eq!(written(template, &known), None, "{template}");
        }
        let unverified = Known { email_verified: false, ..known };
        assert_eq!(written("{email}", &unverified), None);
        assert_eq!(written("{user_name}", &Known::default()), None);
        assert_eq!(written("{subject}", &Known::default()), None);
        assert_eq!(written("{groups}", &Known::default()), None);
    }

    #[test]
    fn a_value_never_looks_like_another_part() {
        let known = Known {
            preferred_username: Some("mallory;groups=/admin".into()),
            groups: vec!["/lab".into(), "x;y=z".into()],
            roles: vec!["a:b".into()],
            client_roles: [("churn".to_owned(), vec!["score".to_owned()])].into(),
            ..Known::default()
        };
        for (template, expected) in [
            (
                "user={user_name};groups={groups}",
                "user=mallory%3Bgroups%3D/admin;groups=/lab,x%3By%3Dz",
            ),
            ("{user_name} ({roles})", "mallory;groups=/admin (a%3Ab,churn:score)"),
            ("{roles}:{user_name}", "a%3Ab,churn:score:mallory;groups=/admin"),
            // What comes before the only value needs no end.
            ("u=;{user_name}", "u=;mallory;groups=/admin"),
        ] {
            assert_eq!(written(template, &known).as_deref(), Some(expected), "{template}");
        }
    }

    #[test]
    fn hostile_values_stay_values() {
        let claims = json!({ "x": "a\r\nX-Admin: 1", "y": " \u{e9}% " });
        let known = Known { claims: claims.as_object().unwrap().clone(), ..Known::default() };
        assert_eq!(written("{claims.x}", &known).as_deref(), Some("a%0D%0AX-Admin: 1"));
        assert_eq!(written("[{claims.y}]", &known).as_deref(), Some("[%20%C3%A9%25%20]"));
    }
}
