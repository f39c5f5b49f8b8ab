//! The listen addresses of the web server.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;

use anyhow::Context;
use ferula_api::web_access::WebAccess;
use ferula_telemetry::info;
use tokio::net::TcpListener;

/// Loads the file of `--web.config.file`, if there is one.
pub fn web_access(file: Option<&Path>) -> anyhow::Result<Option<Arc<WebAccess>>> {
    let Some(file) = file else { return Ok(None) };
    let access = WebAccess::load(file)
        .with_context(|| format!("unable to validate web configuration file {}", file.display()))?;
    Ok(Some(Arc::new(access)))
}

/// Binds all addresses, each `host:port` or `:port`.
pub async fn listen(addresses: &[String], access: Option<&WebAccess>) -> anyhow::Result<Vec<TcpListener>> {
    let mut listeners = Vec::new();
    for address in addresses {
        info!("Start listening for connections", component = "web", address = address);
        let bound = match address.strip_prefix(':').and_then(|port| port.parse::<u16>().ok()) {
            // Without a host: all addresses of both families, if the system has them.
            Some(port) => match TcpListener::bind((Ipv6Addr::UNSPECIFIED, port)).await {
                Ok(listener) => Ok(listener),
                Err(_) => TcpListener::bind((Ipv4Addr::UNSPECIFIED, port)).await,
            },
            None => TcpListener::bind(address.as_str()).await,
        };
        let listener = bound.with_context(|| {
            format!(
                "unable to start web listener: listen tcp {address} (set another with --web.listen-address)"
            )
        })?;
        info!("Listening on", component = "web", address = listener.local_addr()?);
        let tls = if access.is_some_and(WebAccess::is_tls) { "TLS is enabled." } else { "TLS is disabled." };
        info!(tls, component = "web", http2 = false, address = listener.local_addr()?);
        listeners.push(listener);
    }
    Ok(listeners)
}

/// The address under which this machine reaches the listener.
pub fn local_address(address: SocketAddr) -> String {
    if address.ip().is_unspecified() || address.ip().is_loopback() {
        format!("localhost:{}", address.port())
    } else {
        address.to_string()
    }
}
