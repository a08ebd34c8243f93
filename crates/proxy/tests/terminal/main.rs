//! The commands for people and jobs at a terminal, as they are typed, against a real provider: what they print, what they keep,
//! and their exit codes.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on says so by panicking")]
#![expect(clippy::indexing_slicing, reason = "a member that is not there is null")]

mod credential_helpers;
mod desk;
mod login;
mod logout;
mod machine;
mod person;
mod verify;
mod watch;
