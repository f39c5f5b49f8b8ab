//! The table of routes, and what surrounds every handler: readiness, CORS, metrics, reading the request.

use std::sync::Arc;

use axum::body::{Body, HttpBody};
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, Method, Request as HttpRequest, Response, header};
use ferula_go::url::path_unescape;
use futures_util::future::BoxFuture;
use tokio::sync::watch;

use ferula_query::Lookup;

use crate::answer::{self, Handled, empty, no_content};
use crate::api::Api;
use crate::compression::Encoding;
use crate::error::{ApiError, Refusal, RefusalKind};
use crate::request::{FORM_BYTES_MAX, Request, WRITE_BYTES_MAX};
use crate::routes::{
    admin, exemplars, features, federate, ferula, labels, management, metadata, notifications, pages, parse,
    query, read, rules, scrape_pools, search, self_metrics, series, status, targets, write,
};
use crate::service::Service;
use crate::site::Site;
use crate::{cors, redirect};

type ResponseFuture = BoxFuture<'static, Response<Body>>;

/// How a route answers.
#[derive(Clone, Copy)]
enum Endpoint {
    /// A v1 endpoint: a function that may block; its answer is put into the envelope.
    Json(fn(&Api, &Request) -> Handled),
    /// Like `Json`, for a look-up of series or labels, which is subject to admission and can be stopped.
    Lookup(fn(&Api, &Request, Lookup) -> Handled),
    /// Like `Json`, but available at every stage.
    EarlyJson(fn(&Site, &Request) -> Handled),
    /// A streaming answer that lasts as long as the client listens; available at every stage.
    EarlyStream(fn(Arc<Site>, Request) -> ResponseFuture),
    /// A query of the v1 API, which is subject to admission and can be stopped.
    Query(fn(Arc<Api>, Request) -> ResponseFuture),
    /// Anything else that requires the server to be ready.
    Gated(fn(Arc<Api>, Request) -> ResponseFuture),
    /// Anything else.
    Plain(fn(Service, Request) -> ResponseFuture),
}

/// One route. The path may have one segment `:name`, which matches anything without a
/// slash, or end in `*`, which matches the rest.
struct Route {
    path: &'static str,
    methods: &'static [Method],
    endpoint: Endpoint,
    mode: Mode,
}

/// Which servers have a route.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Mode {
    Any,
    /// It needs samples or rules, which an agent does not have.
    Server,
    Agent,
}

impl Route {
    const fn server(mut self) -> Self {
        self.mode = Mode::Server;
        self
    }

    const fn agent(mut self) -> Self {
        self.mode = Mode::Agent;
        self
    }
}

const GET: &[Method] = &[Method::GET];
const GET_HEAD: &[Method] = &[Method::GET, Method::HEAD];
const GET_POST: &[Method] = &[Method::GET, Method::POST];
const GET_POST_DELETE: &[Method] = &[Method::GET, Method::POST, Method::DELETE];
const POST: &[Method] = &[Method::POST];
const POST_PUT: &[Method] = &[Method::POST, Method::PUT];
const ALL: &[Method] = &[Method::GET, Method::POST, Method::PUT];

const fn route(path: &'static str, methods: &'static [Method], endpoint: Endpoint) -> Route {
    Route { path, methods, endpoint, mode: Mode::Any }
}

