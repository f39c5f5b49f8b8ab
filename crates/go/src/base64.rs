//! Base64 as `encoding/base64` writes and reads it, in the two alphabets that HTTP needs.

const STANDARD: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
const URL_SAFE: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// The standard alphabet, padded: basic authentication.
pub fn encode(bytes: &[u8]) -> String {
    encode_with(bytes, STANDARD, true)
}

/// The alphabet for URLs, without padding: JSON web tokens.
pub fn encode_url_safe(bytes: &[u8]) -> String {
    encode_with(bytes, URL_SAFE, false)
}

/// `base64.StdEncoding.DecodeString`: undoes [`encode`], and passes line breaks over. `None` where the text is not base64.
pub fn decode(text: &str) -> Option<Vec<u8>> {
    let bytes: Vec<u8> = text.bytes().filter(|byte| !matches!(byte, b'\n' | b'\r')).collect();
    let padding = bytes.iter().rev().take_while(|byte| **byte == b'=').count();
    if !bytes.len().is_multiple_of(4) || padding > 2 {
        return None;
    }
    let mut out = Vec::with_capacity(bytes.len() / 4 * 3);
    for group in bytes[..bytes.len() - padding].chunks(4) {
        let mut bits = 0u32;
        for byte in group {
            bits = bits << 6 | sextet(*byte)?;
        }
        bits <<= 6 * (4 - group.len());
        out.extend_from_slice(&bits.to_be_bytes()[1..group.len()]);
    }
    Some(out)
}

/// The value of a digit.
fn sextet(byte: u8) -> Option<u32> {
    let value = match byte {
        b'A'..=b'Z' => byte - b'A',
        b'a'..=b'z' => byte - b'a' + 26,
        b'0'..=b'9' => byte - b'0' + 52,
        b'+' => 62,
        b'/' => 63,
        _ => return None,
    };
    Some(u32::from(value))
}

fn encode_with(bytes: &[u8], alphabet: &[u8; 64], padded: bool) -> String {
    let mut out = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let byte = |at: usize| u32::from(chunk.get(at).copied().unwrap_or(0));
        let bits = byte(0) << 16 | byte(1) << 8 | byte(2);
        for digit in 0..4 {
            if digit <= chunk.len() {
                out.push(char::from(alphabet[(bits >> (18 - 6 * digit)) as usize & 63]));
            } else if padded {
                out.push('=');
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_length_of_the_last_group_is_encoded() {
        for (text, padded) in
            [("", ""), ("a", "YQ=="), ("ab", "YWI="), ("abc", "YWJj"), ("user:pass", "dXNlcjpwYXNz")]
        {
            assert_eq!(encode(text.as_bytes()), padded);
            assert_eq!(decode(padded).as_deref(), Some(text.as_bytes()));
            assert_eq!(encode_url_safe(text.as_bytes()), padded.trim_end_matches('='));
        }
        assert_eq!((encode(&[251, 255]).as_str(), encode_url_safe(&[251, 255]).as_str()), ("+/8=", "-_8"));
        assert_eq!(decode("aGVs\nbG8=\r\n").as_deref(), Some(&b"hello"[..]), "line breaks are passed over");
        for wrong in ["YQ", "YQ=", "YQ-=", "=", "Y===", "Y=Q=", "====", "aa=a", "/w==$1", "YQ==YQ=="] {
            assert_eq!(decode(wrong), None, "{wrong}");
        }
    }
}
