//! The file that `--web.config.file` names: TLS, passwords and headers of one's own port.

use std::collections::BTreeMap;
use std::path::Path;

use ferula_go::quote::go_quote;

use crate::alertmanager::GoDuration;
use crate::error::{ConfigError, Problem};
use crate::files::{directory_of, read_file};
use crate::scalars::Secret;
use crate::section::section;
use crate::yaml::decode::{Decoder, Value, decode_document};
use crate::yaml::emit::PrintedValue;
use crate::yaml::tree::NodeId;

section! {
    /// The whole file.
    pub struct WebConfig as "web.Config" {
        keep tls_server_config: TlsServerConfig;
        keep http_server_config: HttpServerConfig;
        keep rate_limit: RateLimitConfig;
        keep basic_auth_users: BTreeMap<String, Secret>;
    }
}

section! {
    /// With which certificate to serve, and whether clients must show one.
    pub struct TlsServerConfig as "web.TLSConfig" {
        omit cert: String;
        omit key: Secret;
        omit client_ca: String;
        path cert_file: String;
        path key_file: String;
        omit client_auth_type: String;
        path client_ca_file: String;
        omit cipher_suites: Vec<NamedChoice>;
        omit curve_preferences: Vec<NamedChoice>;
        omit min_version: NamedChoice = NamedChoice(Some("TLS12".into()));
        omit max_version: NamedChoice = NamedChoice(Some("TLS13".into()));
        keep prefer_server_cipher_suites: bool = true;
        omit client_allowed_sans: Vec<String>;
    }
}

section! {
    /// HTTP/2, and headers of every answer.
    pub struct HttpServerConfig as "web.HTTPConfig" {
        keep http2: bool = true;
        omit headers: BTreeMap<String, String>;
    }
}

section! {
    /// How many requests a client may make.
    pub struct RateLimitConfig as "web.RateLimiterConfig" {
        keep burst: i64;
        keep interval: GoDuration;
    }
}

/// The name of a version, cipher or curve. `null` leaves the choice to the server; an empty text is a name that does not
/// exist.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct NamedChoice(pub Option<String>);

impl Value for NamedChoice {
    fn zero() -> Self {
        NamedChoice(None)
    }

    fn decode(&mut self, id: NodeId, d: &mut Decoder<'_>) -> Result<(), Problem> {
        self.0.get_or_insert_default().decode(id, d)
    }

    fn go_type() -> String {
        "string".into()
    }

    fn is_zero(&self) -> bool {
        self.0.is_none()
    }

    fn print(&self) -> PrintedValue {
        self.0.as_ref().map_or(PrintedValue::Null, Value::print)
    }
}

/// Whether and how clients show certificates.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientAuth {
    /// They are not asked.
    None,
    /// They are asked, and whatever they show is taken.
    Request,
    /// They must show one, whatever it is.
    RequireAny,
    /// What they show must be good.
    VerifyIfGiven,
    /// They must show a good one.
    RequireAndVerify,
}

/// Headers that may be set, with the values that each may have; none for any.
const HEADERS: [(&str, &[&str]); 5] = [
    ("Strict-Transport-Security", &[]),
    ("X-Content-Type-Options", &["nosniff"]),
    ("X-Frame-Options", &["deny", "sameorigin"]),
    ("X-XSS-Protection", &[]),
    ("Content-Security-Policy", &[]),
];

impl TlsServerConfig {
    /// Whether TLS is served.
    pub fn is_enabled(&self) -> bool {
        let texts = [&self.cert_file, &self.cert, &self.key_file, &self.client_ca_file, &self.client_ca];
        texts.into_iter().any(|text| !text.is_empty())
            || !self.key.is_empty()
            || !self.client_auth_type.is_empty()
    }

    /// What is asked of clients.
    ///
    /// # Errors
    /// The name of no way.
    pub fn client_auth(&self) -> Result<ClientAuth, ConfigError> {
        Ok(match self.client_auth_type.as_str() {
            "" | "NoClientCert" => ClientAuth::None,
            "RequestClientCert" => ClientAuth::Request,
            "RequireAnyClientCert" | "RequireClientCert" => ClientAuth::RequireAny,
            "VerifyClientCertIfGiven" => ClientAuth::VerifyIfGiven,
            "RequireAndVerifyClientCert" => ClientAuth::RequireAndVerify,
            other => return Err(ConfigError::bare(format!("invalid ClientAuth: {other}"))),
        })
    }

    fn check(&self) -> Result<(), ConfigError> {
        if !self.is_enabled() {
            return Ok(());
        }
        if self.cert.is_empty() && self.cert_file.is_empty() {
            return Err(ConfigError::bare("missing one of cert or cert_file".to_owned()));
        }
        if self.key.is_empty() && self.key_file.is_empty() {
            return Err(ConfigError::bare("missing one of key or key_file".to_owned()));
        }
        let has_authorities = !self.client_ca.is_empty() || !self.client_ca_file.is_empty();
        if has_authorities && self.client_auth()? == ClientAuth::None {
            return Err(ConfigError::bare(
                "client CA's have been configured without a Client Auth Policy".to_owned(),
            ));
        }
        self.client_auth().map(drop)
    }
}