/// Routes below `/api/v1`.
const API_ROUTES: &[Route] = &[
    route("/query", GET_POST, Endpoint::Query(query::instant)).server(),
    route("/query_range", GET_POST, Endpoint::Query(query::range)).server(),
    // Routes that only read also accept GET, and pages of other origins may use them. The others change
    // something, or do work that the request defines: templates, rules, a scrape.
    route("/ferula/graph", GET_POST, Endpoint::Query(ferula::graph::graph)).server(),
    route("/ferula/editor", GET_POST, Endpoint::Lookup(ferula::editor::editor)).server(),
    route("/ferula/backtest", POST, Endpoint::Query(ferula::backtest::backtest)).server(),
    route("/ferula/tree", GET_POST, Endpoint::Query(ferula::tree::tree)).server(),
    route("/ferula/changed_flags", GET, Endpoint::Json(status::changed_flags)),
    route("/ferula/explain", GET_POST, Endpoint::Json(ferula::explain::explain)).server(),
    route("/ferula/metrics", GET_POST, Endpoint::Lookup(ferula::metrics::metrics)).server(),
    route("/ferula/raw", GET_POST, Endpoint::Lookup(ferula::raw::raw)).server(),
    route("/ferula/growth", GET, Endpoint::Json(ferula::growth::growth)),
    route("/ferula/usage", GET_POST, Endpoint::Lookup(ferula::usage::usage)).server(),
    route("/ferula/bad_page", GET, Endpoint::Json(ferula::bad_page::bad_page)),
    route("/ferula/relabel", POST, Endpoint::Json(ferula::relabel::relabel)),
    route("/ferula/scrape_preview", POST, Endpoint::Query(ferula::relabel::scrape_preview)),
    route("/ferula/damage", GET, Endpoint::Json(ferula::damage::damage)),
    route("/ferula/queries/stop", POST, Endpoint::Json(ferula::queries::stop)).server(),
    route("/query_exemplars", GET_POST, Endpoint::Json(exemplars::query_exemplars)).server(),
    route("/format_query", GET_POST, Endpoint::Json(parse::format_query)).server(),
    route("/parse_query", GET_POST, Endpoint::Json(parse::parse_query)).server(),
    route("/labels", GET_POST, Endpoint::Lookup(labels::names)).server(),
    route("/label/:name/values", GET, Endpoint::Lookup(labels::values)).server(),
    route("/series", GET_POST_DELETE, Endpoint::Lookup(series::series)).server(),
    route("/search/metric_names", GET_POST, Endpoint::Lookup(search::metric_names)),
    route("/search/label_names", GET_POST, Endpoint::Lookup(search::label_names)),
    route("/search/label_values", GET_POST, Endpoint::Lookup(search::label_values)),
    route("/scrape_pools", GET, Endpoint::Json(targets::scrape_pools)),
    route("/scrape_pools/config", GET, Endpoint::Json(scrape_pools::config)),
    route("/targets", GET, Endpoint::Json(targets::targets)),
    route("/targets/relabel_steps", GET, Endpoint::Json(scrape_pools::relabel_steps)),
    route("/targets/metadata", GET, Endpoint::Json(metadata::of_targets)),
    route("/alertmanagers", GET, Endpoint::Json(rules::alertmanagers)).server(),
    route("/metadata", GET, Endpoint::Json(metadata::of_metrics)),
    route("/status/config", GET, Endpoint::Json(status::config)),
    route("/status/runtimeinfo", GET, Endpoint::Json(status::runtime_info)),
    route("/status/buildinfo", GET, Endpoint::Json(status::build_info)),
    route("/status/flags", GET, Endpoint::Json(status::flags)),
    route("/status/tsdb", GET, Endpoint::Lookup(status::tsdb)).server(),
    route("/status/tsdb/blocks", GET, Endpoint::Json(status::tsdb_blocks)).server(),
    route("/status/self_metrics", GET, Endpoint::Json(self_metrics::self_metrics)),
    route("/status/active_queries", GET, Endpoint::Json(ferula::queries::active)).server(),
    route("/status/top_queries", GET, Endpoint::Json(ferula::queries::top)).server(),
    route("/status/walreplay", GET, Endpoint::EarlyJson(status::wal_replay)),
    route("/features", GET, Endpoint::Json(features::features)),
    route("/notifications", GET, Endpoint::EarlyJson(notifications::list)),
    route("/notifications/live", GET, Endpoint::EarlyStream(notifications::live)),
    route("/write", POST, Endpoint::Gated(write::write)),
    route("/read", POST, Endpoint::Gated(read::read)),
    route("/otlp/v1/metrics", POST, Endpoint::Gated(write::otlp)),
    route("/alerts", GET, Endpoint::Json(rules::alerts)).server(),
    route("/rules", GET, Endpoint::Json(rules::rules)).server(),
    route("/admin/tsdb/delete_series", POST_PUT, Endpoint::Json(admin::delete_series)).server(),
    route("/admin/tsdb/clean_tombstones", POST_PUT, Endpoint::Json(admin::clean_tombstones)).server(),
    route("/admin/tsdb/snapshot", POST_PUT, Endpoint::Json(admin::snapshot)).server(),
];

