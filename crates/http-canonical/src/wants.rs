//! The form of the answer that a request asks for.

use http::{HeaderMap, HeaderName, header};

const SEC_FETCH_MODE: HeaderName = HeaderName::from_static("sec-fetch-mode");
const SEC_FETCH_DEST: HeaderName = HeaderName::from_static("sec-fetch-dest");
const X_REQUESTED_WITH: HeaderName = HeaderName::from_static("x-requested-with");

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
    ///
    /// A browser omits the metadata on plain HTTP. A page is then what prefers `text/html` to all else (RFC 9110 §12.5.1), and
    /// names it first among equals: programs that also read HTML, as pip does, give it a lower weight.
    pub fn of(headers: &HeaderMap) -> Self {
        let text = |name: HeaderName| headers.get(name).and_then(|value| value.to_str().ok());
        if text(header::CONTENT_TYPE).is_some_and(is_grpc) {
            return Self::Grpc;
        }
        let page = match (text(SEC_FETCH_MODE), text(SEC_FETCH_DEST)) {
            (Some(mode), _) => mode == "navigate",
            (None, Some(destination)) => destination == "document",
            (None, None) => text(X_REQUESTED_WITH).is_none() && prefers_html(headers),
        };
        if page { Self::Page } else { Self::Problem }
    }
}

fn is_grpc(content_type: &str) -> bool {
    const GRPC: &str = "application/grpc";
    let kind = content_type.split(';').next().unwrap_or_default().trim();
    let is_like = |start: &str| start.eq_ignore_ascii_case(GRPC);
    kind.split_at_checked(GRPC.len())
        .is_some_and(|(start, rest)| is_like(start) && (rest.is_empty() || rest.starts_with('+')))
}

/// Whether `text/html` is the first of the media ranges with the highest weight.
fn prefers_html(headers: &HeaderMap) -> bool {
    let ranges = headers
        .get_all(header::ACCEPT)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','));
    let mut best = 0;
    let mut html = false;
    for range in ranges {
        let mut parts = range.split(';').map(str::trim);
        let kind = parts.next().unwrap_or_default();
        let weight = parts.find_map(weight).unwrap_or(1000);
        if weight > best {
            best = weight;
            html = kind.eq_ignore_ascii_case("text/html");
        }
    }
    html
}

/// The weight in a parameter `q=0.8`, in thousandths ([RFC 9110 §12.4.2]); 0, "not acceptable", for a malformed one.
///
/// [RFC 9110 §12.4.2]: https://www.rfc-editor.org/rfc/rfc9110#section-12.4.2
fn weight(parameter: &str) -> Option<u16> {
    let (name, value) = parameter.split_once('=')?;
    if !name.eq_ignore_ascii_case("q") {
        return None;
    }
    let (whole, fraction) = value.split_once('.').unwrap_or((value, ""));
    let digits = fraction.len() <= 3 && fraction.bytes().all(|digit| digit.is_ascii_digit());
    let thousandths = format!("{fraction:0<3}").parse::<u16>().ok().filter(|_| digits);
    Some(match (whole, thousandths) {
        ("0", Some(thousandths)) => thousandths,
        ("1", Some(0)) => 1000,
        _ => 0,
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
    fn a_program_that_also_reads_html_is_no_navigation() {
        const PIP: &str = "application/vnd.pypi.simple.v1+json, application/vnd.pypi.simple.v1+html; q=0.1, text/html; q=0.01";
        const UV: &str = "application/vnd.pypi.simple.v1+json, application/vnd.pypi.simple.v1+html;q=0.2, text/html;q=0.01";
        for program in [
            PIP,
            UV,
            "application/json, text/html",
            "*/*, text/html",
            "text/html;q=0.5, */*",
            "text/html;q=0.9, text/plain;q=0.95",
            "text/html;q=2",
            "text/html;q=0.8000",
            "text/html;q=",
            "text/html;q=0.+1",
            "text/html;level=1;Q=0",
        ] {
            assert_eq!(wants(&[("accept", program)]), Wants::Problem, "{program}");
        }
        for browser in [
            "text/html",
            "TEXT/HTML, application/xhtml+xml",
            "text/html,application/xhtml+xml,application/xml;q=0.9,image/webp,*/*;q=0.8",
            "application/json;q=0.9, text/html;q=0.95",
            "text/html;level=1, */*;q=0.1",
            "text/html;q=1.000, */*",
        ] {
            assert_eq!(wants(&[("accept", browser)]), Wants::Page, "{browser}");
        }
    }

    #[test]
    fn grpc_is_known_by_its_content_type() {
        assert_eq!(wants(&[("content-type", "application/grpc")]), Wants::Grpc);
        assert_eq!(wants(&[("content-type", "application/grpc+proto")]), Wants::Grpc);
        assert_eq!(wants(&[("content-type", "application/grpc-web")]), Wants::Problem);
    }
}
