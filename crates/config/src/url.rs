//! URLs as Go's `net/url` accepts and shows them, as far as a configuration needs it.

use ferula_go::quote::go_quote;

use crate::error::Problem;
use crate::scalars::from_text;
use crate::yaml::decode::{Decoder, Value};
use crate::yaml::emit::Out;
use crate::yaml::tree::NodeId;

/// An address from the configuration. Its password is not shown.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Url {
    text: String,
    scheme: String,
    /// Where `user:password` stands in the text.
    password: Option<std::ops::Range<usize>>,
    host: String,
}

/// Why a text is no URL: Go's words, but a password in it is not shown.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("parse {}: {fault}", go_quote(.masked))]
pub struct UrlError {
    masked: String,
    fault: UrlFault,
}

/// What is wrong with a URL.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UrlFault {
    /// A byte below the space, or DEL.
    #[error("net/url: invalid control character in URL")]
    ControlCharacter,
    /// It starts with a colon.
    #[error("missing protocol scheme")]
    NoScheme,
    /// A path such as `a:b/c`, which reads like a scheme.
    #[error("first path segment in URL cannot contain colon")]
    ColonInFirstSegment,
    /// A user name or password with characters that must be escaped.
    #[error("net/url: invalid userinfo")]
    UserInfo,
    /// A character that no host name has.
    #[error("invalid character {} in host name", go_quote(.0))]
    HostCharacter(String),
    /// An IPv6 address that does not end.
    #[error("missing ']' in host")]
    NoBracket,
    /// Something else than digits after the host's colon.
    #[error("invalid port {} after host", go_quote(.0))]
    Port(String),
    /// A percent sign without two hexadecimal digits.
    #[error("invalid URL escape {}", go_quote(.0))]
    Escape(String),
}

impl UrlError {
    fn new(text: &str, mut fault: UrlFault) -> Self {
        let masked = masked(text);
        // The part that the fault names may be a piece of the password.
        if let UrlFault::HostCharacter(part) | UrlFault::Port(part) | UrlFault::Escape(part) = &mut fault
            && masked != text
            && !masked.contains(part.as_str())
        {
            *part = MASK.to_owned();
        }
        UrlError { masked, fault }
    }

    /// What is wrong.
    pub fn fault(&self) -> &UrlFault {
        &self.fault
    }
}

impl From<UrlError> for String {
    fn from(error: UrlError) -> String {
        error.to_string()
    }
}

/// What stands for a password.
const MASK: &str = "xxxxx";

/// A text that is no URL, without what may be meant as a password: all from the first colon behind `//` to the
/// last `@`, since a `/`, `?` or `#` in the password may be what is wrong.
fn masked(text: &str) -> String {
    let start = text.find("//").map_or(0, |at| at + 2);
    let Some(end) = text[start..].rfind('@').map(|at| start + at) else { return text.to_owned() };
    match text[start..end].find(':') {
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
        parse(text).map_err(|fault| UrlError::new(text, fault))
    }

    /// The address as written, password included.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The scheme in lower case, or "".
    pub fn scheme(&self) -> &str {
        &self.scheme
    }

    /// Host and port, or "".
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The address with `xxxxx` for a password.
    pub fn redacted(&self) -> String {
        match &self.password {
            Some(range) => format!("{}{MASK}{}", &self.text[..range.start], &self.text[range.end..]),
            None => self.text.clone(),
        }
    }

    /// Whether nothing was configured.
    pub fn is_empty(&self) -> bool {
        self.text.is_empty()
    }
}

impl std::fmt::Debug for Url {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.redacted())
    }
}

fn parse(text: &str) -> Result<Url, UrlFault> {
    if text.bytes().any(|b| b < 0x20 || b == 0x7f) {
        return Err(UrlFault::ControlCharacter);
    }
    let (scheme, rest_at) = scheme_of(text)?;
    let without_fragment = text.split_once('#').map_or(text, |(before, _)| before);
    let rest = without_fragment.get(rest_at..).unwrap_or("");
    let rest = rest.split_once('?').map_or(rest, |(before, _)| before);
    let mut url = Url { text: text.to_owned(), scheme, ..Url::default() };
    if !url.scheme.is_empty() && !rest.starts_with('/') {
        // Opaque, such as `mailto:x`: Go looks no further.
        return Ok(url);
    }
    let path = if let Some(after) = rest.strip_prefix("//") {
        let end = after.find('/').unwrap_or(after.len());
        authority(&mut url, &after[..end], rest_at + 2)?;
        &after[end..]
    } else {
        if url.scheme.is_empty() && rest.split('/').next().is_some_and(|first| first.contains(':')) {
            return Err(UrlFault::ColonInFirstSegment);
        }
        rest
    };
    check_escapes(path)?;
    Ok(url)
}

fn scheme_of(text: &str) -> Result<(String, usize), UrlFault> {
    for (at, c) in text.char_indices() {
        match c {
            'a'..='z' | 'A'..='Z' => {}
            '0'..='9' | '+' | '-' | '.' if at > 0 => {}
            ':' if at == 0 => return Err(UrlFault::NoScheme),
            ':' => return Ok((text[..at].to_ascii_lowercase(), at + 1)),
            _ => break,
        }
    }
    Ok((String::new(), 0))
}

fn authority(url: &mut Url, authority: &str, at: usize) -> Result<(), UrlFault> {
    let host = match authority.rfind('@') {
        Some(end) => {
            let user = &authority[..end];
            if !user.chars().all(|c| c.is_ascii_alphanumeric() || "-._:~!$&'()*+,;=%@".contains(c)) {
                return Err(UrlFault::UserInfo);
            }
            check_escapes(user)?;
            if let Some(colon) = user.find(':') {
                url.password = Some(at + colon + 1..at + end);
            }
            &authority[end + 1..]
        }
        None => authority,
    };
    if let Some(c) =
        host.chars().find(|c| matches!(c, ' ' | '"' | '<' | '>' | '\\' | '^' | '`' | '{' | '|' | '}'))
    {
        return Err(UrlFault::HostCharacter(c.to_string()));
    }
    let after_name = if host.starts_with('[') {
        let end = host.rfind(']').ok_or(UrlFault::NoBracket)?;
        &host[end + 1..]
    } else {
        check_escapes(host)?;
        host.rfind(':').map_or("", |colon| &host[colon..])
    };
    let port = after_name.strip_prefix(':');
    if !after_name.is_empty() && port.is_none_or(|port| !port.bytes().all(|b| b.is_ascii_digit())) {
        return Err(UrlFault::Port(after_name.to_owned()));
    }
    url.host = host.to_owned();
    Ok(())
}

fn check_escapes(text: &str) -> Result<(), UrlFault> {
    let bytes = text.as_bytes();
    for (at, _) in text.match_indices('%') {
        let digits = bytes.get(at + 1..at + 3).unwrap_or(&[]);
        if digits.len() < 2 || !digits.iter().all(u8::is_ascii_hexdigit) {
            let shown = String::from_utf8_lossy(&bytes[at..bytes.len().min(at + 3)]).into_owned();
            return Err(UrlFault::Escape(shown));
        }
    }
    Ok(())
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
        self.text.is_empty()
    }

    fn print(&self) -> Out {
        Out::Text(self.redacted())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_taken_apart() {
        let url = Url::parse("HTTPS://user:pass@example.org:8080/a?b#c").unwrap();
        assert_eq!((url.scheme(), url.host()), ("https", "example.org:8080"));
        assert_eq!(url.redacted(), "HTTPS://user:xxxxx@example.org:8080/a?b#c");
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
