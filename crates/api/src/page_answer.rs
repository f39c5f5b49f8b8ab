//! Answers with web pages and their files, with the headers that browsers and caches need. Also used by other servers in
//! the same program.

use axum::body::Body;
use axum::http::{HeaderMap, HeaderValue, Response, header};

use crate::answer::{mark_encoding, not_modified, ok, pack_whole};
use crate::compression::{Encoding, unpack_gzip};
use crate::error::Refusal;
use crate::web_ui::Asset;

/// Scripts, styles and data come from this server only, and no text becomes HTML.
const POLICY: &str = "default-src 'none'; script-src 'self'; worker-src 'self'; style-src 'self'; img-src 'self' data:; \
connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'self'; require-trusted-types-for 'script'; \
trusted-types ferula";

/// A file in an encoding that the client accepts; 304 if the client has it already, 404 if it does not exist.
pub fn file_answer(file: Option<Asset>, request: &HeaderMap) -> Response<Body> {
    let Some(file) = file else { return Refusal::no_such_page().into_answer() };
    let tags = request.get(header::IF_NONE_MATCH).and_then(|value| value.to_str().ok()).unwrap_or("");
    let known = tags.split(',').any(|tag| tag.trim() == file.etag);
    let gzip = Encoding::of_request(request) == Encoding::Gzip;
    let mut response = if known {
        not_modified()
    } else if gzip {
        ok(Body::from(file.gzip.into_owned()))
    } else {
        match unpack_gzip(&file.gzip) {
            Ok(plain) => ok(Body::from(plain)),
            Err(_) => return Refusal::internal().into_answer(),
        }
    };
    let headers = response.headers_mut();
    if !known {
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(file.content_type));
        if gzip {
            headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        }
    }
    if let Ok(etag) = HeaderValue::from_str(&file.etag) {
        headers.insert(header::ETAG, etag);
    }
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static(file.cache_control));
    headers.insert(header::VARY, HeaderValue::from_static("Accept-Encoding"));
    protect(headers, POLICY);
    response
}

/// A page with the policy of the web pages, compressed as the client accepts it.
pub fn page_answer(html: String, request: &HeaderMap) -> Response<Body> {
    html_answer(html, request, POLICY)
}

/// A page with its own policy.
pub(crate) fn html_answer(html: String, request: &HeaderMap, policy: &'static str) -> Response<Body> {
    let encoding = Encoding::of_request(request);
    let mut response = ok(Body::from(pack_whole(encoding, html.into_bytes())));
    let headers = response.headers_mut();
    mark_encoding(headers, encoding);
    headers.insert(header::VARY, HeaderValue::from_static("Accept-Encoding"));
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    protect(headers, policy);
    response
}

fn protect(headers: &mut HeaderMap, policy: &'static str) {
    headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(policy));
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("same-origin"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
}
