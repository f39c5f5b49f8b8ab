//! Verifies the server's certificate.
//!
//! Some things differ from rustls' own verification. A server may present the very certificate that `ca_file`
//! contains, even if it is signed by another authority or claims to be one: `openssl req -x509` creates such certificates, and
//! Prometheus accepts them. Its name and dates are checked all the same. A wildcard may stand for the host of a domain with
//! one label (`*.internal`). And a wrong name is reported even if the authority is also unknown, because Go checks in that
//! order.

use std::sync::{Arc, OnceLock};

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{WantsClientCert, WebPkiServerVerifier, verify_server_name};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{
    CertificateError, ClientConfig, ConfigBuilder, DigitallySignedStruct, Error, OtherError, RootCertStore,
    SignatureScheme, SupportedProtocolVersion,
};

use super::signer::{self, UnknownAuthority};

fn provider() -> Arc<CryptoProvider> {
    static PROVIDER: OnceLock<Arc<CryptoProvider>> = OnceLock::new();
    PROVIDER.get_or_init(|| Arc::new(rustls::crypto::ring::default_provider())).clone()
}

/// A configuration that trusts `authorities`, or the system's if there are none.
pub(super) fn client_config(
    versions: &'static [&'static SupportedProtocolVersion],
    authorities: Option<Vec<CertificateDer<'static>>>,
    insecure: bool,
) -> ConfigBuilder<ClientConfig, WantsClientCert> {
    let verifier: Arc<dyn ServerCertVerifier> = match (insecure, authorities) {
        (true, _) => Arc::new(AcceptAll),
        (false, Some(authorities)) => {
            let mut roots = RootCertStore::empty();
            roots.add_parsable_certificates(authorities.iter().cloned());
            Arc::new(Verifier { inner: webpki(roots), authorities })
        }
        (false, None) => Arc::new(Verifier { inner: webpki(system_roots()), authorities: Vec::new() }),
    };
    ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(versions)
        .expect("the provider speaks TLS 1.2 and 1.3")
        .dangerous()
        .with_custom_certificate_verifier(verifier)
}

/// A placeholder until the section has been read: it trusts nobody.
pub(super) fn trusting_nobody() -> ClientConfig {
    let verifier = Arc::new(Verifier { inner: None, authorities: Vec::new() });
    ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(rustls::ALL_VERSIONS)
        .expect("the provider speaks TLS 1.2 and 1.3")
        .dangerous()
        .with_custom_certificate_verifier(verifier)
        .with_no_client_auth()
}

/// rustls' verifier; `None` without any root, which rustls does not accept.
fn webpki(roots: RootCertStore) -> Option<Arc<WebPkiServerVerifier>> {
    WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider()).build().ok()
}

/// The system's authorities, read once. `SSL_CERT_FILE` and `SSL_CERT_DIR` are respected, as in Go.
fn system_roots() -> RootCertStore {
    static ROOTS: OnceLock<RootCertStore> = OnceLock::new();
    let load = || {
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        roots
    };
    ROOTS.get_or_init(load).clone()
}

#[derive(Debug)]
pub(super) struct Verifier {
    pub(super) inner: Option<Arc<WebPkiServerVerifier>>,
    pub(super) authorities: Vec<CertificateDer<'static>>,
}

/// Whether the only fault is that an authority acts as a server. By then, dates have been checked.
fn is_authority_itself(error: &Error) -> bool {
    match error {
        Error::InvalidCertificate(CertificateError::Other(cause)) => {
            format!("{:?}", cause.0) == "CaUsedAsEndEntity"
        }
        _ => false,
    }
}

/// Whether no authority that is trusted has signed it.
fn is_about_the_signer(error: &Error) -> bool {
    let Error::InvalidCertificate(reason) = error else { return false };
    matches!(reason, CertificateError::UnknownIssuer | CertificateError::BadSignature)
}

