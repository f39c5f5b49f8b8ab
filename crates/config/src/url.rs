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

impl Url {
    /// Parses as Go's `url.Parse` does; the error is Go's.
    pub fn parse(text: &str) -> Result<Url, String> {
        parse(text).map_err(|error| format!("parse {}: {error}", go_quote(text)))
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
            Some(range) => format!("{}xxxxx{}", &self.text[..range.start], &self.text[range.end..]),
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

fn parse(text: &str) -> Result<Url, String> {
    if text.bytes().any(|b| b < 0x20 || b == 0x7f) {
        return Err("net/url: invalid control character in URL".into());
    }
    let (scheme, rest_at) = scheme_of(text)?;
    let without_fragment = text.split_once('#').map_or(text, |(before, _)| before);
    let rest = without_fragment.get(rest_at..).unwrap_or("");
    let rest = rest.split_once('?').map_or(rest, |(before, _)| before);
    let mut url = Url { text: text.to_owned(), scheme, ..Url::default() };
    let path = if let Some(after) = rest.strip_prefix("//") {
        let end = after.find('/').unwrap_or(after.len());
        authority(&mut url, &after[..end], rest_at + 2)?;
        &after[end..]
    } else {
        if url.scheme.is_empty() && rest.split('/').next().is_some_and(|first| first.contains(':')) {
            return Err("first path segment in URL cannot contain colon".into());
        }
        rest
    };
    check_escapes(path)?;
    Ok(url)
}

fn scheme_of(text: &str) -> Result<(String, usize), String> {
    for (at, c) in text.char_indices() {
        match c {
            'a'..='z' | 'A'..='Z' => {}
            '0'..='9' | '+' | '-' | '.' if at > 0 => {}
            ':' if at == 0 => return Err("missing protocol scheme".into()),
            ':' => return Ok((text[..at].to_ascii_lowercase(), at + 1)),
            _ => break,
        }
    }
    Ok((String::new(), 0))
}

fn authority(url: &mut Url, authority: &str, at: usize) -> Result<(), String> {
    let host = match authority.rfind('@') {
        Some(end) => {
            let user = &authority[..end];
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
        return Err(format!("invalid character {} in host name", go_quote(&c.to_string())));
    }
    let after_name = if host.starts_with('[') {
        let end = host.rfind(']').ok_or("missing ']' in host")?;
        &host[end + 1..]
    } else {
        check_escapes(host)?;
        host.rfind(':').map_or("", |colon| &host[colon..])
    };
    let port = after_name.strip_prefix(':');
    if !after_name.is_empty() && port.is_none_or(|port| !port.bytes().all(|b| b.is_ascii_digit())) {
        return Err(format!("invalid port {} after host", go_quote(after_name)));
    }
    url.host = host.to_owned();
    Ok(())
}

fn check_escapes(text: &str) -> Result<(), String> {
    let bytes = text.as_bytes();
    for (at, _) in text.match_indices('%') {
        let digits = bytes.get(at + 1..at + 3).unwrap_or(&[]);
        if digits.len() < 2 || !digits.iter().all(u8::is_ascii_hexdigit) {
            let shown = String::from_utf8_lossy(&bytes[at..bytes.len().min(at + 3)]).into_owned();
            return Err(format!("invalid URL escape {}", go_quote(&shown)));
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
            assert_eq!(Url::parse(text), Err(error.to_owned()));
        }
    }
}
