//! Paths below the route prefix, and what surrounds the API: limits, metrics. The answers and their statuses are in `answers`.

mod answers;

use std::future::poll_fn;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderName, Method, Request, Response, header};
use axum::routing::any;
use ferula_alertmanager::api::{Answer, Api, Request as ApiRequest, Status};
use ferula_api::WebUi;
use ferula_api::page_answer::{file_answer, page_answer};
use ferula_exposition::Format;
use ferula_exposition::writer::write_page;
use ferula_storage::{Lease, MemoryContract};
use ferula_telemetry::{Counter, Gauge, HistogramVec, Registry};
use tokio::sync::{Semaphore, mpsc, oneshot};

use crate::web_ui::Pages;

/// The size limit of a request body.
const BODY_BYTES_MAX: usize = 64 << 20;
/// How much memory the text of a body takes while it is read, as a multiple of its size.
const COPIES: usize = 3;
/// How much memory a value takes besides, if the body has to be read into a tree. The shortest pair of a name and a value has six
/// bytes.
const VALUE_BYTES: usize = 256;
/// Bodies with more values are refused: more than a hundred thousand alerts.
const VALUES_MAX: usize = 2 << 20;
/// No more is set aside for a body before it arrives.
const SET_ASIDE_BYTES_MAX: usize = 1 << 20;
/// The default buckets of Prometheus' client library.
const SECONDS: [f64; 11] = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];
const BYTES: [f64; 7] = [1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8];
/// A request to reload, and the channel for its result: nothing, or an error text.
pub type Reload = oneshot::Sender<Result<(), String>>;

/// What answers requests.
#[derive(Clone)]
pub struct Web(Arc<Inner>);

/// Limits of requests, and whether their senders are known.
pub struct WebLimits {
    pub get_concurrency: usize,
    /// Zero for no limit.
    pub timeout: Duration,
    /// All bodies that are being read.
    pub body_memory: MemoryContract,
    /// Whether the server checks names and passwords before requests come here.
    pub checks_users: bool,
}

struct Inner {
    api: Arc<Api>,
    /// `/` or `/am`
    prefix: String,
    registry: Registry,
    gets: Semaphore,
    limits: WebLimits,
    reload: mpsc::Sender<Reload>,
    seconds: HistogramVec,
    bytes: HistogramVec,
    in_flight: Gauge,
    limit_exceeded: Counter,
}

impl Web {
    pub fn new(
        api: Api,
        prefix: String,
        registry: &Registry,
        limits: WebLimits,
        reload: mpsc::Sender<Reload>,
    ) -> Self {
        let in_flight = registry.gauge_vec(
            "alertmanager_http_requests_in_flight",
            "GET requests being answered now.",
            &["method"],
        );
        let limit_exceeded = registry.counter_vec(
            "alertmanager_http_concurrency_limit_exceeded_total",
            "GET requests that were refused because too many were being answered (--web.get-concurrency).",
            &["method"],
        );
        Web(Arc::new(Inner {
            api: Arc::new(api),
            prefix,
            registry: registry.clone(),
            gets: Semaphore::new(limits.get_concurrency),
            limits,
            reload,
            seconds: registry.histogram_vec(
                "alertmanager_http_request_duration_seconds",
                "Seconds it took to answer requests.",
                &SECONDS,
                &["code", "handler", "method"],
            ),
            bytes: registry.histogram_vec(
                "alertmanager_http_response_size_bytes",
                "Sizes of answers in bytes.",
                &BYTES,
                &["handler", "method"],
            ),
            in_flight: in_flight.with(&["get"]),
            limit_exceeded: limit_exceeded.with(&["get"]),
        }))
    }

    /// The routes of a standalone server.
    pub fn router(&self) -> axum::Router {
        axum::Router::new().fallback(answer).with_state(self.clone())
    }

    /// Adds everything below the prefix, which must not be `/`, to another router.
    pub fn mount(&self, router: axum::Router) -> axum::Router {
        let own = axum::Router::new()
            .route(&self.0.prefix, any(answer))
            .route(&format!("{}/", self.0.prefix), any(answer))
            .route(&format!("{}/{{*below}}", self.0.prefix), any(answer))
            .with_state(self.clone());
        own.fallback_service(router)
    }
}

