//! Addresses in a configuration: Go's URLs, shown without their password.

use ferula_go::quote::go_quote;
use ferula_go::url::{self, EscapeError, Reason};

use crate::error::Problem;
use crate::scalars::from_text;
use crate::yaml::decode::{Decoder, Value};
use crate::yaml::emit::PrintedValue;
use crate::yaml::tree::NodeId;

/// An address from the configuration. Its password is not shown.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Url {
    /// `None`: the key is not there. An empty address is one, and is printed.
    parsed: Option<url::Url>,
    /// `parsed` as a text.
    text: String,
}

/// Why a text is no URL: Go's words, but a password in it is not shown.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("parse {}: {reason}", go_quote(.masked))]
pub struct UrlError {
    masked: String,
    reason: Reason,
}

impl UrlError {
    fn without_password(text: &str, error: url::ParseError) -> Self {
        UrlError::new(text, masked(text, MaskedPart::Password), error)
    }

    /// The error with the user name masked as well, for URLs that may have a token there.
    pub fn without_user(text: &str, error: url::ParseError) -> Self {
        UrlError::new(text, masked(text, MaskedPart::User), error)
    }

    fn new(text: &str, mut masked: String, error: url::ParseError) -> Self {
        let url::ParseError { text: refused, mut reason } = error;
        // Masked as a whole, since the `#` at which Go cuts may be one of the password.
        let has_password = masked != text;
        if refused != text {
            masked.truncate(masked.find('#').unwrap_or(masked.len()));
        }
        // The part that the reason names may be a piece of the password.
        let hidden =
            |part: &[u8]| has_password && !masked.as_bytes().windows(part.len()).any(|at| at == part);
        match &mut reason {
            Reason::Port(part) if hidden(part.as_bytes()) => MASK.clone_into(part),
            Reason::Escape(EscapeError::HostCharacter(part)) if hidden(part.as_bytes()) => {
                MASK.clone_into(part);
            }
            Reason::Escape(EscapeError::Escape(part)) if hidden(part) => *part = MASK.into(),
            _ => {}
        }
        UrlError { masked, reason }
    }

    /// The masked text, which is not a URL.
    pub fn masked(&self) -> &str {
        &self.masked
    }

    /// What is wrong.
    pub fn reason(&self) -> &Reason {
        &self.reason
    }
}

impl From<UrlError> for String {
    fn from(error: UrlError) -> String {
        error.to_string()
    }
}

/// What stands for a password.
const MASK: &str = "xxxxx";

/// What to mask in a text that is not a URL.
#[derive(Clone, Copy, PartialEq, Eq)]
enum MaskedPart {
    /// As Go's `URL.Redacted` does.
    Password,
    /// As Go's HTTP client does, and also the name.
    User,
}

/// A text that is not a URL, without what may be a password: everything from the first colon after `//`, or with the name
/// from `//`, to the last `@`, since the error may be a `/`, `?` or `#` in the password.
fn masked(text: &str, hidden: MaskedPart) -> String {
    let start = text.find("//").map_or(0, |at| at + 2);
    let Some(end) = text[start..].rfind('@').map(|at| start + at) else { return text.to_owned() };
    match text[start..end].find(':') {
        _ if hidden == MaskedPart::User => format!("{}***{}", &text[..start], &text[end..]),
        Some(colon) => format!("{}{MASK}{}", &text[..=start + colon], &text[end..]),
        None => text.to_owned(),
    }
}

impl Url {
    /// Parses as Go's `url.Parse` does.
    ///
    /// # Errors
    /// Go's text, with a password masked.
    pub fn parse(text: &str) -> Result<Url, UrlError> {
        let parsed = url::Url::parse(text).map_err(|error| UrlError::without_password(text, error))?;
        Ok(Url { text: parsed.to_string(), parsed: Some(parsed) })
    }

    /// The address as Go prints it, password included.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The parts of the address; `None` if there is none.
    pub fn parsed(&self) -> Option<&url::Url> {
        self.parsed.as_ref()
    }

    /// The scheme in lower case, or "".
    pub fn scheme(&self) -> &str {
        self.parsed.as_ref().map_or("", url::Url::scheme)
    }

