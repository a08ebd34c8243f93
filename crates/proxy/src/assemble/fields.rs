//! Header fields of a route, from its configuration: those for the upstream, those of answers.

use std::{collections::BTreeSet, sync::Arc};

use http::{HeaderName, HeaderValue};
use url::{Host, Url};

use super::{AssembleError, at};
use crate::{
    config::{Config, CorsConfig, CorsOrigin, ResponseRules, RouteConfig},
    route::{Cors, ResponseFields, SetFields},
};

/// A year: the least that lists of browsers ask for.
const STRICT_TRANSPORT: HeaderValue = HeaderValue::from_static("max-age=31536000");

/// The fields that the upstream of a route receives about the caller.
///
/// # Errors
///
/// A name that is no field name.
pub(super) fn set(
    place: &str,
    route: &RouteConfig,
) -> Result<Option<Arc<SetFields>>, AssembleError> {
    let fields = route.identity.set.iter().map(|(name, template)| {
        let name = field(name).map_err(at(format!("{place}.identity.set")))?;
        Ok((name, template.clone()))
    });
    Ok(SetFields::new(fields.collect::<Result<_, AssembleError>>()?).map(Arc::new))
}

/// The fields that no client may send to the upstreams of a route: those that this route fills, and those of other routes to one of
/// these upstreams, which cannot tell by which route a request came.
///
/// # Errors
///
/// A name that is no field name.
pub(super) fn reserved(
    place: &str,
    route: &RouteConfig,
    config: &Config,
) -> Result<Vec<HeaderName>, AssembleError> {
    let shares =
        |other: &&RouteConfig| other.upstream.iter().any(|one| route.upstream.contains(one));
    let names = config.routes.values().filter(shares).flat_map(|other| other.identity.set.keys());
    let names: BTreeSet<&String> = names.chain(route.identity.set.keys()).collect();
    let mut reserved = Vec::with_capacity(names.len());
    for name in names {
        let name = field(name).map_err(at(format!("{place}.identity.set")))?;
        if !reserved.contains(&name) {
            reserved.push(name);
        }
    }
    Ok(reserved)
}

/// `Authorization` for the upstream of a route.
///
/// # Errors
///
/// The secret cannot be read, or does not fit the scheme.
pub(super) fn credentials(
    place: &str,
    route: &RouteConfig,
) -> Result<Option<HeaderValue>, AssembleError> {
    let credentials = route.identity.credentials.as_ref();
    let value = credentials.map(|credentials| credentials.authorization()).transpose();
    value.map_err(at(format!("{place}.identity.credentials")))
}

/// The changes to the responses of a route.
///
/// # Errors
///
/// A name or a value that no field has.
pub(super) fn response(
    place: &str,
    rules: &ResponseRules,
    config: &Config,
) -> Result<ResponseFields, AssembleError> {
    let place = format!("{place}.headers.response");
    let set = rules.set.iter().map(|(name, value)| {
        let name = field(name).map_err(at(format!("{place}.set")))?;
        Ok((name, HeaderValue::from_str(value).map_err(at(format!("{place}.set")))?))
    });
    let remove = rules.remove.iter().map(|name| field(name).map_err(at(format!("{place}.remove"))));
    let fields = ResponseFields::new(
        set.collect::<Result<_, AssembleError>>()?,
        remove.collect::<Result<_, AssembleError>>()?,
    );
    Ok(match strict_transport(&config.public_url) {
        Some(value) => fields.with_strict_transport(value),
        None => fields,
    })
}

/// `Strict-Transport-Security` where browsers use https. It holds for every port of a host, so that on the machine itself it would
/// lock other programs out; browsers ignore it for addresses (RFC 6797 §8.1.1).
pub(super) fn strict_transport(public_url: &Url) -> Option<HeaderValue> {
    let is_name = match public_url.host() {
        Some(Host::Domain(name)) => name != "localhost" && !name.ends_with(".localhost"),
        Some(Host::Ipv4(_) | Host::Ipv6(_)) | None => false,
    };
    (public_url.scheme() == "https" && is_name).then_some(STRICT_TRANSPORT)
}

/// The pages of other origins that may read the answers of a route.
///
/// # Errors
///
/// A name that is no field name.
pub(super) fn cors(place: &str, route: &RouteConfig) -> Result<Option<Cors>, AssembleError> {
    let Some(cors) = &route.cors else { return Ok(None) };
    let place = format!("{place}.cors");
    let list = |names: &[String]| {
        let text = names.join(", ");
        let value = (!text.is_empty()).then(|| HeaderValue::from_str(&text)).transpose();
        value.map_err(at(place.clone()))
    };
    Ok(Some(Cors {
        origins: origins(cors).map_err(at(place.clone()))?,
        methods: HeaderValue::from_str(&cors.methods.join(", ")).map_err(at(place.clone()))?,
        headers: list(&cors.headers)?,
        expose: list(&cors.expose)?,
        credentials: cors.credentials,
        max_age: HeaderValue::from(cors.max_age.as_secs()),
    }))
}

/// The origins as browsers write them; `None` for all.
fn origins(
    cors: &CorsConfig,
) -> Result<Option<Vec<HeaderValue>>, http::header::InvalidHeaderValue> {
    let mut origins = Vec::with_capacity(cors.origins.len());
    for origin in &cors.origins {
        match origin {
            CorsOrigin::Any => return Ok(None),
            CorsOrigin::One(origin) => origins.push(HeaderValue::from_str(origin.as_str())?),
        }
    }
    Ok(Some(origins))
}

fn field(name: &str) -> Result<HeaderName, http::header::InvalidHeaderName> {
    HeaderName::from_bytes(name.as_bytes())
}
