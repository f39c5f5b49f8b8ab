//! URLs of services, assembled as Go's `net/url` does.

use ferula_go::url::{Url, encode_query, parse_query};

/// Appends to the path without escaping.
pub(super) fn append_path(base: &str, more: &str) -> String {
    let Ok(mut url) = Url::parse(base) else { return format!("{base}{more}") };
    url.set_unescaped_path(&format!("{}{more}", url.path()));
    url.to_string()
}

/// Go's `URL.JoinPath`: joins with a single slash and resolves dots.
pub(super) fn join_path(base: &str, more: &str) -> String {
    let Ok(mut url) = Url::parse(base) else { return format!("{base}/{more}") };
    let mut path = ferula_go::path::clean(&format!("/{}/{more}", url.escaped_path()));
    if more.ends_with('/') && !path.ends_with('/') {
        path.push('/');
    }
    if url.set_path(&path).is_err() {
        return format!("{base}/{more}");
    }
    url.to_string()
}

/// Sets a query parameter; all parameters are sorted by name.
pub(super) fn with_parameter(url: &str, name: &str, value: &str) -> String {
    let Ok(mut parsed) = Url::parse(url) else { return url.to_owned() };
    let (mut pairs, _) = parse_query(parsed.raw_query());
    pairs.retain(|(known, _)| known != name);
    pairs.push((name.to_owned(), value.to_owned()));
    parsed.set_raw_query(&encode(&pairs));
    parsed.to_string()
}

/// Encodes parameters as a form or query, sorted by name.
pub(super) fn encode(pairs: &[(String, String)]) -> String {
    let mut sorted: Vec<&(String, String)> = pairs.iter().collect();
    sorted.sort_by(|a, b| a.0.cmp(&b.0));
    encode_query(sorted.iter().map(|(name, value)| (name.as_str(), value.as_str())))
}

/// Replaces the query of a URL.
pub(super) fn with_query(url: &str, query: &str) -> String {
    let Ok(mut parsed) = Url::parse(url) else { return url.to_owned() };
    parsed.set_raw_query(query);
    parsed.to_string()
}
