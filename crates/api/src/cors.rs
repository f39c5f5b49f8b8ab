//! Headers that let pages from other origins read answers.

use axum::http::{HeaderMap, HeaderValue, header};
use ferula_model::regex::LabelRegex;

/// Adds the headers. `allowed` is `--web.cors.origin`.
///
/// A matching origin is echoed, even for the default `.*`: Prometheus intends to answer `*` in that case but compares
/// with another spelling of the compiled regex, so in practice it echoes too.
pub fn add_headers(headers: &mut HeaderMap, origin: Option<&HeaderValue>, allowed: &LabelRegex) {
    headers.append(header::VARY, HeaderValue::from_static("Origin"));
    let Some(origin) = origin.filter(|origin| !origin.is_empty()) else { return };
    for (name, value) in [
        (header::ACCESS_CONTROL_ALLOW_HEADERS, "Accept, Authorization, Content-Type, Origin"),
        (header::ACCESS_CONTROL_ALLOW_METHODS, "GET, POST, OPTIONS"),
        (header::ACCESS_CONTROL_EXPOSE_HEADERS, "Date"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    if origin.to_str().is_ok_and(|text| allowed.is_match(text)) {
        headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn origins_that_match_are_echoed() {
        let only = LabelRegex::new(r"https?://a\.example").expect("a regex");
        for (origin, want) in [("http://a.example", true), ("http://b.example", false)] {
            let origin = HeaderValue::from_str(origin).expect("a header value");
            let mut headers = HeaderMap::new();
            add_headers(&mut headers, Some(&origin), &only);
            assert_eq!(headers.get(header::ACCESS_CONTROL_ALLOW_ORIGIN), want.then_some(&origin));
            assert!(headers.contains_key(header::ACCESS_CONTROL_ALLOW_METHODS));
        }
        let mut headers = HeaderMap::new();
        add_headers(&mut headers, None, &only);
        assert_eq!((headers.len(), &headers[header::VARY]), (1, &HeaderValue::from_static("Origin")));
    }
}
