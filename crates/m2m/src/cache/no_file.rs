//! Stands for the file cache where there is none: no value of [`Entry`] exists.

use oidc_core::Clock;

use super::flight::{Outcome, Why};
use crate::source::TokenSource;

/// The file of one source, which is never opened.
#[derive(Clone, Debug)]
pub(crate) enum Entry {}

impl Entry {
    pub(crate) async fn ask(&self, _: &dyn TokenSource, _: &dyn Clock, _: &Why, _: u32) -> Outcome {
        match *self {}
    }
}
