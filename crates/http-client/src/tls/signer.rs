//! Who signed a certificate that nobody here trusts, for the error's text.
//!
//! Only names are read, from the places where X.509 has them. Bytes come from the server: what does not fit gives no name.

use std::fmt;

use ferula_go::quote::go_quote;
use rustls::pki_types::CertificateDer;

/// Names are shown up to this many characters.
const SHOWN_CHARS_MAX: usize = 200;

/// No trusted authority signed a certificate. The text begins with Go's.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct UnknownAuthority {
    signer: Option<Signer>,
}

#[derive(Debug, PartialEq, Eq)]
struct Signer {
    name: String,
    is_self: bool,
}

impl UnknownAuthority {
    /// Finds the signer of the last certificate of a chain, which begins with that of the server.
    pub fn of(end_entity: &CertificateDer<'_>, others: &[CertificateDer<'_>]) -> Self {
        let Some(mut last) = names(end_entity) else { return UnknownAuthority { signer: None } };
        // Each of them is needed once at most.
        for _ in others {
            let next =
                others.iter().filter_map(|other| names(other)).find(|next| next.subject == last.issuer);
            match next {
                Some(next) if last.issuer != last.subject => last = next,
                _ => break,
            }
        }
        let signer =
            distinguished_name(last.issuer).map(|name| Signer { name, is_self: last.issuer == last.subject });
        UnknownAuthority { signer }
    }
}

impl std::error::Error for UnknownAuthority {}

/// The last common name (CN) of the certificate's owner.
pub(super) fn common_name(certificate: &CertificateDer<'_>) -> Option<String> {
    let mut subject = names(certificate)?.subject;
    let mut found = None;
    while let Some((set, rest)) = element(subject, SET) {
        subject = rest;
        let Some((pair, _)) = element(set, SEQUENCE) else { continue };
        if let Some((COMMON_NAME, value)) = element(pair, OBJECT_IDENTIFIER) {
            found = text(value);
        }
    }
    found
}

impl fmt::Display for UnknownAuthority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("x509: certificate signed by unknown authority")?;
        match &self.signer {
            Some(Signer { name, is_self: true }) => write!(f, " (it is self-signed by {})", go_quote(name)),
            Some(Signer { name, .. }) => write!(f, " (its signer is {})", go_quote(name)),
            None => Ok(()),
        }
    }
}

/// Encoded names of a certificate.
struct Names<'a> {
    issuer: &'a [u8],
    subject: &'a [u8],
}

const SEQUENCE: u8 = 0x30;
const SET: u8 = 0x31;
const OBJECT_IDENTIFIER: u8 = 0x06;
const INTEGER: u8 = 0x02;
const VERSION: u8 = 0xa0;
/// The object identifier 2.5.4.3.
const COMMON_NAME: &[u8] = &[0x55, 0x04, 0x03];

/// The first element of `input`, if it has this tag, and what follows it.
fn element(input: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
    let (&found, rest) = input.split_first()?;
    let (&first, rest) = rest.split_first()?;
    let (length, rest) = match first {
        0..=0x7f => (usize::from(first), rest),
        0x81..=0x84 => {
            let (length, rest) = rest.split_at_checked(usize::from(first & 0x7f))?;
            (length.iter().fold(0, |length, byte| length << 8 | usize::from(*byte)), rest)
        }
        _ => return None,
    };
    (found == tag).then(|| rest.split_at_checked(length))?
}

fn names<'a>(certificate: &'a CertificateDer<'_>) -> Option<Names<'a>> {
    let (certificate, _) = element(certificate, SEQUENCE)?;
    let (signed, _) = element(certificate, SEQUENCE)?;
    let rest = element(signed, VERSION).map_or(signed, |(_, rest)| rest);
    let (_, rest) = element(rest, INTEGER)?;
    let (_, rest) = element(rest, SEQUENCE)?;
    let (issuer, rest) = element(rest, SEQUENCE)?;
    let (_, rest) = element(rest, SEQUENCE)?;
    let (subject, _) = element(rest, SEQUENCE)?;
    Some(Names { issuer, subject })
}

