//! `Claims`: the claims of a verified token. Read-only, and made once for each remembered token.
//!
//! Nested values (`claims["realm_access"]`) are copied at each reading: the claims outlive the request that verified them, so no
//! caller may change them.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use oidc_core::token::ClaimValue;
use oidc_core::{AccessToken, Claims as Said, IdToken, Verified};
use py_values::refuse_pickling;
use pyo3::exceptions::{PyAttributeError, PyKeyError};
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyDict, PyFrozenSet, PyList, PyString, PyType};

use crate::json;

/// The claims of a verified access token, or of an assertion of the gateway: a read-only mapping, with the usual ones as typed attributes.
///
/// Only a :class:`Verifier` makes one, so it proves that the token was verified. A value read from it
/// (``claims["realm_access"]``) is a copy.
#[pyclass(frozen, mapping, weakref, module = "doorward")]
pub(crate) struct Claims {
    said: Arc<Said>,
    dialect: Dialect,
    roles: PyOnceLock<Py<PyFrozenSet>>,
    groups: PyOnceLock<Py<PyFrozenSet>>,
    scopes: PyOnceLock<Py<PyFrozenSet>>,
}

/// The Python object of a remembered token. It is made outside of [`Verified::derive`], whose lock must not be held while the
/// interpreter may change threads.
struct Remembered(PyOnceLock<Py<Claims>>);

/// Layout of roles and client in the claims.
#[derive(Clone, Copy)]
enum Dialect {
    /// As Keycloak does: `realm_access`, `resource_access`, `azp`.
    Token,
    /// As the gateway does: `roles`, `client_roles`, `client`.
    Assertion,
}

/// The one `Claims` object of an access token.
pub(crate) fn of_token(py: Python<'_>, token: &Verified<AccessToken>) -> PyResult<Py<Claims>> {
    remembered(py, token, token.claims(), Dialect::Token)
}

/// The one `Claims` object of an assertion of the gateway.
pub(crate) fn of_assertion(py: Python<'_>, assertion: &Verified<IdToken>) -> PyResult<Py<Claims>> {
    remembered(py, assertion, assertion.claims(), Dialect::Assertion)
}

/// The one `Claims` object of the ID token of a login.
pub(crate) fn of_id_token(py: Python<'_>, token: &Verified<IdToken>) -> PyResult<Py<Claims>> {
    remembered(py, token, token.claims(), Dialect::Token)
}

fn remembered<T>(
    py: Python<'_>,
    verified: &Verified<T>,
    said: &Arc<Said>,
    dialect: Dialect,
) -> PyResult<Py<Claims>> {
    let remembered = verified.derive(|_| Arc::new(Remembered(PyOnceLock::new())));
    let object =
        remembered.0.get_or_try_init(py, || Py::new(py, Claims::new(Arc::clone(said), dialect)))?;
    Ok(object.clone_ref(py))
}

fn listed(value: Option<ClaimValue<'_>>) -> impl Iterator<Item = &str> {
    let values = value.and_then(|value| value.as_array()).into_iter().flatten();
    values.filter_map(|value| value.as_str())
}

fn names<'py, 'n>(
    py: Python<'py>,
    names: impl Iterator<Item = &'n str>,
) -> PyResult<Bound<'py, PyFrozenSet>> {
    PyFrozenSet::new(py, names.map(|name| PyString::new(py, name)))
}

fn seconds(time: SystemTime) -> f64 {
    time.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64()
}

#[pymethods]
impl Claims {
    /// ``sub``: unique and stable at one issuer. Identify a person by :attr:`issuer` and this, and behind the gateway by ``claims["idp"]``
    /// and this: two issuers may use the same ``sub``.
    #[getter]
    pub(crate) fn subject(&self) -> &str {
        // The verifier required `sub`.
        self.said.subject.as_deref().unwrap_or_default()
    }

    /// ``iss``. Of an assertion it is the gateway; ``claims["idp"]`` is then the issuer that signed the person in.
    #[getter]
    fn issuer(&self) -> &str {
        self.said.issuer.as_deref().unwrap_or_default()
    }

    /// ``aud``
    #[getter]
    fn audience(&self, py: Python<'_>) -> PyResult<Py<PyFrozenSet>> {
        Ok(names(py, self.said.audience.iter())?.unbind())
    }

