//! The listener and its connections: how many there may be, how slow they may be, and how they end.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, Bytes, HttpBody};
use axum::http::header::CONTENT_LENGTH;
use axum::http::{HeaderMap, Method, Request as HttpRequest};
use ferula_runtime::clock::Sleep;
use ferula_runtime::{SharedClock, Shutdown};
use ferula_telemetry::{debug, warn};
use hyper::body::{Frame, Incoming, SizeHint};
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::JoinSet;

use crate::raw_query::EncodedQueries;
use crate::request::ClientAddress;
use crate::router::router;
use crate::service::Service;
use crate::web_access::WebAccess;
use crate::write_timeout::WriteTimeout;

/// A connection that is sending an answer at shutdown gets this long to finish.
const DRAIN: Duration = Duration::from_secs(5);
/// The time limit of a TLS handshake.
const HANDSHAKE_TIME_MAX: Duration = Duration::from_secs(10);
/// The pause after the system refuses a connection, usually because there are no free file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// A client that reads nothing for this long is cut off: the answer holds memory that other queries need.
const WRITE_TIMEOUT: Duration = Duration::from_secs(60);
/// The size limit of a request's head, as in Go.
const HEAD_BYTES_MAX: usize = (1 << 20) + 4096;
/// Concurrent requests on one HTTP/2 connection, as in Go.
const STREAMS_MAX: u32 = 250;
/// The limit on header fields. Go has none, but each field costs memory in every request.
const HEADER_FIELDS_MAX: usize = 1000;

/// While clients wait for a place, a connection that has not sent a complete request head ends after this long.
const CROWDED_HEAD: Duration = Duration::from_secs(2);
/// The notification is repeated this often, for connections that were busy the last time.
const CROWDED_REPEAT: Duration = Duration::from_secs(1);

/// State shared by the connections of all listeners.
#[derive(Clone)]
struct Connections {
    router: axum::Router,
    clock: SharedClock,
    read_timeout: Duration,
    places: Arc<Semaphore>,
    access: Option<Arc<WebAccess>>,
    /// Notified when a client waits for a place; idle connections end then.
    crowded: Arc<Notify>,
    shutdown: Shutdown,
}

/// Limits of a server.
pub struct ServerLimits {
    /// For all listeners together.
    pub connections_max: usize,
    /// For the head of a request, and for the time between two requests.
    pub read_timeout: Duration,
    pub clock: SharedClock,
    /// TLS and authentication; without it, the port is open to all.
    pub access: Option<Arc<WebAccess>>,
}

/// Serves the API on all listeners until shutdown.
pub async fn serve(service: watch::Receiver<Service>, listeners: Vec<TcpListener>, shutdown: Shutdown) {
    let limits = {
        let service = service.borrow();
        let settings = &service.site().settings;
        ServerLimits {
            connections_max: settings.connections_max,
            read_timeout: settings.read_timeout,
            clock: service.site().clock.clone(),
            access: None,
        }
    };
    serve_router(router(service), limits, listeners, shutdown).await;
}

/// Serves any routes on all listeners until shutdown.
pub async fn serve_router(
    router: axum::Router,
    limits: ServerLimits,
    listeners: Vec<TcpListener>,
    shutdown: Shutdown,
) {
    let connections = Connections {
        router,
        clock: limits.clock,
        read_timeout: limits.read_timeout,
        places: Arc::new(Semaphore::new(limits.connections_max.max(1))),
        access: limits.access,
        crowded: Arc::default(),
        shutdown,
    };
    let mut acceptors = JoinSet::new();
    for listener in listeners {
        acceptors.spawn(accept(connections.clone(), listener));
    }
    while acceptors.join_next().await.is_some() {}
}

