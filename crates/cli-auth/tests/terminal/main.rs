//! The commands as users and jobs run them, against a real provider: output, kept files and exit codes.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on says so by panicking")]
#![expect(clippy::indexing_slicing, reason = "a member that is not there is null")]

mod credential_helpers;
mod desk;
mod login;
mod logout;
mod machine;
mod person;
mod usage;
mod verify;
mod watch;