    /// The client the token was issued to: ``client_id``, else ``azp``.
    #[getter]
    fn client(&self) -> Option<&str> {
        match self.dialect {
            Dialect::Token => self.said.client(),
            Dialect::Assertion => self.said.member("client").and_then(|client| client.as_str()),
        }
    }

    /// ``preferred_username``: what the person calls themselves. Unique neither over time nor among issuers; use :attr:`subject`.
    #[getter]
    fn username(&self) -> Option<&str> {
        self.said.preferred_username()
    }

    /// ``name``: for display.
    #[getter]
    fn name(&self) -> Option<&str> {
        self.said.name()
    }

    /// ``email``, if the issuer says that it was verified.
    #[getter]
    fn verified_email(&self) -> Option<&str> {
        self.said.verified_email()
    }

    /// Roles that hold in the whole realm (``realm_access.roles``).
    #[getter]
    fn roles(&self, py: Python<'_>) -> PyResult<Py<PyFrozenSet>> {
        let roles = self.roles.get_or_try_init(py, || {
            let roles = match self.dialect {
                Dialect::Token => names(py, self.said.realm_roles().iter()),
                Dialect::Assertion => names(py, listed(self.said.member("roles"))),
            };
            PyResult::Ok(roles?.unbind())
        })?;
        Ok(roles.clone_ref(py))
    }

    /// Roles that hold at one client only (``resource_access.<client>.roles``).
    fn client_roles(&self, py: Python<'_>, client: &str) -> PyResult<Py<PyFrozenSet>> {
        let roles = match self.dialect {
            Dialect::Token => names(py, self.said.client_roles(client).iter()),
            Dialect::Assertion => {
                let at = self.said.member("client_roles");
                names(py, listed(at.and_then(|at| at.get(client))))
            }
        };
        Ok(roles?.unbind())
    }

    /// Groups the person is a member of (``groups``), usually full paths like ``/finance``.
    #[getter]
    fn groups(&self, py: Python<'_>) -> PyResult<Py<PyFrozenSet>> {
        let groups = self
            .groups
            .get_or_try_init(py, || PyResult::Ok(names(py, self.said.groups().iter())?.unbind()))?;
        Ok(groups.clone_ref(py))
    }

    /// Scopes of the token (``scope``).
    #[getter]
    fn scopes(&self, py: Python<'_>) -> PyResult<Py<PyFrozenSet>> {
        let scopes = self
            .scopes
            .get_or_try_init(py, || PyResult::Ok(names(py, self.said.scope.iter())?.unbind()))?;
        Ok(scopes.clone_ref(py))
    }

    /// ``exp``, in UTC.
    #[getter]
    fn expires_at(&self) -> SystemTime {
        // The verifier required `exp`.
        self.said.expires_at.unwrap_or(UNIX_EPOCH)
    }

    /// ``exp``, in seconds since 1970.
    #[getter]
    fn expires_at_epoch(&self) -> f64 {
        seconds(self.expires_at())
    }

    /// ``iat``, in UTC.
    #[getter]
    fn issued_at(&self) -> Option<SystemTime> {
        self.said.issued_at
    }

    /// ``auth_time``, in UTC: the time at which the person last authenticated.
    #[getter]
    fn authenticated_at(&self) -> Option<SystemTime> {
        self.said.auth_time
    }

    /// ``jti``
    #[getter]
    fn token_id(&self) -> Option<&str> {
        self.said.jwt_id.as_deref()
    }

    /// ``sid``: the session at the issuer.
    #[getter]
    fn session_id(&self) -> Option<&str> {
        self.said.session_id.as_deref()
    }

    /// The claim of this name, or the default.
    #[pyo3(signature = (name, default = None, /))]
    fn get(
        &self,
        py: Python<'_>,
        name: &Bound<'_, PyAny>,
        default: Option<Py<PyAny>>,
    ) -> PyResult<Py<PyAny>> {
        match self.member(name)? {
            Some(value) => Ok(value.unbind()),
            None => Ok(default.unwrap_or_else(|| py.None())),
        }
    }

    /// A claim by path: names joined by dots (``realm_access.roles``) or a JSON Pointer (``/resource_access/my.client/roles``).
    ///
    /// ``None`` if there is none.
    fn at(&self, py: Python<'_>, path: &str) -> PyResult<Option<Py<PyAny>>> {
        let value = self.said.get(path).map(|value| json::to_python(py, &value)).transpose()?;
        Ok(value.map(Bound::unbind))
    }

