//! URLs as Go's `net/url` reads them, so that targets are scraped exactly where Prometheus scrapes them.
//!
//! A URL is kept as written. Nothing is normalised: `/a/./b`, an explicit `:80` and the case of a host all
//! reach the server.

use std::fmt::Write as _;

use ferula_go::quote::go_quote;
use ferula_go::url::query_escape;

/// A parsed URL.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Url {
    scheme: String,
    user: Option<User>,
    host: String,
    /// Percent-encoded, as it is sent.
    path: String,
    /// Without the question mark.
    query: Option<String>,
    fragment: Option<String>,
}

/// Name and password, decoded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct User {
    pub name: String,
    pub password: Option<String>,
}

/// Why a text is not a URL, in Go's words, but without the text itself, which may contain a password.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct UrlError(String);

fn error<T>(text: impl Into<String>) -> Result<T, UrlError> {
    Err(UrlError(text.into()))
}

/// A part of a URL, which determines the characters that are encoded.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Part {
    Path,
    Host,
    User,
}

fn must_be_escaped(byte: u8, part: Part) -> bool {
    if byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte) {
        return false;
    }
    match part {
        Part::Host => !b"!$&'()*+,;=:[]<>\"".contains(&byte),
        Part::Path => !b"$&+,/:;=@".contains(&byte),
        Part::User => !b"$&+,;=".contains(&byte),
    }
}

fn escape(text: &[u8], part: Part) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text {
        if must_be_escaped(*byte, part) {
            write!(out, "%{byte:02X}").expect("writing to a String cannot fail");
        } else {
            out.push(char::from(*byte));
        }
    }
    out
}

/// Encodes a host as Go prints it in a URL that was assembled from parts.
pub fn escape_host(host: &str) -> String {
    escape(host.as_bytes(), Part::Host)
}

/// Encodes names and values for a query or a form, in the order given.
pub fn encode_form<'a>(pairs: impl IntoIterator<Item = (&'a str, &'a str)>) -> String {
    let pairs = pairs.into_iter();
    let encoded: Vec<String> =
        pairs.map(|(name, value)| format!("{}={}", query_escape(name), query_escape(value))).collect();
    encoded.join("&")
}

/// Decodes a name or value of a form; badly encoded text stays as it is.
pub(crate) fn query_unescape(text: &str) -> String {
    unescape(&text.replace('+', " "), Part::Path).unwrap_or_else(|_| text.to_owned())
}

fn unescape(text: &str, part: Part) -> Result<String, UrlError> {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        match bytes[at] {
            b'%' => {
                let digit = |at: usize| bytes.get(at).and_then(|byte| char::from(*byte).to_digit(16));
                let shown = || {
                    let end = (at + 3).min(bytes.len());
                    go_quote(&String::from_utf8_lossy(&bytes[at..end]))
                };
                let (Some(high), Some(low)) = (digit(at + 1), digit(at + 2)) else {
                    return error(format!("invalid URL escape {}", shown()));
                };
                // A host may contain the percent sign of a zone, and non-ASCII bytes.
                if part == Part::Host && high < 8 && &bytes[at..at + 3] != b"%25" {
                    return error(format!("invalid URL escape {}", shown()));
                }
                out.push((high * 16 + low) as u8);
                at += 3;
            }
            byte if part == Part::Host && byte.is_ascii() && must_be_escaped(byte, part) => {
                let shown = go_quote(&char::from(byte).to_string());
                return error(format!("invalid character {shown} in host name"));
            }
            byte => {
                out.push(byte);
                at += 1;
            }
        }
    }
    Ok(String::from_utf8_lossy(&out).into_owned())
}

