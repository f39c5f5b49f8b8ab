//! Redirects as Go writes them.

use axum::body::Body;
use axum::http::{HeaderValue, Method, Response, header};
use ferula_go::html::escape;

use crate::status::Redirection;

/// 302: the page is at another address.
pub(crate) fn found(target: &str) -> Response<Body> {
    sent_to(&Method::GET, target, Redirection::Found)
}

/// 301: the page has moved permanently.
pub(crate) fn moved(target: &str) -> Response<Body> {
    sent_to(&Method::GET, target, Redirection::Moved)
}

/// 307: the client repeats the request there, with the same method and body.
pub(crate) fn temporary(method: &Method, target: &str) -> Response<Body> {
    sent_to(method, target, Redirection::Temporary)
}

fn sent_to(method: &Method, target: &str, to: Redirection) -> Response<Body> {
    let target = within_this_host(target);
    let status = to.status();
    let words = status.canonical_reason().unwrap_or_default();
    let body = match *method {
        Method::GET => format!("<a href=\"{}\">{words}</a>.\n\n", escape(&target)),
        _ => String::new(),
    };
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    if matches!(*method, Method::GET | Method::HEAD) {
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
    }
    if let Ok(value) = HeaderValue::from_str(&target) {
        headers.insert(header::LOCATION, value);
    }
    response
}

/// Browsers read `/\host` like `//host`, that is, as another server. None of our paths contains a backslash.
fn within_this_host(target: &str) -> String {
    let (path, query) = target.split_once('?').map_or((target, None), |(path, query)| (path, Some(query)));
    let path = path.replace('\\', "%5C");
    match query {
        Some(query) => format!("{path}?{query}"),
        None => path,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_redirect_leaves_this_host() {
        let location = |target| {
            let response = temporary(&Method::GET, target);
            response.headers()[header::LOCATION].to_str().map(str::to_owned).expect("text")
        };
        assert_eq!(location("/\\evil.example"), "/%5Cevil.example");
        assert_eq!(location("/api/v1/query?query=\"\\d\""), "/api/v1/query?query=\"\\d\"");
    }
}