async fn answer(State(web): State<Web>, request: Request<Body>) -> Response<Body> {
    let started = Instant::now();
    let method = request.method().as_str().to_ascii_lowercase();
    let inner = &web.0;
    let Some(path) = inner.below_prefix(request.uri().path()) else {
        return match (request.uri().path(), request.method()) {
            ("/", &Method::GET) => answers::redirect(&inner.prefix),
            _ => answers::not_found(),
        };
    };
    // The pages' addresses are relative to this directory.
    if request.uri().path() == inner.prefix && inner.prefix != "/" && is_read(request.method()) {
        let directory = inner.prefix.rsplit('/').next().unwrap_or_default();
        return answers::redirect(&format!("{directory}/"));
    }
    let handler = handler_of(&path);
    let response = match request.method() == Method::GET {
        true => inner.answer_get(path, request).await,
        false => inner.answer_in_time(path, request).await,
    };
    let code = response.status().as_u16().to_string();
    inner.seconds.with(&[&code, &handler, &method]).observe_duration(started.elapsed());
    if let Some(length) = axum::body::HttpBody::size_hint(response.body()).exact() {
        inner.bytes.with(&[&handler, &method]).observe(length as f64);
    }
    response
}

/// The metric label of a path; identifiers are left out.
fn handler_of(path: &str) -> String {
    const KNOWN: [&str; 16] = [
        "/api/v2/status",
        "/api/v2/receivers",
        "/api/v2/alerts",
        "/api/v2/alerts/groups",
        "/api/v2/silences",
        "/api/v2/notifications",
        "/api/v2/silences/preview",
        "/api/v2/routes",
        "/api/v2/routes/match",
        "/api/v2/warnings",
        "/api/v2/pair",
        "/metrics",
        "/-/healthy",
        "/-/ready",
        "/-/reload",
        "/",
    ];
    if path.starts_with("/api/v2/receivers/") {
        return "/api/v2/receivers/{name}/test".into();
    }
    if path.starts_with("/api/v2/silence/") && path.ends_with("/history") {
        return "/api/v2/silence/{silenceID}/history".into();
    }
    if path.starts_with("/api/v2/silence/") {
        return "/api/v2/silence/{silenceID}".into();
    }
    if KNOWN.contains(&path) { path.to_owned() } else { "other".into() }
}

impl Inner {
    /// The path without the prefix; `None` if it lacks the prefix.
    fn below_prefix(&self, path: &str) -> Option<String> {
        if self.prefix == "/" {
            return Some(path.to_owned());
        }
        match path.strip_prefix(&self.prefix)? {
            "" => Some("/".into()),
            below if below.starts_with('/') => Some(below.to_owned()),
            _ => None,
        }
    }

    async fn answer_get(&self, path: String, request: Request<Body>) -> Response<Body> {
        let Ok(_place) = self.gets.try_acquire() else {
            self.limit_exceeded.inc();
            let text = format!(
                "Limit of concurrent GET requests reached ({}), try again later.\n\n",
                self.limits.get_concurrency
            );
            return answers::unavailable(&text);
        };
        let _counted = InFlight::begin(&self.in_flight);
        self.answer_in_time(path, request).await
    }

    async fn answer_in_time(&self, path: String, request: Request<Body>) -> Response<Body> {
        let timeout = self.limits.timeout;
        if timeout.is_zero() {
            return self.route(&path, request).await;
        }
        let nanos = i64::try_from(timeout.as_nanos()).unwrap_or(i64::MAX);
        tokio::time::timeout(timeout, self.route(&path, request)).await.unwrap_or_else(|_| {
            let text = format!("Exceeded configured timeout of {}.\n", ferula_go::duration::format(nanos));
            answers::unavailable(&text)
        })
    }

    async fn route(&self, path: &str, request: Request<Body>) -> Response<Body> {
        let (method, is_read) = (request.method().clone(), is_read(request.method()));
        match path {
            "/api/v2" => answers::moved(&format!("{}/", request.uri().path())),
            path if path.starts_with("/api/v2/") => self.api(path, request).await,
            path if is_of_v1(path, &method) => answers::v1_is_gone(),
            "/-/healthy" | "/-/ready" if is_read => answers::plain_ok("OK"),
            "/-/reload" if method == Method::POST => self.reload().await,
            "/-/reload" => answers::method_not_allowed("OPTIONS, POST"),
            "/metrics" if is_read => self.metrics().await,
            "/" if is_read => page_answer(ferula_ui::alertmanager_shell(), request.headers()),
            path if is_read && (path.starts_with("/assets/") || path == "/favicon.svg") => {
                let file = Pages.asset(path.trim_start_matches("/assets/").trim_start_matches('/'));
                file_answer(file, request.headers())
            }
            _ => answers::not_found(),
        }
    }