/// A name as Go prints it, the last part first: `CN=Root,O=Example,C=NL`. Parts of other kinds are left out.
fn distinguished_name(mut encoded: &[u8]) -> Option<String> {
    let mut parts = Vec::new();
    while let Some((set, rest)) = element(encoded, SET) {
        encoded = rest;
        let Some((pair, _)) = element(set, SEQUENCE) else { continue };
        let Some((kind, value)) = element(pair, OBJECT_IDENTIFIER) else { continue };
        let kind = match kind {
            COMMON_NAME => "CN",
            [0x55, 0x04, 0x05] => "SERIALNUMBER",
            [0x55, 0x04, 0x06] => "C",
            [0x55, 0x04, 0x07] => "L",
            [0x55, 0x04, 0x08] => "ST",
            [0x55, 0x04, 0x0a] => "O",
            [0x55, 0x04, 0x0b] => "OU",
            _ => continue,
        };
        parts.push(format!("{kind}={}", text(value)?));
    }
    parts.reverse();
    let name = parts.join(",");
    (!name.is_empty()).then(|| name.chars().take(SHOWN_CHARS_MAX).collect())
}

fn text(value: &[u8]) -> Option<String> {
    let tag = *value.first()?;
    let (bytes, _) = element(value, tag)?;
    Some(match tag {
        // UTF-8, printable, IA5
        0x0c | 0x13 | 0x16 => String::from_utf8_lossy(bytes).into_owned(),
        // T61, which is read as Latin-1
        0x14 => bytes.iter().map(|byte| char::from(*byte)).collect(),
        // BMP
        0x1e => {
            let units: Vec<u16> =
                bytes.as_chunks::<2>().0.iter().map(|two| u16::from_be_bytes(*two)).collect();
            String::from_utf16_lossy(&units)
        }
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const SELF_SIGNED: &str = include_str!("../../../../testdata/tls/self-signed.pem");

    fn shown() -> CertificateDer<'static> {
        super::super::certificates(SELF_SIGNED).expect("a certificate").remove(0)
    }

    #[test]
    fn names_are_printed_as_by_go() {
        // C=NL, O=Exämple, CN=Root as UTF-8, printable and BMP strings, and a part of an unknown kind.
        let part = |kind: &[u8], tag: u8, value: &[u8]| {
            let sized = |tag: u8, bytes: &[u8]| [&[tag, bytes.len() as u8], bytes].concat();
            let pair = [sized(OBJECT_IDENTIFIER, kind), sized(tag, value)].concat();
            sized(SET, &sized(SEQUENCE, &pair))
        };
        let name = [
            part(&[0x55, 0x04, 0x06], 0x13, b"NL"),
            part(&[0x55, 0x04, 0x0a], 0x0c, "Exämple".as_bytes()),
            part(&[0x2a, 0x03], 0x0c, b"?"),
            part(&[0x55, 0x04, 0x03], 0x1e, &[0, b'R', 0, b'o']),
        ];
        assert_eq!(distinguished_name(&name.concat()).as_deref(), Some("CN=Ro,O=Exämple,C=NL"));
        assert_eq!(distinguished_name(&[]), None);
    }

    #[test]
    fn no_bytes_make_it_fail() {
        let whole = shown();
        for length in 0..whole.len() {
            let cut = CertificateDer::from(whole[..length].to_vec());
            let text = UnknownAuthority::of(&cut, &[]).to_string();
            assert!(text.starts_with("x509: certificate signed by unknown authority"), "{text}");
        }
        for at in 0..whole.len().min(400) {
            let mut bytes = whole.to_vec();
            bytes[at] ^= 0x80;
            UnknownAuthority::of(&CertificateDer::from(bytes), std::slice::from_ref(&whole));
        }
    }

    #[test]
    fn a_chain_ends_where_nobody_signs_on() {
        let whole = shown();
        let many = vec![whole.clone(); 100];
        let text = UnknownAuthority::of(&whole, &many).to_string();
        assert!(text.contains("(it is self-signed by \"CN="), "{text}");
    }
}
