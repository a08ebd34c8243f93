//! Paths and routes.
