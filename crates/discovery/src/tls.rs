//! TLS to servers whose certificate authority the configuration names.
//!
//! Here because everything that talks to discovered addresses needs it. Elsewhere: which files there are and how their
//! errors are worded (the clients).
//!
//! Beyond what rustls accepts, a server may show the very certificate that `ca_file` holds, although that certificate
//! says of itself that it is an authority: `openssl req -x509` makes such, and Prometheus takes them. Its name and its
//! dates are checked all the same.

use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{WebPkiServerVerifier, verify_server_name};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme,
    SupportedProtocolVersion,
};

/// Whom to trust, and how to show oneself. Certificates and keys are in PEM.
#[derive(Clone, Copy, Debug)]
pub struct Trust<'a> {
    /// Authorities.
    pub authorities: &'a [u8],
    /// The client's own certificate and its key.
    pub identity: Option<(&'a [u8], &'a [u8])>,
    /// Protocol versions to offer.
    pub versions: &'a [&'static SupportedProtocolVersion],
    /// Whether to offer HTTP/2.
    pub http2: bool,
}

impl Trust<'_> {
    /// The client's side of TLS.
    ///
    /// # Errors
    /// What is no certificate or no key.
    pub fn client_config(&self) -> Result<ClientConfig, String> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let authorities = certificates(self.authorities)?;
        let mut roots = RootCertStore::empty();
        for authority in &authorities {
            roots.add(authority.clone()).map_err(|error| error.to_string())?;
        }
        let inner = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider.clone())
            .build()
            .map_err(|error| error.to_string())?;
        let builder = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(self.versions)
            .map_err(|error| error.to_string())?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(Verifier { inner, authorities }));
        let mut config = match self.identity {
            None => builder.with_no_client_auth(),
            Some((chain, key)) => {
                let key = PrivateKeyDer::from_pem_slice(key).map_err(|error| error.to_string())?;
                builder.with_client_auth_cert(certificates(chain)?, key).map_err(|error| error.to_string())?
            }
        };
        let protocols: &[&[u8]] = if self.http2 { &[b"h2", b"http/1.1"] } else { &[b"http/1.1"] };
        config.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
        Ok(config)
    }
}

fn certificates(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, String> {
    let all: Vec<_> =
        CertificateDer::pem_slice_iter(pem).collect::<Result<_, _>>().map_err(|error| error.to_string())?;
    if all.is_empty() { Err("no certificate in it".into()) } else { Ok(all) }
}

#[derive(Debug)]
struct Verifier {
    inner: Arc<WebPkiServerVerifier>,
    authorities: Vec<CertificateDer<'static>>,
}

/// Whether nothing is wrong but that an authority stands for a server. Dates have been checked before that is said.
fn is_authority_itself(error: &Error) -> bool {
    match error {
        Error::InvalidCertificate(CertificateError::Other(cause)) => {
            format!("{:?}", cause.0) == "CaUsedAsEndEntity"
        }
        _ => false,
    }
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        match self.inner.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now) {
            Err(error) if is_authority_itself(&error) && self.authorities.iter().any(|a| a == end_entity) => {
                verify_server_name(&ParsedCertificate::try_from(end_entity)?, server_name)?;
                Ok(ServerCertVerified::assertion())
            }
            verdict => verdict,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.inner.verify_tls12_signature(message, certificate, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.inner.verify_tls13_signature(message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.inner.supported_verify_schemes()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const SELF_SIGNED: &[u8] = include_bytes!("../../../testdata/tls/self-signed.pem");
    const OTHER: &[u8] = include_bytes!("../../../testdata/tls/other.pem");
    /// In 2030.
    const WITHIN: u64 = 1_900_000_000;

    /// What becomes of a server that shows `SELF_SIGNED` when `authorities` are trusted.
    fn verdict(authorities: &[u8], name: &str, seconds: u64) -> Result<(), String> {
        let all = certificates(authorities).expect("certificates");
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(all.clone());
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let inner = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider).build();
        let verifier = Verifier { inner: inner.expect("roots"), authorities: all };
        let shown = certificates(SELF_SIGNED).expect("a certificate").remove(0);
        let name = ServerName::try_from(name.to_owned()).expect("a name");
        let now = UnixTime::since_unix_epoch(Duration::from_secs(seconds));
        let verdict = verifier.verify_server_cert(&shown, &[], &name, &[], now);
        verdict.map(|_| ()).map_err(|error| format!("{error:?}"))
    }

    #[test]
    fn a_server_may_show_the_named_authority_itself_and_nothing_else() {
        assert_eq!(verdict(SELF_SIGNED, "self-signed.example", WITHIN), Ok(()));
        assert_eq!(verdict(SELF_SIGNED, "127.0.0.1", WITHIN), Ok(()));
        assert_eq!(verdict(&[OTHER, SELF_SIGNED].concat(), "self-signed.example", WITHIN), Ok(()));
        let refused = |verdict: Result<(), String>, why: &str| {
            let error = verdict.expect_err(why);
            assert!(error.contains(why), "{error}");
        };
        refused(verdict(SELF_SIGNED, "other.example", WITHIN), "NotValidForName");
        refused(verdict(SELF_SIGNED, "self-signed.example", 1_000_000_000), "NotValidYet");
        refused(verdict(SELF_SIGNED, "self-signed.example", 9_000_000_000), "Expired");
        assert!(verdict(OTHER, "self-signed.example", WITHIN).is_err());
    }

    #[test]
    fn what_is_no_certificate_is_told() {
        let trust =
            |authorities| Trust { authorities, identity: None, versions: rustls::ALL_VERSIONS, http2: true };
        assert!(trust(SELF_SIGNED).client_config().is_ok());
        assert_eq!(trust(b"").client_config().map(|_| ()), Err("no certificate in it".into()));
    }
}
