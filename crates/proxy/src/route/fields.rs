//! Header fields that one route writes or removes, besides those of every route.

use http::{HeaderMap, HeaderName, HeaderValue, header};

use crate::config::IdentityTemplate;

/// Fields of requests that are filled from facts about the caller.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SetFields(Vec<(HeaderName, IdentityTemplate)>);

impl SetFields {
    /// These fields; `None` if there are none.
    pub fn new(fields: Vec<(HeaderName, IdentityTemplate)>) -> Option<Self> {
        (!fields.is_empty()).then_some(Self(fields))
    }

    /// Each field with its template.
    pub fn iter(&self) -> impl Iterator<Item = (&HeaderName, &IdentityTemplate)> {
        self.0.iter().map(|(name, template)| (name, template))
    }
}

/// Changes to the header section of an upstream's responses.
#[derive(Debug, Clone, Default)]
pub struct ResponseFields {
    set: Vec<(HeaderName, HeaderValue)>,
    remove: Vec<HeaderName>,
    /// `Strict-Transport-Security` of responses that have none, and of the gateway's own answers on the route.
    transport: Option<HeaderValue>,
}

impl ResponseFields {
    /// Removes these fields, then sets those; each set field replaces the upstream's.
    pub fn new(set: Vec<(HeaderName, HeaderValue)>, remove: Vec<HeaderName>) -> Self {
        let own = set.iter().find(|(name, _)| *name == header::STRICT_TRANSPORT_SECURITY);
        let transport = own.map(|(_, value)| value.clone());
        Self { set, remove, transport }
    }

    /// Has browsers use https for the host from now on, unless the route sets or removes the field itself.
    #[must_use]
    pub fn with_strict_transport(mut self, value: HeaderValue) -> Self {
        if self.transport.is_none() && self.leaves_transport() {
            self.transport = Some(value);
        }
        self
    }

    /// Whether the route does not remove `Strict-Transport-Security`.
    pub fn leaves_transport(&self) -> bool {
        !self.remove.contains(&header::STRICT_TRANSPORT_SECURITY)
    }

    /// `Strict-Transport-Security` of the gateway's own answers on the route.
    pub fn transport(&self) -> Option<&HeaderValue> {
        self.transport.as_ref()
    }

    /// Changes the header section of a response.
    pub fn apply(&self, headers: &mut HeaderMap) {
        for name in &self.remove {
            headers.remove(name);
        }
        for (name, value) in &self.set {
            headers.insert(name.clone(), value.clone());
        }
        if let Some(transport) = &self.transport {
            headers.entry(header::STRICT_TRANSPORT_SECURITY).or_insert_with(|| transport.clone());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HSTS: HeaderValue = HeaderValue::from_static("max-age=31536000");

    fn after(fields: &ResponseFields, given: &[(HeaderName, &'static str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in given {
            headers.append(name.clone(), HeaderValue::from_static(value));
        }
        fields.apply(&mut headers);
        headers
    }

    #[test]
    fn strict_transport_is_a_default_that_a_route_overrides() {
        let field = header::STRICT_TRANSPORT_SECURITY;
        let plain = ResponseFields::default().with_strict_transport(HSTS);
        assert_eq!(after(&plain, &[])[&field], HSTS);
        assert_eq!(after(&plain, &[(field.clone(), "max-age=5")])[&field], "max-age=5");
        let zero = HeaderValue::from_static("max-age=0");
        let own = ResponseFields::new(vec![(field.clone(), zero.clone())], Vec::new())
            .with_strict_transport(HSTS);
        assert_eq!(after(&own, &[(field.clone(), "max-age=5")])[&field], zero);
        assert_eq!(own.transport(), Some(&zero));
        let none = ResponseFields::new(Vec::new(), vec![field.clone()]).with_strict_transport(HSTS);
        assert!(after(&none, &[(field, "max-age=5")]).is_empty());
        assert_eq!(none.transport(), None);
    }

    #[test]
    fn a_set_field_replaces_every_line_of_the_upstreams() {
        let set = vec![(header::SERVER, HeaderValue::from_static("gateway"))];
        let fields = ResponseFields::new(set, vec![header::VIA]);
        let given = [(header::SERVER, "a"), (header::SERVER, "b"), (header::VIA, "1.1 c")];
        let headers = after(&fields, &given);
        assert_eq!(headers.get_all(header::SERVER).iter().collect::<Vec<_>>(), ["gateway"]);
        assert_eq!(headers.len(), 1);
    }
}
