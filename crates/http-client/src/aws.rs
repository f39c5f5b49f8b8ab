//! Signed requests to AWS: credentials, region, and signatures.
//!
//! ```text
//! Settings ─▶ signer ─ chain: environment, profile, sts, metadata ─▶ sign ─▶ signed request
//! ```
//!
//! Credentials are looked up in the same places and order as in the AWS SDK for Go. They are kept until five
//! minutes before they expire; those without an expiry are kept until [`Aws::forget_credentials`].

mod chain;
mod metadata;
mod profile;
mod section;
mod service;
mod sign;
mod signer;
mod sources;
mod sso;
mod sts;

pub use section::SigV4;
pub use sign::sign;
pub use signer::Aws;
pub use sources::{AwsError, Credentials, Settings};

#[cfg(test)]
mod tests;
