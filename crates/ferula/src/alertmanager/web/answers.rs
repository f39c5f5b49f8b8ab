//! The answers of the Alertmanager's server besides those of its API, and the headers around the latter. Only here and in
//! `api::Status` a status is chosen.

use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, HeaderValue, Response, StatusCode, header};
use ferula_alertmanager::api::Answer;
use ferula_exposition::negotiation::TEXT_CONTENT_TYPE;

/// Alertmanager's answer for its first API.
const V1_IS_GONE: &str = "{\"status\":\"deprecated\",\"error\":\"The Alertmanager v1 API was deprecated in version 0.16.0 and is removed as of version 0.27.0 - please use the equivalent route in the v2 API\"}\n";

/// An answer of the API.
pub fn with_api_headers(answer: Answer, request: &HeaderMap) -> Response<Body> {
    let has_body = !answer.body.is_empty();
    let mut response = Response::new(Body::from(answer.body));
    *response.status_mut() =
        StatusCode::from_u16(answer.status.code()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::VARY, HeaderValue::from_static("Origin"));
    if has_body {
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    }
    if let Some(allow) = answer.allow {
        headers.insert(header::ALLOW, HeaderValue::from_static(allow));
    }
    if request.contains_key(header::ORIGIN) {
        headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
    }
    response
}

/// The answer to a CORS preflight request.
pub fn preflight(request: &HeaderMap) -> Response<Body> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::NO_CONTENT;
    let headers = response.headers_mut();
    let vary = "Origin, Access-Control-Request-Method, Access-Control-Request-Headers";
    headers.insert(header::VARY, HeaderValue::from_static(vary));
    let Some(method) = request.get(header::ACCESS_CONTROL_REQUEST_METHOD) else { return response };
    let is_allowed = matches!(method.as_bytes(), b"GET" | b"POST" | b"HEAD");
    let wanted = request.get(header::ACCESS_CONTROL_REQUEST_HEADERS);
    let known = |name: &str| {
        matches!(name.trim().to_ascii_lowercase().as_str(), "accept" | "content-type" | "x-requested-with")
    };
    let all_known = wanted.is_none_or(|names| names.to_str().is_ok_and(|names| names.split(',').all(known)));
    if !is_allowed || !all_known || !request.contains_key(header::ORIGIN) {
        return response;
    }
    headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
    headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, method.clone());
    if let Some(names) = wanted {
        headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, names.clone());
    }
    response
}

/// A success with a fixed text.
pub fn plain_ok(text: &'static str) -> Response<Body> {
    bytes(StatusCode::OK, "text/plain; charset=utf-8", Bytes::from_static(text.as_bytes()))
}

/// A page of metrics.
pub fn metrics(page: Vec<u8>) -> Response<Body> {
    bytes(StatusCode::OK, TEXT_CONTENT_TYPE, page.into())
}

/// There is nothing at this path.
pub fn not_found() -> Response<Body> {
    plain(StatusCode::NOT_FOUND, "404 page not found\n")
}

/// The first API is gone.
pub fn v1_is_gone() -> Response<Body> {
    bytes(StatusCode::GONE, "application/json", Bytes::from_static(V1_IS_GONE.as_bytes()))
}

/// Another method would do.
pub fn method_not_allowed(methods: &'static str) -> Response<Body> {
    let mut refused = plain(StatusCode::METHOD_NOT_ALLOWED, "Method Not Allowed\n");
    refused.headers_mut().insert(header::ALLOW, HeaderValue::from_static(methods));
    refused
}

/// Too much is being done, or it took too long.
pub fn unavailable(text: &str) -> Response<Body> {
    plain(StatusCode::SERVICE_UNAVAILABLE, text)
}

/// The server failed.
pub fn internal(text: &str) -> Response<Body> {
    plain(StatusCode::INTERNAL_SERVER_ERROR, text)
}

/// The page is at another address.
pub fn redirect(to: &str) -> Response<Body> {
    redirect_with(StatusCode::FOUND, to)
}

/// The page has moved permanently.
pub fn moved(to: &str) -> Response<Body> {
    redirect_with(StatusCode::MOVED_PERMANENTLY, to)
}

fn bytes(status: StatusCode, content_type: &'static str, body: Bytes) -> Response<Body> {
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}

/// An error as Go's server writes it.
fn plain(status: StatusCode, text: &str) -> Response<Body> {
    let mut response = bytes(status, "text/plain; charset=utf-8", Bytes::from(text.to_owned()));
    response.headers_mut().insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

fn redirect_with(status: StatusCode, to: &str) -> Response<Body> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = status;
    if let Ok(to) = HeaderValue::from_str(to) {
        response.headers_mut().insert(header::LOCATION, to);
    }
    response
}
