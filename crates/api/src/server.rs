//! The listener and its connections: how many there are, how long they may take to ask and to read, and how they end.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::http::Request as HttpRequest;
use ferula_runtime::{SharedClock, Shutdown};
use ferula_telemetry::{debug, warn};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::JoinSet;

use crate::raw_query::EncodedQueries;
use crate::request::ClientAddress;
use crate::router::{Service, router};
use crate::write_timeout::WriteTimeout;

/// A connection that is in the middle of an answer at shutdown gets this long to finish it.
const DRAIN: Duration = Duration::from_secs(5);
/// The listener is left alone this long when the system refuses a connection (mostly for want of descriptors).
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// A client that takes no byte of its answer for this long is cut: the answer holds memory that other queries need.
const WRITE_TIMEOUT: Duration = Duration::from_secs(60);
/// The head of a request may have this many bytes, as in Go.
const HEAD_BYTES_MAX: usize = (1 << 20) + 4096;
/// And this many fields. Go has no such limit; each costs some bytes for every request.
const HEADER_FIELDS_MAX: usize = 1000;

/// What the connections of all listeners share.
#[derive(Clone)]
struct Connections {
    router: axum::Router,
    clock: SharedClock,
    read_timeout: Duration,
    places: Arc<Semaphore>,
    /// Told when a client waits for a place: connections on which nobody asks anything end then.
    crowded: Arc<Notify>,
    shutdown: Shutdown,
}

/// Serves all listeners until shutdown. The limit of connections is one for all of them.
pub async fn serve(service: watch::Receiver<Service>, listeners: Vec<TcpListener>, shutdown: Shutdown) {
    let (connections_max, read_timeout, clock) = {
        let service = service.borrow();
        let settings = &service.site().settings;
        (settings.connections_max, settings.read_timeout, service.site().clock.clone())
    };
    let connections = Connections {
        router: router(service),
        clock,
        read_timeout,
        places: Arc::new(Semaphore::new(connections_max.max(1))),
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
            // Nothing but the shutdown may win against this: a client that was accepted and waits for its place would be
            // dropped.
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
                warn!("A connection could not be accepted", component = "web", err = err);
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
    drop(listener);
    // What is still open after this long is cut.
    let drained =
        tokio::time::timeout(DRAIN, async { while connections.join_next().await.is_some() {} }).await;
    if drained.is_err() {
        warn!("Connections were cut at shutdown", component = "web", connections = connections.len());
    }
}

type Accepted = (TcpStream, SocketAddr, OwnedSemaphorePermit);

/// Accepts a client, then finds it a place. Whoever comes when all places are taken makes idle connections end; when
/// all of them are busy, it waits, and those after it wait in the system's queue.
async fn next(listener: &TcpListener, shared: &Connections) -> std::io::Result<Accepted> {
    let (stream, peer) = listener.accept().await?;
    let place = match shared.places.clone().try_acquire_owned() {
        Ok(place) => place,
        Err(_) => {
            shared.crowded.notify_waiters();
            shared.places.clone().acquire_owned().await.map_err(std::io::Error::other)?
        }
    };
    Ok((stream, peer, place))
}

async fn connection(shared: Connections, stream: TcpStream, peer: SocketAddr) {
    // Answers are written in large pieces; waiting to gather more only delays the last one.
    let _ = stream.set_nodelay(true);
    let router = shared.router;
    let service = service_fn(move |request: HttpRequest<Incoming>| {
        let mut request = request.map(Body::new);
        request.extensions_mut().insert(ClientAddress(peer.ip()));
        let mut router = router.clone();
        async move { tower_service::Service::call(&mut router, request).await }
    });
    let stream = WriteTimeout::new(EncodedQueries::new(stream), shared.clock, WRITE_TIMEOUT);
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(shared.read_timeout)
        .max_buf_size(HEAD_BYTES_MAX)
        .max_headers(HEADER_FIELDS_MAX)
        .serve_connection(TokioIo::new(stream), service);
    tokio::pin!(connection);
    let result = loop {
        tokio::select! {
            result = connection.as_mut() => break result,
            () = shared.shutdown.requested() => {
                connection.as_mut().graceful_shutdown();
                break connection.as_mut().await;
            }
            () = shared.crowded.notified() => {
                // An answer that is on its way is finished; after it the connection ends too.
                connection.as_mut().graceful_shutdown();
            }
        }
    };
    if let Err(err) = result {
        debug!("A connection ended with an error", component = "web", peer = peer, err = err);
    }
}
