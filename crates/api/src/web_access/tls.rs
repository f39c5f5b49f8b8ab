//! The server's TLS settings, as the file requests them.

use std::sync::Arc;

use ferula_config::ConfigError;
use ferula_config::web::{ClientAuth, NamedChoice, TlsServerConfig};
use ferula_go::os::io_text;
use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, UnixTime};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{
    DigitallySignedStruct, DistinguishedName, RootCertStore, ServerConfig, SignatureScheme,
    SupportedProtocolVersion,
};
use tokio_rustls::TlsAcceptor;

use super::sans::AllowedNames;

/// Why TLS cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum TlsSetupError {
    #[error("failed to read {key} ({path}): open {path}: {}", io_text(.error))]
    File { key: &'static str, path: String, error: std::io::Error },
    #[error("failed to load X509KeyPair: {0}")]
    Pair(String),
    #[error("client_ca: {0}")]
    Authorities(String),
    #[error(transparent)]
    ClientAuth(#[from] ConfigError),
    #[error("unknown TLS version: {0}")]
    Version(String),
    #[error("{0}: only TLS 1.2 and 1.3 are supported")]
    TooOld(String),
    #[error("unknown cipher: {0}")]
    Cipher(String),
    #[error("unknown curve: {0}")]
    Curve(String),
    #[error("none of the cipher_suites or curve_preferences is supported")]
    Nothing,
}

/// The inline text, or the content of the named file.
fn text(key: &'static str, inline: &str, path: &str) -> Result<String, TlsSetupError> {
    if path.is_empty() {
        return Ok(inline.to_owned());
    }
    std::fs::read_to_string(path).map_err(|error| TlsSetupError::File { key, path: path.to_owned(), error })
}

/// Builds the acceptor for connections; they may use HTTP/2 if that is enabled.
pub(super) fn acceptor(config: &TlsServerConfig, http2: bool) -> Result<TlsAcceptor, TlsSetupError> {
    let pair = |error: String| TlsSetupError::Pair(error);
    let certificate = text("cert_file", &config.cert, &config.cert_file)?;
    let key = text("key_file", config.key.reveal(), &config.key_file)?;
    let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_slice_iter(certificate.as_bytes())
        .collect::<Result<_, _>>()
        .map_err(|error| pair(error.to_string()))?;
    let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).map_err(|error| pair(error.to_string()))?;
    let provider = Arc::new(provider(config)?);
    let builder = ServerConfig::builder_with_provider(provider.clone())
        .with_protocol_versions(versions(config)?)
        .map_err(|_| TlsSetupError::Nothing)?;
    let builder = match verifier(config, &provider)? {
        None => builder.with_no_client_auth(),
        Some(inner) if !config.client_allowed_sans.is_empty() => {
            let allowed = config.client_allowed_sans.clone();
            builder.with_client_cert_verifier(Arc::new(AllowedNames { inner, allowed }))
        }
        Some(verifier) => builder.with_client_cert_verifier(verifier),
    };
    let mut server = builder.with_single_cert(chain, key).map_err(|error| pair(error.to_string()))?;
    let protocols: &[&[u8]] = if http2 { &[b"h2", b"http/1.1"] } else { &[b"http/1.1"] };
    server.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
    Ok(TlsAcceptor::from(Arc::new(server)))
}

fn versions(config: &TlsServerConfig) -> Result<&'static [&'static SupportedProtocolVersion], TlsSetupError> {
    static TLS12: &[&SupportedProtocolVersion] = &[&rustls::version::TLS12];
    static TLS13: &[&SupportedProtocolVersion] = &[&rustls::version::TLS13];
    let (min, max) = (&config.min_version.0, &config.max_version.0);
    for version in [min, max].into_iter().flatten() {
        if !["TLS10", "TLS11", "TLS12", "TLS13"].contains(&version.as_str()) {
            return Err(TlsSetupError::Version(version.clone()));
        }
    }
    let max = max.as_deref().unwrap_or("TLS13");
    match (min.as_deref().unwrap_or("TLS12"), max) {
        (_, "TLS10" | "TLS11") => Err(TlsSetupError::TooOld(max.to_owned())),
        ("TLS13", "TLS12") => Err(TlsSetupError::Nothing),
        ("TLS13", _) => Ok(TLS13),
        (_, "TLS12") => Ok(TLS12),
        _ => Ok(rustls::ALL_VERSIONS),
    }
}

