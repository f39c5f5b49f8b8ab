//! Endpoints outside the API: health, readiness, reload, quit, version, own metrics.

use std::sync::Arc;

use axum::body::Body;
use axum::http::{HeaderValue, Method, Response, header};
use ferula_exposition::Format;
use ferula_exposition::negotiation::negotiate;
use ferula_exposition::writer::write_page;
use ferula_telemetry::Registry;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tokio::sync::oneshot;

use super::status::write_build_info;
use crate::answer::{empty, mark_encoding, ok, text};
use crate::api::Api;
use crate::compression::{Encoding, Packer};
use crate::error::{Refusal, RefusalKind};
use crate::json::JsonWriter;
use crate::readiness::Stage;
use crate::request::Request;
use crate::service::Service;
use crate::site::{Lifecycle, Site};

type ResponseFuture = BoxFuture<'static, Response<Body>>;

fn now(response: Response<Body>) -> ResponseFuture {
    std::future::ready(response).boxed()
}

/// Answers a GET; HEAD gets neither text nor content type, because Go writes nothing then.
fn words(request: &Request, words: &'static str) -> Response<Body> {
    if request.method == Method::HEAD { empty() } else { text(words) }
}

/// `/-/healthy`
pub fn healthy(service: Service, request: Request) -> ResponseFuture {
    now(words(
        &request,
        match service.site().settings.agent {
            false => "Prometheus Server is Healthy.\n",
            true => "Prometheus Agent is Healthy.\n",
        },
    ))
}

/// `/-/ready`. While the server starts, the router has already refused the client. A server that accepts no
/// samples is not ready, although it still answers queries.
pub fn ready(api: Arc<Api>, request: Request) -> ResponseFuture {
    now(match api.store.admin.ingestion_failure() {
        None if api.site.settings.agent => words(&request, "Prometheus Agent is Ready.\n"),
        None => words(&request, "Prometheus Server is Ready.\n"),
        Some(why) => {
            let why = format!("Ingestion has stopped, but queries are still answered: {why}");
            Refusal::new(RefusalKind::Unavailable, why).into_answer()
        }
    })
}

/// Why a lifecycle request is refused, if it is.
fn refusal(site: &Site, request: &Request) -> Option<Refusal> {
    if request.method == Method::GET {
        return Some(Refusal::bare(RefusalKind::MethodNotAllowed, "Only POST or PUT requests allowed"));
    }
    (!site.settings.lifecycle).then(|| Refusal::bare(RefusalKind::Forbidden, "Lifecycle API is not enabled."))
}

/// `/-/reload`
pub fn reload(service: Service, request: Request) -> ResponseFuture {
    async move {
        let site = service.site();
        if let Some(refusal) = refusal(site, &request) {
            return refusal.into_answer();
        }
        let (sender, result) = oneshot::channel();
        let taken = site.request(Lifecycle::Reload(sender)).await;
        let why = match result.await {
            Ok(Ok(())) if taken => return empty(),
            Ok(Err(why)) => why.to_string(),
            _ => "the server is starting or stopping".to_owned(),
        };
        Refusal::new(RefusalKind::Internal, format!("failed to reload config: {why}")).into_answer()
    }
    .boxed()
}

/// `/-/quit`
pub fn quit(service: Service, request: Request) -> ResponseFuture {
    async move {
        let site = service.site();
        if let Some(refusal) = refusal(site, &request) {
            return refusal.into_answer();
        }
        let stopping = site.readiness.stage() == Stage::Stopping;
        if stopping || !site.request(Lifecycle::Quit).await {
            return text("Termination already in progress.");
        }
        text("Requesting termination... Goodbye!")
    }
    .boxed()
}

/// `/version`
pub fn version(service: Service, _: Request) -> ResponseFuture {
    let mut body = Vec::new();
    let mut sink = |chunk: Vec<u8>| {
        body.extend(chunk);
        true
    };
    let mut json = JsonWriter::new(&mut sink);
    write_build_info(&mut json, &service.site().settings.build);
    json.finish();
    body.push(b'\n');
    now(text(String::from_utf8_lossy(&body).into_owned()))
}

/// `/metrics`, in the format that the client prefers: protobuf, which includes native histograms, OpenMetrics,
/// or text.
pub fn metrics(service: Service, request: Request) -> ResponseFuture {
    gathered_page(service.site().registry.clone(), request)
}

/// `/metrics/machine`: processors, memory, disks and network under node_exporter's names.
pub fn machine_metrics(service: Service, request: Request) -> ResponseFuture {
    match &service.site().settings.machine_metrics {
        Some(registry) => gathered_page(registry.clone(), request),
        None => {
            now(Refusal::bare(RefusalKind::NotFound, "The machine's metrics are not enabled.").into_answer())
        }
    }
}

fn gathered_page(registry: Registry, request: Request) -> ResponseFuture {
    async move {
        let accepted = request.headers.get(header::ACCEPT).and_then(|value| value.to_str().ok());
        let wanted = negotiate(accepted.unwrap_or_default(), &Format::ALL);
        let gathered = tokio::task::spawn_blocking(move || write_page(&registry.gather(), wanted.format));
        let Ok(page) = gathered.await else {
            let why = "an error has occurred while serving metrics";
            return Refusal::new(RefusalKind::Internal, why).into_answer();
        };
        let encoding = match Encoding::of_request(&request.headers) {
            Encoding::Gzip => Encoding::Gzip,
            Encoding::Deflate | Encoding::Identity => Encoding::Identity,
        };
        page_answer(page, &wanted.content_type(), encoding)
    }
    .boxed()
}

/// A page of samples, compressed.
pub(crate) fn page_answer(page: Vec<u8>, content_type: &str, encoding: Encoding) -> Response<Body> {
    let mut packer = Packer::new(encoding);
    let mut packed = packer.push(page);
    packed.extend(packer.finish());
    let mut response = ok(Body::from(packed));
    let headers = response.headers_mut();
    headers.extend(HeaderValue::from_str(content_type).ok().map(|value| (header::CONTENT_TYPE, value)));
    mark_encoding(headers, encoding);
    response
}
