//! Web sockets.