/// Whether only the name was wrong, by rustls' rules.
fn is_about_the_name(error: &Error) -> bool {
    use CertificateError::{NotValidForName, NotValidForNameContext};
    let Error::InvalidCertificate(reason) = error else { return false };
    matches!(reason, NotValidForName | NotValidForNameContext { .. })
}

/// A certificate has the server's name only where nobody looks for it any more.
#[derive(Debug, thiserror::Error)]
#[error("x509: certificate relies on legacy Common Name field, use SANs instead")]
pub(crate) struct LegacyName;

/// Whether a certificate is for this server, by Go's rules.
fn check_name(certificate: &CertificateDer<'_>, server_name: &ServerName<'_>) -> Result<(), Error> {
    let error = match verify_server_name(&ParsedCertificate::try_from(certificate)?, server_name) {
        Ok(()) => return Ok(()),
        Err(error) => error,
    };
    let Error::InvalidCertificate(CertificateError::NotValidForNameContext { presented, .. }) = &error else {
        return Err(error);
    };
    let host = server_name.to_str();
    let names = presented.iter().filter_map(|name| name.strip_prefix("DnsName(\"")?.strip_suffix("\")"));
    if matches!(server_name, ServerName::DnsName(_))
        && names.into_iter().any(|name| is_wildcard_for(name, &host))
    {
        return Ok(());
    }
    let is_common_name = |name: String| name.eq_ignore_ascii_case(&host) || is_wildcard_for(&name, &host);
    if presented.is_empty() && signer::common_name(certificate).is_some_and(is_common_name) {
        return Err(Error::InvalidCertificate(CertificateError::Other(OtherError(Arc::new(LegacyName)))));
    }
    Err(error)
}

/// Whether a name with a wildcard as its first label stands for this host. rustls asks for two labels behind the wildcard,
/// Go does not.
fn is_wildcard_for(name: &str, host: &str) -> bool {
    let (Some(domain), Some((label, rest))) = (name.strip_prefix("*."), host.split_once('.')) else {
        return false;
    };
    !label.is_empty() && !rest.is_empty() && domain.eq_ignore_ascii_case(rest)
}

/// Whether the dates are the reason, which Go reports before a wrong name.
fn is_about_dates(error: &Error) -> bool {
    use CertificateError::{Expired, ExpiredContext, NotValidYet, NotValidYetContext};
    let Error::InvalidCertificate(reason) = error else { return false };
    matches!(reason, Expired | ExpiredContext { .. } | NotValidYet | NotValidYetContext { .. })
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
        let verdict = match &self.inner {
            Some(inner) => {
                inner.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now)
            }
            None => Err(Error::InvalidCertificate(CertificateError::UnknownIssuer)),
        };
        match verdict {
            Ok(verified) => Ok(verified),
            Err(error) if is_about_dates(&error) => Err(error),
            Err(error) => {
                check_name(end_entity, server_name)?;
                // By then, its dates have been checked.
                let is_authority_itself = is_authority_itself(&error);
                let is_trusted = (is_authority_itself || is_about_the_signer(&error))
                    && self.authorities.iter().any(|authority| authority == end_entity);
                if is_trusted || is_about_the_name(&error) {
                    return Ok(ServerCertVerified::assertion());
                }
                if is_authority_itself || is_about_the_signer(&error) {
                    let cause = OtherError(Arc::new(UnknownAuthority::of(end_entity, intermediates)));
                    return Err(Error::InvalidCertificate(CertificateError::Other(cause)));
                }
                Err(error)
            }
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &provider().signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, certificate, signed, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &provider().signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, certificate, signed, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        provider().signature_verification_algorithms.supported_schemes()
    }
}

/// `insecure_skip_verify`: accepts any certificate, even one that cannot be parsed.
#[derive(Debug)]
struct AcceptAll;

impl ServerCertVerifier for AcceptAll {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        provider().signature_verification_algorithms.supported_schemes()
    }
}