impl Url {
    /// Parses a URL.
    ///
    /// # Errors
    /// The reason, in Go's words.
    pub fn parse(text: &str) -> Result<Url, UrlError> {
        if text.bytes().any(|byte| byte < 0x20 || byte == 0x7f) {
            return error("net/url: invalid control character in URL");
        }
        let (text, fragment) = match text.split_once('#') {
            Some((before, fragment)) => (before, Some(fragment.to_owned())),
            None => (text, None),
        };
        let (scheme, rest) = split_scheme(text)?;
        let (rest, query) = match rest.split_once('?') {
            Some((before, query)) => (before, Some(query.to_owned())),
            None => (rest, None),
        };
        let mut url = Url { scheme, query, fragment, ..Url::default() };
        let path = match rest.strip_prefix("//") {
            Some(after) => {
                let end = after.find('/').unwrap_or(after.len());
                url.read_authority(&after[..end])?;
                &after[end..]
            }
            None if url.scheme.is_empty()
                && rest.split('/').next().is_some_and(|first| first.contains(':')) =>
            {
                return error("first path segment in URL cannot contain colon");
            }
            None => rest,
        };
        url.path = as_sent(path)?;
        Ok(url)
    }

    fn read_authority(&mut self, authority: &str) -> Result<(), UrlError> {
        let host = match authority.rsplit_once('@') {
            Some((user, host)) => {
                let allowed = |c: char| c.is_ascii_alphanumeric() || "-._:~!$&'()*+,;=%@".contains(c);
                if !user.chars().all(allowed) {
                    return error("net/url: invalid userinfo");
                }
                let (name, password) = match user.split_once(':') {
                    Some((name, password)) => (name, Some(unescape(password, Part::User)?)),
                    None => (user, None),
                };
                self.user = Some(User { name: unescape(name, Part::User)?, password });
                host
            }
            None => authority,
        };
        let after_name = if host.starts_with('[') {
            match host.rfind(']') {
                Some(end) => &host[end + 1..],
                None => return error("missing ']' in host"),
            }
        } else {
            host.rfind(':').map_or("", |colon| &host[colon..])
        };
        let valid = after_name.is_empty()
            || after_name.strip_prefix(':').is_some_and(|port| port.bytes().all(|b| b.is_ascii_digit()));
        if !valid {
            return error(format!("invalid port {} after host", go_quote(after_name)));
        }
        self.host = unescape(host, Part::Host)?;
        Ok(())
    }

    /// In lower case; empty in a relative reference.
    pub fn scheme(&self) -> &str {
        &self.scheme
    }

    /// Host and port as written.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The host without port and brackets.
    pub fn host_name(&self) -> &str {
        match self.host.strip_prefix('[') {
            Some(rest) => rest.split(']').next().unwrap_or(rest),
            None => self.host.rsplit_once(':').map_or(&self.host, |(name, _)| name),
        }
    }

    /// The port as written, or "".
    pub fn port(&self) -> &str {
        let after = self.host.rfind(']').map_or(&*self.host, |end| &self.host[end..]);
        after.rsplit_once(':').map_or("", |(_, port)| port)
    }

    /// The same URL with another query.
    #[must_use]
    pub fn with_query(mut self, query: Option<&str>) -> Url {
        self.query = query.map(str::to_owned);
        self
    }

    /// The port to connect to.
    pub(crate) fn port_or_default(&self) -> &str {
        match (self.port(), self.scheme.as_str()) {
            ("", "https") => "443",
            ("", "socks5" | "socks5h") => "1080",
            ("", _) => "80",
            (port, _) => port,
        }
    }

    /// Whether it contains user information.
    pub fn has_user(&self) -> bool {
        self.user.is_some()
    }

    pub(crate) fn user(&self) -> Option<&User> {
        self.user.as_ref()
    }

    /// The path as it is sent.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// The query without the question mark, if there is one.
    pub fn query(&self) -> Option<&str> {
        self.query.as_deref()
    }

    /// The URL of another path on the same server, without a query; the path is encoded where needed.
    #[must_use]
    pub fn with_path(&self, path: &str) -> Url {
        let path = escape_again(path).unwrap_or_else(|| escape(path.as_bytes(), Part::Path));
        Url { path, query: None, fragment: None, ..self.clone() }
    }

    /// Path and query as in the request line.
    pub(crate) fn request_target(&self) -> String {
        let path = if self.path.is_empty() { "/" } else { &self.path };
        match &self.query {
            Some(query) => format!("{path}?{query}"),
            None => path.to_owned(),
        }
    }