async fn accept(shared: Connections, listener: TcpListener) {
    let mut connections = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            () = shared.shutdown.requested() => break,
            // Only shutdown may take precedence here; otherwise a client that was accepted and waits for its place
            // would be dropped.
            accepted = next(&listener, &shared) => accepted,
        };
        while connections.try_join_next().is_some() {}
        match accepted {
            Ok((stream, peer, place)) => {
                let work = connection(shared.clone(), stream, peer);
                connections.spawn(async move {
                    work.await;
                    drop(place);
                });
            }
            Err(err) => {
                warn!("Accepting a connection failed", component = "web", err = err);
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
    drop(listener);
    // Connections still open after this are cut.
    let drained =
        tokio::time::timeout(DRAIN, async { while connections.join_next().await.is_some() {} }).await;
    if drained.is_err() {
        warn!("Connections were cut at shutdown", component = "web", connections = connections.len());
    }
}

type Accepted = (TcpStream, SocketAddr, OwnedSemaphorePermit);

/// Accepts a client, then waits for a free connection slot. If there is none, idle connections are closed; if
/// all are busy, the client waits, and later clients wait in the system's queue.
async fn next(listener: &TcpListener, shared: &Connections) -> std::io::Result<Accepted> {
    let (stream, peer) = listener.accept().await?;
    let place = match shared.places.clone().try_acquire_owned() {
        Ok(place) => place,
        Err(_) => {
            let place = shared.places.clone().acquire_owned();
            tokio::pin!(place);
            loop {
                shared.crowded.notify_waiters();
                tokio::select! {
                    place = place.as_mut() => break place.map_err(std::io::Error::other)?,
                    () = shared.clock.sleep(CROWDED_REPEAT) => {}
                }
            }
        }
    };
    Ok((stream, peer, place))
}

async fn connection(shared: Connections, stream: TcpStream, peer: SocketAddr) {
    // Answers are written in large pieces; Nagle's algorithm would only delay the last one.
    let _ = stream.set_nodelay(true);
    let Some(access) = shared.access.clone() else {
        return speak(shared, stream, peer, Protocol::Http1).await;
    };
    let accepted = tokio::select! {
        accepted = tokio::time::timeout(HANDSHAKE_TIME_MAX, access.accept(stream)) => accepted,
        () = shared.shutdown.requested() => return,
    };
    match accepted {
        Ok(Ok(Ok(encrypted))) => {
            let protocol = match encrypted.get_ref().1.alpn_protocol() {
                Some(b"h2") => Protocol::Http2,
                _ => Protocol::Http1,
            };
            speak(shared, encrypted, peer, protocol).await;
        }
        Ok(Ok(Err(plain))) => speak(shared, plain, peer, Protocol::Http1).await,
        Ok(Err(err)) => debug!("TLS handshake error", component = "web", peer = peer, err = err),
        Err(_) => debug!("TLS handshake timeout", component = "web", peer = peer),
    }
}

/// The protocol of a connection. HTTP/2 is negotiated with TLS, as in Go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Protocol {
    Http1,
    Http2,
}

/// Answers requests until the connection ends.
async fn speak<S>(shared: Connections, stream: S, peer: SocketAddr, protocol: Protocol)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    // URLs that the library does not accept only need help in the first line of HTTP/1.
    let stream: Box<dyn Stream> = match protocol {
        Protocol::Http1 => Box::new(EncodedQueries::new(stream)),
        Protocol::Http2 => Box::new(stream),
    };
    let stream = WriteTimeout::new(stream, shared.clock.clone(), WRITE_TIMEOUT);
    let work = Work { answers: Arc::default(), begun: Arc::default(), writes: stream.is_waiting() };
    let (router, answers, begun) = (shared.router.clone(), work.answers.clone(), work.begun.clone());
    let access = shared.access.clone();
    let service = service_fn(move |request: HttpRequest<Incoming>| {
        let mut request = request.map(Body::new);
        request.extensions_mut().insert(ClientAddress(peer.ip()));
        let (mut router, access) = (router.clone(), access.clone());
        let answering = Answering::begin(&answers);
        begun.fetch_add(1, Ordering::Relaxed);
        let is_head = request.method() == Method::HEAD;
        async move {
            let (refusal, headers) = match &access {
                Some(access) => {
                    let verdict = access.check(request.headers()).await;
                    (verdict.refusal, verdict.headers)
                }
                None => (None, HeaderMap::new()),
            };
            let mut response = match refusal {
                Some(refusal) => refusal,
                None => tower_service::Service::call(&mut router, request).await?,
            };
            response.headers_mut().extend(headers);
            // The routing library would add it. As in Go, an answer without a body has no length unless the handler set
            // one.
            if is_head && response.headers().get(CONTENT_LENGTH).is_some_and(|length| length == "0") {
                response.headers_mut().remove(CONTENT_LENGTH);
            }
            Ok::<_, Infallible>(response.map(|body| CountedBody { body, _answering: answering }))
        }
    });
    let stream = TokioIo::new(stream);
    match protocol {
        Protocol::Http1 => {
            let connection = http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(shared.read_timeout)
                .max_buf_size(HEAD_BYTES_MAX)
                .max_headers(HEADER_FIELDS_MAX)
                .serve_connection(stream, service);
            drive(connection, |connection| connection.graceful_shutdown(), &shared, &work, peer, None).await;
        }
        Protocol::Http2 => {
            let connection = http2::Builder::new(TokioExecutor::new())
                .timer(TokioTimer::new())
                .max_concurrent_streams(STREAMS_MAX)
                .max_header_list_size(HEAD_BYTES_MAX as u32)
                .serve_connection(stream, service);
            let idle_max = Some(shared.read_timeout);
            drive(connection, |connection| connection.graceful_shutdown(), &shared, &work, peer, idle_max)
                .await;
        }
    }
}

