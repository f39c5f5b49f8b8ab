//! Hexadecimal digits as `encoding/hex` writes them: digests, signatures, identifiers.

use std::fmt::Write;

/// `hex.EncodeToString`: two digits in lower case for each byte.
pub fn encode(bytes: impl AsRef<[u8]>) -> String {
    let bytes = bytes.as_ref();
    let mut out = String::with_capacity(2 * bytes.len());
    for byte in bytes {
        write!(out, "{byte:02x}").expect("writing to a String cannot fail");
    }
    out
}

/// A random identifier (UUID, version 4) of 16 random bytes.
pub fn uuid(mut random: [u8; 16]) -> String {
    random[6] = random[6] & 0x0f | 0x40;
    random[8] = random[8] & 0x3f | 0x80;
    let hex = encode(random);
    [&hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]].join("-")
}

#[cfg(test)]
mod tests {
    #[test]
    fn identifiers_name_their_version_and_variant() {
        assert_eq!(super::uuid([0xff; 16]), "ffffffff-ffff-4fff-bfff-ffffffffffff");
        assert_eq!(super::uuid([0; 16]), "00000000-0000-4000-8000-000000000000");
    }

    #[test]
    fn small_bytes_keep_their_zero() {
        assert_eq!(super::encode([0, 9, 0xab, 0xff]), "0009abff");
        assert_eq!(super::encode([]), "");
    }
}
