//! Turns what a handler returns into bytes on the wire.
//!
//! Handlers run on a thread that may block, small queries excepted ([`answer_now`]); the same thread then writes and
//! compresses the JSON. The first chunk is held back: an answer that fits into it is sent with its length; a longer one
//! is streamed with back-pressure, so the text of a large result is never held in memory as a whole.

use std::convert::Infallible;

use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, HeaderValue, Response, StatusCode, header};
use ferula_query::QueryGuard;
use ferula_telemetry::error;
use futures_util::StreamExt;
use futures_util::stream;
use tokio::sync::{mpsc, oneshot};

use crate::compression::{Encoding, Packer};
use crate::error::{ApiError, ErrorKind};
use crate::json::JsonWriter;
use crate::status::Success;

/// What a handler returns.
pub type Handled = Result<Answer, ApiError>;

type WriteData = Box<dyn FnOnce(&mut JsonWriter<'_>) + Send>;

/// Receives the pieces of a body. Returns `false` once the client has gone.
pub type BodySink<'a> = &'a mut dyn FnMut(Vec<u8>) -> bool;

type WriteBody = Box<dyn FnOnce(BodySink<'_>) + Send>;

/// A successful answer.
pub struct Answer {
    /// Writes the value of `data`; `None` is an answer without a body.
    data: Option<WriteData>,
    /// A body outside the envelope, with its content type.
    body: Option<(&'static str, WriteBody)>,
    warnings: Vec<String>,
    infos: Vec<String>,
}

impl Answer {
    /// An answer whose `data` is what `write` writes: exactly one JSON value.
    pub fn json(write: impl FnOnce(&mut JsonWriter<'_>) + Send + 'static) -> Self {
        Answer { data: Some(Box::new(write)), body: None, warnings: Vec::new(), infos: Vec::new() }
    }

    /// A body outside the envelope, passed on in pieces as it is written, so it is never held as a whole.
    pub fn body(content_type: &'static str, write: impl FnOnce(BodySink<'_>) + Send + 'static) -> Self {
        let body = Some((content_type, Box::new(write) as WriteBody));
        Answer { data: None, body, warnings: Vec::new(), infos: Vec::new() }
    }

    /// 204
    pub fn no_content() -> Self {
        Answer { data: None, body: None, warnings: Vec::new(), infos: Vec::new() }
    }

    /// Adds a warning.
    pub fn with_warning(mut self, text: impl Into<String>) -> Self {
        self.warnings.push(text.into());
        self
    }

    /// Adds a warning if the result was truncated.
    pub fn truncated_if(self, cut: bool) -> Self {
        if cut { self.with_warning("results truncated due to limit") } else { self }
    }

    /// Replaces warnings and infos.
    pub fn with_annotations(mut self, warnings: Vec<String>, infos: Vec<String>) -> Self {
        self.warnings = warnings;
        self.infos = infos;
        self
    }

    /// Whether it is an answer without a body.
    fn is_empty(&self) -> bool {
        self.data.is_none() && self.body.is_none()
    }

    fn content_type(&self) -> &'static str {
        self.body.as_ref().map_or(JSON, |(content_type, _)| content_type)
    }

    /// Writes the body: the caller's own, or the envelope around the data.
    fn write(self, sink: BodySink<'_>) {
        if let Some((_, write)) = self.body {
            return write(sink);
        }
        let mut json = JsonWriter::new(sink);
        json.begin_object();
        json.field("status", "success");
        json.key("data");
        match self.data {
            Some(write) => write(&mut json),
            None => json.null(),
        }
        for (key, texts) in [("warnings", self.warnings), ("infos", self.infos)] {
            if !texts.is_empty() {
                json.key(key);
                json.strings(texts);
            }
        }
        json.end_object();
        json.finish();
    }
}

/// The body of an error answer.
pub fn error_body(error: &ApiError) -> Vec<u8> {
    let mut out = Vec::new();
    let mut sink = |chunk: Vec<u8>| {
        out.extend(chunk);
        true
    };
    let mut json = JsonWriter::new(&mut sink);
    json.begin_object();
    json.field("status", "error");
    json.field("errorType", error.kind.as_str());
    json.field("error", &error.text);
    json.end_object();
    json.finish();
    out
}

/// The first message from the working thread.
enum Head {
    NoContent,
    Whole(StatusCode, &'static str, Vec<u8>),
    Stream(&'static str, mpsc::Receiver<Bytes>),
}

const JSON: &str = "application/json";

/// How many chunks may wait for a slow client.
const CHUNKS_WAITING_MAX: usize = 4;

/// Runs `work` on a thread that may block and answers with its result. A panic is logged and answered with 500.
pub async fn answer(
    encoding: Encoding,
    what: &str,
    work: impl FnOnce() -> Handled + Send + 'static,
) -> Response<Body> {
    let (head_sender, head) = oneshot::channel();
    let job = tokio::task::spawn_blocking(move || produce(work(), encoding, head_sender));
    let head = match head.await {
        Ok(head) => head,
        Err(_) => {
            let why = match job.await {
                Err(panic) => panic_text(panic),
                Ok(()) => "the answer was cancelled".to_owned(),
            };
            panicked(what, encoding, &why)
        }
    };
    response(head, encoding)
}

/// Answers with the result of `work` on the calling thread, for little work and a small answer. A panic is logged and
/// answered with 500.
pub fn answer_now(encoding: Encoding, what: &str, work: impl FnOnce() -> Handled) -> Response<Body> {
    let head = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| match work() {
        Ok(answer) if answer.is_empty() => Head::NoContent,
        Ok(answer) => whole(answer, encoding),
        Err(error) => failed(&error, encoding),
    }));
    response(head.unwrap_or_else(|panic| panicked(what, encoding, &text_of(&*panic))), encoding)
}

/// [`answer`] within the time that the guard watches over, whatever the work does.
pub async fn answer_in_time(
    guard: QueryGuard,
    encoding: Encoding,
    what: &str,
    work: impl FnOnce() -> Handled + Send + 'static,
) -> Response<Body> {
    match guard.watch_strictly(answer(encoding, what, work)).await {
        Ok(response) => response,
        Err(overdue) => {
            let error = ApiError::new(ErrorKind::Timeout, overdue.to_string());
            response(failed(&error, encoding), encoding)
        }
    }
}

/// The answer to a request whose work panicked.
fn panicked(what: &str, encoding: Encoding, why: &str) -> Head {
    error!("panic while serving request", url = what, err = why);
    failed(&ApiError::internal("internal error"), encoding)
}

fn failed(error: &ApiError, encoding: Encoding) -> Head {
    Head::Whole(error.kind.status(), JSON, pack_whole(encoding, error_body(error)))
}

fn panic_text(error: tokio::task::JoinError) -> String {
    match error.try_into_panic() {
        Ok(payload) => text_of(&*payload),
        Err(error) => error.to_string(),
    }
}

fn text_of(payload: &(dyn std::any::Any + Send)) -> String {
    payload
        .downcast_ref::<&str>()
        .map(|text| (*text).to_owned())
        .or_else(|| payload.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "panic".to_owned())
}

/// A body as it is sent, all at once.
pub(crate) fn pack_whole(encoding: Encoding, body: Vec<u8>) -> Vec<u8> {
    let mut packer = Packer::new(encoding);
    let mut packed = packer.push(body);
    packed.extend(packer.finish());
    packed
}

/// Writes the answer. Writing ends when the receiver of `head` is dropped.
fn produce(handled: Handled, encoding: Encoding, head: oneshot::Sender<Head>) {
    match handled {
        Ok(answer) if answer.is_empty() => drop(head.send(Head::NoContent)),
        Ok(answer) => {
            let mut out = Outlet::new(encoding, answer.content_type(), head);
            answer.write(&mut |piece| out.push(piece));
            out.finish();
        }
        Err(error) => drop(head.send(failed(&error, encoding))),
    }
}

/// The answer as one piece.
fn whole(answer: Answer, encoding: Encoding) -> Head {
    let (mut packer, mut out) = (Packer::new(encoding), Vec::new());
    let content_type = answer.content_type();
    answer.write(&mut |piece| {
        let packed = packer.push(piece);
        if out.is_empty() {
            out = packed
        } else {
            out.extend(packed)
        }
        true
    });
    out.extend(packer.finish());
    Head::Whole(Success::Ok.status(), content_type, out)
}

/// Holds the first piece back, to decide between an answer with a length and a stream.
struct Outlet {
    content_type: &'static str,
    packer: Packer,
    first: Option<Vec<u8>>,
    head: Option<oneshot::Sender<Head>>,
    chunks: Option<mpsc::Sender<Bytes>>,
}

impl Outlet {
    fn new(encoding: Encoding, content_type: &'static str, head: oneshot::Sender<Head>) -> Self {
        Outlet { content_type, packer: Packer::new(encoding), first: None, head: Some(head), chunks: None }
    }

    /// `false` when the client has gone.
    fn push(&mut self, chunk: Vec<u8>) -> bool {
        let Some(first) = self.first.take_if(|_| self.chunks.is_none()) else {
            if self.chunks.is_none() {
                self.first = Some(chunk);
                return true;
            }
            return self.send(chunk);
        };
        // A second chunk: the answer is longer than one chunk after all.
        let (sender, receiver) = mpsc::channel(CHUNKS_WAITING_MAX);
        self.chunks = Some(sender);
        let Some(head) = self.head.take() else { return false };
        head.send(Head::Stream(self.content_type, receiver)).is_ok() && self.send(first) && self.send(chunk)
    }

    fn send(&mut self, chunk: Vec<u8>) -> bool {
        let packed = self.packer.push(chunk);
        self.send_packed(packed)
    }

    fn send_packed(&self, packed: Vec<u8>) -> bool {
        let Some(chunks) = &self.chunks else { return false };
        packed.is_empty() || chunks.blocking_send(Bytes::from(packed)).is_ok()
    }

    fn finish(mut self) {
        if let Some(head) = self.head.take() {
            let mut whole = self.packer.push(self.first.take().unwrap_or_default());
            whole.extend(self.packer.finish());
            // No answer is needed once the client has gone.
            let _ = head.send(Head::Whole(Success::Ok.status(), self.content_type, whole));
            return;
        }
        let rest = std::mem::replace(&mut self.packer, Packer::Identity).finish();
        self.send_packed(rest);
    }
}

fn response(head: Head, encoding: Encoding) -> Response<Body> {
    let (status, content_type, body) = match head {
        Head::NoContent => return no_content(),
        Head::Whole(status, content_type, bytes) => (status, content_type, Body::from(bytes)),
        Head::Stream(content_type, mut chunks) => {
            let stream = stream::poll_fn(move |context| chunks.poll_recv(context)).map(Ok::<_, Infallible>);
            (Success::Ok.status(), content_type, Body::from_stream(stream))
        }
    };
    let mut response = Response::new(body);
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    mark_encoding(response.headers_mut(), encoding);
    response
}

/// Sets the header that names the compression.
pub fn mark_encoding(headers: &mut HeaderMap, encoding: Encoding) {
    if let Some(name) = encoding.header() {
        headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static(name));
    }
}

/// 200 with this body; the caller sets the content type.
pub fn ok(body: Body) -> Response<Body> {
    Response::new(body)
}

/// 200 with an empty body.
pub fn empty() -> Response<Body> {
    ok(Body::empty())
}

/// 204
pub fn no_content() -> Response<Body> {
    let mut response = empty();
    *response.status_mut() = Success::NoContent.status();
    response
}

/// 304
pub fn not_modified() -> Response<Body> {
    let mut response = empty();
    *response.status_mut() = Success::NotModified.status();
    response
}

/// 200 with plain text.
pub fn text(text: impl Into<String>) -> Response<Body> {
    let mut response = ok(Body::from(text.into()));
    let plain = HeaderValue::from_static("text/plain; charset=utf-8");
    response.headers_mut().insert(header::CONTENT_TYPE, plain);
    response
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use http_body_util::BodyExt;

    use super::*;
    use crate::error::ErrorKind;

    async fn body(response: Response<Body>) -> Vec<u8> {
        response.into_body().collect().await.expect("these bodies cannot fail").to_bytes().to_vec()
    }

    #[tokio::test]
    async fn short_answers_have_a_length_and_the_envelope() {
        let work = || Ok(Answer::json(|json| json.strings(["<a>"])).truncated_if(true));
        let response = answer(Encoding::Identity, "/x", work).await;
        assert_eq!(response.headers()[header::CONTENT_TYPE], "application/json");
        assert!(axum::body::HttpBody::size_hint(response.body()).exact().is_some());
        assert_eq!(
            String::from_utf8_lossy(&body(response).await),
            r#"{"status":"success","data":["\u003ca\u003e"],"warnings":["results truncated due to limit"]}"#
        );
    }

    #[tokio::test]
    async fn an_answer_now_is_the_answer_of_another_thread() {
        for encoding in [Encoding::Identity, Encoding::Gzip] {
            for count in [0, 3, 30_000] {
                let work = move || {
                    let answer = Answer::json(move |json| json.strings((0..count).map(|n| n.to_string())));
                    Ok(answer.with_annotations(vec!["w".to_owned()], Vec::new()))
                };
                let (now, later) = (answer_now(encoding, "/x", work), answer(encoding, "/x", work).await);
                assert_eq!((now.status(), now.headers()), (later.status(), later.headers()));
                assert_eq!(body(now).await, body(later).await, "{count}");
            }
        }
        let refused = || Err(ApiError::new(ErrorKind::Execution, "a < b"));
        let (now, later) =
            (answer_now(Encoding::Gzip, "/x", refused), answer(Encoding::Gzip, "/x", refused).await);
        assert_eq!((now.status(), body(now).await), (later.status(), body(later).await));
        assert_eq!(answer_now(Encoding::Identity, "/x", || panic!("oh")).status(), 500);
        assert_eq!(answer_now(Encoding::Identity, "/x", || Ok(Answer::no_content())).status(), 204);
    }

    #[tokio::test]
    async fn long_answers_are_streamed_and_packed() {
        let work = || Ok(Answer::json(|json| json.strings((0..100_000).map(|n| n.to_string()))));
        let response = answer(Encoding::Gzip, "/x", work).await;
        assert_eq!(response.headers()[header::CONTENT_ENCODING], "gzip");
        assert_eq!(axum::body::HttpBody::size_hint(response.body()).exact(), None);
        let mut plain = String::new();
        let packed = body(response).await;
        flate2::read::GzDecoder::new(&packed[..]).read_to_string(&mut plain).expect("gzip");
        let read: serde_json::Value = serde_json::from_str(&plain).expect("JSON");
        assert_eq!(read["data"].as_array().map(Vec::len), Some(100_000));
        assert_eq!(read["data"][99_999], "99999");
    }

    #[tokio::test]
    async fn a_client_that_disconnects_ends_the_work() {
        let (sender, done) = oneshot::channel();
        let work = move || {
            Ok(Answer::json(move |json| {
                json.begin_array();
                while !json.gone() {
                    json.float_points(&[(1, 1.5); 100]);
                }
                let _ = sender.send(());
                json.end_array();
            }))
        };
        drop(answer(Encoding::Identity, "/x", work).await);
        done.await.expect("the writer noticed that the client has gone");
    }

    #[tokio::test]
    async fn errors_and_panics_are_answers() {
        let refused =
            answer(Encoding::Identity, "/x", || Err(ApiError::new(ErrorKind::Execution, "a < b"))).await;
        assert_eq!(refused.status(), 422);
        assert_eq!(
            String::from_utf8_lossy(&body(refused).await),
            r#"{"status":"error","errorType":"execution","error":"a \u003c b"}"#
        );
        let panicked = answer(Encoding::Identity, "/x", || panic!("oh")).await;
        assert_eq!(panicked.status(), 500);
        let empty = answer(Encoding::Identity, "/x", || Ok(Answer::no_content())).await;
        assert_eq!((empty.status().as_u16(), body(empty).await.len()), (204, 0));
    }
}
