//! The gateway: listen, route, identify, authorize, forward, respond.

pub mod config;
