//! TLS as a section configures it: trusted authorities, client certificate, versions.
//!
//! Certificate and key files are compared by content before each request ([`Tls::refresh`]), so a replaced
//! file takes effect for new connections however it was replaced. Reading three small files takes some tens
//! of microseconds on a blocking thread; sections without files skip it.

pub(crate) mod signer;
pub(crate) mod verify;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use ferula_config::http_client::TlsConfig;
use ferula_go::sync::MutexExt;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, SupportedProtocolVersion};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::error::{Cause, IdentityError, SetupError, TlsError};
use crate::error_text::tls_cause;
use crate::secret::{Source, read};
use crate::wire::{RecordedStream, Wire};

/// How long a handshake may take, as in Go.
const HANDSHAKE_TIME_MAX: Duration = Duration::from_secs(10);

/// TLS of one section.
#[derive(Debug)]
pub(crate) struct Tls {
    sources: Sources,
    server_name: Option<String>,
    insecure: bool,
    /// None: no connection can be made.
    versions: &'static [&'static SupportedProtocolVersion],
    http2: bool,
    current: Mutex<Arc<Current>>,
}

#[derive(Clone, Debug)]
struct Sources {
    authorities: Option<Source>,
    certificate: Option<Source>,
    key: Option<Source>,
}

/// The contents of the sources at the last read.
#[derive(Debug, Default, PartialEq, Eq)]
struct Texts {
    authorities: String,
    certificate: String,
    key: String,
}

/// The current configuration for new connections.
#[derive(Debug)]
struct Current {
    texts: Texts,
    client: Arc<ClientConfig>,
}

impl Sources {
    fn read(&self) -> Result<Texts, SetupError> {
        Ok(Texts {
            authorities: read(&self.authorities, "CA cert")?,
            certificate: read(&self.certificate, "specified client cert")?,
            key: read(&self.key, "specified client key")?,
        })
    }

    fn has_files(&self) -> bool {
        [&self.authorities, &self.certificate, &self.key].into_iter().flatten().any(Source::is_file)
    }
}

impl Tls {
    /// Reads the files of the section for the first time.
    ///
    /// # Errors
    /// Unreadable files, invalid contents, and a newest version below the oldest one.
    pub fn new(config: &TlsConfig, http2: bool) -> Result<Self, SetupError> {
        if [&config.ca_ref, &config.cert_ref, &config.key_ref].into_iter().any(|name| !name.is_empty()) {
            return Err(SetupError::SecretReference);
        }
        let sources = Sources {
            authorities: Source::of(&config.ca, &config.ca_file),
            certificate: Source::of(&config.cert, &config.cert_file),
            key: Source::of(config.key.reveal(), &config.key_file),
        };
        let mut tls = Tls {
            server_name: (!config.server_name.is_empty()).then(|| config.server_name.clone()),
            insecure: config.insecure_skip_verify,
            versions: versions(config.min_version.as_str(), config.max_version.as_str())?,
            http2,
            current: Mutex::new(Arc::new(Current {
                texts: Texts::default(),
                client: Arc::new(verify::trusting_nobody()),
            })),
            sources,
        };
        let current = tls.load(tls.sources.read()?)?;
        tls.current = Mutex::new(Arc::new(current));
        Ok(tls)
    }

    /// Whether [`Tls::refresh`] has files to read.
    pub fn has_files(&self) -> bool {
        self.sources.has_files()
    }

    /// Reads the files again; blocks. Returns whether one of them changed.
    pub fn refresh(&self) -> Result<bool, SetupError> {
        let texts = self.sources.read()?;
        if self.current().texts == texts {
            return Ok(false);
        }
        let loaded = Arc::new(self.load(texts)?);
        *self.current.locked() = loaded;
        Ok(true)
    }

    fn current(&self) -> Arc<Current> {
        self.current.locked().clone()
    }

    fn load(&self, texts: Texts) -> Result<Current, SetupError> {
        let authorities = match &self.sources.authorities {
            Some(source) => Some(
                certificates(&texts.authorities)
                    .ok_or_else(|| SetupError::Authorities { source_text: source.describe() })?,
            ),
            None => None,
        };
        let versions = if self.versions.is_empty() { rustls::ALL_VERSIONS } else { self.versions };
        let builder = verify::client_config(versions, authorities, self.insecure);
        let mut client = match (&self.sources.certificate, &self.sources.key) {
            (Some(certificate), Some(key)) => {
                let unusable = |reason: IdentityError| SetupError::Identity {
                    cert: certificate.describe(),
                    key: key.describe(),
                    reason,
                };
                let (chain, key) = identity(&texts).map_err(unusable)?;
                builder.with_client_auth_cert(chain, key).map_err(|error| unusable(of_key(error)))?
            }
            _ => builder.with_no_client_auth(),
        };
        let protocols: &[&[u8]] = if self.http2 { &[b"h2", b"http/1.1"] } else { &[b"http/1.1"] };
        client.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
        Ok(Current { texts, client: Arc::new(client) })
    }

