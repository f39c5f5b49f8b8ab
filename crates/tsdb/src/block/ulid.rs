//! Names of blocks: 48 bits of time, 80 random bits, printed as 26 characters that sort by time.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// The name of a block.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Ulid(u128);

/// Crockford's base 32: no I, L, O, U.
const DIGITS: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";
const TEXT_BYTES: usize = 26;
const RANDOM_BITS: u32 = 80;

impl Ulid {
    /// Creates a name from milliseconds since the epoch and random bits; only the lowest 48 and 80 bits are
    /// used.
    pub const fn new(millis: u64, random: u128) -> Self {
        let millis = millis as u128 & ((1 << 48) - 1);
        Ulid(millis << RANDOM_BITS | (random & ((1 << RANDOM_BITS) - 1)))
    }

    /// Creation time in milliseconds since the epoch.
    pub const fn millis(self) -> u64 {
        (self.0 >> RANDOM_BITS) as u64
    }
}

impl fmt::Display for Ulid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = [0; TEXT_BYTES];
        for (index, digit) in text.iter_mut().enumerate() {
            *digit = DIGITS[(self.0 >> (5 * (TEXT_BYTES - 1 - index))) as usize & 31];
        }
        f.pad(std::str::from_utf8(&text).expect("the digits are ASCII"))
    }
}

impl fmt::Debug for Ulid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The text is not a block name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a ULID")]
pub struct NotAUlid;

/// Parses the output of [`fmt::Display`]; lower-case letters are accepted too.
impl FromStr for Ulid {
    type Err = NotAUlid;

    fn from_str(text: &str) -> Result<Self, NotAUlid> {
        if text.len() != TEXT_BYTES || text.as_bytes()[0] > b'7' {
            return Err(NotAUlid);
        }
        text.bytes()
            .try_fold(0u128, |number, byte| {
                let digit = DIGITS.iter().position(|digit| *digit == byte.to_ascii_uppercase())?;
                Some(number << 5 | digit as u128)
            })
            .map(Ulid)
            .ok_or(NotAUlid)
    }
}

impl Serialize for Ulid {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Ulid {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_print_and_parse() {
        let text = "01BKGV7JBM69T2G1BGBGM6KB12";
        let ulid: Ulid = text.parse().expect("a name");
        assert_eq!(ulid.to_string(), text);
        assert_eq!(text.to_lowercase().parse(), Ok(ulid));
        assert_eq!(ulid.millis(), 1_498_435_275_124);
        assert_eq!(Ulid::new(u64::MAX, u128::MAX).to_string(), "7ZZZZZZZZZZZZZZZZZZZZZZZZZ");
        assert!(Ulid::new(1, 0) > Ulid::new(0, u128::MAX));
    }

    #[test]
    fn other_texts_are_refused() {
        for text in [
            "",
            "wal",
            "01BKGV7JBM69T2G1BGBGM6KB1",
            "8ZZZZZZZZZZZZZZZZZZZZZZZZZ",
            "01BKGV7JBM69T2G1BGBGM6KB1U",
        ] {
            assert_eq!(text.parse::<Ulid>(), Err(NotAUlid), "{text}");
        }
        assert_eq!("é1BKGV7JBM69T2G1BGBGM6KB1".parse::<Ulid>(), Err(NotAUlid));
    }
}