/// Suites that Go does not count as insecure, and this program does not support because they are weak.
const OLD_CIPHERS: [&str; 4] = [
    "TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA",
    "TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA",
    "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA",
    "TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA",
];

/// Suites and curves. The list only concerns TLS 1.2; TLS 1.3 always uses its own suites, as in Go.
fn provider(config: &TlsServerConfig) -> Result<CryptoProvider, TlsSetupError> {
    let mut provider = ring::default_provider();
    let named = |choices: &[NamedChoice]| -> Vec<String> {
        choices.iter().filter_map(|choice| choice.0.clone()).collect()
    };
    let (suites, curves) = (named(&config.cipher_suites), named(&config.curve_preferences));
    if !suites.is_empty() {
        for name in &suites {
            let known = provider.cipher_suites.iter().any(|suite| go_name(suite) == *name);
            if !known && !OLD_CIPHERS.contains(&name.as_str()) {
                return Err(TlsSetupError::Cipher(name.clone()));
            }
        }
        provider.cipher_suites.retain(|suite| suite.tls13().is_some() || suites.contains(&go_name(suite)));
    }
    if !curves.is_empty() {
        let mut groups = Vec::new();
        for name in &curves {
            match name.as_str() {
                "CurveP256" => groups.push(ring::kx_group::SECP256R1),
                "CurveP384" => groups.push(ring::kx_group::SECP384R1),
                "X25519" => groups.push(ring::kx_group::X25519),
                "CurveP521" | "X25519MLKEM768" => {}
                _ => return Err(TlsSetupError::Curve(name.clone())),
            }
        }
        provider.kx_groups = groups;
    }
    if provider.cipher_suites.is_empty() || provider.kx_groups.is_empty() {
        return Err(TlsSetupError::Nothing);
    }
    Ok(provider)
}

/// The name of a suite in Go.
fn go_name(suite: &rustls::SupportedCipherSuite) -> String {
    let name = format!("{:?}", suite.suite());
    name.replacen("TLS13_", "TLS_", 1)
}

fn verifier(
    config: &TlsServerConfig,
    provider: &Arc<CryptoProvider>,
) -> Result<Option<Arc<dyn ClientCertVerifier>>, TlsSetupError> {
    let auth = config.client_auth()?;
    let is_mandatory = match auth {
        ClientAuth::None => return Ok(None),
        ClientAuth::Request => return Ok(Some(Arc::new(AnyClient::new(false, provider)))),
        ClientAuth::RequireAny => return Ok(Some(Arc::new(AnyClient::new(true, provider)))),
        ClientAuth::VerifyIfGiven => false,
        ClientAuth::RequireAndVerify => true,
    };
    let refuse = |error: String| TlsSetupError::Authorities(error);
    let mut roots = RootCertStore::empty();
    let pem = text("client_ca_file", &config.client_ca, &config.client_ca_file)?;
    for authority in CertificateDer::pem_slice_iter(pem.as_bytes()) {
        roots
            .add(authority.map_err(|error| refuse(error.to_string()))?)
            .map_err(|error| refuse(error.to_string()))?;
    }
    let builder = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider.clone());
    let builder = if is_mandatory { builder } else { builder.allow_unauthenticated() };
    Ok(Some(builder.build().map_err(|error| refuse(error.to_string()))?))
}

/// Accepts any certificate whose private key the client holds.
#[derive(Debug)]
struct AnyClient {
    is_mandatory: bool,
    provider: Arc<CryptoProvider>,
}

impl AnyClient {
    fn new(is_mandatory: bool, provider: &Arc<CryptoProvider>) -> Self {
        AnyClient { is_mandatory, provider: provider.clone() }
    }
}

impl ClientCertVerifier for AnyClient {
    fn client_auth_mandatory(&self) -> bool {
        self.is_mandatory
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let known = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, certificate, signature, known)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let known = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, certificate, signature, known)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
