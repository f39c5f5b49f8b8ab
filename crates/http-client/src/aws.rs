//! Requests to AWS: who asks, from where, and the signature that shows it.
//!
//! ```text
//! Settings ─▶ signer ─ chain: environment, profile, sts, metadata ─▶ sign ─▶ signed request
//! ```
//!
//! Credentials are looked for where the AWS SDK for Go looks, in its order. They are kept until five minutes before
//! they end; those that never end are kept until [`Aws::forget_credentials`].

mod chain;
mod metadata;
mod profile;
mod service;
mod sign;
mod signer;
mod sources;
mod sts;

pub use sign::sign;
pub use signer::Aws;
pub use sources::{AwsError, Credentials, Settings};

#[cfg(test)]
mod tests;
