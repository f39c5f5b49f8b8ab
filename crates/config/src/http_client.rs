//! How to talk HTTP to something: authentication, TLS, proxies, headers. Stands inline in many sections.

use std::collections::BTreeMap;

use crate::error::{ConfigError, Problem};
use crate::scalars::{Secret, choice};
use crate::section::section;
use crate::url::Url;
use crate::yaml::decode::{Decoder, Value, decode_document};
use crate::yaml::emit::PrintedValue;
use crate::yaml::tree::NodeId;

section! {
    /// Options of an HTTP client.
    pub struct HttpClientConfig as "config.HTTPClientConfig" read as "config.plain" {
        omit basic_auth: Option<BasicAuth>;
        omit authorization: Option<Authorization>;
        omit oauth2: Option<OAuth2>;
        /// The older form of `authorization`; [`HttpClientConfig::check`] moves it there.
        omit bearer_token: Secret;
        /// The older form of `authorization.credentials_file`.
        path bearer_token_file: String;
        omit tls_config: TlsConfig;
        keep follow_redirects: bool = true;
        keep enable_http2: bool = true;
        inline proxy: ProxyConfig;
        omit http_headers: Option<Headers>;
    }
}

section! {
    /// Name and password, each given or read from a file at every request.
    pub struct BasicAuth as "config.BasicAuth" read as "config.plain" {
        omit username: String;
        path username_file: String;
        omit username_ref: String;
        omit password: Secret;
        path password_file: String;
        omit password_ref: String;
    }
}

section! {
    /// The `Authorization` header.
    pub struct Authorization as "config.Authorization" {
        /// `Bearer` when left empty.
        omit kind as "type": String;
        omit credentials: Secret;
        path credentials_file: String;
        omit credentials_ref: String;
    }
}

section! {
    /// A token fetched from an OAuth 2.0 server.
    pub struct OAuth2 as "config.OAuth2" read as "config.plain" {
        omit client_id: String;
        omit client_secret: Secret;
        path client_secret_file: String;
        omit client_secret_ref: String;
        omit client_certificate_key_id: String;
        omit client_certificate_key: Secret;
        omit client_certificate_key_file: String;
        omit client_certificate_key_ref: String;
        omit grant_type: String;
        omit signature_algorithm: String;
        omit iss: String;
        omit audience: String;
        omit claims: BTreeMap<String, AnyText>;
        omit scopes: Vec<String>;
        omit token_url: String;
        omit endpoint_params: BTreeMap<String, String>;
        omit tls_config: TlsConfig;
        inline proxy: ProxyConfig;
    }
}

section! {
    /// Certificates and protocol versions of a TLS connection.
    pub struct TlsConfig as "config.TLSConfig" read as "config.plain", checked {
        omit ca: String;
        omit cert: String;
        omit key: Secret;
        path ca_file: String;
        path cert_file: String;
        path key_file: String;
        omit ca_ref: String;
        omit cert_ref: String;
        omit key_ref: String;
        omit server_name: String;
        keep insecure_skip_verify: bool;
        omit min_version: TlsVersion;
        omit max_version: TlsVersion;
    }
}

choice! {
    /// `TLS10` to `TLS13`, or nothing.
    TlsVersion as "config.TLSVersion", ["TLS10", "TLS11", "TLS12", "TLS13"],
    |other: &str| format!("unknown TLS version: {other}")
}

section! {
    /// The proxy on the way.
    pub struct ProxyConfig as "config.ProxyConfig" {
        omit proxy_url: Url;
        omit no_proxy: String;
        omit proxy_from_environment: bool;
        omit proxy_connect_header: BTreeMap<String, Vec<Secret>>;
    }
}

section! {
    /// Values of one extra request header.
    pub struct Header as "config.Header" {
        omit values: Vec<String>;
        omit secrets: Vec<Secret>;
        omit files: FileNames;
    }
}

/// File names, relative to the configuration file.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct FileNames(pub Vec<String>);

impl Value for FileNames {
    fn zero() -> Self {
        FileNames::default()
    }

    fn decode(&mut self, id: NodeId, d: &mut Decoder<'_>) -> Result<(), Problem> {
        self.0.decode(id, d)
    }

    fn go_type() -> String {
        Vec::<String>::go_type()
    }

    fn is_zero(&self) -> bool {
        self.0.is_empty()
    }

    fn print(&self) -> PrintedValue {
        self.0.print()
    }

    fn join_directory(&mut self, dir: &str) {
        self.0.iter_mut().for_each(|file| crate::files::join_path(dir, file));
    }
}

/// Extra request headers by name.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Headers(pub BTreeMap<String, Header>);

impl Value for Headers {
    fn zero() -> Self {
        Headers::default()
    }

    fn decode(&mut self, id: NodeId, d: &mut Decoder<'_>) -> Result<(), Problem> {
        self.0.decode(id, d)
    }

    fn go_type() -> String {
        "config.Headers".into()
    }

    fn is_zero(&self) -> bool {
        self.0.is_empty()
    }