    /// The names of the claims.
    fn keys<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        self.to_dict(py)?.call_method0("keys")
    }

    /// The values of the claims.
    fn values<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        self.to_dict(py)?.call_method0("values")
    }

    /// Names and values.
    fn items<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        self.to_dict(py)?.call_method0("items")
    }

    /// All claims, as a new dictionary, which ``json.dumps`` takes.
    fn to_dict<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        json::object_to_python(py, self.said.iter())
    }

    /// The schema by which pydantic writes claims, and FastAPI with it. Claims are never read from JSON.
    #[classmethod]
    fn __get_pydantic_core_schema__<'py>(
        cls: &Bound<'py, PyType>,
        source: &Bound<'py, PyAny>,
        handler: &Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let _ = (source, handler);
        cls.py().import("doorward._pydantic")?.call_method0("schema")
    }

    /// The JSON Schema of what pydantic writes.
    #[classmethod]
    fn __get_pydantic_json_schema__<'py>(
        cls: &Bound<'py, PyType>,
        schema: &Bound<'py, PyAny>,
        handler: &Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let _ = (schema, handler);
        cls.py().import("doorward._pydantic")?.call_method0("json_schema")
    }

    /// The serializer that pydantic uses where no schema says that a value is `Claims`.
    #[getter]
    fn __pydantic_serializer__<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let without = |error: PyErr| PyAttributeError::new_err(error.to_string());
        py.import("doorward._pydantic").map_err(without)?.getattr("serializer")
    }

    fn __getitem__(&self, name: &Bound<'_, PyAny>) -> PyResult<Py<PyAny>> {
        match self.member(name)? {
            Some(value) => Ok(value.unbind()),
            None => Err(PyKeyError::new_err(name.clone().unbind())),
        }
    }

    fn __contains__(&self, name: &Bound<'_, PyAny>) -> bool {
        let name = name.cast::<PyString>().ok().and_then(|name| name.to_str().ok());
        name.is_some_and(|name| self.said.contains(name))
    }

    fn __len__(&self) -> usize {
        self.said.iter().len()
    }

    fn __iter__<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        Ok(PyList::new(py, self.said.iter().map(|(name, _)| name))?.try_iter()?.into_any())
    }

    /// Compares by content, as any mapping.
    fn __eq__(&self, py: Python<'_>, other: &Bound<'_, PyAny>) -> PyResult<bool> {
        match other.cast::<Self>() {
            Ok(other) => Ok(self.said.iter() == other.get().said.iter()),
            Err(_) => self.to_dict(py)?.eq(other),
        }
    }

    fn __hash__(&self) -> u64 {
        let said = &self.said;
        let mut hasher = DefaultHasher::new();
        (&said.issuer, &said.subject, &said.jwt_id, said.expires_at).hash(&mut hasher);
        hasher.finish()
    }

    fn __repr__(&self, py: Python<'_>) -> PyResult<String> {
        let subject = PyString::new(py, self.subject()).repr()?.to_string();
        let client = self.client().into_pyobject(py)?.repr()?.to_string();
        let ends = self.expires_at().into_pyobject(py)?.call_method0("isoformat")?;
        Ok(format!("<doorward.Claims subject={subject} client={client} expires_at={ends}>"))
    }

    fn __copy__(this: Py<Self>) -> Py<Self> {
        this
    }

    /// The object is immutable, so a copy is the object itself; only pickling would make another.
    #[pyo3(signature = (memo, /))]
    fn __deepcopy__(this: Py<Self>, memo: &Bound<'_, PyAny>) -> Py<Self> {
        let _ = memo;
        this
    }

    fn __reduce__(&self) -> PyResult<()> {
        refuse_pickling(
            "Claims",
            "they prove that this process verified a token; send to_dict(), or the token",
        )
    }
}

impl Claims {
    fn new(said: Arc<Said>, dialect: Dialect) -> Self {
        let (roles, groups, scopes) = (PyOnceLock::new(), PyOnceLock::new(), PyOnceLock::new());
        Self { said, dialect, roles, groups, scopes }
    }

    fn member<'py>(&self, name: &Bound<'py, PyAny>) -> PyResult<Option<Bound<'py, PyAny>>> {
        let py = name.py();
        let Ok(name) = name.cast::<PyString>() else { return Ok(None) };
        let Ok(name) = name.to_str() else { return Ok(None) };
        self.said.member(name).map(|value| json::to_python(py, &value)).transpose()
    }
}
