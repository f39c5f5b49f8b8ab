//! The hashed key of a group, which services use as an identifier.

/// The SHA-256 as 64 hexadecimal digits.
pub(super) fn hashed(group_key: &str) -> String {
    let digest = ring::digest::digest(&ring::digest::SHA256, group_key.as_bytes());
    ferula_go::hex::encode(digest)
}
