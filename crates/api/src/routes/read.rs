//! `read`: series of the store, for another Prometheus or a Thanos sidecar.

use std::ops::ControlFlow;
use std::sync::Arc;

use axum::body::{Body, Bytes};
use axum::http::{HeaderValue, Response, header};
use ferula_query::Lookup;
use ferula_query::reads::{ReaderKind, RecordingStore};
use ferula_remote::read::{Answerer, ReadError, ReadRequest, ResponseType};
use ferula_remote::snappy;
use ferula_telemetry::error;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tokio::sync::mpsc;

use crate::answer::ok;
use crate::api::Api;
use crate::error::{Refusal, RefusalKind};
use crate::request::Request;

/// How many frames may wait for the client.
const FRAMES_WAITING_MAX: usize = 4;

/// `/api/v1/read`
pub fn read(api: Arc<Api>, request: Request) -> BoxFuture<'static, Response<Body>> {
    async move {
        let Some(running) = api.read.enter().await else {
            return Refusal::internal().into_answer();
        };
        let (lookup, guard) = match api.queries.admit_lookup().await {
            Ok(admitted) => admitted,
            Err(error) => return Refusal::new(RefusalKind::Unavailable, error).into_answer(),
        };
        let decoded = ReadRequest::decode(&request.body);
        let decoded = decoded.and_then(|decoded| decoded.response_type().map(|kind| (decoded, kind)));
        let (decoded, kind) = match decoded {
            Ok(decoded) => decoded,
            Err(error) => return refusal(&error),
        };
        match kind {
            ResponseType::Samples => {
                let job = tokio::task::spawn_blocking(move || {
                    let _running = running;
                    answerer(&api, &lookup, |answerer| answerer.samples(&decoded))
                });
                match guard.watch(job).await {
                    Ok(Ok(message)) => samples_answer(&message),
                    Ok(Err(error)) => refusal(&error),
                    Err(err) => {
                        error!("remote read failed", err = err);
                        Refusal::internal().into_answer()
                    }
                }
            }
            ResponseType::StreamedChunks => {
                let (sender, frames) = mpsc::channel(FRAMES_WAITING_MAX);
                let job = tokio::task::spawn_blocking(move || {
                    let _running = running;
                    let frames = sender.clone();
                    let mut send = |frame: Vec<u8>| match frames.blocking_send(Ok(Bytes::from(frame))) {
                        Ok(()) => ControlFlow::Continue(()),
                        Err(_) => ControlFlow::Break(()),
                    };
                    let done = answerer(&api, &lookup, |answerer| answerer.stream(&decoded, &mut send));
                    if let Err(error) = done {
                        // A client that has disconnected does not receive it.
                        let _ = sender.blocking_send(Err(error));
                    }
                });
                // Enforces the time limit while the stream lasts, and stops the work when the client
                // disconnects.
                tokio::spawn(guard.watch(job));
                stream_answer(frames).await
            }
        }
    }
    .boxed()
}

/// Calls `work` with an answerer for the store, within the limits of a look-up.
fn answerer<T>(
    api: &Api,
    lookup: &Lookup,
    work: impl FnOnce(&Answerer<'_>) -> Result<T, ReadError>,
) -> Result<T, ReadError> {
    let loaded = api.loaded();
    let store = RecordingStore::new(&*api.store.queryable, api.queries.reads(), ReaderKind::Client);
    work(&Answerer {
        store: &store,
        external_labels: &loaded.config.global.external_labels.0,
        limits: api.site.settings.remote_read,
        hints: lookup.hints(),
    })
}

fn refusal(error: &ReadError) -> Response<Body> {
    let kind = if error.is_clients() { RefusalKind::BadRequest } else { RefusalKind::Internal };
    Refusal::new(kind, error).into_answer()
}

fn samples_answer(message: &[u8]) -> Response<Body> {
    let mut response = ok(Body::from(snappy::encode(message)));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/x-protobuf"));
    headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static("snappy"));
    response
}

/// Streams the frames as they are produced. An error before the first frame is answered with a status; a
/// later one closes the connection.
async fn stream_answer(mut frames: mpsc::Receiver<Result<Bytes, ReadError>>) -> Response<Body> {
    let first = match frames.recv().await {
        Some(Err(error)) => return refusal(&error),
        Some(Ok(first)) => Some(first),
        None => None,
    };
    let first = futures_util::stream::iter(first.map(Ok));
    let rest = futures_util::stream::poll_fn(move |context| frames.poll_recv(context));
    let mut response = ok(Body::from_stream(futures_util::StreamExt::chain(first, rest)));
    let kind =
        HeaderValue::from_static("application/x-streamed-protobuf; proto=prometheus.ChunkedReadResponse");
    response.headers_mut().insert(header::CONTENT_TYPE, kind);
    response
}
