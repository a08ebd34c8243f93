//! The method of a request in the one form that is judged and sent ([RFC 9110 §9.1]).
//!
//! Methods are case-sensitive, but servers differ: Django, Rails and PHP take `post` for POST, others refuse it. A rule about
//! POST would not match what those servers execute. A method therefore has upper-case letters, digits, `-` and `_` only; any
//! other is ambiguous and refused. CONNECT and TRACE are not served (RFC 9110 §9.3.6, §9.3.8).
//!
//! [RFC 9110 §9.1]: https://www.rfc-editor.org/rfc/rfc9110#section-9.1

use std::{fmt, ops::Deref, str::FromStr};

use http::Method;

/// A method that every server reads in the same way.
///
/// ```
/// use http_canonical::CanonicalMethod;
///
/// assert_eq!("POST".parse::<CanonicalMethod>()?, CanonicalMethod::POST);
/// assert!("post".parse::<CanonicalMethod>().is_err());
/// assert!("TRACE".parse::<CanonicalMethod>().is_err());
/// # Ok::<(), http_canonical::MethodRefusal>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct CanonicalMethod(Method);

/// Reasons a method is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MethodRefusal {
    /// A lower-case letter, or a character that no registered method has.
    #[error("the method has a character other than upper-case letters, digits, `-` and `_`")]
    Form,
    /// `CONNECT` or `TRACE`.
    #[error("the gateway does not serve {0}")]
    NotServed(Method),
}

impl CanonicalMethod {
    /// `GET`
    pub const GET: Self = Self(Method::GET);
    /// `HEAD`
    pub const HEAD: Self = Self(Method::HEAD);
    /// `POST`
    pub const POST: Self = Self(Method::POST);
    /// `DELETE`
    pub const DELETE: Self = Self(Method::DELETE);

    /// The method as it is sent.
    pub fn into_http(self) -> Method {
        self.0
    }

    /// Whether a rule for this method applies to a request with method `asked`. Servers handle HEAD like GET (RFC 9110 §9.3.2),
    /// so a rule for GET covers HEAD, but a rule for HEAD does not cover GET.
    pub fn covers(&self, asked: &Self) -> bool {
        self == asked || (*self == Self::GET && *asked == Self::HEAD)
    }
}

// === impl CanonicalMethod ===

impl TryFrom<Method> for CanonicalMethod {
    type Error = MethodRefusal;

    fn try_from(method: Method) -> Result<Self, MethodRefusal> {
        let plain = |byte: u8| {
            byte.is_ascii_uppercase() || byte.is_ascii_digit() || matches!(byte, b'-' | b'_')
        };
        if !method.as_str().bytes().all(plain) {
            return Err(MethodRefusal::Form);
        }
        if method == Method::CONNECT || method == Method::TRACE {
            return Err(MethodRefusal::NotServed(method));
        }
        Ok(Self(method))
    }
}

impl FromStr for CanonicalMethod {
    type Err = MethodRefusal;

    fn from_str(text: &str) -> Result<Self, MethodRefusal> {
        Method::from_bytes(text.as_bytes()).map_err(|_| MethodRefusal::Form)?.try_into()
    }
}

impl Deref for CanonicalMethod {
    type Target = Method;

    fn deref(&self) -> &Method {
        &self.0
    }
}

impl fmt::Display for CanonicalMethod {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_method_with_two_readings_is_refused() {
        for method in ["post", "Post", "pOST", "POSt", "get", "delete", "POST.", "PO%53T", "POST!"]
        {
            assert_eq!(method.parse::<CanonicalMethod>(), Err(MethodRefusal::Form), "{method}");
        }
        for method in ["CONNECT", "TRACE"] {
            let refused = method.parse::<CanonicalMethod>();
            assert!(matches!(refused, Err(MethodRefusal::NotServed(_))), "{method}");
        }
        for method in ["GET", "M-SEARCH", "VERSION-CONTROL", "PROPFIND", "QUERY", "X_1"] {
            assert_eq!(method.parse::<CanonicalMethod>().unwrap().to_string(), method);
        }
    }

    #[test]
    fn a_rule_for_get_covers_head() {
        assert!(CanonicalMethod::GET.covers(&CanonicalMethod::HEAD));
        assert!(!CanonicalMethod::HEAD.covers(&CanonicalMethod::GET));
        assert!(!CanonicalMethod::POST.covers(&CanonicalMethod::HEAD));
    }
}
