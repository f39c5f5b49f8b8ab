//! The listener and its connections: how many, how long they may take to ask, and how they end.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::http::Request as HttpRequest;
use ferula_runtime::Shutdown;
use ferula_telemetry::{debug, warn};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use crate::api::Api;
use crate::raw_query::EncodedQueries;
use crate::request::ClientAddress;
use crate::router::router;

/// A connection that is in the middle of an answer at shutdown gets this long to finish it.
const DRAIN: Duration = Duration::from_secs(5);
/// The listener is left alone this long when the system refuses a connection (mostly for want of descriptors).
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Serves all listeners until shutdown. The limit of connections is one for all of them.
pub async fn serve(api: Arc<Api>, listeners: Vec<TcpListener>, shutdown: Shutdown) {
    let places = Arc::new(Semaphore::new(api.settings.connections_max.max(1)));
    let mut acceptors = JoinSet::new();
    for listener in listeners {
        acceptors.spawn(accept(api.clone(), listener, places.clone(), shutdown.clone()));
    }
    while acceptors.join_next().await.is_some() {}
}

async fn accept(api: Arc<Api>, listener: TcpListener, places: Arc<Semaphore>, shutdown: Shutdown) {
    let app = router(api.clone());
    let mut connections = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            () = shutdown.requested() => break,
            Some(_) = connections.join_next(), if !connections.is_empty() => continue,
            accepted = next(&listener, &places) => accepted,
        };
        match accepted {
            Ok((stream, peer, place)) => {
                let work = connection(app.clone(), stream, peer, api.settings.read_timeout, shutdown.clone());
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

type Accepted = (TcpStream, SocketAddr, tokio::sync::OwnedSemaphorePermit);

/// Waits for a free place first, so that clients over the limit wait in the system's queue.
async fn next(listener: &TcpListener, places: &Arc<Semaphore>) -> std::io::Result<Accepted> {
    let place = places.clone().acquire_owned().await.map_err(std::io::Error::other)?;
    let (stream, peer) = listener.accept().await?;
    Ok((stream, peer, place))
}

async fn connection(
    app: axum::Router,
    stream: TcpStream,
    peer: SocketAddr,
    read_timeout: Duration,
    shutdown: Shutdown,
) {
    // Answers are written in large pieces; waiting to gather more only delays the last one.
    let _ = stream.set_nodelay(true);
    let service = service_fn(move |request: HttpRequest<Incoming>| {
        let mut request = request.map(Body::new);
        request.extensions_mut().insert(ClientAddress(peer.ip()));
        let mut app = app.clone();
        async move { tower_service::Service::call(&mut app, request).await }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(read_timeout)
        .serve_connection(TokioIo::new(EncodedQueries::new(stream)), service);
    tokio::pin!(connection);
    let result = tokio::select! {
        result = connection.as_mut() => result,
        () = shutdown.requested() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(err) = result {
        debug!("A connection ended with an error", component = "web", peer = peer, err = err);
    }
}