    fn print(&self) -> PrintedValue {
        self.0.print()
    }

    fn join_directory(&mut self, dir: &str) {
        self.0.values_mut().for_each(|header| header.join_directory(dir));
    }
}

/// A claim of a token: a scalar of any type, kept as written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AnyText(pub String);

impl Value for AnyText {
    fn zero() -> Self {
        AnyText::default()
    }

    fn decode(&mut self, id: NodeId, d: &mut Decoder<'_>) -> Result<(), Problem> {
        self.0.decode(id, d)
    }

    fn go_type() -> String {
        "interface {}".into()
    }

    fn is_zero(&self) -> bool {
        self.0.is_empty()
    }

    fn print(&self) -> PrintedValue {
        self.0.print()
    }
}

/// How many of the alternatives are given.
pub(crate) fn count(given: &[bool]) -> usize {
    given.iter().filter(|given| **given).count()
}

const JWT_BEARER: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";

/// Header names that the client sets itself, in canonical form.
const RESERVED_HEADERS: [&str; 18] = [
    "Authorization",
    "Host",
    "Content-Encoding",
    "Content-Length",
    "Content-Type",
    "User-Agent",
    "Connection",
    "Keep-Alive",
    "Proxy-Authenticate",
    "Proxy-Authorization",
    "Www-Authenticate",
    "Accept-Encoding",
    "X-Prometheus-Remote-Write-Version",
    "X-Prometheus-Remote-Read-Version",
    "X-Prometheus-Scrape-Timeout-Seconds",
    "X-Amz-Date",
    "X-Amz-Security-Token",
    "X-Amz-Content-Sha256",
];

impl HttpClientConfig {
    /// Reads a file of nothing but these options, as `--http.config.file` names it.
    ///
    /// # Errors
    /// What is wrong with it, in go-yaml's words, or what this build cannot do.
    pub fn parse_file(text: &str, directory: &str) -> Result<Self, ConfigError> {
        let mut config = HttpClientConfig::default();
        let tree = decode_document(text.as_bytes(), &mut config)?;
        if let Some(tree) = &tree {
            config.check().map_err(|problem| ConfigError::of_problem(&problem, tree))?;
        }
        config.join_directory(directory);
        Ok(config)
    }

    /// Whether nothing differs from the defaults.
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }

    /// Checks that the options go together, and turns a bearer token into an `authorization`.
    /// Sections that hold the options inline call this at the point where Prometheus does.
    pub(crate) fn check(&mut self) -> Result<(), Problem> {
        let bearer = !self.bearer_token.is_empty() || !self.bearer_token_file.is_empty();
        if !self.bearer_token.is_empty() && !self.bearer_token_file.is_empty() {
            return Err(Problem::new("at most one of bearer_token & bearer_token_file must be configured")
                .at("bearer_token_file"));
        }
        if (self.basic_auth.is_some() || self.oauth2.is_some()) && bearer {
            return Err(
                "at most one of basic_auth, oauth2, bearer_token & bearer_token_file must be configured"
                    .into(),
            );
        }
        if let Some(basic) = &self.basic_auth {
            basic.check().map_err(|problem| problem.at("basic_auth"))?;
        }
        self.check_authorization(bearer)?;
        if let Some(oauth2) = &self.oauth2 {
            if self.basic_auth.is_some() {
                return Err("at most one of basic_auth, oauth2 & authorization must be configured".into());
            }
            oauth2.check().map_err(|problem| problem.at("oauth2"))?;
        }
        self.proxy.check()?;
        for name in self.http_headers.iter().flat_map(|headers| headers.0.keys()) {
            let canonical = canonical_header(name);
            if RESERVED_HEADERS.contains(&canonical.as_str()) {
                let text =
                    format!("setting header {} is not allowed", ferula_go::quote::go_quote(&canonical));
                return Err(Problem::new(text).at(name).at("http_headers"));
            }
        }
        Ok(())
    }

    fn check_authorization(&mut self, bearer: bool) -> Result<(), Problem> {
        let Some(authorization) = &mut self.authorization else {
            if bearer {
                self.authorization = Some(Authorization {
                    kind: "Bearer".into(),
                    credentials: std::mem::take(&mut self.bearer_token),
                    credentials_file: std::mem::take(&mut self.bearer_token_file),
                    credentials_ref: String::new(),
                });
            }
            return Ok(());
        };
        if bearer {
            return Err("authorization is not compatible with bearer_token & bearer_token_file".into());
        }
        let given = [
            !authorization.credentials.is_empty(),
            !authorization.credentials_file.is_empty(),
            !authorization.credentials_ref.is_empty(),
        ];
        if count(&given) > 1 {
            return Err(Problem::new(
                "at most one of authorization credentials & credentials_file must be configured",
            )
            .at("authorization"));
        }
        authorization.kind = authorization.kind.trim().to_owned();
        if authorization.kind.is_empty() {
            authorization.kind = "Bearer".into();
        }
        if authorization.kind.eq_ignore_ascii_case("basic") {
            let text = r#"authorization type cannot be set to "basic", use "basic_auth" instead"#;
            return Err(Problem::new(text).at("type").at("authorization"));
        }
        if self.basic_auth.is_some() || self.oauth2.is_some() {
            return Err("at most one of basic_auth, oauth2 & authorization must be configured".into());
        }
        Ok(())
    }
}