    async fn api(&self, path: &str, request: Request<Body>) -> Response<Body> {
        let (parts, body) = request.into_parts();
        let headers = &parts.headers;
        if parts.method == Method::OPTIONS && headers.contains_key(header::ACCESS_CONTROL_REQUEST_METHOD) {
            return answers::preflight(headers);
        }
        let memory = self.limits.body_memory.lease();
        let body = match collect(body, &memory).await {
            Ok(body) => body,
            Err(refused) => return answers::with_api_headers(refused, headers),
        };
        let user = self.limits.checks_users.then(|| user_of(headers)).flatten();
        let (api, path) = (self.api.clone(), path.to_owned());
        let query = parts.uri.query().unwrap_or("").to_owned();
        let own =
            |name: HeaderName| headers.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
        let (content_type, accept) = (own(header::CONTENT_TYPE), own(header::ACCEPT));
        let method = parts.method.clone();
        // Large answers take time.
        let answered = tokio::task::spawn_blocking(move || {
            let answer = api.answer(&ApiRequest {
                method: method.as_str(),
                path: &path,
                query: &query,
                content_type: content_type.as_deref(),
                accept: accept.as_deref(),
                body: &body,
                user: user.as_deref(),
            });
            drop(memory);
            answer
        });
        let answer = answered.await.unwrap_or_else(|_| Answer::refused(Status::Internal, "internal error"));
        answers::with_api_headers(answer, headers)
    }

    async fn reload(&self) -> Response<Body> {
        let (sender, outcome) = oneshot::channel();
        let asked = self.reload.send(sender).await.is_ok();
        match outcome.await {
            Ok(Ok(())) if asked => Response::new(Body::empty()),
            Ok(Err(error)) => answers::internal(&format!("failed to reload config: {error}\n")),
            _ => answers::internal("failed to reload config: the server is stopping\n"),
        }
    }

    async fn metrics(&self) -> Response<Body> {
        let registry = self.registry.clone();
        let page = tokio::task::spawn_blocking(move || write_page(&registry.gather(), Format::Text)).await;
        match page {
            Ok(page) => answers::metrics(page),
            Err(_) => answers::internal("internal error\n"),
        }
    }
}

/// Reads a body within the memory that all bodies share.
async fn collect(body: Body, memory: &Lease) -> Result<Vec<u8>, Answer> {
    let mut body = std::pin::pin!(body);
    let expected = usize::try_from(axum::body::HttpBody::size_hint(&*body).lower()).unwrap_or(usize::MAX);
    let mut bytes = Vec::with_capacity(expected.min(SET_ASIDE_BYTES_MAX));
    let mut values = 0;
    while let Some(frame) = poll_fn(|context| axum::body::HttpBody::poll_frame(body.as_mut(), context)).await
    {
        let Ok(frame) = frame else {
            return Err(Answer::refused(Status::BadRequest, "the body ended early"));
        };
        let Ok(data) = frame.into_data() else { continue };
        if bytes.len() + data.len() > BODY_BYTES_MAX {
            let text = format!("the body is larger than {BODY_BYTES_MAX} bytes");
            return Err(Answer::refused(Status::TooLarge, &text));
        }
        let new_values = values_at_most(&data);
        values += new_values;
        if values > VALUES_MAX {
            let text = format!("the body has more than {VALUES_MAX} values");
            return Err(Answer::refused(Status::TooLarge, &text));
        }
        if memory.grow(data.len() * COPIES + new_values * VALUE_BYTES).is_err() {
            let text = "too many bodies of requests are being read; try again later";
            return Err(Answer::refused(Status::Unavailable, text));
        }
        bytes.extend_from_slice(&data);
    }
    Ok(bytes)
}

/// No more JSON values than this begin in a part of a body: before each stands one of these bytes, or a name.
fn values_at_most(part: &[u8]) -> usize {
    part.iter().filter(|byte| matches!(byte, b',' | b'[' | b'{')).count()
}

/// The user name in the credentials of a request.
fn user_of(headers: &HeaderMap) -> Option<String> {
    let text = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let decoded = ferula_go::base64::decode(text.strip_prefix("Basic ")?.trim())?;
    let decoded = String::from_utf8(decoded).ok()?;
    decoded.split_once(':').map(|(user, _)| user.to_owned()).filter(|user| !user.is_empty())
}

