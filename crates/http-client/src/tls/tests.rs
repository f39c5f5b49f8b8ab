//! Verification of certificates, and sections that are refused.

use std::time::Duration;

use ferula_config::http_client::HttpClientConfig;
use rustls::RootCertStore;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::ServerCertVerifier;
use rustls::pki_types::UnixTime;

use super::*;

const SELF_SIGNED: &str = include_str!("../../../../testdata/tls/self-signed.pem");
const OTHER: &str = include_str!("../../../../testdata/tls/other.pem");
/// An authority, and what it signed: a certificate for `leaf.example` and `*.internal`, and one without alternative names.
const AUTHORITY: &str = include_str!("../../../../testdata/tls/authority.pem");
const LEAF: &str = include_str!("../../../../testdata/tls/leaf.pem");
const COMMON_NAME: &str = include_str!("../../../../testdata/tls/common-name.pem");
/// In 2030.
const WITHIN: u64 = 1_900_000_000;

/// The verdict on a server that presents `SELF_SIGNED` when `authorities` are trusted.
fn verdict(authorities: &str, name: &str, seconds: u64) -> Result<(), String> {
    verdict_on(SELF_SIGNED, authorities, name, seconds)
}

fn verdict_on(shown: &str, authorities: &str, name: &str, seconds: u64) -> Result<(), String> {
    let authorities = certificates(authorities).expect("certificates");
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(authorities.clone());
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let inner = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider).build();
    let verifier = verify::Verifier { inner: inner.ok(), authorities };
    let shown = certificates(shown).expect("a certificate").remove(0);
    let name = ServerName::try_from(name.to_owned()).expect("a name");
    let now = UnixTime::since_unix_epoch(Duration::from_secs(seconds));
    let verdict = verifier.verify_server_cert(&shown, &[], &name, &[], now);
    verdict.map(|_| ()).map_err(|error| crate::error_text::certificate_text(&error))
}

#[test]
fn a_server_may_present_the_configured_authority_itself_and_nothing_else() {
    assert_eq!(verdict(SELF_SIGNED, "self-signed.example", WITHIN), Ok(()));
    assert_eq!(verdict(SELF_SIGNED, "127.0.0.1", WITHIN), Ok(()));
    assert_eq!(verdict(&[OTHER, SELF_SIGNED].concat(), "self-signed.example", WITHIN), Ok(()));
    let refused = |verdict: Result<(), String>, why: &str| {
        let error = verdict.expect_err(why);
        assert!(error.starts_with(why), "{error}");
    };
    refused(
        verdict(SELF_SIGNED, "other.example", WITHIN),
        "x509: certificate is valid for self-signed.example, not other.example",
    );
    // Go checks the name before the authority.
    refused(verdict(OTHER, "other.example", WITHIN), "x509: certificate is valid for self-signed.example");
    refused(
        verdict(SELF_SIGNED, "10.0.0.1", WITHIN),
        "x509: certificate is valid for 127.0.0.1, not 10.0.0.1",
    );
    let dates = "x509: certificate has expired or is not yet valid: current time ";
    refused(
        verdict(SELF_SIGNED, "self-signed.example", 1_000_000_000),
        &format!("{dates}2001-09-09T01:46:40Z is before 20"),
    );
    refused(
        verdict(SELF_SIGNED, "self-signed.example", 9_000_000_000),
        &format!("{dates}2255-03-14T16:00:00Z is after 2126-10-27T23:44:18Z"),
    );
    refused(verdict(OTHER, "self-signed.example", WITHIN), "x509: certificate signed by unknown authority");
}