/// Routes outside the API.
const ROOT_ROUTES: &[Route] = &[
    route("/", GET, Endpoint::Plain(pages::home)),
    route("/graph", GET, Endpoint::Plain(pages::graph)),
    route("/query", GET, Endpoint::Plain(pages::page)).server(),
    route("/alerts", GET, Endpoint::Plain(pages::page)).server(),
    route("/rules", GET, Endpoint::Plain(pages::page)).server(),
    route("/targets", GET, Endpoint::Plain(pages::page)),
    route("/service-discovery", GET, Endpoint::Plain(pages::page)),
    route("/alertmanager-discovery", GET, Endpoint::Plain(pages::page)).server(),
    route("/metrics-explorer", GET, Endpoint::Plain(pages::page)).server(),
    route("/relabel", GET, Endpoint::Plain(pages::page)),
    route("/queries", GET, Endpoint::Plain(pages::page)).server(),
    route("/status", GET, Endpoint::Plain(pages::page)),
    route("/tsdb-status", GET, Endpoint::Plain(pages::page)).server(),
    route("/flags", GET, Endpoint::Plain(pages::page)),
    route("/config", GET, Endpoint::Plain(pages::page)),
    route("/agent", GET, Endpoint::Plain(pages::page)).agent(),
    route("/assets/*", GET, Endpoint::Plain(pages::asset)),
    route("/favicon.ico", GET, Endpoint::Plain(pages::root_file)),
    route("/favicon.svg", GET, Endpoint::Plain(pages::root_file)),
    route("/version", GET, Endpoint::Plain(management::version)),
    route("/metrics", GET, Endpoint::Plain(management::metrics)),
    route("/metrics/machine", GET, Endpoint::Plain(management::machine_metrics)),
    route("/federate", GET, Endpoint::Gated(federate::federate)),
    route("/-/healthy", GET_HEAD, Endpoint::Plain(management::healthy)),
    route("/-/ready", GET_HEAD, Endpoint::Gated(management::ready)),
    route("/-/reload", ALL, Endpoint::Plain(management::reload)),
    route("/-/quit", ALL, Endpoint::Plain(management::quit)),
];

/// The routes as an axum service. `service` changes once, when the store is open.
pub fn router(service: watch::Receiver<Service>) -> axum::Router {
    let http = service.borrow().site().http.clone();
    for route in API_ROUTES {
        http.expect_route(&format!("/api/v1{}", route.path));
    }
    for route in ROOT_ROUTES {
        http.expect_route(route.path);
    }
    axum::Router::new().fallback(serve).with_state(service)
}

/// The result of looking up a path.
enum Target {
    Route {
        route: &'static Route,
        api: bool,
        param: String,
    },
    /// A route with a slightly different spelling: without the final slash, or with different capitals.
    Nearby {
        route: &'static Route,
        path: String,
    },
    /// The root, if all routes have a prefix.
    Redirect,
    /// The same path without empty and dot segments, or with the missing slash.
    Cleaned(String),
    /// The prefix of all routes without a slash after it.
    Prefix,
    Nothing,
}

