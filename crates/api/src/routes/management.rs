//! What is not API: health, readiness, reload, quit, version, own metrics.

use std::sync::Arc;

use axum::body::Body;
use axum::http::{HeaderValue, Method, Response, StatusCode, header};
use ferula_exposition::{Format, writer::write_page};
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tokio::sync::oneshot;

use super::status::write_build_info;
use crate::answer::{mark_encoding, text, text_error};
use crate::api::{Api, Lifecycle};
use crate::compression::{Encoding, Packer};
use crate::json::JsonWriter;
use crate::request::Request;

type Answered = BoxFuture<'static, Response<Body>>;

fn now(response: Response<Body>) -> Answered {
    std::future::ready(response).boxed()
}

/// `/-/healthy`
pub fn healthy(_: Arc<Api>, _: Request) -> Answered {
    now(text(StatusCode::OK, "Prometheus Server is Healthy.\n"))
}

/// `/-/ready`; whoever comes too early was turned away before. A server that takes no samples is not ready, though it
/// still answers queries.
pub fn ready(api: Arc<Api>, _: Request) -> Answered {
    let failure = api.store().ok().and_then(|store| store.admin.ingestion_failure());
    now(match failure {
        None => text(StatusCode::OK, "Prometheus Server is Ready.\n"),
        Some(why) => {
            text(StatusCode::SERVICE_UNAVAILABLE, format!("Ingestion stopped, queries are answered: {why}\n"))
        }
    })
}

/// The answer to a lifecycle request that cannot be taken.
fn refusal(api: &Api, request: &Request) -> Option<Response<Body>> {
    if request.method == Method::GET {
        return Some(text(StatusCode::METHOD_NOT_ALLOWED, "Only POST or PUT requests allowed"));
    }
    (!api.settings.lifecycle).then(|| text(StatusCode::FORBIDDEN, "Lifecycle API is not enabled."))
}

/// `/-/reload`
pub fn reload(api: Arc<Api>, request: Request) -> Answered {
    async move {
        if let Some(refusal) = refusal(&api, &request) {
            return refusal;
        }
        let (sender, result) = oneshot::channel();
        let asked = api.ask(Lifecycle::Reload(sender)).await;
        match result.await {
            Ok(Ok(())) if asked => text(StatusCode::OK, ""),
            Ok(Err(why)) => {
                text_error(StatusCode::INTERNAL_SERVER_ERROR, &format!("failed to reload config: {why}"))
            }
            _ => text_error(
                StatusCode::INTERNAL_SERVER_ERROR,
                "failed to reload config: the server is stopping",
            ),
        }
    }
    .boxed()
}

/// `/-/quit`
pub fn quit(api: Arc<Api>, request: Request) -> Answered {
    async move {
        if let Some(refusal) = refusal(&api, &request) {
            return refusal;
        }
        let stopping = api.readiness.stage() == crate::Stage::Stopping;
        if stopping || !api.ask(Lifecycle::Quit).await {
            return text(StatusCode::OK, "Termination already in progress.");
        }
        text(StatusCode::OK, "Requesting termination... Goodbye!")
    }
    .boxed()
}

/// `/version`
pub fn version(api: Arc<Api>, _: Request) -> Answered {
    let mut body = Vec::new();
    let mut sink = |chunk: Vec<u8>| {
        body.extend(chunk);
        true
    };
    let mut json = JsonWriter::new(&mut sink);
    write_build_info(&mut json, &api.settings.build);
    json.finish();
    body.push(b'\n');
    now(text(StatusCode::OK, String::from_utf8_lossy(&body).into_owned()))
}

/// `/metrics`, always in the text format, as Prometheus' own page.
pub fn metrics(api: Arc<Api>, request: Request) -> Answered {
    async move {
        let gathered = tokio::task::spawn_blocking(move || write_page(&api.registry.gather(), Format::Text));
        let Ok(page) = gathered.await else {
            return text_error(
                StatusCode::INTERNAL_SERVER_ERROR,
                "an error has occurred while serving metrics",
            );
        };
        let encoding = match Encoding::of_request(&request.headers) {
            Encoding::Gzip => Encoding::Gzip,
            Encoding::Deflate | Encoding::Identity => Encoding::Identity,
        };
        page_answer(page, Format::Text.content_type(), encoding)
    }
    .boxed()
}

/// A page of samples, packed.
pub(crate) fn page_answer(page: String, content_type: &'static str, encoding: Encoding) -> Response<Body> {
    let mut packer = Packer::new(encoding);
    let mut packed = packer.push(page.into_bytes());
    packed.extend(packer.finish());
    let mut response = Response::new(Body::from(packed));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    mark_encoding(headers, encoding);
    response
}