#[test]
fn a_certificate_in_the_file_is_trusted_whoever_signed_it() {
    let on = |authorities: &str, name, seconds| verdict_on(LEAF, authorities, name, seconds);
    assert_eq!(on(AUTHORITY, "leaf.example", WITHIN), Ok(()));
    assert_eq!(on(LEAF, "leaf.example", WITHIN), Ok(()));
    assert_eq!(on(&[OTHER, LEAF].concat(), "leaf.example", WITHIN), Ok(()));
    for (verdict, why) in [
        (
            on(OTHER, "leaf.example", WITHIN),
            "x509: certificate signed by unknown authority (its signer is \"CN=authority.example\")",
        ),
        (
            on(LEAF, "other.example", WITHIN),
            "x509: certificate is valid for leaf.example, *.internal, not other.example",
        ),
        (on(LEAF, "leaf.example", 1_000_000_000), "x509: certificate has expired or is not yet valid: "),
    ] {
        let error = verdict.expect_err(why);
        assert!(error.starts_with(why), "{error}");
    }
}

#[test]
fn a_wildcard_stands_for_one_label_even_of_a_short_domain() {
    for (name, is_valid) in [
        ("host.internal", true),
        ("HOST.Internal", true),
        ("internal", false),
        ("a.host.internal", false),
        ("host.internals", false),
        ("10.0.0.1", false),
    ] {
        assert_eq!(verdict_on(LEAF, AUTHORITY, name, WITHIN).is_ok(), is_valid, "{name}");
    }
    assert!(verdict_on(LEAF, OTHER, "host.internal", WITHIN).is_err(), "its signer is not trusted");
}

#[test]
fn a_name_in_the_subject_alone_is_refused_in_gos_words() {
    let on = |name| verdict_on(COMMON_NAME, AUTHORITY, name, WITHIN);
    let legacy = "x509: certificate relies on legacy Common Name field, use SANs instead";
    assert_eq!(on("common.example"), Err(legacy.into()));
    let none = "x509: certificate is not valid for any names, but wanted to match other.example";
    assert_eq!(on("other.example"), Err(none.into()));
}

fn setup(yaml: &str) -> Result<Tls, String> {
    let config = HttpClientConfig::parse_file(yaml, ".").expect("a section");
    Tls::new(&config.tls_config, true).map_err(|error| error.to_string())
}

#[test]
fn invalid_settings_are_named() {
    for (yaml, error) in [
        (
            "tls_config: {ca_file: /proc/nowhere/ca.pem}",
            "unable to read CA cert: unable to read file /proc/nowhere/ca.pem: open /proc/nowhere/ca.pem: no such file or directory",
        ),
        ("tls_config: {ca: nonsense}", "unable to use specified CA cert inline"),
        (
            "tls_config: {cert: x, key: y}",
            "unable to use specified client cert (inline) & key (inline): tls: failed to find any PEM data in certificate input",
        ),
        (
            "tls_config: {min_version: TLS13, max_version: TLS12}",
            "tls_config.max_version must be greater than or equal to tls_config.min_version if both are specified",
        ),
        ("tls_config: {ca_ref: x}", "cannot use secret ref without manager"),
    ] {
        assert_eq!(setup(yaml).map(|_| ()), Err(error.into()), "{yaml}");
    }
    assert_eq!(setup("tls_config: {min_version: TLS10}").map(|_| ()), Ok(()));
}

/// As in Prometheus 3.5: the client exists, and its connections fail before the first byte.
#[tokio::test]
async fn versions_that_are_too_old_fail_with_the_connection() {
    for yaml in ["{max_version: TLS11}", "{max_version: TLS10}", "{min_version: TLS10, max_version: TLS11}"] {
        let tls = setup(&format!("tls_config: {yaml}")).expect("a client");
        let (stream, mut server) = tokio::io::duplex(100);
        let error = tls.connect(stream, "tcp", "host", true).await.expect_err(yaml).to_string();
        assert_eq!(error, "tls: no supported versions satisfy MinVersion and MaxVersion", "{yaml}");
        let sent = tokio::io::AsyncReadExt::read(&mut server, &mut [0; 1]).await.expect("it is closed");
        assert_eq!(sent, 0, "{yaml}");
    }
}
