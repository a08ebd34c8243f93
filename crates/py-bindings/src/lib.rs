//! The Python package `doorward`: `oidc-core` verifies, `m2m` fetches tokens, Python sees both.
//!
//! | module | is |
//! |---|---|
//! | `issuer`, `gateway`, `trusted` | who is trusted, and the way there |
//! | `verifier`, `claims` | what verifies; what a verified token says |
//! | `credentials` | a program's own tokens, and those it gets for somebody's |
//! | `login` | a person at this machine, and what `python -m doorward` does for them |
//! | `errors` | Rust error → Python exception: one match |
//! | `engine` | the one runtime of this process, and anew in a forked child; the interpreter is released while waiting |
//! | `coroutine` | an awaitable that is done at once when it can be, and else never holds up the event loop |
//! | `environment`, `arguments`, `json` | what `os.environ` says; what callers pass (with the crate `py-values`); JSON as Python values |
//!
//! The adapters for HTTP clients and frameworks are Python, in `python/doorward`, and use nothing but these classes.

mod issuer;
mod gateway;
mod trusted;
mod verifier;
mod claims;
mod credentials;
mod login;

mod errors;
mod engine;
mod coroutine;
mod environment;
mod arguments;
mod json;

use pyo3::prelude::*;

// What a token says is many small allocations: a sixth of the time of a verification, with glibc's.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// What is native in `doorward`.
// The forks of a process are survived because every lock is taken with the interpreter held: see `engine`.
#[pymodule(gil_used = true)]
mod _native {
    use pyo3::prelude::*;
    use pyo3::types::PyTuple;

    #[pymodule_export]
    use crate::claims::Claims;
    #[pymodule_export]
    use crate::coroutine::Coroutine;
    #[pymodule_export]
    use crate::credentials::TokenSource;
    #[pymodule_export]
    use crate::gateway::Gateway;
    #[pymodule_export]
    use crate::issuer::Issuer;
    #[pymodule_export]
    use crate::login::{Account, AccountTokens, PendingLogin, kept_logins};
    #[pymodule_export]
    use crate::verifier::Verifier;

    #[pymodule_init]
    fn prepare(module: &Bound<'_, PyModule>) -> PyResult<()> {
        module.add("__version__", env!("CARGO_PKG_VERSION"))?;
        module.add("REFUSAL_CODES", PyTuple::new(module.py(), oidc_core::TokenRefusal::CODES)?)?;
        crate::engine::follow_process(module)
    }
}