impl BasicAuth {
    fn check(&self) -> Result<(), Problem> {
        let names =
            [!self.username.is_empty(), !self.username_file.is_empty(), !self.username_ref.is_empty()];
        if count(&names) > 1 {
            return Err(
                "at most one of basic_auth username, username_file & username_ref must be configured".into(),
            );
        }
        let passwords =
            [!self.password.is_empty(), !self.password_file.is_empty(), !self.password_ref.is_empty()];
        if count(&passwords) > 1 {
            return Err(
                "at most one of basic_auth password, password_file & password_ref must be configured".into(),
            );
        }
        Ok(())
    }
}

impl OAuth2 {
    fn check(&self) -> Result<(), Problem> {
        if self.client_id.is_empty() {
            return Err("oauth2 client_id must be configured".into());
        }
        if self.token_url.is_empty() {
            return Err("oauth2 token_url must be configured".into());
        }
        if self.grant_type == JWT_BEARER {
            let keys = [
                !self.client_certificate_key.is_empty(),
                !self.client_certificate_key_file.is_empty(),
                !self.client_certificate_key_ref.is_empty(),
            ];
            if count(&keys) > 1 {
                return Err(format!(
                    "at most one of oauth2 client_certificate_key, client_certificate_key_file & \
                     client_certificate_key_ref must be configured using grant-type={JWT_BEARER}"
                )
                .into());
            }
            if !matches!(self.signature_algorithm.as_str(), "" | "RS256" | "RS384" | "RS512") {
                return Err(Problem::new("valid signature algorithms are RS256, RS384 and RS512")
                    .at("signature_algorithm"));
            }
            return Ok(());
        }
        let secrets = [
            !self.client_secret.is_empty(),
            !self.client_secret_file.is_empty(),
            !self.client_secret_ref.is_empty(),
        ];
        if count(&secrets) > 1 {
            return Err(
                "at most one of oauth2 client_secret, client_secret_file & client_secret_ref must be \
                        configured using grant-type=client_credentials"
                    .into(),
            );
        }
        Ok(())
    }
}

impl TlsConfig {
    fn check(&mut self) -> Result<(), Problem> {
        if count(&[!self.ca.is_empty(), !self.ca_file.is_empty(), !self.ca_ref.is_empty()]) > 1 {
            return Err("at most one of ca, ca_file & ca_ref must be configured".into());
        }
        let certs = count(&[!self.cert.is_empty(), !self.cert_file.is_empty(), !self.cert_ref.is_empty()]);
        if certs > 1 {
            return Err("at most one of cert, cert_file & cert_ref must be configured".into());
        }
        let keys = count(&[!self.key.is_empty(), !self.key_file.is_empty(), !self.key_ref.is_empty()]);
        if keys > 1 {
            return Err("at most one of key and key_file must be configured".into());
        }
        match (certs, keys) {
            (1, 0) => Err(
                "exactly one of key or key_file must be configured when a client certificate is configured"
                    .into(),
            ),
            (0, 1) => {
                Err("exactly one of cert or cert_file must be configured when a client key is configured"
                    .into())
            }
            _ => Ok(()),
        }
    }
}

impl ProxyConfig {
    fn check(&self) -> Result<(), Problem> {
        if !self.proxy_connect_header.is_empty() && !self.proxy_from_environment && self.proxy_url.is_empty()
        {
            return Err(Problem::new(
                "if proxy_connect_header is configured, proxy_url or proxy_from_environment must also be configured",
            )
            .at("proxy_connect_header"));
        }
        if self.proxy_from_environment && !self.proxy_url.is_empty() {
            let text = "if proxy_from_environment is configured, proxy_url must not be configured";
            return Err(Problem::new(text).at("proxy_url"));
        }
        if self.proxy_from_environment && !self.no_proxy.is_empty() {
            let text = "if proxy_from_environment is configured, no_proxy must not be configured";
            return Err(Problem::new(text).at("no_proxy"));
        }
        if self.proxy_url.is_empty() && !self.no_proxy.is_empty() {
            let text = "if no_proxy is configured, proxy_url must also be configured";
            return Err(Problem::new(text).at("no_proxy"));
        }
        Ok(())
    }
}

/// Go's `http.CanonicalHeaderKey`: capitals at the start and after hyphens, unless a character does not belong.
pub(crate) fn canonical_header(name: &str) -> String {
    let token = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
    if name.is_empty() || !name.bytes().all(token) {
        return name.to_owned();
    }
    let mut upper = true;
    let canonical = |c: char| {
        let out = if upper { c.to_ascii_uppercase() } else { c.to_ascii_lowercase() };
        upper = c == '-';
        out
    };
    name.chars().map(canonical).collect()
}
