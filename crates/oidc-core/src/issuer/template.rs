//! Issuers with one identifier for each tenant, as Microsoft Entra has them.
//!
//! The tenants are a list: a template alone would trust every customer of the provider.

use std::borrow::Cow;

use super::{InvalidIssuer, Issuer};
use crate::foreign_text::quoted;

/// Place of the tenant in a template, as Entra's metadata writes it.
const PLACEHOLDER: &str = "{tenantid}";

/// Tenant whose metadata is read for a template: the one of all organizations.
const ALL: &str = "organizations";

/// An issuer identifier with a place for the tenant, and the tenants whose tokens are accepted.
///
/// ```
/// use oidc_core::provider::IssuerTemplate;
/// let entra = "https://login.microsoftonline.com/{tenantid}/v2.0";
/// let tenant = "9122040d-6c67-4c5b-b112-36a304b66dad";
/// let template = IssuerTemplate::new(entra, [tenant])?;
/// let issuers: Vec<_> = template.issuers().map(|issuer| issuer.as_str()).collect();
/// assert_eq!(issuers, ["https://login.microsoftonline.com/9122040d-6c67-4c5b-b112-36a304b66dad/v2.0"]);
/// assert!(IssuerTemplate::new(entra, ["common"]).is_err(), "every tenant is no tenant");
/// # Ok::<(), oidc_core::provider::InvalidIssuer>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IssuerTemplate {
    issuer: Issuer,
    tenants: Vec<Tenant>,
}

/// A tenant, and the identifier that its tokens have.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Tenant {
    id: String,
    issuer: Issuer,
}

impl IssuerTemplate {
    /// The template with one `{tenantid}`, and the tenants that may take its place.
    ///
    /// # Errors
    ///
    /// [`InvalidIssuer::NotATemplate`] and [`InvalidIssuer::NotATenant`]; the others as for an issuer.
    pub fn new<T: AsRef<str>>(
        template: &str,
        tenants: impl IntoIterator<Item = T>,
    ) -> Result<Self, InvalidIssuer> {
        let wrong = |reason| InvalidIssuer::NotATemplate { value: quoted(template), reason };
        let [before, after] = template.split(PLACEHOLDER).collect::<Vec<_>>()[..] else {
            return Err(wrong("it must hold {tenantid} once"));
        };
        // Not in the host: a tenant would choose the server.
        if !before.ends_with('/')
            || before.ends_with("//")
            || !(after.is_empty() || after.starts_with('/'))
        {
            return Err(wrong("{tenantid} must be a whole segment of the path"));
        }
        before.parse::<Issuer>()?;
        let issuer: Issuer = template.parse()?;
        let tenant = |id: T| {
            let id = id.as_ref();
            check_tenant(id)?;
            let issuer = format!("{before}{id}{after}").parse()?;
            Ok(Tenant { id: id.to_owned(), issuer })
        };
        let tenants = tenants.into_iter().map(tenant).collect::<Result<Vec<_>, InvalidIssuer>>()?;
        if tenants.is_empty() {
            return Err(wrong("it needs at least one tenant"));
        }
        Ok(Self { issuer, tenants })
    }

    /// Whether a text has the place for the tenant, so that it needs tenants.
    pub fn is_template(text: &str) -> bool {
        text.contains(PLACEHOLDER)
    }

    /// The template itself, by which the provider calls itself in its metadata. Its metadata is read
    /// at the tenant `organizations`.
    pub fn issuer(&self) -> &Issuer {
        &self.issuer
    }

    /// The identifiers of the tenants.
    pub fn issuers(&self) -> impl Iterator<Item = &Issuer> {
        self.tenants.iter().map(|tenant| &tenant.issuer)
    }

    /// The tenant of an identifier; `None` if it is not accepted.
    pub(crate) fn tenant(&self, issuer: &str) -> Option<&str> {
        let tenant = self.tenants.iter().find(|tenant| tenant.issuer.as_str() == issuer)?;
        Some(&tenant.id)
    }

