//! Rules for tokens of other providers than Keycloak, as Python writes them.

use oidc_core::Validation;
use oidc_core::provider::IssuerTemplate;
use oidc_core::token::{ClaimPaths, Claims};
use oidc_core::verify::Profile;
use py_values::Texts;
use pyo3::prelude::*;
use pyo3::types::PyMapping;

use crate::errors;

/// The form of an issuer's tokens, and the places of names in them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Rules {
    pub(crate) profile: Profile,
    pub(crate) claims: Option<ClaimPaths>,
    pub(crate) tenants: Option<IssuerTemplate>,
}

/// Rules of one verifier.
#[derive(Clone, Debug, Default)]
pub(crate) struct Exceptions {
    pub(crate) client_is_audience: bool,
    pub(crate) access_token_issuer: Option<String>,
    pub(crate) trust_domain: Option<String>,
    pub(crate) id_tokens: bool,
    pub(crate) header_keys: bool,
}

impl Rules {
    /// These rules with another profile or other paths, where they are given.
    pub(crate) fn with(
        &self,
        py: Python<'_>,
        profile: Option<&str>,
        claims: Option<&Bound<'_, PyMapping>>,
    ) -> PyResult<Self> {
        let mut rules = self.clone();
        if let Some(name) = profile {
            rules.profile = self::profile(py, name)?;
        }
        if let Some(paths) = claims {
            rules.claims = Some(self::claims(py, rules.profile, paths)?);
        }
        Ok(rules)
    }

    pub(crate) fn apply(&self, validation: Validation) -> Validation {
        let mut validation = validation.with_profile(self.profile);
        if let Some(paths) = &self.claims {
            validation = validation.with_claims(paths.clone());
        }
        if let Some(template) = &self.tenants {
            validation = validation.with_tenants(template.clone());
        }
        validation
    }
}

impl Exceptions {
    /// Refuses what the profile cannot have.
    pub(crate) fn check(&self, py: Python<'_>, profile: Profile) -> PyResult<()> {
        let others = matches!(profile, Profile::Generic | Profile::Workload);
        for (code, given, fits, remedy) in [
            ("audience_claim", self.client_is_audience, others, "pass profile=\"generic\""),
            (
                "trust_domain",
                self.trust_domain.is_some(),
                profile == Profile::Workload,
                "pass profile=\"workload\"",
            ),
            (
                "dangerous_accept_id_tokens",
                self.id_tokens,
                profile == Profile::Generic,
                "pass profile=\"generic\"",
            ),
        ] {
            if given && !fits {
                let message = format!("{code} does not fit the profile");
                return Err(errors::configuration(py, code, message, remedy.to_owned()));
            }
        }
        Ok(())
    }

    pub(crate) fn apply(&self, mut validation: Validation) -> Validation {
        if self.client_is_audience {
            validation = validation.with_client_as_audience();
        }
        if let Some(identifier) = &self.access_token_issuer {
            validation = validation.with_access_token_issuer(identifier);
        }
        if let Some(domain) = &self.trust_domain {
            validation = validation.with_trust_domain(domain);
        }
        if self.id_tokens {
            validation = validation.dangerous_accept_id_tokens();
        }
        if self.header_keys {
            validation = validation.dangerous_ignore_header_keys();
        }
        validation
    }
}

/// `audience_claim`.
pub(crate) fn client_is_audience(py: Python<'_>, claim: &str) -> PyResult<bool> {
    match claim {
        "aud" => Ok(false),
        "client_id" => Ok(true),
        other => {
            let message = format!("the claim {other:?} does not name an audience");
            let remedy = "pass \"aud\" or \"client_id\"".to_owned();
            Err(errors::configuration(py, "audience_claim", message, remedy))
        }
    }
}

fn profile(py: Python<'_>, name: &str) -> PyResult<Profile> {
    match name {
        "keycloak" => Ok(Profile::Keycloak),
        "rfc9068" => Ok(Profile::Rfc9068),
        "generic" => Ok(Profile::Generic),
        "workload" => Ok(Profile::Workload),
        other => {
            let message = format!("the profile {other:?} is not known");
            let remedy = "pass \"keycloak\", \"rfc9068\", \"generic\" or \"workload\"".to_owned();
            Err(errors::configuration(py, "profile", message, remedy))
        }
    }
}

/// The paths that are given, over the profile's own.
fn claims(py: Python<'_>, profile: Profile, given: &Bound<'_, PyMapping>) -> PyResult<ClaimPaths> {
    let mut paths = match profile {
        Profile::Generic => ClaimPaths::generic(),
        Profile::Workload => ClaimPaths::none(),
        _ => ClaimPaths::keycloak(),
    };
    let given = given.items()?;
    for item in given.iter() {
        let (key, value): (String, Bound<'_, PyAny>) = item.extract()?;
        let one = || value.extract::<Option<String>>();
        let many = || {
            PyResult::Ok(
                value.extract::<Option<Texts>>()?.map_or_else(Vec::new, |Texts(paths)| paths),
            )
        };
        match key.as_str() {
            "subject" => paths.subject = one()?,
            "user_name" => paths.user_name = one()?,
            "email" => paths.email = one()?,
            "name" => paths.name = one()?,
            "client_roles" => paths.client_roles = one()?,
            "roles" => paths.roles = many()?,
            "groups" => paths.groups = many()?,
            "scopes" => paths.scopes = many()?,
            other => {
                let message = format!("claims has no key {other:?}");
                let remedy =
                    "pass subject, user_name, email, name, roles, client_roles, groups or scopes";
                return Err(errors::configuration(py, "claims", message, remedy.to_owned()));
            }
        }
    }
    if let Some(bad) = paths.iter().find(|path| !Claims::is_path(path)) {
        let message = format!("{bad:?} is not a path in claims");
        let remedy =
            "write names joined by dots, those that hold dots in quotation marks".to_owned();
        return Err(errors::configuration(py, "claims", message, remedy));
    }
    Ok(paths)
}
