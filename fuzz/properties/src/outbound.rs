//! Paths of the local listener: what is sent stays below the target's own path, in every reading.

use std::sync::LazyLock;

use doorward::outbound::target_name;
use doorward::upstream::{Rewrite, Upstream, UpstreamTls};
use http_canonical::{CanonicalPath, Keep};
use url::Url;

const NAME: &str = "churn";
const BASE: &str = "/base";

/// A path of a request, as it is and behind the name of a target.
pub fn outbound(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    for written in [text.to_owned(), format!("/{NAME}{text}"), format!("/{NAME}/{text}")] {
        let Ok(path) = CanonicalPath::parse(&written, Keep::default()) else { continue };
        if target_name(&path).is_ok_and(|name| name == NAME) {
            sent(&path);
        }
    }
}

fn sent(path: &CanonicalPath) {
    static TARGET: LazyLock<Upstream> = LazyLock::new(|| {
        let rewrite = Rewrite {
            strip_prefix: Some(format!("/{NAME}").parse().unwrap()),
            add_prefix: Some(BASE.parse().unwrap()),
            ..Rewrite::default()
        };
        let url = "http://service.internal".parse().unwrap();
        Upstream::new(&[url], &UpstreamTls::platform()).unwrap().with_rewrite(rewrite)
    });
    let sent = TARGET.rewritten(path);
    let below = |path: &str| path.starts_with(&format!("{BASE}/"));
    assert!(below(&sent), "{path} is sent as {sent}");
    let again = CanonicalPath::parse(&sent, Keep::default());
    let again = again.unwrap_or_else(|error| panic!("{path} is sent as {sent}: {error}"));
    for reading in again.readings() {
        assert!(below(reading), "{path} is sent as {sent}, which may be read as {reading}");
    }
    let url = Url::parse("http://service.internal").unwrap().join(&sent).unwrap();
    assert!(url.host_str() == Some("service.internal") && below(url.path()), "{path}: {url}");
}
