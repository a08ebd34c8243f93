//! API keys for programs that only know a password or a fixed bearer token.
//!
//! | to … | use |
//! |---|---|
//! | make or read the text of a key | [`ApiKey`], [`KeyId`] |
//! | describe what is stored of it | [`KeyRecord`], [`Owner`], [`OwnerRecord`] |
//! | decide whether it counts now | [`KeyRules`] → [`KeyRefusal`] |
//!
//! A store keeps the SHA-256 of a key and never the key. A key has the identity of its owner as of the owner's last sign-in or
//! refresh, without what only that sign-in or its tokens can state ([`OwnerRecord::of`]).

mod base32;
mod id;
mod refusal;
mod key;
mod record;
mod rules;

pub use self::{
    id::{InvalidKeyId, KeyId},
    key::{ApiKey, Digest},
    record::{KeyRecord, Owner, OwnerKind, OwnerRecord},
    refusal::KeyRefusal,
    rules::KeyRules,
};

/// The example of the README.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct FrontPage;
