//! URLs as `net/url` reads, changes and prints them.
//!
//! Unlike the URLs of browsers these are kept as written: no default ports are dropped, no dots resolved, no bytes
//! escaped that Go leaves alone.
//!
//! Here: one URL (`Url`), queries, and what has to be escaped where (`escape`). Elsewhere: whether a URL suits a purpose.

mod escape;
mod parse;

use std::fmt;

pub use self::escape::{
    EscapeError, QueryError, encode_query, parse_query, path_escape, path_unescape, percent_encode,
    percent_encoded, query_escape, query_unescape,
};
use self::escape::{UrlPart, escape, is_valid_encoded, lossy, unescape};
pub use self::parse::{ParseError, Reason};

/// The parts of a URL. Texts that were escaped are kept as bytes, since `%ff` may be in them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Url {
    /// In lower case, or empty.
    scheme: String,
    /// What follows the scheme, when that is not a slash: `mailto:opaque`.
    opaque: String,
    user: Option<User>,
    /// Host and port, unescaped.
    host: Vec<u8>,
    /// Unescaped.
    path: Vec<u8>,
    /// The path as written, when escaping `path` would not give it back.
    raw_path: Option<String>,
    /// No `//` after the scheme.
    omits_host: bool,
    /// A question mark with nothing after it.
    has_empty_query: bool,
    /// As written, without the question mark.
    raw_query: String,
    /// Unescaped.
    fragment: Vec<u8>,
    /// The fragment as written, when escaping `fragment` would not give it back.
    raw_fragment: Option<String>,
}

/// Name and password of a URL.
#[derive(Clone, Debug, PartialEq, Eq)]
struct User {
    name: Vec<u8>,
    password: Option<Vec<u8>>,
}

impl Url {
    /// The scheme in lower case, or "".
    pub fn scheme(&self) -> &str {
        &self.scheme
    }

    /// Replaces the scheme.
    pub fn set_scheme(&mut self, scheme: &str) {
        scheme.clone_into(&mut self.scheme);
    }

    /// What follows the scheme if that is not a slash, or "".
    pub fn opaque(&self) -> &str {
        &self.opaque
    }

    /// Host and port, unescaped, or "".
    pub fn host(&self) -> String {
        lossy(&self.host)
    }

    /// Replaces host and port, taken as they are.
    pub fn set_host(&mut self, host: &str) {
        self.host = host.as_bytes().to_vec();
    }

    /// The host without its port and without the brackets of an IPv6 address, or "".
    pub fn hostname(&self) -> String {
        let host = self.host();
        let (name, _) = split_port(&host);
        match name.strip_prefix('[').and_then(|inner| inner.strip_suffix(']')) {
            Some(inner) => inner.to_owned(),
            None => name.to_owned(),
        }
    }

    /// The digits of the port, or "".
    pub fn port(&self) -> String {
        let host = self.host();
        split_port(&host).1.to_owned()
    }

    /// The name before the `@`, unescaped; `None` without an `@`.
    pub fn username(&self) -> Option<String> {
        self.user.as_ref().map(|user| lossy(&user.name))
    }

    /// The password before the `@`, unescaped; `None` without a colon.
    pub fn password(&self) -> Option<String> {
        self.user.as_ref()?.password.as_deref().map(lossy)
    }

    /// `Userinfo.String`: name and password as they are written; `None` without an `@`.
    pub fn userinfo(&self) -> Option<String> {
        let user = self.user.as_ref()?;
        let mut out = escape(&user.name, UrlPart::UserPassword);
        if let Some(password) = &user.password {
            out.push(':');
            out.push_str(&escape(password, UrlPart::UserPassword));
        }
        Some(out)
    }

    /// Removes name and password.
    pub fn clear_user(&mut self) {
        self.user = None;
    }

    /// The path, unescaped.
    pub fn path(&self) -> String {
        lossy(&self.path)
    }

    /// Replaces the path, given as it is to be written.
    ///
    /// # Errors
    /// A bad escape.
    pub fn set_path(&mut self, path: &str) -> Result<(), EscapeError> {
        self.path = unescape(path.as_bytes(), UrlPart::Path)?;
        self.raw_path = (escape(&self.path, UrlPart::Path) != path).then(|| path.to_owned());
        Ok(())
    }

    /// Replaces the path, given unescaped.
    pub fn set_unescaped_path(&mut self, path: &str) {
        self.path = path.as_bytes().to_vec();
        self.raw_path = None;
    }

    /// The path as it is sent.
    pub fn escaped_path(&self) -> String {
        escaped_as_written(&self.path, self.raw_path.as_deref(), UrlPart::Path).unwrap_or_else(|| {
            if self.path == b"*" { "*".to_owned() } else { escape(&self.path, UrlPart::Path) }
        })
    }

    /// The query as written, without the question mark.
    pub fn raw_query(&self) -> &str {
        &self.raw_query
    }

    /// Replaces the query, given as it is to be written.
    pub fn set_raw_query(&mut self, query: &str) {
        query.clone_into(&mut self.raw_query);
    }

    /// The fragment, unescaped.
    pub fn fragment(&self) -> String {
        lossy(&self.fragment)
    }

    /// Removes the fragment.
    pub fn clear_fragment(&mut self) {
        self.fragment.clear();
        self.raw_fragment = None;
    }

    fn escaped_fragment(&self) -> String {
        escaped_as_written(&self.fragment, self.raw_fragment.as_deref(), UrlPart::Fragment)
            .unwrap_or_else(|| escape(&self.fragment, UrlPart::Fragment))
    }

