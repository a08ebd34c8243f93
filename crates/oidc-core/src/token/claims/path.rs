//! Members by path.
//!
//! A path is the exact name of a claim, names joined by dots, a JSON Pointer, or names of which some are in quotation marks.
//! Quotation marks are for names that hold dots, and always have one reading: `"https://acme.example/app".roles`.

use super::{ClaimObject, ClaimValue, Claims};

impl Claims {
    /// A member by path: the exact name (`https://example/roles`), names joined by dots
    /// (`realm_access.roles`), names of which some are in quotation marks
    /// (`"https://acme.example/app".roles`), or a JSON Pointer (`/resource_access/my.client/roles`).
    ///
    /// Without quotation marks the longest name that exists wins at each level, so names may contain
    /// dots. A name in quotation marks is exactly that name, and so are the others of its path.
    ///
    /// ```
    /// let claims = oidc_core::Claims::parse(br#"{"https://acme.example/app":{"roles":["analyst"]}}"#)?;
    /// let roles = claims.get(r#""https://acme.example/app".roles"#);
    /// assert!(roles.is_some_and(|roles| roles == serde_json::json!(["analyst"])));
    /// # Ok::<(), oidc_core::token::InvalidClaims>(())
    /// ```
    pub fn get(&self, path: &str) -> Option<ClaimValue<'_>> {
        if let Some(pointer) = path.strip_prefix('/') {
            let mut names =
                pointer.split('/').map(|name| name.replace("~1", "/").replace("~0", "~"));
            let first = self.member(&names.next()?)?;
            return names.try_fold(first, |value, name| value.get(&name));
        }
        match path.contains('"') {
            true => quoted(&self.iter(), path),
            false => member(&self.iter(), path),
        }
    }

    /// Whether [`Claims::get`] can read `path`: it is not empty, and its quotation marks enclose whole
    /// names.
    pub fn is_path(path: &str) -> bool {
        let mut rest = path;
        if !path.contains('"') {
            return !path.trim().is_empty();
        }
        loop {
            match split(rest) {
                Some((name, None)) => return !name.is_empty(),
                Some((name, Some(more))) if !name.is_empty() => rest = more,
                _ => return false,
            }
        }
    }
}

fn member<'c>(members: &ClaimObject<'c>, path: &str) -> Option<ClaimValue<'c>> {
    if let Some(value) = members.get(path) {
        return Some(value);
    }
    path.rmatch_indices('.').find_map(|(dot, _)| {
        let inner = members.get(path.get(..dot)?)?.as_object()?;
        member(&inner, path.get(dot + 1..)?)
    })
}

fn quoted<'c>(members: &ClaimObject<'c>, path: &str) -> Option<ClaimValue<'c>> {
    match split(path)? {
        (name, None) => members.get(name),
        (name, Some(rest)) => quoted(&members.get(name)?.as_object()?, rest),
    }
}

/// The first name of a path with quotation marks, and the path after its dot.
fn split(path: &str) -> Option<(&str, Option<&str>)> {
    let (name, rest) = match path.strip_prefix('"') {
        Some(open) => open.split_once('"')?,
        None => path.split_at(path.find('.').unwrap_or(path.len())),
    };
    // A quotation mark within a name without them.
    if name.contains('"') {
        return None;
    }
    match rest.strip_prefix('.') {
        Some(more) => Some((name, Some(more))),
        None => rest.is_empty().then_some((name, None)),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::Claims;

    #[test]
    fn quotation_marks_enclose_names_with_dots() {
        let text = json!({
            "https://acme.example/app": {"roles": [1], "a.b": {"c": 2}},
            "https://acme": {"example/app": {"roles": [3]}},
        });
        let claims = Claims::parse(text.to_string().as_bytes()).unwrap();
        for (path, found) in [
            (r#""https://acme.example/app".roles"#, Some(json!([1]))),
            (r#""https://acme.example/app"."a.b".c"#, Some(json!(2))),
            (r#""https://acme"."example/app".roles"#, Some(json!([3]))),
            (r#""https://acme.example/app".a.b.c"#, None),
            (r#""https://acme".example/app.roles"#, Some(json!([3]))),
            (r#""https://acme.example/app""#, Some(text["https://acme.example/app"].clone())),
            (r#""https://acme.example/ap".roles"#, None),
        ] {
            assert_eq!(claims.get(path).map(|value| value.to_value()), found, "{path}");
        }
    }

    #[test]
    fn a_path_that_nothing_can_match_is_known() {
        for good in ["roles", "a.b", r#""a.b".c"#, r#"a."b.c""#, "/a/b", "https://acme.example/x"] {
            assert!(Claims::is_path(good), "{good}");
        }
        for bad in [
            "", " ", r#"""#, r#""a"#, r#"a""#, r#""a"b"#, r#""a"."#, r#"."a""#, r#""""#, r#"a"b"c"#,
        ] {
            assert!(!Claims::is_path(bad), "{bad}");
        }
    }
}
