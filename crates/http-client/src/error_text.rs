//! Translates the errors of libraries to Go's texts.

use std::error::Error;
use std::io;

use rustls::pki_types::{ServerName, UnixTime};
use rustls::{AlertDescription, CertificateError};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::error::{BodyError, Cause, TlsError};
use crate::head_error::HeadError;
use crate::tls::signer::UnknownAuthority;
use crate::tls::verify::LegacyName;
use crate::wire::{HEADER_BYTES_MAX, Wire};

/// Finds a cause of type `T`. Also looks into I/O errors: their cause is the wrapped error, which `source`
/// skips.
fn find<'e, T: Error + 'static>(error: &'e (dyn Error + 'static)) -> Option<&'e T> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(found) = error.downcast_ref::<T>() {
            return Some(found);
        }
        let wrapped = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        next = match wrapped {
            Some(inner) => Some(inner),
            None => error.source(),
        };
    }
    None
}

/// The innermost text, since libraries wrap the informative one.
fn innermost(error: &(dyn Error + 'static)) -> String {
    let mut last = error;
    while let Some(inner) = last.source() {
        last = inner;
    }
    last.to_string()
}

/// Copies an I/O error, which is not `Clone`.
fn copy_io(error: &io::Error) -> io::Error {
    match error.raw_os_error() {
        Some(code) => io::Error::from_raw_os_error(code),
        None => io::Error::new(error.kind(), error.to_string()),
    }
}

/// Why a handshake failed; `wire` holds the first bytes received.
pub(crate) fn tls_cause(error: io::Error, wire: &Wire) -> Cause {
    if let Some(tls) = find::<rustls::Error>(&error) {
        return Cause::Tls(tls_error(tls, &wire.first()));
    }
    match error.kind() {
        io::ErrorKind::UnexpectedEof => Cause::Closed,
        _ => Cause::Transport { op: "read", connection: wire.connection.clone(), error },
    }
}

fn tls_error(error: &rustls::Error, first_bytes: &[u8]) -> TlsError {
    match error {
        rustls::Error::InvalidCertificate(_) => TlsError::Certificate(certificate_text(error)),
        rustls::Error::AlertReceived(alert) => TlsError::Alert(alert_text(*alert)),
        // TLS records begin with a type of 20 to 23, and 3 as the major version.
        rustls::Error::InvalidMessage(_) if first_bytes.starts_with(b"HTTP/") => TlsError::AnsweredInHttp,
        rustls::Error::InvalidMessage(_) if !matches!(first_bytes, [20..=23, 3, ..]) => TlsError::NotTls,
        other => TlsError::Other(other.to_string()),
    }
}

/// Why a certificate was rejected.
pub(crate) fn certificate_text(error: &rustls::Error) -> String {
    use CertificateError::{
        ExpiredContext, InvalidPurpose, InvalidPurposeContext, NotValidForNameContext, NotValidYetContext,
        UnsupportedSignatureAlgorithmContext, UnsupportedSignatureAlgorithmForPublicKeyContext,
    };
    let dates = |now: UnixTime, word: &str, limit: UnixTime| {
        let text = |time: UnixTime| {
            let seconds = i64::try_from(time.as_secs()).unwrap_or(i64::MAX);
            let time = OffsetDateTime::from_unix_timestamp(seconds).ok();
            time.and_then(|time| time.format(&Rfc3339).ok()).unwrap_or_else(|| seconds.to_string())
        };
        let (now, limit) = (text(now), text(limit));
        format!("x509: certificate has expired or is not yet valid: current time {now} is {word} {limit}")
    };
    let rustls::Error::InvalidCertificate(reason) = error else { return error.to_string() };
    match reason {
        ExpiredContext { time, not_after } => dates(*time, "after", *not_after),
        NotValidYetContext { time, not_before } => dates(*time, "before", *not_before),
        NotValidForNameContext { expected, presented } => name_text(expected, presented),
        InvalidPurpose | InvalidPurposeContext { .. } => {
            "x509: certificate specifies an incompatible key usage".to_owned()
        }
        CertificateError::Other(cause) if cause.0.is::<UnknownAuthority>() || cause.0.is::<LegacyName>() => {
            cause.0.to_string()
        }
        CertificateError::BadSignature => {
            "x509: invalid signature (RSA keys below 2048 bits are not supported)".to_owned()
        }
        UnsupportedSignatureAlgorithmContext { .. }
        | UnsupportedSignatureAlgorithmForPublicKeyContext { .. } => {
            "x509: unsupported key or signature (RSA below 2048 bits, P-521 and SHA-1 are not supported)"
                .to_owned()
        }
        CertificateError::BadEncoding => "x509: malformed certificate".to_owned(),
        other => format!("x509: {other}"),
    }
}

/// Lists the names that a certificate has instead of the expected one.
fn name_text(expected: &ServerName<'_>, presented: &[String]) -> String {
    let wanted = expected.to_str();
    let inside = |open: &str, close: &str| {
        let names = presented
            .iter()
            .filter_map(|name| name.strip_prefix(open)?.strip_suffix(close))
            .map(str::to_owned)
            .collect::<Vec<_>>();
        names.join(", ")
    };
    let valid = match expected {
        ServerName::IpAddress(_) => inside("IpAddress(", ")"),
        _ => inside("DnsName(\"", "\")"),
    };
    match (valid.as_str(), expected) {
        ("", ServerName::IpAddress(_)) => {
            format!("x509: cannot validate certificate for {wanted} because it doesn't contain any IP SANs")
        }
        ("", _) => format!("x509: certificate is not valid for any names, but wanted to match {wanted}"),
        (valid, _) => format!("x509: certificate is valid for {valid}, not {wanted}"),
    }
}

/// The server's reason for ending a handshake.
fn alert_text(alert: AlertDescription) -> String {
    let text = match alert {
        AlertDescription::CloseNotify => "close notify",
        AlertDescription::UnexpectedMessage => "unexpected message",
        AlertDescription::BadRecordMac => "bad record MAC",
        AlertDescription::RecordOverflow => "record overflow",
        AlertDescription::HandshakeFailure => "handshake failure",
        AlertDescription::BadCertificate => "bad certificate",
        AlertDescription::UnsupportedCertificate => "unsupported certificate",
        AlertDescription::CertificateRevoked => "revoked certificate",
        AlertDescription::CertificateExpired => "expired certificate",
        AlertDescription::CertificateUnknown => "unknown certificate",
        AlertDescription::IllegalParameter => "illegal parameter",
        AlertDescription::UnknownCA => "unknown certificate authority",
        AlertDescription::AccessDenied => "access denied",
        AlertDescription::DecodeError => "error decoding message",
        AlertDescription::DecryptError => "error decrypting message",
        AlertDescription::ProtocolVersion => "protocol version not supported",
        AlertDescription::InsufficientSecurity => "insufficient security level",
        AlertDescription::InternalError => "internal error",
        AlertDescription::InappropriateFallback => "inappropriate fallback",
        AlertDescription::UserCanceled => "user canceled",
        AlertDescription::NoRenegotiation => "no renegotiation",
        AlertDescription::MissingExtension => "missing extension",
        AlertDescription::UnsupportedExtension => "unsupported extension",
        AlertDescription::UnrecognisedName => "unrecognized name",
        AlertDescription::CertificateRequired => "certificate required",
        AlertDescription::NoApplicationProtocol => "no application protocol",
        other => return format!("alert({})", u8::from(other)),
    };
    text.to_owned()
}

/// Why a sent request got no answer.
pub(crate) fn answer_cause(error: &hyper::Error, wire: &Wire) -> Cause {
    if let Some(tls) = find::<rustls::Error>(error) {
        return Cause::Tls(tls_error(tls, &[]));
    }
    match wire.fault() {
        Some(HeadError::TooLarge) => return Cause::HeadersTooLarge(HEADER_BYTES_MAX),
        Some(fault) => return Cause::Malformed(fault.to_string()),
        None if error.is_parse_too_large() => return Cause::HeadersTooLarge(HEADER_BYTES_MAX),
        None if error.is_parse() => return Cause::Malformed(innermost(error)),
        None => {}
    }
    let io = find::<io::Error>(error).filter(|io| io.kind() != io::ErrorKind::UnexpectedEof);
    match io {
        Some(io) => {
            let op = if io.kind() == io::ErrorKind::BrokenPipe { "write" } else { "read" };
            Cause::Transport { op, connection: wire.connection.clone(), error: copy_io(io) }
        }
        None if wire.answered() => Cause::Malformed("unexpected EOF".to_owned()),
        None if error.is_incomplete_message() || error.is_closed() || error.is_canceled() => Cause::Closed,
        None => Cause::Other(innermost(error)),
    }
}

/// Why a body ended early.
pub(crate) fn body_error(error: &hyper::Error, wire: &Wire) -> BodyError {
    match find::<io::Error>(error) {
        Some(io) if io.raw_os_error().is_some() => {
            BodyError::Read { connection: wire.connection.clone(), error: copy_io(io) }
        }
        Some(io) if io.kind() == io::ErrorKind::UnexpectedEof => BodyError::Truncated,
        _ if error.is_incomplete_message() || error.is_closed() => BodyError::Truncated,
        _ => match innermost(error) {
            text if text.contains("end of file") => BodyError::Truncated,
            text => BodyError::Other(chunk_text(&text).map_or(text, str::to_owned)),
        },
    }
}

/// Go's text for what hyper says about chunks.
fn chunk_text(text: &str) -> Option<&'static str> {
    if text.contains("overflow") {
        return Some("http chunk length too large");
    }
    let known = [
        ("Invalid chunk size", "invalid byte in chunk length"),
        ("chunk extension", "header line too long"),
        ("Invalid chunk body", "malformed chunked encoding"),
    ];
    known.into_iter().find(|(part, _)| text.contains(part)).map(|(_, text)| text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_about_certificate_names_are_those_of_go() {
        let name = |name: &str| ServerName::try_from(name.to_owned()).expect("a name");
        let presented = ["DnsName(\"a.example\")".to_owned(), "DnsName(\"*.b\")".to_owned()];
        assert_eq!(
            name_text(&name("c.example"), &presented),
            "x509: certificate is valid for a.example, *.b, not c.example"
        );
        assert_eq!(
            name_text(&name("10.0.0.1"), &presented),
            "x509: cannot validate certificate for 10.0.0.1 because it doesn't contain any IP SANs"
        );
        assert_eq!(
            name_text(&name("c"), &[]),
            "x509: certificate is not valid for any names, but wanted to match c"
        );
    }
}
