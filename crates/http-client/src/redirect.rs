//! Redirects, by the rules of Go's client.

use ferula_config::UrlError;
use http::header::{
    AUTHORIZATION, CONTENT_ENCODING, CONTENT_LANGUAGE, CONTENT_LOCATION, CONTENT_TYPE, COOKIE, HeaderMap,
    HeaderName, PROXY_AUTHENTICATE, PROXY_AUTHORIZATION, REFERER, WWW_AUTHENTICATE,
};
use http::{Method, StatusCode};

use crate::error::Cause;
use crate::message::Request;
use crate::url::{Url, without_user};

/// Maximum number of redirects.
pub(crate) const REDIRECTS_MAX: usize = 10;

/// The request that follows an answer with this status and `Location`; `None` if the answer is final, such as
/// a redirect without `Location`.
pub(crate) fn next_request(
    request: &Request,
    status: StatusCode,
    location: &str,
) -> Result<Option<Request>, Cause> {
    let (method, keeps_body) = match status.as_u16() {
        301..=303 if request.method == Method::HEAD => (Method::HEAD, false),
        301..=303 => (Method::GET, false),
        307 | 308 => (request.method.clone(), true),
        _ => return Ok(None),
    };
    if location.is_empty() {
        return Ok(None);
    }
    let url = request
        .url
        .join(location)
        .map_err(|error| UrlError::without_user(location, error))
        .map_err(|error| Cause::Location { location: error.masked().to_owned(), error })?;
    let mut next = Request { method, ..request.clone() };
    if !keeps_body {
        next.body = bytes::Bytes::new();
        for name in [CONTENT_TYPE, CONTENT_ENCODING, CONTENT_LANGUAGE, CONTENT_LOCATION] {
            next.headers.remove(name);
        }
    }
    let downgraded = request.url.scheme() == "https" && url.scheme() == "http";
    if !downgraded && let Ok(referer) = without_user(&request.url).parse() {
        next.headers.insert(REFERER, referer);
    }
    next.url = url;
    Ok(Some(next))
}

/// Whether credentials for `home` may go to `url`: the same host, or one below it; ports do not matter.
pub(crate) fn is_at_home(home: &Url, url: &Url) -> bool {
    let (home, host) = (home.hostname().to_ascii_lowercase(), url.hostname().to_ascii_lowercase());
    host == home
        || (!home.is_empty()
            && !host.contains([':', '%'])
            && host.strip_suffix(&home).is_some_and(|before| before.ends_with('.')))
}

/// Removes the headers that must not be sent to another host.
pub(crate) fn remove_secrets(headers: &mut HeaderMap) {
    let names = [AUTHORIZATION, WWW_AUTHENTICATE, COOKIE, PROXY_AUTHORIZATION, PROXY_AUTHENTICATE];
    for name in names.into_iter().chain([HeaderName::from_static("cookie2")]) {
        headers.remove(name);
    }
    // Regardless of its name: a value that logs must not show is a secret.
    let secrets: Vec<HeaderName> =
        headers.iter().filter(|(_, value)| value.is_sensitive()).map(|(name, _)| name.clone()).collect();
    for name in secrets {
        headers.remove(name);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn methods_and_bodies_change_as_in_go() {
        for (method, status, location, expected) in [
            ("GET", 302, "/n", "GET http://h/n "),
            ("POST", 301, "/n", "GET http://h/n "),
            ("POST", 302, "/n", "GET http://h/n "),
            ("POST", 303, "/n", "GET http://h/n "),
            ("POST", 307, "/n", "POST http://h/n body"),
            ("POST", 308, "//o/n", "POST http://o/n body"),
            ("HEAD", 303, "/n", "HEAD http://h/n "),
            ("PUT", 303, "/n", "GET http://h/n "),
            ("GET", 302, "", "the last"),
            ("GET", 307, "", "the last"),
            ("GET", 300, "/n", "the last"),
            ("GET", 304, "/n", "the last"),
            (
                "GET",
                302,
                "http://h:x/",
                "failed to parse Location header \"http://h:x/\": parse \"http://h:x/\": invalid port \":x\" after host",
            ),
        ] {
            let request = Request::new(method.parse().expect("a method"), "http://u:p@h/a")
                .expect("a URL")
                .body(bytes::Bytes::from_static(b"body"));
            let status = StatusCode::from_u16(status).expect("a status");
            let found = match next_request(&request, status, location) {
                Ok(Some(next)) => {
                    assert_eq!(next.headers.get(REFERER).expect("a referer"), "http://h/a");
                    format!(
                        "{} {} {}",
                        next.method,
                        without_user(&next.url),
                        String::from_utf8_lossy(&next.body)
                    )
                }
                Ok(None) => "the last".to_owned(),
                Err(cause) => cause.to_string(),
            };
            assert_eq!(found, expected, "{method} {status} {location}");
        }
    }

    #[test]
    fn values_that_logs_must_not_show_are_not_sent_to_other_hosts() {
        let mut token = http::HeaderValue::from_static("t");
        token.set_sensitive(true);
        let mut headers = HeaderMap::new();
        headers.insert(HeaderName::from_static("x-consul-token"), token);
        headers.insert(HeaderName::from_static("x-plain"), http::HeaderValue::from_static("p"));
        remove_secrets(&mut headers);
        assert_eq!(headers.keys().collect::<Vec<_>>(), ["x-plain"]);
    }

    #[test]
    fn credentials_reach_the_host_and_what_is_below_it() {
        let url = |host: &str| Url::parse(&format!("http://{host}/")).expect("a URL");
        for (home, host, at_home) in [
            ("a.example:1", "A.example:2", true),
            ("a.example", "b.a.example", true),
            ("a.example", "ba.example", false),
            ("b.a.example", "a.example", false),
            ("127.0.0.1", "127.0.0.2", false),
            ("www.example.com", "[::1%25.www.example.com]", false),
        ] {
            assert_eq!(is_at_home(&url(home), &url(host)), at_home, "{home} {host}");
        }
    }
}
