//! Opens a connection: dial, proxy, TLS, and the HTTP version.
//!
//! ```text
//! dial (target, proxy or Unix socket) ─▶ CONNECT or SOCKS5, if a proxy tunnels ─▶ TLS, if https ─▶ HTTP/1.1 or HTTP/2
//! ```

mod dial;
mod stream;
mod tunnel;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};

use self::stream::{Dialled, Stream};
use crate::answer_head::HeadReader;
use crate::error::Cause;
use crate::error_text::answer_cause;
use crate::proxy::{Proxies, Proxy, ProxyProtocol};
use crate::tls::Tls;
use crate::url::{Url, bracketed, port_or_default};
use crate::wire::{HEADER_BYTES_MAX, RecordedStream, Wire};

/// Maximum number of header fields. The map of the `http` crate holds no more than 24,576.
const HEADER_FIELDS_MAX: usize = 20_000;
/// An idle HTTP/2 connection is pinged after this time, as in Go.
const PING_AFTER: Duration = Duration::from_secs(60);
const PING_TIME_MAX: Duration = Duration::from_secs(15);

/// Room for the headers of an answer.
///
/// hyper allocates the room for fields with every answer, and lets its read buffer grow up to the limit on
/// headers. So the full limits are used only where they are needed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum HeaderRoom {
    /// 100 fields, about 400 kB.
    Usual,
    Full,
}

/// Where a connection leads.
#[derive(Clone, Copy)]
pub(crate) struct Route<'a> {
    pub url: &'a Url,
    pub proxy: Option<&'a Proxy>,
    pub unix_socket: Option<&'a Path>,
    pub header_room: HeaderRoom,
}

impl Route<'_> {
    /// Whether the proxy receives the request itself, with the full URL in the request line.
    pub fn asks_proxy(&self) -> bool {
        self.url.scheme() == "http" && self.proxy.is_some_and(|proxy| proxy.kind != ProxyProtocol::Socks5)
    }
}

/// The half of a connection that sends requests.
pub(crate) enum Sender {
    Http1(http1::SendRequest<Full<Bytes>>),
    Http2(http2::SendRequest<Full<Bytes>>),
}

/// An open connection.
pub(crate) struct Connection {
    pub sender: Sender,
    pub wire: Arc<Wire>,
}

/// Opens a connection.
pub(crate) async fn open(route: &Route<'_>, tls: &Tls, proxies: &Proxies) -> Result<Connection, Cause> {
    let mut dialled = match (route.unix_socket, route.proxy) {
        (Some(path), _) => dial::unix(path).await?,
        (None, Some(proxy)) => through_proxy(route, proxy, tls, proxies).await?,
        (None, None) => dial::tcp(&route.url.hostname(), &port_or_default(route.url)).await?,
    };
    let mut http2 = false;
    if route.url.scheme() == "https" {
        let stream = tls.connect(dialled.stream, &dialled.connection, &route.url.hostname(), true).await?;
        http2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
        dialled.stream = Box::new(stream);
    }
    let wire = Arc::new(Wire::named(dialled.connection));
    let watched = RecordedStream::new(dialled.stream, wire.clone());
    let sender = match http2 {
        true => http2_over(TokioIo::new(watched)).await,
        false => http1_over(HeadReader::new(watched, wire.clone()), route.header_room).await,
    };
    match sender {
        Ok(sender) => Ok(Connection { sender, wire }),
        Err(error) => Err(answer_cause(&error, &wire)),
    }
}

async fn http1_over<S: Stream + 'static>(
    stream: HeadReader<S>,
    header_room: HeaderRoom,
) -> Result<Sender, hyper::Error> {
    let mut builder = http1::Builder::new();
    builder.title_case_headers(true);
    if header_room == HeaderRoom::Full {
        builder
            .max_headers(HEADER_FIELDS_MAX)
            .max_buf_size(HEADER_BYTES_MAX)
            .max_header_size(HEADER_BYTES_MAX);
    }
    let (sender, connection) = builder.handshake(TokioIo::new(stream)).await?;
    // The waiting request receives its error; without a request nobody needs it.
    tokio::spawn(async move { drop(connection.await) });
    Ok(Sender::Http1(sender))
}

async fn http2_over(io: TokioIo<RecordedStream<Box<dyn Stream>>>) -> Result<Sender, hyper::Error> {
    let (sender, connection) = http2::Builder::new(TokioExecutor::new())
        .timer(TokioTimer::new())
        .keep_alive_interval(PING_AFTER)
        .keep_alive_timeout(PING_TIME_MAX)
        .max_header_list_size(HEADER_BYTES_MAX as u32)
        .handshake(io)
        .await?;
    tokio::spawn(async move { drop(connection.await) });
    Ok(Sender::Http2(sender))
}

async fn through_proxy(
    route: &Route<'_>,
    proxy: &Proxy,
    tls: &Tls,
    proxies: &Proxies,
) -> Result<Dialled, Cause> {
    let (host, port) = (proxy.url.hostname(), port_or_default(&proxy.url));
    let target = format!("{}:{}", bracketed(&route.url.hostname()), port_or_default(route.url));
    let mut dialled = match (dial::tcp(&host, &port).await, proxy.kind) {
        (Ok(dialled), _) => dialled,
        (Err(cause), ProxyProtocol::Socks5) => {
            let proxy = format!("{}:{port}", bracketed(&host));
            return Err(Cause::Socks { proxy, target, reason: cause.to_string() });
        }
        (Err(cause), _) => return Err(Cause::ProxyConnect(Box::new(cause))),
    };
    if proxy.kind == ProxyProtocol::Https {
        let stream = tls.connect(dialled.stream, &dialled.connection, &host, false).await;
        dialled.stream = Box::new(stream.map_err(|cause| Cause::ProxyConnect(Box::new(cause)))?);
    }
    match proxy.kind {
        ProxyProtocol::Socks5 => tunnel::socks5(&mut dialled.stream, proxy, route.url, &target).await?,
        _ if route.url.scheme() == "https" => {
            tunnel::connect(&mut dialled, proxy, &target, &proxies.connect_headers).await?;
        }
        _ => {}
    }
    Ok(dialled)
}