    /// Performs the handshake over a new connection to `host`, which errors call `connection`.
    pub async fn connect<S>(
        &self,
        stream: S,
        connection: &str,
        host: &str,
        for_http: bool,
    ) -> Result<TlsStream<RecordedStream<S>>, Cause>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        if self.versions.is_empty() {
            return Err(Cause::Tls(TlsError::NoVersion));
        }
        let named = self.server_name.as_deref().unwrap_or(host);
        let name = ServerName::try_from(named.to_owned())
            .map_err(|_| Cause::Tls(TlsError::Other(format!("invalid server name {named}"))))?;
        let mut client = self.current().client.clone();
        if !for_http {
            // Proxies are spoken to in HTTP/1.1, whatever the server behind them supports.
            let mut plain = (*client).clone();
            plain.alpn_protocols.clear();
            client = Arc::new(plain);
        }
        let wire = Arc::new(Wire::named(connection.to_owned()));
        let handshake = TlsConnector::from(client).connect(name, RecordedStream::new(stream, wire.clone()));
        match tokio::time::timeout(HANDSHAKE_TIME_MAX, handshake).await {
            Ok(Ok(stream)) => Ok(stream),
            Ok(Err(error)) => Err(tls_cause(error, &wire)),
            Err(_) => Err(Cause::Tls(TlsError::Timeout)),
        }
    }
}

/// TLS for protocols other than HTTP, such as SMTP.
#[derive(Debug)]
pub struct TlsClient(Tls);

impl TlsClient {
    /// Reads the files of the section, blocking.
    ///
    /// # Errors
    /// Unreadable files, invalid contents, and a newest version below the oldest one.
    pub fn new(config: &TlsConfig) -> Result<Self, SetupError> {
        Ok(TlsClient(Tls::new(config, false)?))
    }

    /// Reads the files again, so that replaced ones take effect; blocks.
    ///
    /// # Errors
    /// See [`TlsClient::new`].
    pub fn refresh(&self) -> Result<(), SetupError> {
        self.0.refresh().map(drop)
    }

    /// Performs the handshake over `stream`. The server must prove that it is `host`, or the name in the
    /// section.
    ///
    /// # Errors
    /// The handshake failed.
    pub async fn connect<S>(
        &self,
        stream: S,
        host: &str,
    ) -> Result<impl AsyncRead + AsyncWrite + Unpin + Send + use<S>, Cause>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send,
    {
        self.0.connect(stream, &format!("tcp ->{host}"), host, false).await
    }
}

static TLS12_ONLY: &[&SupportedProtocolVersion] = &[&rustls::version::TLS12];
static TLS13_ONLY: &[&SupportedProtocolVersion] = &[&rustls::version::TLS13];

/// The versions to offer, of which those below 1.2 are left out. A range that ends below leaves none, which is found out
/// with each connection, as in Go: what else the section's job has, such as its `up`, is not lost.
fn versions(min: &str, max: &str) -> Result<&'static [&'static SupportedProtocolVersion], SetupError> {
    // The names sort in the order of the versions.
    if !min.is_empty() && !max.is_empty() && max < min {
        return Err(SetupError::VersionsReversed);
    }
    match (min, max) {
        (_, "TLS10" | "TLS11") => Ok(&[]),
        ("TLS13", _) => Ok(TLS13_ONLY),
        (_, "TLS12") => Ok(TLS12_ONLY),
        _ => Ok(rustls::ALL_VERSIONS),
    }
}

/// The certificates of a PEM text; `None` if there are none. As in Go, other blocks and invalid certificates
/// are skipped.
fn certificates(pem: &str) -> Option<Vec<CertificateDer<'static>>> {
    let found: Vec<_> = CertificateDer::pem_slice_iter(pem.as_bytes())
        .filter_map(Result::ok)
        .filter(|certificate| rustls::server::ParsedCertificate::try_from(certificate).is_ok())
        .collect();
    (!found.is_empty()).then_some(found)
}

fn identity(texts: &Texts) -> Result<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>), IdentityError> {
    let chain: Vec<_> = CertificateDer::pem_slice_iter(texts.certificate.as_bytes())
        .collect::<Result<_, _>>()
        .unwrap_or_default();
    if chain.is_empty() {
        return Err(IdentityError::NoCertificate);
    }
    let key = PrivateKeyDer::from_pem_slice(texts.key.as_bytes()).map_err(|_| IdentityError::NoKey)?;
    Ok((chain, key))
}

fn of_key(error: rustls::Error) -> IdentityError {
    match error {
        rustls::Error::InconsistentKeys(_) => IdentityError::KeyOfAnother,
        other => IdentityError::Tls(other),
    }
}

#[cfg(test)]
mod tests;
