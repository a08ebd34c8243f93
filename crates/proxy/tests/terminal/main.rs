//! The commands for users and jobs at a terminal, run against a real provider: their output, the files they store, and their
//! exit codes.

#![expect(clippy::unwrap_used, reason = "a test may panic")]
#![expect(clippy::indexing_slicing, reason = "a missing member is null")]

mod credential_helpers;
mod desk;
mod login;
mod logout;
mod machine;
mod person;
mod verify;
mod watch;
