//! Secrets that are inline in the section or in files.

use ferula_config::http_client::{Authorization, BasicAuth, Header, HttpClientConfig};
use ferula_go::base64;
use http::header::{AUTHORIZATION, HeaderMap, HeaderName, HeaderValue};

use crate::error::{Cause, FileError, HeaderError, SetupError};

/// An inline text, or the file that contains it.
#[derive(Clone, Debug)]
pub(crate) enum Source {
    Inline(String),
    File(String),
}

impl Source {
    /// An inline text takes precedence, as in Prometheus; `None` if there is neither.
    pub fn of(text: &str, file: &str) -> Option<Source> {
        match (text, file) {
            ("", "") => None,
            ("", file) => Some(Source::File(file.to_owned())),
            (text, _) => Some(Source::Inline(text.to_owned())),
        }
    }

    pub fn is_file(&self) -> bool {
        matches!(self, Source::File(_))
    }

    /// The text. White space around a file's content is removed.
    pub fn read(&self) -> Result<String, FileError> {
        match self {
            Source::Inline(text) => Ok(text.clone()),
            Source::File(file) => read_file(file),
        }
    }

    /// How errors refer to it.
    pub fn describe(&self) -> String {
        match self {
            Source::Inline(_) => "inline".to_owned(),
            Source::File(file) => format!("file {file}"),
        }
    }
}

fn read_file(file: &str) -> Result<String, FileError> {
    std::fs::read(file)
        .map(|bytes| String::from_utf8_lossy(&bytes).trim().to_owned())
        .map_err(|error| FileError { file: file.to_owned(), error })
}

/// Reads an optional source.
pub(crate) fn read(source: &Option<Source>, what: &'static str) -> Result<String, SetupError> {
    match source {
        Some(source) => source.read().map_err(|error| SetupError::File { what, error }),
        None => Ok(String::new()),
    }
}

/// How a client authenticates, except for OAuth 2.0.
#[derive(Debug)]
pub(crate) enum Credentials {
    None,
    Basic { name: Option<Source>, password: Option<Source> },
    Header { kind: String, credentials: Option<Source> },
}

impl Credentials {
    pub fn of(config: &HttpClientConfig) -> Result<Self, SetupError> {
        if let Some(basic) = &config.basic_auth {
            return Self::basic(basic);
        }
        match &config.authorization {
            Some(authorization) => Self::header(authorization),
            None => Ok(Credentials::None),
        }
    }

    fn basic(basic: &BasicAuth) -> Result<Self, SetupError> {
        if !basic.username_ref.is_empty() || !basic.password_ref.is_empty() {
            return Err(SetupError::SecretReference);
        }
        Ok(Credentials::Basic {
            name: Source::of(&basic.username, &basic.username_file),
            password: Source::of(basic.password.reveal(), &basic.password_file),
        })
    }

    fn header(authorization: &Authorization) -> Result<Self, SetupError> {
        if !authorization.credentials_ref.is_empty() {
            return Err(SetupError::SecretReference);
        }
        Ok(Credentials::Header {
            kind: authorization.kind.clone(),
            credentials: Source::of(authorization.credentials.reveal(), &authorization.credentials_file),
        })
    }

    pub fn has_files(&self) -> bool {
        let is_file = |source: &Option<Source>| source.as_ref().is_some_and(Source::is_file);
        match self {
            Credentials::None => false,
            Credentials::Basic { name, password } => is_file(name) || is_file(password),
            Credentials::Header { credentials, .. } => is_file(credentials),
        }
    }

    /// The value of `Authorization`, with the current contents of files.
    pub fn value(&self) -> Result<Option<HeaderValue>, Cause> {
        let text = match self {
            Credentials::None => return Ok(None),
            Credentials::Basic { name, password } => {
                let name = read(name, "basic auth username").map_err(Cause::Section)?;
                let password = read(password, "basic auth password").map_err(Cause::Section)?;
                basic_text(&name, &password)
            }
            Credentials::Header { kind, credentials } => {
                let credentials = read(credentials, "authorization credentials").map_err(Cause::Section)?;
                format!("{kind} {credentials}")
            }
        };
        secret_value(&AUTHORIZATION, &text).map(Some)
    }
}

/// `Basic …` for a name and a password.
pub(crate) fn basic_text(name: &str, password: &str) -> String {
    format!("Basic {}", base64::encode(format!("{name}:{password}").as_bytes()))
}

/// Marks a header value as one that logs and debug output must not show.
pub(crate) fn secret_value(name: &HeaderName, text: &str) -> Result<HeaderValue, Cause> {
    let mut value = header_value(name, text).map_err(Cause::Header)?;
    value.set_sensitive(true);
    Ok(value)
}

fn header_value(name: &HeaderName, text: &str) -> Result<HeaderValue, HeaderError> {
    HeaderValue::from_str(text.trim_matches([' ', '\t']))
        .or_else(|_| HeaderValue::from_bytes(text.as_bytes()))
        .map_err(|_| HeaderError::Value(canonical(name)))
}

/// `x-own` in Go's spelling: `X-Own`.
fn canonical(name: &HeaderName) -> String {
    let mut upper = true;
    let letter = |c: char| {
        let shown = if upper { c.to_ascii_uppercase() } else { c };
        upper = c == '-';
        shown
    };
    name.as_str().chars().map(letter).collect()
}

/// Headers that the section adds to every request.
#[derive(Debug)]
pub(crate) struct OwnHeaders(Vec<(HeaderName, Header)>);

impl OwnHeaders {
    pub fn of(config: &HttpClientConfig) -> Result<Self, SetupError> {
        let parse = |(name, header): (&String, &Header)| {
            let name = header_name(name)?;
            Ok((name, header.clone()))
        };
        let all = config.http_headers.iter().flat_map(|headers| &headers.0);
        all.map(parse).collect::<Result<_, _>>().map(OwnHeaders)
    }

    pub fn has_files(&self) -> bool {
        self.0.iter().any(|(_, header)| !header.files.0.is_empty())
    }

    /// The headers, with the current contents of files.
    pub fn values(&self) -> Result<HeaderMap, Cause> {
        let mut headers = HeaderMap::new();
        for (name, header) in &self.0 {
            for value in &header.values {
                headers.append(name, header_value(name, value).map_err(Cause::Header)?);
            }
            for secret in &header.secrets {
                headers.append(name, secret_value(name, secret.reveal())?);
            }
            for file in &header.files.0 {
                let text = read_file(file).map_err(Cause::HeaderFile)?;
                headers.append(name, secret_value(name, &text)?);
            }
        }
        Ok(headers)
    }
}

pub(crate) fn header_name(name: &str) -> Result<HeaderName, SetupError> {
    name.parse().map_err(|_| SetupError::Header(HeaderError::Name(name.to_owned())))
}
