//! The alternative names of certificates, by which clients are accepted (`client_allowed_sans`).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use rustls::client::danger::HandshakeSignatureValid;
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{DigitallySignedStruct, DistinguishedName, SignatureScheme};

/// Checks a client's certificate as `inner` does, and then its alternative names.
#[derive(Debug)]
pub struct AllowedNames {
    pub inner: Arc<dyn ClientCertVerifier>,
    pub allowed: Vec<String>,
}

impl ClientCertVerifier for AllowedNames {
    fn client_auth_mandatory(&self) -> bool {
        self.inner.client_auth_mandatory()
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.inner.root_hint_subjects()
    }

    fn verify_client_cert(
        &self,
        certificate: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        let verified = self.inner.verify_client_cert(certificate, intermediates, now)?;
        if alternative_names(certificate).iter().any(|name| self.allowed.contains(name)) {
            return Ok(verified);
        }
        let text = format!("could not find allowed SANs in client cert, found: [{}]", self.allowed.join(" "));
        Err(rustls::Error::General(text))
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.inner.verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.inner.verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.inner.supported_verify_schemes()
    }
}

const SEQUENCE: u8 = 0x30;
const OCTETS: u8 = 0x04;
const EXTENSIONS: u8 = 0xa3;
/// 2.5.29.17
const ALTERNATIVE_NAMES: [u8; 5] = [0x06, 3, 0x55, 0x1d, 0x11];

/// Names of hosts, mail addresses, IP addresses and URIs; empty if there are none, or if the bytes are not a certificate.
fn alternative_names(certificate: &[u8]) -> Vec<String> {
    names_of(certificate).unwrap_or_default()
}

fn names_of(certificate: &[u8]) -> Option<Vec<String>> {
    let (_, whole, _) = element(certificate)?;
    let (_, signed, _) = element(whole)?;
    let (_, extensions, _) = elements(signed).find(|(tag, ..)| *tag == EXTENSIONS)?;
    let (_, list, _) = element(extensions)?;
    for (_, extension, _) in elements(list) {
        let Some(rest) = extension.strip_prefix(&ALTERNATIVE_NAMES) else { continue };
        let (_, octets, _) = elements(rest).find(|(tag, ..)| *tag == OCTETS)?;
        let (SEQUENCE, names, _) = element(octets)? else { return None };
        return Some(elements(names).filter_map(|(tag, value, _)| name(tag, value)).collect());
    }
    None
}

fn name(tag: u8, value: &[u8]) -> Option<String> {
    match (tag, value.len()) {
        (0x81 | 0x82 | 0x86, _) => String::from_utf8(value.to_vec()).ok(),
        (0x87, 4) => Some(IpAddr::from(Ipv4Addr::from(<[u8; 4]>::try_from(value).ok()?)).to_string()),
        (0x87, 16) => Some(IpAddr::from(Ipv6Addr::from(<[u8; 16]>::try_from(value).ok()?)).to_string()),
        _ => None,
    }
}

/// Tag and content of the first element of DER, and what follows it.
fn element(bytes: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (tag, rest) = bytes.split_first()?;
    let (first, mut rest) = rest.split_first()?;
    let mut length = usize::from(*first);
    if length & 0x80 != 0 {
        let (digits, behind) =
            rest.split_at_checked(length & 0x7f).filter(|(digits, _)| digits.len() <= 4)?;
        length = digits.iter().fold(0, |length, digit| length << 8 | usize::from(*digit));
        rest = behind;
    }
    let (content, rest) = rest.split_at_checked(length)?;
    Some((*tag, content, rest))
}

/// All elements in a row.
fn elements(mut bytes: &[u8]) -> impl Iterator<Item = (u8, &[u8], &[u8])> {
    std::iter::from_fn(move || {
        let found = element(bytes)?;
        bytes = found.2;
        Some(found)
    })
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, KeyPair, SanType};

    use super::*;

    #[test]
    fn all_kinds_of_names_are_found_and_broken_bytes_have_none() {
        let mut params = CertificateParams::new(["a.example".to_owned()]).expect("names");
        params.subject_alt_names.extend([
            SanType::Rfc822Name("me@x".try_into().expect("a name")),
            SanType::URI("spiffe://x/y".try_into().expect("a name")),
            SanType::IpAddress("10.0.0.1".parse().expect("an address")),
            SanType::IpAddress("::1".parse().expect("an address")),
        ]);
        let certificate = params.self_signed(&KeyPair::generate().expect("a key")).expect("signed");
        let want = ["a.example", "me@x", "spiffe://x/y", "10.0.0.1", "::1"];
        let der = certificate.der();
        assert_eq!(alternative_names(der), want);
        for cut in 0..der.len() {
            assert!(alternative_names(&der[..cut]).len() <= want.len());
        }
        let plain = CertificateParams::new([]).expect("no names");
        let plain = plain.self_signed(&KeyPair::generate().expect("a key")).expect("signed");
        assert_eq!(alternative_names(plain.der()), Vec::<String>::new());
    }
}
