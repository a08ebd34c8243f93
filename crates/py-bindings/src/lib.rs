//! The Python package `doorward`: `oidc-core` verifies, `m2m` fetches tokens, `cli-auth` has the commands.
//!
//! | module | is |
//! |---|---|
//! | `issuer`, `gateway`, `trusted` | trusted issuers, and the connection to them |
//! | `verifier`, `claims` | verification; the claims of a verified token |
//! | `client` | logins of people, refresh, revocation and introspection, with state that the caller keeps |
//! | `credentials` | a program's own tokens, and those it gets in exchange |
//! | `command` | the commands of `python -m doorward` |
//! | `errors` | Rust error → Python exception: one match |
//! | `engine` | the one runtime of this process, made again in a forked child; the interpreter is released while waiting |
//! | `waiting` | each call in two forms: one that waits, one that is awaited |
//! | `forks` | the number of forks that led to this process |
//! | `coroutine` | an awaitable that is done at once when it can be, and never blocks the event loop |
//! | `logging` | events of the libraries as records of Python's `logging` |
//! | `environment`, `arguments`, `json` | settings of `os.environ`; arguments of callers (with the crate `py-values`); JSON as Python values |
//!
//! The adapters for HTTP clients and frameworks are Python, in `python/doorward`, and use nothing but these classes.

mod issuer;
mod gateway;
mod client;
mod rules;
mod trusted;
mod verifier;
mod claims;
mod credentials;
mod command;

mod errors;
mod subject_pattern;
mod forks;
mod engine;
mod coroutine;
mod waiting;
mod logging;
mod environment;
mod arguments;
mod json;

use pyo3::prelude::*;

// Claims are many small allocations: with glibc's allocator, a sixth of the time of a verification.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// The native module of `doorward`.
// Forks are safe because every lock is taken with the interpreter held: see `engine`.
#[pymodule(gil_used = true)]
mod _native {
    use pyo3::prelude::*;
    use pyo3::types::PyTuple;

    #[pymodule_export]
    use crate::claims::Claims;
    #[pymodule_export]
    use crate::client::{Client, PendingLogin, TokenSet};
    #[pymodule_export]
    use crate::command::command;
    #[pymodule_export]
    use crate::coroutine::Coroutine;
    #[pymodule_export]
    use crate::credentials::TokenSource;
    #[pymodule_export]
    use crate::gateway::Gateway;
    #[pymodule_export]
    use crate::issuer::Issuer;
    #[pymodule_export]
    use crate::subject_pattern::SubjectPattern;
    #[pymodule_export]
    use crate::verifier::Verifier;

    #[pymodule_init]
    fn prepare(module: &Bound<'_, PyModule>) -> PyResult<()> {
        module.add("__version__", env!("CARGO_PKG_VERSION"))?;
        module.add("REFUSAL_CODES", PyTuple::new(module.py(), oidc_core::TokenRefusal::CODES)?)?;
        crate::engine::follow_process(module)
    }
}
