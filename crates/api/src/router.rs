//! The table of routes, and what happens around every handler: readiness, CORS, counting, reading the request.

use std::sync::Arc;

use axum::body::{Body, HttpBody};
use axum::extract::State;
use axum::http::{HeaderValue, Method, Request as HttpRequest, Response, StatusCode, header};
use futures_util::future::BoxFuture;

use crate::answer::{self, Handled, status_only, text_error};
use crate::api::Api;
use crate::compression::Encoding;
use crate::cors;
use crate::request::{FORM_BYTES_MAX, Request, WRITE_BYTES_MAX};
use crate::routes::{
    admin, exemplars, features, federate, home, labels, management, metadata, parse, query, rules,
    scrape_pools, self_metrics, series, status, targets, write,
};

/// How a route answers.
#[derive(Clone, Copy)]
enum Endpoint {
    /// An endpoint of the v1 API: a function that may block, its answer in the envelope.
    Json(fn(&Api, &Request) -> Handled),
    /// The same, answered also while the server is starting.
    EarlyJson(fn(&Api, &Request) -> Handled),
    /// A query of the v1 API, which waits for a place and can be stopped.
    Query(fn(Arc<Api>, Request) -> BoxFuture<'static, Response<Body>>),
    /// Anything else that needs the server to be ready.
    Gated(fn(Arc<Api>, Request) -> BoxFuture<'static, Response<Body>>),
    /// Anything else.
    Plain(fn(Arc<Api>, Request) -> BoxFuture<'static, Response<Body>>),
}

/// One route. The path may have one piece `:name` that matches anything but a slash.
struct Route {
    path: &'static str,
    methods: &'static [Method],
    endpoint: Endpoint,
}

const GET: &[Method] = &[Method::GET];
const GET_HEAD: &[Method] = &[Method::GET, Method::HEAD];
const GET_POST: &[Method] = &[Method::GET, Method::POST];
const POST: &[Method] = &[Method::POST];
const POST_PUT: &[Method] = &[Method::POST, Method::PUT];
const ALL: &[Method] = &[Method::GET, Method::POST, Method::PUT];

const fn route(path: &'static str, methods: &'static [Method], endpoint: Endpoint) -> Route {
    Route { path, methods, endpoint }
}

/// Routes below `/api/v1`.
const API_ROUTES: &[Route] = &[
    route("/query", GET_POST, Endpoint::Query(query::instant)),
    route("/query_range", GET_POST, Endpoint::Query(query::range)),
    route("/query_exemplars", GET_POST, Endpoint::Json(exemplars::query_exemplars)),
    route("/format_query", GET_POST, Endpoint::Json(parse::format_query)),
    route("/parse_query", GET_POST, Endpoint::Json(parse::parse_query)),
    route("/labels", GET_POST, Endpoint::Json(labels::names)),
    route("/label/:name/values", GET, Endpoint::Json(labels::values)),
    route("/series", GET_POST, Endpoint::Json(series::series)),
    route("/search/metric_names", GET_POST, Endpoint::Json(labels::search)),
    route("/search/label_names", GET_POST, Endpoint::Json(labels::search)),
    route("/search/label_values", GET_POST, Endpoint::Json(labels::search)),
    route("/scrape_pools", GET, Endpoint::Json(targets::scrape_pools)),
    route("/scrape_pools/config", GET, Endpoint::Json(scrape_pools::config)),
    route("/targets", GET, Endpoint::Json(targets::targets)),
    route("/targets/relabel_steps", GET, Endpoint::Json(scrape_pools::relabel_steps)),
    route("/targets/metadata", GET, Endpoint::Json(metadata::of_targets)),
    route("/alertmanagers", GET, Endpoint::Json(rules::alertmanagers)),
    route("/metadata", GET, Endpoint::Json(metadata::of_metrics)),
    route("/status/config", GET, Endpoint::Json(status::config)),
    route("/status/runtimeinfo", GET, Endpoint::Json(status::runtime_info)),
    route("/status/buildinfo", GET, Endpoint::Json(status::build_info)),
    route("/status/flags", GET, Endpoint::Json(status::flags)),
    route("/status/tsdb", GET, Endpoint::Json(status::tsdb)),
    route("/status/tsdb/blocks", GET, Endpoint::Json(status::tsdb_blocks)),
    route("/status/self_metrics", GET, Endpoint::Json(self_metrics::self_metrics)),
    route("/status/walreplay", GET, Endpoint::EarlyJson(status::wal_replay)),
    route("/features", GET, Endpoint::Json(features::features)),
    route("/notifications", GET, Endpoint::EarlyJson(status::notifications)),
    route("/notifications/live", GET, Endpoint::EarlyJson(status::notifications_live)),
    route("/write", POST, Endpoint::Gated(write::write)),
    route("/read", POST, Endpoint::Gated(write::read)),
    route("/otlp/v1/metrics", POST, Endpoint::Gated(write::otlp)),
    route("/alerts", GET, Endpoint::Json(rules::alerts)),
    route("/rules", GET, Endpoint::Json(rules::rules)),
    route("/admin/tsdb/delete_series", POST_PUT, Endpoint::Json(admin::delete_series)),
    route("/admin/tsdb/clean_tombstones", POST_PUT, Endpoint::Json(admin::clean_tombstones)),
    route("/admin/tsdb/snapshot", POST_PUT, Endpoint::Json(admin::snapshot)),
];

/// Routes outside of the API.
const ROOT_ROUTES: &[Route] = &[
    route("/", GET, Endpoint::Plain(home::page)),
    route("/query", GET, Endpoint::Plain(home::page)),
    route("/alerts", GET, Endpoint::Plain(home::page)),
    route("/rules", GET, Endpoint::Plain(home::page)),
    route("/status", GET, Endpoint::Plain(home::page)),
    route("/tsdb-status", GET, Endpoint::Plain(home::page)),
    route("/flags", GET, Endpoint::Plain(home::page)),
    route("/config", GET, Endpoint::Plain(home::page)),
    route("/targets", GET, Endpoint::Plain(home::page)),
    route("/service-discovery", GET, Endpoint::Plain(home::page)),
    route("/alertmanager-discovery", GET, Endpoint::Plain(home::page)),
    route("/graph", GET, Endpoint::Plain(home::graph)),
    route("/version", GET, Endpoint::Plain(management::version)),
    route("/metrics", GET, Endpoint::Plain(management::metrics)),
    route("/federate", GET, Endpoint::Gated(federate::federate)),
    route("/-/healthy", GET_HEAD, Endpoint::Plain(management::healthy)),
    route("/-/ready", GET_HEAD, Endpoint::Gated(management::ready)),
    route("/-/reload", ALL, Endpoint::Plain(management::reload)),
    route("/-/quit", ALL, Endpoint::Plain(management::quit)),
];

/// The routes as a service.
pub fn router(api: Arc<Api>) -> axum::Router {
    for route in API_ROUTES {
        api.http.expect_route(&format!("/api/v1{}", route.path));
    }
    for route in ROOT_ROUTES {
        api.http.expect_route(route.path);
    }
    axum::Router::new().fallback(serve).with_state(api)
}

/// What a path leads to.
enum Found {
    Route {
        route: &'static Route,
        api: bool,
        param: String,
    },
    /// The root, when all routes have a prefix.
    Redirect,
    /// The same without empty and dotted pieces, or with the slash that is missing.
    Elsewhere(String),
    /// The prefix of all routes without a slash behind it.
    Prefix,
    Nothing,
}

fn find(prefix: &str, path: &str) -> Found {
    let cleaned = clean(path);
    if cleaned != path {
        return Found::Elsewhere(cleaned);
    }
    let inner = if prefix == "/" { Some(path) } else { path.strip_prefix(prefix) };
    let Some(inner) = inner.filter(|inner| inner.starts_with('/') || inner.is_empty()) else {
        return if path == "/" { Found::Redirect } else { Found::Nothing };
    };
    if inner.is_empty() {
        return Found::Prefix;
    }
    if inner == "/api/v1" {
        return Found::Elsewhere(format!("{path}/"));
    }
    let (table, below, api) = match inner.strip_prefix("/api/v1") {
        Some(below) => (API_ROUTES, below, true),
        None => (ROOT_ROUTES, inner, false),
    };
    for route in table {
        if let Some(param) = match_path(route.path, below) {
            return Found::Route { route, api, param };
        }
    }
    Found::Nothing
}

/// The path without empty pieces and `.`, with `..` resolved: what clients make of an address that ends in a slash.
fn clean(path: &str) -> String {
    let mut pieces = Vec::new();
    for piece in path.split('/') {
        match piece {
            "" | "." => {}
            ".." => drop(pieces.pop()),
            piece => pieces.push(piece),
        }
    }
    let end = if path.ends_with('/') && !pieces.is_empty() { "/" } else { "" };
    format!("/{}{end}", pieces.join("/"))
}

/// The decoded variable piece, "" for a route without one.
fn match_path(pattern: &str, path: &str) -> Option<String> {
    if !pattern.contains(':') {
        return (pattern == path).then(String::new);
    }
    let mut param = String::new();
    let (mut pattern, mut path) = (pattern.split('/'), path.split('/'));
    loop {
        match (pattern.next(), path.next()) {
            (None, None) => return Some(param),
            (Some(want), Some(got)) if want.starts_with(':') && !got.is_empty() => {
                param = percent_decode(got);
            }
            (Some(want), Some(got)) if want == got => {}
            _ => return None,
        }
    }
}

fn percent_decode(text: &str) -> String {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        let hex = |byte: &u8| char::from(*byte).to_digit(16);
        match tail {
            [high, low, after @ ..] if *first == b'%' => {
                if let (Some(high), Some(low)) = (hex(high), hex(low)) {
                    out.push((high * 16 + low) as u8);
                    rest = after;
                    continue;
                }
                out.push(*first);
            }
            _ => out.push(*first),
        }
        rest = tail;
    }
    String::from_utf8(out).unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned())
}

/// Answers one request.
async fn serve(State(api): State<Arc<Api>>, request: HttpRequest<Body>) -> Response<Body> {
    let begin = api.clock.elapsed();
    let prefix = &api.settings.route_prefix;
    let (route, in_api, param) = match find(prefix, request.uri().path()) {
        Found::Route { route, api, param } => (route, api, param),
        Found::Redirect if request.method() == Method::GET => return home::redirect(prefix),
        Found::Redirect if request.method() == Method::OPTIONS => return allowed(GET, no_text()),
        Found::Redirect => return allowed(GET, not_allowed()),
        Found::Prefix if request.method() == Method::GET => return home::moved(&format!("{prefix}/")),
        Found::Prefix => return text_error(StatusCode::NOT_FOUND, "404 page not found"),
        Found::Elsewhere(path) => {
            let query = request.uri().query().map_or(String::new(), |query| format!("?{query}"));
            return home::elsewhere(request.method(), &format!("{path}{query}"));
        }
        Found::Nothing
            if request.method() == Method::OPTIONS && is_api_path(prefix, request.uri().path()) =>
        {
            return options(&api, &request);
        }
        Found::Nothing => return text_error(StatusCode::NOT_FOUND, "404 page not found"),
    };
    if in_api && request.method() == Method::OPTIONS {
        return options(&api, &request);
    }
    if request.method() == Method::OPTIONS {
        return allowed(route.methods, no_text());
    }
    if !route.methods.contains(request.method()) {
        return allowed(route.methods, not_allowed());
    }
    let response = call(api.clone(), route.endpoint, in_api, request, param).await;
    let handler = if in_api { format!("/api/v1{}", route.path) } else { route.path.to_owned() };
    let took = api.clock.elapsed().saturating_sub(begin);
    let bytes = response.body().size_hint().exact();
    api.http.count(&handler, response.status().as_u16(), took, bytes);
    response
}

fn is_api_path(prefix: &str, path: &str) -> bool {
    path.strip_prefix(prefix.trim_end_matches('/')).is_some_and(|inner| inner.starts_with("/api/v1/"))
}

fn no_text() -> Response<Body> {
    status_only(StatusCode::OK)
}

fn not_allowed() -> Response<Body> {
    text_error(StatusCode::METHOD_NOT_ALLOWED, "Method Not Allowed")
}

/// Names the methods of a route.
fn allowed(methods: &[Method], mut response: Response<Body>) -> Response<Body> {
    let mut allowed: Vec<&str> = methods.iter().map(Method::as_str).collect();
    allowed.push("OPTIONS");
    allowed.sort_unstable();
    if let Ok(value) = HeaderValue::from_str(&allowed.join(", ")) {
        response.headers_mut().insert(header::ALLOW, value);
    }
    response
}

fn options(api: &Api, request: &HttpRequest<Body>) -> Response<Body> {
    if let Some(refusal) = api.readiness.refusal() {
        return refusal;
    }
    let mut response = status_only(StatusCode::NO_CONTENT);
    let origin = request.headers().get(header::ORIGIN);
    cors::add_headers(response.headers_mut(), origin, &api.settings.cors_origin);
    response
}

async fn call(
    api: Arc<Api>,
    endpoint: Endpoint,
    in_api: bool,
    request: HttpRequest<Body>,
    param: String,
) -> Response<Body> {
    let early = matches!(endpoint, Endpoint::EarlyJson(_) | Endpoint::Plain(_));
    if let Some(refusal) = api.readiness.refusal().filter(|_| !early) {
        return refusal;
    }
    let body_max = if matches!(endpoint, Endpoint::Gated(_)) { WRITE_BYTES_MAX } else { FORM_BYTES_MAX };
    let mut request = match Request::read(request, body_max, api.settings.read_timeout).await {
        Ok(request) => request,
        Err(response) => return response,
    };
    request.path_param = param;
    let origin = request.headers.get(header::ORIGIN).cloned();
    let mut response = match endpoint {
        Endpoint::Json(handle) | Endpoint::EarlyJson(handle) => {
            let encoding = Encoding::of_request(&request.headers);
            let what = request.path.clone();
            let shared = api.clone();
            answer::answer(encoding, &what, move || handle(&shared, &request)).await
        }
        Endpoint::Query(serve) | Endpoint::Gated(serve) | Endpoint::Plain(serve) => {
            serve(api.clone(), request).await
        }
    };
    if in_api && !matches!(endpoint, Endpoint::Gated(_)) {
        let headers = response.headers_mut();
        headers.insert(header::VARY, HeaderValue::from_static("Accept-Encoding"));
        cors::add_headers(headers, origin.as_ref(), &api.settings.cors_origin);
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(prefix: &str, path: &str) -> Option<(&'static str, String)> {
        match find(prefix, path) {
            Found::Route { route, param, .. } => Some((route.path, param)),
            Found::Redirect => Some(("redirect", String::new())),
            Found::Elsewhere(path) => Some(("elsewhere", path)),
            Found::Prefix => Some(("prefix", String::new())),
            Found::Nothing => None,
        }
    }

    #[test]
    fn paths_lead_to_routes_below_the_prefix() {
        assert_eq!(found("/", "/api/v1/query"), Some(("/query", String::new())));
        assert_eq!(found("/p", "/p/api/v1/query"), Some(("/query", String::new())));
        assert_eq!(found("/p", "/p"), Some(("prefix", String::new())));
        assert_eq!(found("/p", "/p/"), Some(("/", String::new())));
        assert_eq!(found("/p", "/p/-/ready"), Some(("/-/ready", String::new())));
        assert_eq!(found("/p", "/"), Some(("redirect", String::new())));
        for path in ["/px/-/ready", "/-/ready", "/p/nothing", "/p/api/v1/", "/p/api/v1/query/"] {
            assert_eq!(found("/p", path), None, "{path}");
        }
    }

    #[test]
    fn paths_are_cleaned_by_sending_the_client_there() {
        for (path, want) in [
            ("//api/v1/labels", "/api/v1/labels"),
            ("/api/v1//labels", "/api/v1/labels"),
            ("/api/v1/../v1/labels", "/api/v1/labels"),
            ("/api/v1/./labels", "/api/v1/labels"),
            ("/..//", "/"),
            ("/api/v1", "/api/v1/"),
            ("/api/v1/label//values", "/api/v1/label/values"),
        ] {
            assert_eq!(found("/", path), Some(("elsewhere", want.to_owned())), "{path}");
        }
        assert_eq!(found("/p", "/p/api/v1"), Some(("elsewhere", "/p/api/v1/".to_owned())));
    }

    #[test]
    fn a_piece_of_the_path_is_decoded() {
        let values = |path| found("/", path).map(|(_, param)| param);
        assert_eq!(values("/api/v1/label/a%2Eb%C3%A9/values"), Some("a.bé".into()));
        assert_eq!(values("/api/v1/label/100%/values"), Some("100%".into()));
        assert_eq!(values("/api/v1/label/a/b/values"), None);
    }
}