fn find(prefix: &str, path: &str) -> Target {
    let cleaned = clean(path);
    if cleaned != path {
        return Target::Cleaned(cleaned);
    }
    let inner = if prefix == "/" { Some(path) } else { path.strip_prefix(prefix) };
    let Some(inner) = inner.filter(|inner| inner.starts_with('/') || inner.is_empty()) else {
        return if path == "/" { Target::Redirect } else { Target::Nothing };
    };
    if inner.is_empty() {
        return Target::Prefix;
    }
    if inner == "/api/v1" {
        return Target::Cleaned(format!("{path}/"));
    }
    let (table, below, api) = match inner.strip_prefix("/api/v1") {
        Some(below) => (API_ROUTES, below, true),
        None => (ROOT_ROUTES, inner, false),
    };
    for route in table {
        if let Some(param) = match_path(route.path, below) {
            return Target::Route { route, api, param };
        }
    }
    let before = &path[..path.len() - below.len()];
    nearby(table, before, below).unwrap_or(Target::Nothing)
}

/// The route that the client most likely meant, found as in Prometheus' router.
fn nearby(table: &'static [Route], before: &str, below: &str) -> Option<Target> {
    let unslashed = below.strip_suffix('/').unwrap_or(below);
    if unslashed.is_empty() {
        return None;
    }
    let exact = table.iter().find(|route| match_path(route.path, unslashed).is_some());
    if let Some(route) = exact {
        return Some(Target::Nearby { route, path: format!("{before}{unslashed}") });
    }
    let route = table.iter().find(|route| route.path.eq_ignore_ascii_case(unslashed))?;
    Some(Target::Nearby { route, path: format!("{before}{}", route.path) })
}

/// Removes empty segments and `.`, and resolves `..`. Clients produce these from a base address that ends in a slash.
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

