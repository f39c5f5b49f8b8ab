//! Dialling: resolves names and tries addresses as Go does.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;
use std::pin::pin;
use std::time::Duration;

use tokio::net::{TcpStream, UnixStream, lookup_host};

use super::stream::Dialled;
use crate::error::{Cause, io_text};
use crate::url::bracketed;

/// Addresses of the other family are tried after this delay, as in Go.
const FALLBACK_DELAY: Duration = Duration::from_millis(300);

/// Dials a host. An empty host and an unspecified address mean this machine.
pub(super) async fn tcp(host: &str, port: &str) -> Result<Dialled, Cause> {
    let shown = format!("{}:{port}", bracketed(host));
    let number: u16 = port.parse().map_err(|_| Cause::Port(shown.clone()))?;
    let addresses = match host.parse::<IpAddr>() {
        Ok(address) if !address.is_unspecified() => vec![SocketAddr::new(address, number)],
        Err(_) if !host.is_empty() => look_up(host, number).await?,
        _ => {
            let local = SocketAddr::new(Ipv4Addr::LOCALHOST.into(), number);
            let connected = TcpStream::connect(local).await;
            return connected.map_err(|error| refused(shown, error)).and_then(dialled);
        }
    };
    match first_to_answer(&addresses).await {
        Ok(stream) => dialled(stream),
        Err((address, error)) => Err(refused(address.to_string(), error)),
    }
}

/// Dials a Unix socket.
pub(super) async fn unix(path: &Path) -> Result<Dialled, Cause> {
    let address = path.display().to_string();
    match UnixStream::connect(path).await {
        Ok(stream) => Ok(Dialled { stream: Box::new(stream), connection: format!("unix ->{address}") }),
        Err(error) => Err(Cause::Connect { network: "unix", address, error }),
    }
}

fn refused(address: String, error: io::Error) -> Cause {
    Cause::Connect { network: "tcp", address, error }
}

fn dialled(stream: TcpStream) -> Result<Dialled, Cause> {
    let address = |address: io::Result<SocketAddr>| address.map_or_else(|_| "?".into(), |a| a.to_string());
    let connection = format!("tcp {}->{}", address(stream.local_addr()), address(stream.peer_addr()));
    // Fails only if the socket is closed already, which the first write will report.
    let _ = stream.set_nodelay(true);
    Ok(Dialled { stream: Box::new(stream), connection })
}

async fn look_up(host: &str, port: u16) -> Result<Vec<SocketAddr>, Cause> {
    let failed = |reason: &str| Cause::Lookup { host: host.to_owned(), reason: reason.to_owned() };
    match lookup_host((host, port)).await {
        Ok(found) => {
            let found: Vec<SocketAddr> = found.collect();
            if found.is_empty() { Err(failed("no such host")) } else { Ok(found) }
        }
        Err(error) => {
            let text = io_text(&error);
            let reason = text.strip_prefix("failed to lookup address information: ").unwrap_or(&text);
            match reason {
                "Temporary failure in name resolution" => Err(failed("server misbehaving")),
                reason if reason.starts_with("Name ") || reason.starts_with("No address") => {
                    Err(failed("no such host"))
                }
                reason => Err(failed(reason)),
            }
        }
    }
}

/// Tries the addresses of the first one's family in order, and after a delay also those of the other. When
/// all fail, returns the first error with its address.
async fn first_to_answer(addresses: &[SocketAddr]) -> Result<TcpStream, (SocketAddr, io::Error)> {
    let v4 = addresses.first().is_some_and(SocketAddr::is_ipv4);
    let (first, others): (Vec<SocketAddr>, Vec<SocketAddr>) =
        addresses.iter().partition(|address| address.is_ipv4() == v4);
    if others.is_empty() {
        return in_turn(first).await;
    }
    let mut first = pin!(in_turn(first));
    let error = tokio::select! {
        done = &mut first => match done {
            Ok(stream) => return Ok(stream),
            Err(error) => Some(error),
        },
        () = tokio::time::sleep(FALLBACK_DELAY) => None,
    };
    let mut others = pin!(in_turn(others));
    match error {
        Some(error) => others.await.map_err(|_| error),
        None => tokio::select! {
            done = &mut first => match done {
                Ok(stream) => Ok(stream),
                Err(error) => others.await.map_err(|_| error),
            },
            done = &mut others => match done {
                Ok(stream) => Ok(stream),
                Err(_) => first.await,
            },
        },
    }
}

async fn in_turn(addresses: Vec<SocketAddr>) -> Result<TcpStream, (SocketAddr, io::Error)> {
    let mut failed = None;
    for address in addresses {
        match TcpStream::connect(address).await {
            Ok(stream) => return Ok(stream),
            Err(error) => failed = failed.or(Some((address, error))),
        }
    }
    Err(failed.expect("there is at least one address"))
}