    /// Resolves `reference` relative to this URL.
    ///
    /// # Errors
    /// The reference is not a URL.
    pub fn join(&self, reference: &str) -> Result<Url, UrlError> {
        let mut url = Url::parse(reference)?;
        let absolute = !url.scheme.is_empty() || !url.host.is_empty() || url.user.is_some();
        if url.scheme.is_empty() {
            url.scheme.clone_from(&self.scheme);
        }
        if absolute {
            url.path = without_dots(&url.path, "");
            return Ok(url);
        }
        if url.path.is_empty() && url.query.is_none() {
            url.query.clone_from(&self.query);
            url.fragment = url.fragment.or_else(|| self.fragment.clone());
        }
        url.host.clone_from(&self.host);
        url.user.clone_from(&self.user);
        url.path = without_dots(&self.path, &url.path);
        Ok(url)
    }

    fn write(&self, user: &str) -> String {
        let mut text = String::new();
        if !self.scheme.is_empty() {
            text = format!("{}:", self.scheme);
        }
        if !self.scheme.is_empty() || !self.host.is_empty() || self.user.is_some() {
            if !self.host.is_empty() || !self.path.is_empty() || self.user.is_some() {
                text.push_str("//");
            }
            text.push_str(user);
            text.push_str(&escape_host(&self.host));
        }
        if !self.path.is_empty() && !self.path.starts_with('/') && !self.host.is_empty() {
            text.push('/');
        }
        text.push_str(&self.path);
        for (mark, part) in [('?', &self.query), ('#', &self.fragment)] {
            if let Some(part) = part {
                text.push(mark);
                text.push_str(part);
            }
        }
        text
    }

    /// The URL without name and password, as for `Referer`.
    pub(crate) fn without_user(&self) -> String {
        self.write("")
    }

    /// The URL for errors and logs, with `***` in place of name and password, since either may be a secret.
    pub fn masked(&self) -> String {
        self.write(if self.user.is_some() { "***@" } else { "" })
    }
}

/// Masks a text that should be a URL, whatever it is, for errors and logs.
pub(crate) fn masked_text(text: &str) -> String {
    let start = text.find("//").map_or(0, |at| at + 2);
    let end = text[start..].find(['/', '?', '#']).map_or(text.len(), |at| start + at);
    match text[start..end].rfind('@') {
        Some(at) => format!("{}***{}", &text[..start], &text[start + at..]),
        None => text.to_owned(),
    }
}

fn split_scheme(text: &str) -> Result<(String, &str), UrlError> {
    for (at, c) in text.char_indices() {
        match c {
            'a'..='z' | 'A'..='Z' => {}
            '0'..='9' | '+' | '-' | '.' if at > 0 => {}
            ':' if at == 0 => return error("missing protocol scheme"),
            ':' => return Ok((text[..at].to_ascii_lowercase(), &text[at + 1..])),
            _ => break,
        }
    }
    Ok((String::new(), text))
}

/// Keeps a well-encoded path as it is, even if Go would encode less; encodes any other.
fn as_sent(path: &str) -> Result<String, UrlError> {
    let plain = unescape(path, Part::Path)?;
    Ok(escape_again(path).unwrap_or_else(|| escape(plain.as_bytes(), Part::Path)))
}

/// The path itself if it is well encoded.
fn escape_again(path: &str) -> Option<String> {
    let well = |byte: u8| b"!'()*[]%".contains(&byte) || !must_be_escaped(byte, Part::Path);
    (path.bytes().all(well) && unescape(path, Part::Path).is_ok()).then(|| path.to_owned())
}