    /// Whether a key whose `issuer` is `named` signs tokens of `issuer`.
    pub(crate) fn signs(&self, named: &str, issuer: &str) -> bool {
        named == issuer
            || self.tenant(issuer).is_some_and(|id| named.replace(PLACEHOLDER, id) == issuer)
    }
}

fn check_tenant(id: &str) -> Result<(), InvalidIssuer> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    let reason = match id {
        "" => "it is empty",
        "common" | "organizations" | "consumers" => {
            "it stands for many tenants, and no token names it"
        }
        id if id.bytes().all(|byte| byte == b'.') || !id.bytes().all(plain) => {
            "it holds other characters than letters, digits, `-`, `_` and `.`"
        }
        _ => return Ok(()),
    };
    Err(InvalidIssuer::NotATenant { value: quoted(id), reason })
}

/// The address below which the metadata of an identifier is: for a template, at the tenant of all organizations.
pub(super) fn discovery_address(identifier: &str) -> Cow<'_, str> {
    match identifier.contains(PLACEHOLDER) {
        true => Cow::Owned(identifier.replace(PLACEHOLDER, ALL)),
        false => Cow::Borrowed(identifier),
    }
}

#[cfg(test)]
mod tests {
    use super::{InvalidIssuer, IssuerTemplate};

    const ENTRA: &str = "https://login.microsoftonline.com/{tenantid}/v2.0";

    #[test]
    fn a_template_is_filled_with_listed_tenants_only() {
        let template = IssuerTemplate::new(ENTRA, ["t-1", "t-2"]).unwrap();
        let issuer = |tenant: &str| ENTRA.replace("{tenantid}", tenant);
        assert_eq!(template.tenant(&issuer("t-2")), Some("t-2"));
        for other in ["t-3", "T-1", "{tenantid}", "t-1/v2.0/x", "", "organizations"] {
            assert_eq!(template.tenant(&issuer(other)), None, "{other}");
        }
        assert_eq!(
            template.issuer().discovery_url(),
            "https://login.microsoftonline.com/organizations/v2.0/.well-known/openid-configuration"
        );
    }

    #[test]
    fn a_key_signs_for_the_issuer_that_it_names() {
        let template = IssuerTemplate::new(ENTRA, ["t-1", "t-2"]).unwrap();
        let issuer = |tenant: &str| ENTRA.replace("{tenantid}", tenant);
        assert!(template.signs(ENTRA, &issuer("t-1")));
        assert!(template.signs(&issuer("t-1"), &issuer("t-1")));
        assert!(!template.signs(&issuer("t-2"), &issuer("t-1")));
        assert!(!template.signs("https://elsewhere.example/{tenantid}", &issuer("t-1")));
        assert!(!template.signs(ENTRA, &issuer("t-3")));
    }

    #[test]
    fn a_template_with_two_readings_is_refused() {
        for text in [
            "https://id.example/v2.0",
            "https://id.example/{tenantid}/{tenantid}",
            "https://{tenantid}/v2.0",
            "https://{tenantid}.id.example/v2.0",
            "https://id.example/x{tenantid}",
            "https://id.example/{tenantid}x/v2.0",
            "https://id.example?t={tenantid}",
        ] {
            let refused = IssuerTemplate::new(text, ["t"]);
            assert!(matches!(refused, Err(InvalidIssuer::NotATemplate { .. })), "{text}");
        }
        for tenant in ["", ".", "..", "a/b", "a b", "common", "organizations", "{tenantid}", "a%2F"]
        {
            let refused = IssuerTemplate::new(ENTRA, [tenant]);
            assert!(matches!(refused, Err(InvalidIssuer::NotATenant { .. })), "{tenant}");
        }
        assert!(IssuerTemplate::new(ENTRA, [""; 0]).is_err());
    }
}