/// The decoded variable segment of the path, "" for a route without one; `None` if the path does not match.
fn match_path(pattern: &str, path: &str) -> Option<String> {
    if let Some(before) = pattern.strip_suffix('*') {
        return path.strip_prefix(before).filter(|rest| !rest.is_empty()).map(percent_decode);
    }
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

/// Invalid escapes stay as they are.
fn percent_decode(text: &str) -> String {
    path_unescape(text).unwrap_or_else(|_| text.to_owned())
}

/// Answers one request.
async fn serve(
    State(service): State<watch::Receiver<Service>>,
    request: HttpRequest<Body>,
) -> Response<Body> {
    let service = service.borrow().clone();
    let mut response = route_request(service, request).await;
    let nosniff = HeaderValue::from_static("nosniff");
    response.headers_mut().insert(header::X_CONTENT_TYPE_OPTIONS, nosniff);
    response
}

async fn route_request(service: Service, request: HttpRequest<Body>) -> Response<Body> {
    let site = service.site().clone();
    let begin = site.clock.elapsed();
    let prefix = &site.settings.route_prefix;
    let (path, method) = (request.uri().path(), request.method());
    let (route, in_api, param) = match find(prefix, path) {
        Target::Route { route, api, param } => (route, api, param),
        Target::Nearby { .. } | Target::Nothing
            if *method == Method::OPTIONS && is_api_path(prefix, path) =>
        {
            return options(&service, &request);
        }
        Target::Nearby { route, path } if route.methods.contains(method) => {
            let target = format!("{path}{}", query_of(&request));
            return match *method {
                Method::GET => redirect::moved(&target),
                _ => redirect::temporary(method, &target),
            };
        }
        Target::Nearby { .. } | Target::Nothing => return Refusal::no_such_page().into_answer(),
        Target::Redirect if *method == Method::GET => return redirect::found(prefix),
        Target::Redirect if *method == Method::OPTIONS => return allowed(GET, empty()),
        Target::Redirect => return allowed(GET, not_allowed()),
        Target::Prefix if *method == Method::GET => return redirect::moved(&format!("{prefix}/")),
        Target::Prefix => return Refusal::no_such_page().into_answer(),
        Target::Cleaned(path) => {
            return redirect::temporary(method, &format!("{path}{}", query_of(&request)));
        }
    };
    if in_api && *method == Method::OPTIONS {
        return options(&service, &request);
    }
    if *method == Method::OPTIONS {
        return allowed(route.methods, empty());
    }
    if !route.methods.contains(method) {
        return allowed(route.methods, not_allowed());
    }
    let elsewhere = if site.settings.agent { Mode::Server } else { Mode::Agent };
    if route.mode == elsewhere && !in_api {
        return Refusal::no_such_page().into_answer();
    }
    let response = if changes_state(route, method) && is_foreign(&site, request.headers()) {
        let why = "requests from other origins may not change state";
        Refusal::new(RefusalKind::Forbidden, why).into_answer()
    } else {
        let endpoint = if route.mode == elsewhere { NOT_FOR_AGENTS } else { route.endpoint };
        call(service, endpoint, in_api, request, param).await
    };
    let handler = if in_api { format!("/api/v1{}", route.path) } else { route.path.to_owned() };
    let took = site.clock.elapsed().saturating_sub(begin);
    let bytes = response.body().size_hint().exact();
    site.http.count(&handler, response.status().as_u16(), took, bytes);
    response
}

/// What an agent answers where samples or rules are needed.
const NOT_FOR_AGENTS: Endpoint = Endpoint::Json(|_, _| Err(ApiError::not_for_agents()));

fn query_of(request: &HttpRequest<Body>) -> String {
    request.uri().query().map_or(String::new(), |query| format!("?{query}"))
}

fn is_api_path(prefix: &str, path: &str) -> bool {
    path.strip_prefix(prefix.trim_end_matches('/')).is_some_and(|inner| inner.starts_with("/api/v1/"))
}

/// Whether a request may change state. Routes that also accept GET only read, except the lifecycle routes,
/// which refuse GET themselves.
fn changes_state(route: &Route, method: &Method) -> bool {
    matches!(*method, Method::POST | Method::PUT)
        && (!route.methods.contains(&Method::GET) || route.path.starts_with("/-/"))
}

/// Whether a page from another origin sent the request. Browsers say so; other programs send neither header.
fn is_foreign(site: &Site, headers: &HeaderMap) -> bool {
    let text = |name: &str| headers.get(name).map(|value| value.to_str().unwrap_or("?"));
    if let Some(relation) = text("sec-fetch-site") {
        return !matches!(relation, "same-origin" | "none");
    }
    let Some(origin) = text("origin") else { return false };
    let own = |host: &str| origin.split_once("://").is_some_and(|(_, from)| from.eq_ignore_ascii_case(host));
    !(own(text("host").unwrap_or("")) || own(&site.settings.external_url.host))
}

fn not_allowed() -> Response<Body> {
    Refusal::new(RefusalKind::MethodNotAllowed, "Method Not Allowed").into_answer()
}

/// Sets the `Allow` header.
fn allowed(methods: &[Method], mut response: Response<Body>) -> Response<Body> {
    let mut allowed: Vec<&str> = methods.iter().map(Method::as_str).collect();
    allowed.push("OPTIONS");
    allowed.sort_unstable();
    if let Ok(value) = HeaderValue::from_str(&allowed.join(", ")) {
        response.headers_mut().insert(header::ALLOW, value);
    }
    response
}

fn options(service: &Service, request: &HttpRequest<Body>) -> Response<Body> {
    if let Err(refusal) = service.ready() {
        return refusal.into_answer();
    }
    let mut response = no_content();
    add_cross_origin(service.site(), response.headers_mut(), request.headers().get(header::ORIGIN));
    response
}

/// Every answer of the API depends on both headers, even one without a body.
fn add_cross_origin(site: &Site, headers: &mut HeaderMap, origin: Option<&HeaderValue>) {
    headers.insert(header::VARY, HeaderValue::from_static("Accept-Encoding"));
    cors::add_headers(headers, origin, &site.settings.cors_origin);
}

async fn call(
    service: Service,
    endpoint: Endpoint,
    in_api: bool,
    request: HttpRequest<Body>,
    param: String,
) -> Response<Body> {
    let api = service.ready().cloned();
    let early = matches!(endpoint, Endpoint::EarlyJson(_) | Endpoint::EarlyStream(_) | Endpoint::Plain(_));
    if let Err(refusal) = &api
        && !early
    {
        return refusal.clone().into_answer();
    }
    let site = service.site().clone();
    let body_max = if matches!(endpoint, Endpoint::Gated(_)) { WRITE_BYTES_MAX } else { FORM_BYTES_MAX };
    let settings = &site.settings;
    let read = Request::read(request, body_max, settings.read_timeout, &settings.body_memory).await;
    let mut request = match read {
        Ok(request) => request,
        Err(refusal) => return refusal.into_answer(),
    };
    request.path_param = param;
    let origin = request.headers.get(header::ORIGIN).cloned();
    let encoding = Encoding::of_request(&request.headers);
    let what = request.path.clone();
    let mut response = match (endpoint, api) {
        (Endpoint::Json(handle), Ok(api)) => {
            answer::answer(encoding, &what, move || handle(&api, &request)).await
        }
        (Endpoint::Lookup(handle), Ok(api)) => match api.queries.admit_lookup().await {
            Ok((lookup, guard)) => {
                let work = move || handle(&api, &request, lookup);
                answer::answer_in_time(guard, encoding, &what, work).await
            }
            Err(error) => answer::answer(encoding, &what, move || Err(error.into())).await,
        },
        (Endpoint::EarlyJson(handle), _) => {
            let site = site.clone();
            answer::answer(encoding, &what, move || handle(&site, &request)).await
        }
        (Endpoint::EarlyStream(handle), _) => handle(site.clone(), request).await,
        (Endpoint::Query(handle) | Endpoint::Gated(handle), Ok(api)) => handle(api, request).await,
        (Endpoint::Plain(handle), _) => handle(service, request).await,
        (Endpoint::Json(_) | Endpoint::Lookup(_) | Endpoint::Query(_) | Endpoint::Gated(_), Err(refusal)) => {
            refusal.into_answer()
        }
    };
    if in_api && !matches!(endpoint, Endpoint::Gated(_)) {
        add_cross_origin(&site, response.headers_mut(), origin.as_ref());
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(prefix: &str, path: &str) -> Option<(&'static str, String)> {
        match find(prefix, path) {
            Target::Route { route, param, .. } => Some((route.path, param)),
            Target::Redirect => Some(("redirect", String::new())),
            Target::Cleaned(path) => Some(("elsewhere", path)),
            Target::Prefix => Some(("prefix", String::new())),
            Target::Nearby { path, .. } => Some(("nearby", path)),
            Target::Nothing => None,
        }
    }

    #[test]
    fn paths_match_routes_below_the_prefix() {
        assert_eq!(found("/", "/api/v1/query"), Some(("/query", String::new())));
        assert_eq!(found("/p", "/p/api/v1/query"), Some(("/query", String::new())));
        assert_eq!(found("/p", "/p"), Some(("prefix", String::new())));
        assert_eq!(found("/p", "/p/"), Some(("/", String::new())));
        assert_eq!(found("/p", "/p/-/ready"), Some(("/-/ready", String::new())));
        assert_eq!(found("/p", "/"), Some(("redirect", String::new())));
        for path in ["/px/-/ready", "/-/ready", "/p/nothing", "/p/api/v1/"] {
            assert_eq!(found("/p", path), None, "{path}");
        }
    }

    #[test]
    fn a_final_slash_and_other_capitals_still_find_the_route() {
        for (path, want) in [
            ("/p/api/v1/query/", "/p/api/v1/query"),
            ("/p/api/v1/label/job/values/", "/p/api/v1/label/job/values"),
            ("/p/federate/", "/p/federate"),
            ("/p/Metrics", "/p/metrics"),
        ] {
            assert_eq!(found("/p", path), Some(("nearby", want.to_owned())), "{path}");
        }
    }

    #[test]
    fn unclean_paths_are_redirected_to_the_clean_ones() {
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
    fn the_variable_segment_is_decoded() {
        let values = |path| found("/", path).map(|(_, param)| param);
        assert_eq!(values("/api/v1/label/a%2Eb%C3%A9/values"), Some("a.bé".into()));
        assert_eq!(values("/api/v1/label/100%/values"), Some("100%".into()));
        assert_eq!(values("/api/v1/label/a/b/values"), None);
    }
}