/// Counts a request until it is answered, or its client has gone.
struct InFlight<'g>(&'g Gauge);

impl<'g> InFlight<'g> {
    fn begin(gauge: &'g Gauge) -> Self {
        gauge.inc();
        InFlight(gauge)
    }
}

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        self.0.dec();
    }
}

fn is_read(method: &Method) -> bool {
    matches!(*method, Method::GET | Method::HEAD)
}

/// Whether the first API had something at this path.
fn is_of_v1(path: &str, method: &Method) -> bool {
    let Some(below) = path.strip_prefix("/api/v1/") else { return false };
    let is_get = *method == Method::GET;
    match below {
        "status" | "receivers" => is_get,
        "alerts" | "silences" => is_get || *method == Method::POST,
        _ => {
            below.strip_prefix("silence/").is_some_and(|id| !id.is_empty() && !id.contains('/'))
                && (is_get || *method == Method::DELETE)
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::task::{Context, Waker};

    use ferula_alertmanager::engine::Metrics;
    use ferula_alertmanager::{Alertmanager, Setup};
    use ferula_config::alertmanager::{AlertmanagerConfig, MatcherSyntax};
    use ferula_runtime::RealClock;

    use super::super::settings::{RETENTION, build, engine_settings};
    use super::*;

    #[tokio::test]
    async fn a_client_that_leaves_is_counted_no_more() {
        const SYNTAX: MatcherSyntax = MatcherSyntax::Fallback;
        let (dir, registry) = (tempfile::tempdir().expect("a directory"), Registry::new());
        let config = AlertmanagerConfig::parse("{route: {receiver: a}, receivers: [{name: a}]}", SYNTAX);
        let setup = Setup::new(Arc::new(config.expect("a good configuration")), BTreeMap::new());
        let (clock, metrics) = (RealClock::shared(), Metrics::new(&registry, false, false));
        let settings = engine_settings(RETENTION, SYNTAX, &clock);
        let opened = Alertmanager::open(dir.path(), settings, setup, metrics, &registry, clock);
        let alertmanager = Arc::new(opened.expect("an empty directory"));
        let api = Api::new(alertmanager.clone(), SYNTAX, build(), &registry);
        let limits = WebLimits {
            get_concurrency: 1,
            timeout: Duration::ZERO,
            body_memory: MemoryContract::unlimited(),
            checks_users: false,
        };
        let web = Web::new(api, "/".into(), &registry, limits, mpsc::channel(1).0);
        let request = Request::get("/api/v2/alerts").body(Body::empty()).expect("a request");
        let mut asked = Box::pin(answer(State(web.clone()), request));
        // The engine is busy, so the answer has to wait.
        let mut context = Context::from_waker(Waker::noop());
        let polled = alertmanager.read(|_, _| asked.as_mut().poll(&mut context).is_pending());
        assert_eq!((polled, web.0.in_flight.get()), (true, 1.0));
        drop(asked);
        assert_eq!(web.0.in_flight.get(), 0.0);
    }

    #[tokio::test]
    async fn bodies_share_a_bounded_memory() {
        let memory = MemoryContract::new(3 << 20);
        let body = |bytes: usize| Body::from(vec![b' '; bytes]);
        let held = memory.lease();
        assert_eq!(collect(body(200 << 10), &held).await.expect("there is room").len(), 200 << 10);
        // Another large one finds no room while the first is being read.
        let refused = collect(body(1 << 20), &memory.lease()).await.expect_err("no room");
        assert_eq!(refused.status, Status::Unavailable);
        drop(held);
        let lease = memory.lease();
        assert!(collect(body(300 << 10), &lease).await.is_ok());
        // Short values take more memory than their text.
        let values = Body::from(vec![b','; 20 << 10]);
        assert_eq!(collect(values, &memory.lease()).await.expect_err("no room").status, Status::Unavailable);
        let huge = MemoryContract::unlimited().lease();
        let values = Body::from(vec![b'['; VALUES_MAX + 1]);
        assert_eq!(collect(values, &huge).await.expect_err("too many values").status, Status::TooLarge);
        assert_eq!(
            collect(body(BODY_BYTES_MAX + 1), &huge).await.expect_err("too large").status,
            Status::TooLarge
        );
    }
}
