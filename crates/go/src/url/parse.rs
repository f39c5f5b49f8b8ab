//! Parsing a URL into its parts.

use super::escape::{EscapeError, UrlPart, escape, unescape};
use super::{Url, User};
use crate::ip::{IpError, IpVersion, parse_addr};
use crate::quote::go_quote;

/// Why a text is not a URL, in Go's words: `parse "TEXT": …`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("parse {}: {reason}", go_quote(.text))]
pub struct ParseError {
    /// The text, without its fragment unless that is what is wrong.
    pub text: String,
    /// What is wrong with it.
    pub reason: Reason,
}

/// What is wrong with a URL, in Go's words.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Reason {
    /// A character below the space, or DEL.
    #[error("net/url: invalid control character in URL")]
    ControlCharacter,
    /// A colon, and nothing before it.
    #[error("missing protocol scheme")]
    MissingScheme,
    /// `1.2.3.4:80`: neither a scheme nor a path.
    #[error("first path segment in URL cannot contain colon")]
    ColonInFirstSegment,
    /// A character before the `@` that is not allowed there.
    #[error("net/url: invalid userinfo")]
    Userinfo,
    /// A bracket that is not closed.
    #[error("missing ']' in host")]
    MissingBracket,
    /// A bracket inside of the host, or an IPv4 address in brackets.
    #[error("invalid IP-literal")]
    IpLiteral,
    /// What is in the brackets is no address.
    #[error("invalid host: {0}")]
    Host(#[from] IpError),
    /// Something after the host that is not a port.
    #[error("invalid port {} after host", go_quote(.0))]
    Port(String),
    /// An escape or character that is not allowed there.
    #[error(transparent)]
    Escape(#[from] EscapeError),
}

impl Url {
    /// `url.Parse`
    ///
    /// # Errors
    /// Go's text: `parse "TEXT": …`.
    pub fn parse(text: &str) -> Result<Url, ParseError> {
        parse(text)
    }
}

fn parse(text: &str) -> Result<Url, ParseError> {
    let failed = |text: &str| {
        let text = text.to_owned();
        move |reason| ParseError { text, reason }
    };
    let (before, fragment) = text.split_once('#').unwrap_or((text, ""));
    let mut url = without_fragment(before).map_err(failed(before))?;
    url.fragment =
        unescape(fragment.as_bytes(), UrlPart::Fragment).map_err(|error| failed(text)(error.into()))?;
    url.raw_fragment = (escape(&url.fragment, UrlPart::Fragment) != fragment).then(|| fragment.to_owned());
    Ok(url)
}

fn without_fragment(text: &str) -> Result<Url, Reason> {
    if text.bytes().any(|b| b < 0x20 || b == 0x7f) {
        return Err(Reason::ControlCharacter);
    }
    let mut url = Url::default();
    if text == "*" {
        url.path = b"*".to_vec();
        return Ok(url);
    }
    let (scheme, rest) = split_scheme(text)?;
    url.scheme = scheme.to_ascii_lowercase();
    let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
    url.has_empty_query = query.is_empty() && text.ends_with('?');
    query.clone_into(&mut url.raw_query);
    if !rest.starts_with('/') {
        if !url.scheme.is_empty() {
            rest.clone_into(&mut url.opaque);
            return Ok(url);
        }
        if rest.split('/').next().is_some_and(|segment| segment.contains(':')) {
            return Err(Reason::ColonInFirstSegment);
        }
    }
    let mut path = rest;
    // Three slashes begin a path, unless a scheme precedes them.
    if let Some(after) = rest.strip_prefix("//")
        && (!url.scheme.is_empty() || !after.starts_with('/'))
    {
        let end = after.find('/').unwrap_or(after.len());
        authority(&mut url, &after[..end])?;
        path = &after[end..];
    } else {
        url.omits_host = !url.scheme.is_empty() && rest.starts_with('/');
    }
    url.set_path(path)?;
    Ok(url)
}

/// The scheme, or "", and what follows its colon.
fn split_scheme(text: &str) -> Result<(&str, &str), Reason> {
    for (at, c) in text.char_indices() {
        match c {
            'a'..='z' | 'A'..='Z' => {}
            '0'..='9' | '+' | '-' | '.' if at > 0 => {}
            ':' if at == 0 => return Err(Reason::MissingScheme),
            ':' => return Ok((&text[..at], &text[at + 1..])),
            _ => break,
        }
    }
    Ok(("", text))
}

/// `user:password@host:port`
fn authority(url: &mut Url, authority: &str) -> Result<(), Reason> {
    let Some((userinfo, host)) = authority.rsplit_once('@') else {
        url.host = host_and_port(authority)?;
        return Ok(());
    };
    url.host = host_and_port(host)?;
    let allowed = |c: char| c.is_ascii_alphanumeric() || "-._:~!$&'()*+,;=%@".contains(c);
    if !userinfo.chars().all(allowed) {
        return Err(Reason::Userinfo);
    }
    let (name, password) = match userinfo.split_once(':') {
        Some((name, password)) => (name, Some(password)),
        None => (userinfo, None),
    };
    let name = unescape(name.as_bytes(), UrlPart::UserPassword)?;
    let password =
        password.map(|password| unescape(password.as_bytes(), UrlPart::UserPassword)).transpose()?;
    url.user = Some(User { name, password });
    Ok(())
}

fn host_and_port(host: &str) -> Result<Vec<u8>, Reason> {
    match host.rfind('[') {
        Some(0) => address_and_port(host),
        // Versions of Go before 1.24.8 and 1.25.2 take it for a name.
        Some(_) => Err(Reason::IpLiteral),
        None => {
            check_port(host.rfind(':').map_or("", |colon| &host[colon..]))?;
            Ok(unescape(host.as_bytes(), UrlPart::Host)?)
        }
    }
}

/// `[ADDRESS]:PORT`
fn address_and_port(host: &str) -> Result<Vec<u8>, Reason> {
    let end = host.rfind(']').ok_or(Reason::MissingBracket)?;
    check_port(&host[end + 1..])?;
    let address = &host[1..end];
    // Behind the escaped percent sign other characters are allowed.
    let (number, zone) = address.split_at(address.find("%25").unwrap_or(address.len()));
    let mut unescaped = unescape(number.as_bytes(), UrlPart::Host)?;
    unescaped.extend(unescape(zone.as_bytes(), UrlPart::Zone)?);
    if parse_addr(&unescaped)? == IpVersion::V4 {
        return Err(Reason::IpLiteral);
    }
    Ok([b"[", &*unescaped, &host.as_bytes()[end..]].concat())
}

/// `:80`, `:` or nothing.
fn check_port(port: &str) -> Result<(), Reason> {
    let digits = port.strip_prefix(':').unwrap_or(port);
    if port.is_empty() || (digits.len() < port.len() && digits.bytes().all(|b| b.is_ascii_digit())) {
        return Ok(());
    }
    Err(Reason::Port(port.to_owned()))
}