    /// Host and port, or "".
    pub fn host(&self) -> String {
        self.parsed.as_ref().map(url::Url::host).unwrap_or_default()
    }

    /// The address with `xxxxx` for a password.
    pub fn redacted(&self) -> String {
        self.parsed.as_ref().map(url::Url::redacted).unwrap_or_default()
    }

    /// Whether there is no address, or an empty one.
    pub fn is_empty(&self) -> bool {
        self.text.is_empty()
    }
}

impl std::fmt::Debug for Url {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.redacted())
    }
}

impl Value for Url {
    fn zero() -> Self {
        Url::default()
    }

    fn decode(&mut self, id: NodeId, d: &mut Decoder<'_>) -> Result<(), Problem> {
        from_text(self, id, d, |text| Url::parse(&text))
    }

    fn go_type() -> String {
        "config.URL".into()
    }

    fn is_zero(&self) -> bool {
        self.parsed.is_none()
    }

    fn print(&self) -> PrintedValue {
        self.parsed.as_ref().map_or(PrintedValue::Null, |url| PrintedValue::Text(url.redacted()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_taken_apart() {
        let url = Url::parse("HTTPS://user:pass@example.org:8080/a?b#c").unwrap();
        assert_eq!((url.scheme(), url.host().as_str()), ("https", "example.org:8080"));
        assert_eq!(url.as_str(), "https://user:pass@example.org:8080/a?b#c");
        assert_eq!(url.redacted(), "https://user:xxxxx@example.org:8080/a?b#c");
        assert_eq!(format!("{url:?}"), url.redacted());
        assert_eq!(Url::parse("/only/path").unwrap().host(), "");
        assert_eq!(Url::parse("http://[::1]:80/").unwrap().host(), "[::1]:80");
        assert_eq!(Url::parse("mailto:a%zz").unwrap().scheme(), "mailto");
        assert_eq!(Url::parse("unix:///var/run/docker.sock").unwrap().scheme(), "unix");
    }

    #[test]
    fn what_go_refuses_is_refused_in_its_words() {
        for (text, error) in [
            ("http://a b/", r#"parse "http://a b/": invalid character " " in host name"#),
            ("http://a:x/", r#"parse "http://a:x/": invalid port ":x" after host"#),
            (":x", r#"parse ":x": missing protocol scheme"#),
            ("a%:b", r#"parse "a%:b": first path segment in URL cannot contain colon"#),
            ("http://a/%zz", r#"parse "http://a/%zz": invalid URL escape "%zz""#),
            ("http://a\n", r#"parse "http://a\n": net/url: invalid control character in URL"#),
        ] {
            assert_eq!(Url::parse(text).unwrap_err().to_string(), error);
        }
    }

    #[test]
    fn passwords_are_not_in_errors() {
        for (text, error) in [
            (
                "http://user:SECRET@host:port",
                r#"parse "http://user:xxxxx@host:port": invalid port ":port" after host"#,
            ),
            (
                "http://user:SECRET/x@host",
                r#"parse "http://user:xxxxx@host": invalid port "xxxxx" after host"#,
            ),
            (
                "http://user:SEC?RET@host",
                r#"parse "http://user:xxxxx@host": invalid port "xxxxx" after host"#,
            ),
            (
                "ht!tp://user:SECRET@host",
                r#"parse "ht!tp://user:xxxxx@host": first path segment in URL cannot contain colon"#,
            ),
            ("http://user:SEC RET@host", r#"parse "http://user:xxxxx@host": net/url: invalid userinfo"#),
            ("http://user:%zzSECRET@host", r#"parse "http://user:xxxxx@host": invalid URL escape "xxxxx""#),
            (
                "http://user:SECRET@ho st",
                r#"parse "http://user:xxxxx@ho st": invalid character " " in host name"#,
            ),
            (
                "http://user:SECRET\n@host",
                r#"parse "http://user:xxxxx@host": net/url: invalid control character in URL"#,
            ),
        ] {
            let Err(found) = Url::parse(text) else { panic!("{text} is a URL") };
            assert_eq!(found.to_string(), error, "{text}");
        }
    }
}
