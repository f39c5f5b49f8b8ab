//! Addresses as Go's `netip.ParseAddr` reads them.

use crate::quote::go_quote_bytes;

/// Which protocol an address belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IpVersion {
    V4,
    /// Also an IPv4 address that is written as an IPv6 one.
    V6,
}

/// Why a text is no address, in Go's words: `ParseAddr("TEXT"): …`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("ParseAddr({}): {what}{}", go_quote_bytes(.text), at_place(.rest))]
pub struct IpError {
    text: Vec<u8>,
    what: &'static str,
    /// What is left of the text at the place of the fault; empty if it has none.
    rest: Vec<u8>,
}

fn at_place(rest: &[u8]) -> String {
    if rest.is_empty() { String::new() } else { format!(" (at {})", go_quote_bytes(rest)) }
}

/// What is wrong, and what is left of the text there.
type Fault<'a> = (&'static str, &'a [u8]);

/// Groups of 16 bits in an address.
const GROUPS: usize = 8;

/// The version of the address.
///
/// # Errors
/// The text is no address.
pub fn parse_addr(text: &[u8]) -> Result<IpVersion, IpError> {
    let version = match text.iter().find(|byte| matches!(byte, b'.' | b':' | b'%')) {
        Some(b'.') => check_v4(text).map(|()| IpVersion::V4),
        Some(b':') => check_v6(text).map(|()| IpVersion::V6),
        Some(_) => Err(("missing IPv6 address", &[][..])),
        None => Err(("unable to parse IP", &[][..])),
    };
    version.map_err(|(what, rest)| IpError { text: text.to_vec(), what, rest: rest.to_vec() })
}

/// `1.2.3.4`
fn check_v4(text: &[u8]) -> Result<(), Fault<'_>> {
    let (mut field, mut digits, mut dots) = (0u32, 0, 0);
    for (at, byte) in text.iter().enumerate() {
        match byte {
            b'0'..=b'9' => {
                if digits == 1 && field == 0 {
                    return Err(("IPv4 field has octet with leading zero", &[]));
                }
                field = field * 10 + u32::from(byte - b'0');
                digits += 1;
                if field > 255 {
                    return Err(("IPv4 field has value >255", &[]));
                }
            }
            b'.' => {
                if digits == 0 || at + 1 == text.len() {
                    return Err(("IPv4 field must have at least one digit", &text[at..]));
                }
                if dots == 3 {
                    return Err(("IPv4 address too long", &[]));
                }
                (field, digits, dots) = (0, 0, dots + 1);
            }
            _ => return Err(("unexpected character", &text[at..])),
        }
    }
    if dots < 3 { Err(("IPv4 address too short", &[])) } else { Ok(()) }
}

/// `1:2:3:4:5:6:7:8`, `::`, `::1.2.3.4`, `fe80::1%zone`
fn check_v6(text: &[u8]) -> Result<(), Fault<'_>> {
    let mut rest = text;
    if let Some(at) = text.iter().position(|byte| *byte == b'%') {
        if at + 1 == text.len() {
            return Err(("zone must be a non-empty string", &[]));
        }
        rest = &text[..at];
    }
    let mut is_shortened = false;
    if let Some(after) = rest.strip_prefix(b"::") {
        (is_shortened, rest) = (true, after);
        if rest.is_empty() {
            return Ok(());
        }
    }
    let mut groups = 0;
    while groups < GROUPS {
        let digits = rest.iter().take_while(|byte| byte.is_ascii_hexdigit()).count();
        if digits > 4 {
            return Err(("each group must have 4 or less digits", rest));
        }
        if digits == 0 {
            return Err(("each colon-separated field must have at least one digit", rest));
        }
        if rest[digits..].starts_with(b".") {
            if !is_shortened && groups != GROUPS - 2 {
                let what = "embedded IPv4 address must replace the final 2 fields of the address";
                return Err((what, rest));
            }
            if groups > GROUPS - 2 {
                let what = "too many hex fields to fit an embedded IPv4 at the end of the address";
                return Err((what, rest));
            }
            check_v4(rest)?;
            (rest, groups) = (&[], groups + 2);
            break;
        }
        (rest, groups) = (&rest[digits..], groups + 1);
        if rest.is_empty() {
            break;
        }
        match rest.strip_prefix(b":") {
            None => return Err(("unexpected character, want colon", rest)),
            Some([]) => return Err(("colon must be followed by more characters", rest)),
            Some(after) => rest = after,
        }
        if let Some(after) = rest.strip_prefix(b":") {
            if is_shortened {
                return Err(("multiple :: in address", rest));
            }
            (is_shortened, rest) = (true, after);
            if rest.is_empty() {
                break;
            }
        }
    }
    match (rest, groups) {
        ([], GROUPS) if is_shortened => Err(("the :: must expand to at least one field of zeros", &[])),
        ([], GROUPS) => Ok(()),
        ([], _) if !is_shortened => Err(("address string too short", &[])),
        ([], _) => Ok(()),
        _ => Err(("trailing garbage after address", rest)),
    }
}
