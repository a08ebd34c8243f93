//! The gateway's items that the properties use, named in one place.

pub(crate) use doorward::{
    assemble::routes,
    config::Config,
    endpoints::{
        parameter,
        return_to::{HOME, sanitize},
    },
    refusal::Refusal,
    route::Routes,
};
