//! Tunnels through proxies: `CONNECT`, and SOCKS5.

use std::io;
use std::net::IpAddr;

use http::header::HeaderMap;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::stream::{Dialled, Stream};
use crate::error::Cause;
use crate::proxy::Proxy;
use crate::url::{Url, bracketed, port_or_default};

/// Maximum size of a proxy's answer to `CONNECT`.
const ANSWER_BYTES_MAX: usize = 64 << 10;

/// Asks an HTTP proxy for a tunnel to `target`.
pub(super) async fn connect(
    dialled: &mut Dialled,
    proxy: &Proxy,
    target: &str,
    headers: &HeaderMap,
) -> Result<(), Cause> {
    let mut request = format!("CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n").into_bytes();
    for (name, value) in headers {
        request.extend_from_slice(name.as_str().as_bytes());
        request.extend_from_slice(b": ");
        request.extend_from_slice(value.as_bytes());
        request.extend_from_slice(b"\r\n");
    }
    if let Some(authorization) = proxy.authorization() {
        request.extend_from_slice(format!("Proxy-Authorization: {authorization}\r\n").as_bytes());
    }
    request.extend_from_slice(b"\r\n");
    let answer = exchange(&mut dialled.stream, &request).await;
    let answer = answer.map_err(|error| match error.kind() {
        io::ErrorKind::UnexpectedEof => Cause::Closed,
        _ => Cause::Transport { op: "read", connection: dialled.connection.clone(), error },
    })?;
    let line = String::from_utf8_lossy(answer.split(|byte| *byte == b'\r').next().unwrap_or_default());
    let status = line.split_once(' ').map_or("", |(_, status)| status.trim_start());
    match status.split_once(' ') {
        _ if status.split(' ').next() == Some("200") => Ok(()),
        Some((_, text)) => Err(Cause::ProxyRefused(text.to_owned())),
        None => Err(Cause::ProxyRefused("unknown status code".to_owned())),
    }
}

/// Sends a request and reads the head of its answer, and not a byte more: what follows belongs to the tunnel.
async fn exchange(stream: &mut Box<dyn Stream>, request: &[u8]) -> io::Result<Vec<u8>> {
    stream.write_all(request).await?;
    stream.flush().await?;
    let mut answer = Vec::new();
    while !answer.ends_with(b"\r\n\r\n") {
        if answer.len() >= ANSWER_BYTES_MAX {
            return Err(io::Error::other("the proxy's answer to CONNECT is too long"));
        }
        answer.push(stream.read_u8().await?);
    }
    Ok(answer)
}

const VERSION: u8 = 5;
const NO_AUTHENTICATION: u8 = 0;
const NAME_AND_PASSWORD: u8 = 2;

/// Requests a tunnel from a SOCKS5 proxy, which resolves the name.
pub(super) async fn socks5(
    stream: &mut Box<dyn Stream>,
    proxy: &Proxy,
    url: &Url,
    target: &str,
) -> Result<(), Cause> {
    let failed = |reason: String| Cause::Socks {
        proxy: format!("{}:{}", bracketed(&proxy.url.hostname()), port_or_default(&proxy.url)),
        target: target.to_owned(),
        reason,
    };
    let reason = |error: io::Error| match error.kind() {
        io::ErrorKind::UnexpectedEof => failed("EOF".into()),
        _ => failed(crate::error::io_text(&error)),
    };
    match negotiate(stream, proxy, url).await.map_err(reason)? {
        None => Ok(()),
        Some(refusal) => Err(failed(refusal)),
    }
}

/// Negotiates the tunnel. Returns the reason if the proxy refuses.
async fn negotiate(stream: &mut Box<dyn Stream>, proxy: &Proxy, url: &Url) -> io::Result<Option<String>> {
    let methods: &[u8] = match proxy.url.username() {
        Some(_) => &[VERSION, 2, NO_AUTHENTICATION, NAME_AND_PASSWORD],
        None => &[VERSION, 1, NO_AUTHENTICATION],
    };
    stream.write_all(methods).await?;
    stream.flush().await?;
    let mut chosen = [0; 2];
    stream.read_exact(&mut chosen).await?;
    match (chosen, proxy.url.username()) {
        ([VERSION, NO_AUTHENTICATION], _) => {}
        ([VERSION, NAME_AND_PASSWORD], Some(name)) => {
            let password = proxy.url.password().unwrap_or_default();
            let (Ok(name_length), Ok(password_length)) =
                (u8::try_from(name.len()), u8::try_from(password.len()))
            else {
                return Ok(Some("invalid username/password".into()));
            };
            let message =
                [&[1, name_length], name.as_bytes(), &[password_length], password.as_bytes()].concat();
            stream.write_all(&message).await?;
            stream.flush().await?;
            let mut answer = [0; 2];
            stream.read_exact(&mut answer).await?;
            if answer[1] != 0 {
                return Ok(Some("username/password authentication failed".into()));
            }
        }
        ([VERSION, _], _) => return Ok(Some("no acceptable authentication methods".into())),
        ([version, _], _) => return Ok(Some(format!("unexpected protocol version {version}"))),
    }
    let Some(request) = connect_request(url) else { return Ok(Some("FQDN too long".into())) };
    stream.write_all(&request).await?;
    stream.flush().await?;
    read_reply(stream).await
}

fn connect_request(url: &Url) -> Option<Vec<u8>> {
    let mut request = vec![VERSION, 1, 0];
    let host = url.hostname();
    match host.parse::<IpAddr>() {
        Ok(IpAddr::V4(address)) => {
            request.push(1);
            request.extend_from_slice(&address.octets());
        }
        Ok(IpAddr::V6(address)) => {
            request.push(4);
            request.extend_from_slice(&address.octets());
        }
        Err(_) => {
            request.extend_from_slice(&[3, u8::try_from(host.len()).ok()?]);
            request.extend_from_slice(host.as_bytes());
        }
    }
    let port: u16 = port_or_default(url).parse().ok()?;
    request.extend_from_slice(&port.to_be_bytes());
    Some(request)
}

async fn read_reply(stream: &mut Box<dyn Stream>) -> io::Result<Option<String>> {
    let mut head = [0; 4];
    stream.read_exact(&mut head).await?;
    if head[1] != 0 {
        let text = match head[1] {
            1 => "general SOCKS server failure",
            2 => "connection not allowed by ruleset",
            3 => "network unreachable",
            4 => "host unreachable",
            5 => "connection refused",
            6 => "TTL expired",
            7 => "command not supported",
            8 => "address type not supported",
            other => return Ok(Some(format!("unknown error unknown code: {other}"))),
        };
        return Ok(Some(format!("unknown error {text}")));
    }
    // The address that the proxy uses; only its length matters.
    let address_bytes = match head[3] {
        1 => 4,
        4 => 16,
        3 => usize::from(stream.read_u8().await?),
        other => return Ok(Some(format!("unknown address type {other}"))),
    };
    let mut rest = vec![0; address_bytes + 2];
    stream.read_exact(&mut rest).await?;
    Ok(None)
}
