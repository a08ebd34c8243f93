//! What every attack runs on: an issuer, an upstream that records, and the gateway between them.