/// Bytes in both directions.
trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Stream for S {}

/// Runs a connection to its end, which comes early at shutdown, when it is idle while others wait, and when it has had no
/// request for `idle_max`.
async fn drive<C, E>(
    connection: C,
    finish: impl Fn(Pin<&mut C>),
    shared: &Connections,
    work: &Work,
    peer: SocketAddr,
    idle_max: Option<Duration>,
) where
    C: Future<Output = Result<(), E>>,
    E: std::fmt::Display,
{
    tokio::pin!(connection);
    let mut ends: Option<Sleep> = None;
    let (mut idle, mut begun) = (idle_max.map(|idle_max| shared.clock.sleep(idle_max)), 0);
    let result = loop {
        tokio::select! {
            result = connection.as_mut() => break result,
            () = shared.shutdown.requested() => {
                finish(connection.as_mut());
                break connection.as_mut().await;
            }
            () = shared.crowded.notified() => {
                // An answer in progress is finished; then the connection ends too.
                finish(connection.as_mut());
                ends.get_or_insert_with(|| shared.clock.sleep(CROWDED_HEAD));
            }
            () = async { idle.as_mut().expect("it is set").await }, if idle.is_some() => {
                if work.is_idle() && work.begun() == begun {
                    finish(connection.as_mut());
                }
                begun = work.begun();
                idle = idle_max.map(|idle_max| shared.clock.sleep(idle_max));
            }
            () = async { ends.as_mut().expect("it is set").await }, if ends.is_some() => {
                if work.is_idle() {
                    debug!("Closed an idle connection because other clients are waiting", component = "web", peer = peer);
                    return;
                }
                ends = None;
            }
        }
    };
    if let Err(err) = result {
        debug!("Connection ended with an error", component = "web", peer = peer, err = err);
    }
}

/// The activity of a connection.
struct Work {
    /// Answers being produced, or handed over for writing.
    answers: Arc<AtomicUsize>,
    /// Requests so far.
    begun: Arc<AtomicUsize>,
    /// Whether a write is waiting for the client to read.
    writes: Arc<AtomicBool>,
}

impl Work {
    fn begun(&self) -> usize {
        self.begun.load(Ordering::Relaxed)
    }

    fn is_idle(&self) -> bool {
        self.answers.load(Ordering::Relaxed) == 0 && !self.writes.load(Ordering::Relaxed)
    }
}

/// Marks an answer as in progress until dropped.
struct Answering(Arc<AtomicUsize>);

impl Answering {
    fn begin(answers: &Arc<AtomicUsize>) -> Self {
        answers.fetch_add(1, Ordering::Relaxed);
        Answering(answers.clone())
    }
}

impl Drop for Answering {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A body whose answer is in progress until the body is dropped.
struct CountedBody {
    body: Body,
    _answering: Answering,
}

impl HttpBody for CountedBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests;
