//! The gateway: listen, route, identify, authorize, forward, respond.
//!
//! [`gateway`] shows the way of a request; each stage has a module of its name. [`assemble`] builds a running application from
//! a [`config`], and [`commands`] holds the commands of the program.

pub mod listen;
pub mod refusal;
pub mod ext_authz;
pub mod gateway;
pub mod upstream;
pub mod route;
pub mod identify;
pub mod authorize;
pub mod review;
pub mod forward;
pub mod carried;
pub mod respond;

pub mod endpoints;
pub mod outbound;
pub mod throttle;
pub mod audit;
pub mod log;
pub mod metric;
pub mod telemetry;
pub mod workers;
pub mod json;
pub mod mcp;
pub mod mcp_fault;
pub mod usage;

pub mod config;
pub mod assemble;
pub mod admin;
pub mod commands;