/// Resolves `reference` relative to `base`, removing `.` and `..`.
fn without_dots(base: &str, reference: &str) -> String {
    let full = match reference {
        "" => base.to_owned(),
        _ if reference.starts_with('/') => reference.to_owned(),
        _ => format!("{}{reference}", &base[..base.rfind('/').map_or(0, |at| at + 1)]),
    };
    if full.is_empty() {
        return full;
    }
    let mut kept: Vec<&str> = Vec::new();
    for part in full.split('/').skip(usize::from(full.starts_with('/'))) {
        match part {
            "." => {}
            ".." => drop(kept.pop()),
            part => kept.push(part),
        }
    }
    let mut path = format!("/{}", kept.join("/"));
    if (full.ends_with("/.") || full.ends_with("/..") || full == "." || full == "..") && !path.ends_with('/')
    {
        path.push('/');
    }
    path
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_kept_as_they_were_written() {
        // What Go's `url.Parse(x).RequestURI()` and `.Host` return.
        for (text, host, target) in [
            ("http://h:80/a/./b/../c", "h:80", "/a/./b/../c"),
            ("HTTP://H", "H", "/"),
            ("http://:9090/metrics?a=b&c", ":9090", "/metrics?a=b&c"),
            ("http://h/?", "h", "/?"),
            ("http://h/a%2fb c", "h", "/a/b%20c"),
            ("http://h/a%2fb", "h", "/a%2fb"),
            ("http://u:p@h/x#f", "h", "/x"),
            ("http://[::1]:9/x", "[::1]:9", "/x"),
            ("http://h/ä\"", "h", "/%C3%A4%22"),
        ] {
            let url = Url::parse(text).expect(text);
            assert_eq!((url.host(), url.request_target().as_str()), (host, target), "{text}");
        }
        let url = Url::parse("http://[::1%25eth0]:9/").expect("a zone");
        assert_eq!((url.host_name(), url.port()), ("::1%eth0", "9"));
    }

    #[test]
    fn what_go_refuses_is_refused_in_its_words() {
        for (text, reason) in [
            ("http://h:1%3Fx/metrics", "invalid port \":1%3Fx\" after host"),
            ("http://u%40h/", "invalid URL escape \"%40\""),
            ("http://h:x/", "invalid port \":x\" after host"),
            ("http://a b/", "invalid character \" \" in host name"),
            ("http://[::1/", "missing ']' in host"),
            ("://h", "missing protocol scheme"),
            ("h:1/x", ""),
            ("127.0.0.1:1/x", "first path segment in URL cannot contain colon"),
            ("http://h/%zz", "invalid URL escape \"%zz\""),
            ("http://h/\n", "net/url: invalid control character in URL"),
            ("http://u u@h/", "net/url: invalid userinfo"),
        ] {
            let reason_found = Url::parse(text).map_or_else(|error| error.to_string(), |_| String::new());
            assert_eq!(reason_found, reason, "{text}");
        }
        assert_eq!(escape_host("h:1?x#y/u@z"), "h:1%3Fx%23y%2Fu%40z");
    }

    #[test]
    fn references_are_joined_as_go_joins_them() {
        let base = Url::parse("http://u:p@h:1/a/b/c?q").expect("a URL");
        for (reference, joined) in [
            ("d", "http://u:p@h:1/a/b/d"),
            ("/a//b/../c", "http://u:p@h:1/a//c"),
            ("d/..", "http://u:p@h:1/a/b/"),
            ("/d", "http://u:p@h:1/d"),
            ("../d", "http://u:p@h:1/a/d"),
            ("../../../d/.", "http://u:p@h:1/d/"),
            ("..", "http://u:p@h:1/a/"),
            ("?x", "http://u:p@h:1/a/b/c?x"),
            ("", "http://u:p@h:1/a/b/c?q"),
            ("//o/x/../y", "http://o/y"),
            ("https://o:443/./y", "https://o:443/y"),
        ] {
            let found = base.join(reference).expect(reference);
            let user = if found.user.is_some() { "u:p@" } else { "" };
            assert_eq!(found.write(user), joined, "{reference}");
        }
    }

    #[test]
    fn secrets_are_masked_in_urls_and_in_invalid_ones() {
        assert_eq!(Url::parse("http://token@h/x").expect("a URL").masked(), "http://***@h/x");
        assert_eq!(Url::parse("http://u:p@h/x").expect("a URL").without_user(), "http://h/x");
        assert_eq!(masked_text("ht!tp://u:p@h:x/@y"), "ht!tp://***@h:x/@y");
        assert_eq!(masked_text("u:p@h"), "***@h");
    }
}
