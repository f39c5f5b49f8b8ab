//! The address under which clients reach the server.

use ferula_api::ExternalUrl;
use ferula_go::url::Url;

/// Why `--web.external-url` is not a valid URL. The texts are Prometheus'.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum ExternalUrlError {
    #[error("URL must not begin or end with quotes")]
    Quoted,
    /// Go's reason.
    #[error("{0}")]
    Invalid(String),
}

/// Parses `--web.external-url`; slashes at the end of its path are dropped.
///
/// # Errors
/// The URL is in quotes or cannot be parsed.
pub fn external_url(text: &str) -> Result<ExternalUrl, ExternalUrlError> {
    if text.starts_with(['"', '\'']) || text.ends_with(['"', '\'']) {
        return Err(ExternalUrlError::Quoted);
    }
    let url = Url::parse(text).map_err(|error| ExternalUrlError::Invalid(error.to_string()))?;
    let path = url.escaped_path();
    let path = path.trim_end_matches('/');
    let path = if path.is_empty() || path.starts_with('/') { path.to_owned() } else { format!("/{path}") };
    Ok(ExternalUrl { scheme: url.scheme().to_owned(), host: url.host(), path })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_parsed() {
        for (text, want) in [
            ("http://a.example:9090/", ("http", "a.example:9090", "")),
            ("https://a.example/prom/x/", ("https", "a.example", "/prom/x")),
            ("/prom", ("", "", "/prom")),
            ("http://[::1]:9090/p?q#f", ("http", "[::1]:9090", "/p")),
        ] {
            let url = external_url(text).expect("a URL");
            assert_eq!((url.scheme.as_str(), url.host.as_str(), url.path.as_str()), want);
        }
        assert_eq!(external_url("'http://x'"), Err(ExternalUrlError::Quoted));
        assert!(external_url(":x").is_err());
    }
}
