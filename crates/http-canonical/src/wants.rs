//! The form of the answer that a request asks for.

use http::{HeaderMap, header};

/// The form of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wants {
    /// A person looks at it: HTML.
    Page,
    /// A program reads it: `application/problem+json` (RFC 9457).
    Problem,
    /// A gRPC client reads it: a status in the header section.
    Grpc,
}

impl Wants {
    /// Decides by the headers that only a browser sends (Fetch Metadata), then by `Accept`.
    /// A browser omits the metadata on plain HTTP; then a script's request accepts `*/*`, and a page's `text/html`.
    pub fn of(headers: &HeaderMap) -> Self {
        let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
        if text("content-type").is_some_and(is_grpc) {
            return Self::Grpc;
        }
        let page = match (text("sec-fetch-mode"), text("sec-fetch-dest")) {
            (Some(mode), _) => mode == "navigate",
            (None, Some(destination)) => destination == "document",
            (None, None) => {
                text("x-requested-with").is_none()
                    && headers
                        .get_all(header::ACCEPT)
                        .iter()
                        .filter_map(|value| value.to_str().ok())
                        .any(accepts_html)
            }
        };
        if page { Self::Page } else { Self::Problem }
    }
}

fn is_grpc(content_type: &str) -> bool {
    let kind = content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    kind == "application/grpc" || kind.starts_with("application/grpc+")
}

fn accepts_html(accept: &str) -> bool {
    accept.split(',').any(|range| {
        let mut parts = range.split(';').map(str::trim);
        let html = parts.next().is_some_and(|kind| kind.eq_ignore_ascii_case("text/html"));
        html && !parts.any(|parameter| matches!(parameter, "q=0" | "q=0.0" | "q=0.00" | "q=0.000"))
    })
}

#[cfg(test)]
mod tests {
    use http::{HeaderMap, HeaderName, HeaderValue};

    use super::Wants;

    fn wants(headers: &[(&'static str, &'static str)]) -> Wants {
        let headers: HeaderMap = headers
            .iter()
            .map(|&(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)))
            .collect();
        Wants::of(&headers)
    }

    #[test]
    fn a_navigation_gets_a_page_and_a_script_gets_a_problem() {
        let html = ("accept", "text/html,application/xhtml+xml;q=0.9,*/*;q=0.8");
        assert_eq!(wants(&[("sec-fetch-mode", "navigate"), html]), Wants::Page);
        assert_eq!(wants(&[("sec-fetch-mode", "cors"), html]), Wants::Problem);
        assert_eq!(wants(&[("sec-fetch-mode", "websocket")]), Wants::Problem);
        assert_eq!(wants(&[html]), Wants::Page, "a browser on plain HTTP");
        assert_eq!(wants(&[html, ("x-requested-with", "XMLHttpRequest")]), Wants::Problem);
        assert_eq!(wants(&[("accept", "*/*")]), Wants::Problem);
        assert_eq!(wants(&[("accept", "application/json, text/html;q=0")]), Wants::Problem);
        assert_eq!(wants(&[]), Wants::Problem);
    }

    #[test]
    fn grpc_is_known_by_its_content_type() {
        assert_eq!(wants(&[("content-type", "application/grpc")]), Wants::Grpc);
        assert_eq!(wants(&[("content-type", "application/grpc+proto")]), Wants::Grpc);
        assert_eq!(wants(&[("content-type", "application/grpc-web")]), Wants::Problem);
    }
}
