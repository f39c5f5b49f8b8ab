//! Additions to Go's URLs for HTTP: the port that a scheme implies, and texts without secrets.

use ferula_config::UrlError;
pub use ferula_go::url::Url;

/// Parses a URL.
///
/// # Errors
/// Go's text, with name and password masked.
pub fn parse(text: &str) -> Result<Url, UrlError> {
    Url::parse(text).map_err(|error| UrlError::without_user(text, error))
}

/// The port to connect to.
pub(crate) fn port_or_default(url: &Url) -> String {
    match (url.port(), url.scheme()) {
        (port, _) if !port.is_empty() => port,
        (_, "https") => "443".to_owned(),
        (_, "socks5" | "socks5h") => "1080".to_owned(),
        _ => "80".to_owned(),
    }
}

/// Puts an IPv6 address in brackets.
pub(crate) fn bracketed(host: &str) -> String {
    if host.contains(':') { format!("[{host}]") } else { host.to_owned() }
}

/// The URL with `with` instead of name, password and `@`.
fn with_user(url: &Url, with: &str) -> String {
    let text = url.to_string();
    match url.userinfo() {
        // As in Go, the first occurrence is taken, which is that in the address.
        Some(user) => text.replacen(&format!("{user}@"), with, 1),
        None => text,
    }
}

/// The URL without name and password, as a `Referer` has it.
pub(crate) fn without_user(url: &Url) -> String {
    with_user(url, "")
}

/// The URL for errors and logs: `***` stands for name and password, either of which may be a secret.
pub fn masked(url: &Url) -> String {
    with_user(url, "***@")
}

/// A text that should be a URL, made safe for errors and logs even if it is not.
pub(crate) fn masked_text(text: &str) -> String {
    match Url::parse(text) {
        Ok(url) => masked(&url),
        Err(error) => UrlError::without_user(text, error).masked().to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_follow_from_schemes() {
        for (text, port) in [
            ("http://h", "80"),
            ("http://h:", "80"),
            ("https://[::1]", "443"),
            ("https://h:1", "1"),
            ("socks5h://h", "1080"),
        ] {
            assert_eq!(port_or_default(&Url::parse(text).expect(text)), port, "{text}");
        }
    }

    #[test]
    fn secrets_are_masked_in_urls_and_in_what_should_have_been_one() {
        for (text, masked) in [
            ("http://token@h/x", "http://***@h/x"),
            ("http://u:p@h/x?a=u:p@y#f", "http://***@h/x?a=u:p@y#f"),
            ("http://h/x@y", "http://h/x@y"),
            ("ht!tp://u:p@h:x", "ht!tp://***@h:x"),
            ("http://tok:en/x@h:80", "http://***@h:80"),
            ("u:p@h", "u:p@h"),
            ("1:p@h", "***@h"),
        ] {
            assert_eq!(masked_text(text), masked, "{text}");
        }
        assert_eq!(without_user(&Url::parse("http://u:p@h/x").expect("a URL")), "http://h/x");
    }

    #[test]
    fn errors_hide_names_and_what_may_be_a_piece_of_them() {
        for (text, error) in [
            ("http://h:x/", r#"parse "http://h:x/": invalid port ":x" after host"#),
            ("http://token@h:x/", r#"parse "http://***@h:x/": invalid port ":x" after host"#),
            ("http://u:SEC/RET@h", r#"parse "http://***@h": invalid port "xxxxx" after host"#),
            ("http://to ken@h", r#"parse "http://***@h": net/url: invalid userinfo"#),
            ("http://%zzken@h", r#"parse "http://***@h": invalid URL escape "xxxxx""#),
        ] {
            assert_eq!(parse(text).expect_err(text).to_string(), error);
        }
    }
}