    /// The target of a request line: path and query.
    pub fn request_uri(&self) -> String {
        let mut uri = match self.opaque.as_str() {
            "" => self.escaped_path(),
            opaque if opaque.starts_with("//") => format!("{}:{opaque}", self.scheme),
            opaque => opaque.to_owned(),
        };
        if uri.is_empty() {
            uri.push('/');
        }
        self.push_query(&mut uri);
        uri
    }

    fn push_query(&self, out: &mut String) {
        if self.has_empty_query || !self.raw_query.is_empty() {
            out.push('?');
            out.push_str(&self.raw_query);
        }
    }

    /// The URL with `xxxxx` in place of a password.
    pub fn redacted(&self) -> String {
        let mut shown = self.clone();
        if let Some(User { password: Some(password), .. }) = &mut shown.user {
            *password = b"xxxxx".to_vec();
        }
        shown.to_string()
    }

    /// `URL.Parse`: `reference` as seen from this URL.
    ///
    /// # Errors
    /// The reference is no URL.
    pub fn join(&self, reference: &str) -> Result<Url, ParseError> {
        Ok(self.resolve(&Url::parse(reference)?))
    }

    /// `URL.ResolveReference`: what `reference` means as seen from this URL (RFC 3986, 5.2).
    pub fn resolve(&self, reference: &Url) -> Url {
        let mut url = reference.clone();
        if reference.scheme.is_empty() {
            url.scheme.clone_from(&self.scheme);
        }
        if !reference.scheme.is_empty() || !reference.host.is_empty() || reference.user.is_some() {
            // The path is resolved even then; an escape that could be read before cannot fail now.
            let _ = url.set_path(&resolve_path(&reference.escaped_path(), ""));
            return url;
        }
        if !reference.opaque.is_empty() {
            (url.user, url.host, url.path) = (None, Vec::new(), Vec::new());
            return url;
        }
        if reference.path.is_empty() && !reference.has_empty_query && reference.raw_query.is_empty() {
            url.raw_query.clone_from(&self.raw_query);
            if reference.fragment.is_empty() {
                url.fragment.clone_from(&self.fragment);
                url.raw_fragment.clone_from(&self.raw_fragment);
            }
        }
        if reference.path.is_empty() && !self.opaque.is_empty() {
            url.opaque.clone_from(&self.opaque);
            (url.user, url.host, url.path) = (None, Vec::new(), Vec::new());
            return url;
        }
        url.host.clone_from(&self.host);
        url.user.clone_from(&self.user);
        let _ = url.set_path(&resolve_path(&self.escaped_path(), &reference.escaped_path()));
        url
    }
}

/// The text as written, if it is valid and still means the same.
fn escaped_as_written(bytes: &[u8], raw: Option<&str>, part: UrlPart) -> Option<String> {
    let raw = raw.filter(|raw| is_valid_encoded(raw, part))?;
    (unescape(raw.as_bytes(), part).ok()? == bytes).then(|| raw.to_owned())
}

/// Host and port; the port is empty unless it is all digits.
fn split_port(host: &str) -> (&str, &str) {
    match host.rfind(':') {
        Some(colon) if host[colon + 1..].bytes().all(|b| b.is_ascii_digit()) => {
            (&host[..colon], &host[colon + 1..])
        }
        _ => (host, ""),
    }
}

/// `reference` in the directory of `base`, with its dots resolved.
fn resolve_path(base: &str, reference: &str) -> String {
    let full = match reference {
        "" => base.to_owned(),
        rooted if rooted.starts_with('/') => rooted.to_owned(),
        relative => format!("{}{relative}", base.rfind('/').map_or("", |slash| &base[..=slash])),
    };
    if full.is_empty() {
        return full;
    }
    let mut kept: Vec<&str> = Vec::new();
    for element in full.split('/') {
        match element {
            // A leading dot keeps its slash.
            "." if kept.is_empty() => kept.push(""),
            "." => {}
            ".." => drop(kept.pop()),
            element => kept.push(element),
        }
    }
    let mut path = format!("/{}", kept.join("/"));
    // A trailing dot names a directory.
    if matches!(full.rsplit('/').next(), Some("." | "..")) {
        path.push('/');
    }
    // A slash was added in front, and an absolute path already has one.
    if path.starts_with("//") { path.split_off(1) } else { path }
}

/// `URL.String`
impl fmt::Display for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = String::new();
        if !self.scheme.is_empty() {
            out.push_str(&self.scheme);
            out.push(':');
        }
        if self.opaque.is_empty() {
            self.push_authority(&mut out);
            let path = self.escaped_path();
            if !path.is_empty() && !path.starts_with('/') && !self.host.is_empty() {
                out.push('/');
            }
            // A colon in the first segment would make a scheme of it.
            if out.is_empty() && path.split('/').next().is_some_and(|segment| segment.contains(':')) {
                out.push_str("./");
            }
            out.push_str(&path);
        } else {
            out.push_str(&self.opaque);
        }
        self.push_query(&mut out);
        if !self.fragment.is_empty() {
            out.push('#');
            out.push_str(&self.escaped_fragment());
        }
        f.write_str(&out)
    }
}

impl Url {
    fn push_authority(&self, out: &mut String) {
        let bare = self.host.is_empty() && self.user.is_none();
        if bare && (self.scheme.is_empty() || self.omits_host || self.path.is_empty()) {
            return;
        }
        out.push_str("//");
        if let Some(user) = self.userinfo() {
            out.push_str(&user);
            out.push('@');
        }
        out.push_str(&escape(&self.host, UrlPart::Host));
    }
}