impl WebConfig {
    /// Reads the file. File names in it become relative to its directory.
    ///
    /// # Errors
    /// What is wrong with it, in the words of Prometheus' toolkit where it has them.
    pub fn load(file: &Path) -> Result<Self, ConfigError> {
        let mut config = WebConfig::default();
        let tree = decode_document(read_file(file)?.as_bytes(), &mut config)?;
        if let Some(tree) = &tree {
            let checked = config.http_server_config.check();
            checked.map_err(|problem| ConfigError::of_problem(&problem, tree))?;
        }
        config.join_directory(&directory_of(file));
        config.tls_server_config.check()?;
        Ok(config)
    }
}

impl HttpServerConfig {
    fn check(&self) -> Result<(), Problem> {
        for (name, value) in &self.headers {
            let refuse =
                |text: String| Err(Problem::new(text).at(name).at("headers").at("http_server_config"));
            let Some((_, values)) = HEADERS.iter().find(|(known, _)| known == name) else {
                return refuse(format!("HTTP header {} can not be configured", go_quote(name)));
            };
            if !values.is_empty() && !values.contains(&value.as_str()) {
                let known: Vec<String> = values.iter().map(|value| go_quote(value)).collect();
                return refuse(format!(
                    "invalid value for {name}. Expected one of: [{}], but got: {}",
                    known.join(" "),
                    go_quote(value)
                ));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn good_files_are_read_and_bad_ones_are_refused_in_words() {
        let dir = tempfile::tempdir().expect("a directory");
        let file = dir.path().join("web.yml");
        let load = |text: &str| {
            std::fs::write(&file, text).expect("written");
            WebConfig::load(&file).map_err(|error| error.to_string())
        };
        let config =
            load("tls_server_config: {cert_file: c.pem, key_file: /k.pem}\nbasic_auth_users: {a: b}\n")
                .expect("good");
        let tls = &config.tls_server_config;
        assert!(tls.is_enabled() && tls.cert_file.ends_with("/c.pem") && tls.key_file == "/k.pem");
        assert!(config.http_server_config.http2 && !load("").expect("good").tls_server_config.is_enabled());
        // As promtool 3.5 answers.
        for (text, nanos) in [
            ("1h1m", 3_660_000_000_000),
            ("1.5s", 1_500_000_000),
            ("-1s", 0),
            ("1", 1),
            ("1.5", 1),
            ("1e3", 1_000),
            ("null", 0),
        ] {
            let config = load(&format!("rate_limit: {{interval: {text}}}")).expect(text);
            assert_eq!(config.rate_limit.interval.0.as_nanos(), nanos, "{text}");
        }
        for (text, named) in [("null", None), ("''", Some("")), ("TLS13", Some("TLS13"))] {
            let config =
                load(&format!("tls_server_config: {{min_version: {text}, cipher_suites: [{text}]}}"));
            let tls = config.expect(text).tls_server_config;
            assert_eq!(tls.min_version.0.as_deref(), named, "{text}");
            assert_eq!(tls.cipher_suites[0].0.as_deref(), named, "{text}");
        }
        for (text, want) in [
            ("tls_server_config: {cert_file: c}", "missing one of key or key_file"),
            ("tls_server_config: {key_file: c}", "missing one of cert or cert_file"),
            ("tls_server_config: {cert_file: c, key_file: k, client_auth_type: X}", "invalid ClientAuth: X"),
            (
                "tls_server_config: {cert_file: c, key_file: k, client_ca_file: a}",
                "client CA's have been configured without a Client Auth Policy",
            ),
            ("http_server_config: {headers: {X-Mine: a}}", "HTTP header \"X-Mine\" can not be configured"),
            (
                "http_server_config: {headers: {X-Frame-Options: a}}",
                "invalid value for X-Frame-Options. Expected one of: [\"deny\" \"sameorigin\"], but got: \"a\"",
            ),
            ("tls: 1", "field tls not found in type web.Config"),
            ("rate_limit: {interval: ''}", "cannot unmarshal !!str `` into time.Duration"),
            ("rate_limit: {interval: '5'}", "cannot unmarshal !!str `5` into time.Duration"),
            ("rate_limit: {interval: true}", "cannot unmarshal !!bool `true` into time.Duration"),
            ("rate_limit: {interval: []}", "cannot unmarshal !!seq into time.Duration"),
        ] {
            let error = load(text).expect_err(text);
            assert!(error.contains(want), "{text}: {error}");
        }
    }
}
