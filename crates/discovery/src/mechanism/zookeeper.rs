//! `serverset_sd_configs` and `nerve_sd_configs`: members of services that register themselves in ZooKeeper.
//!
//! ```text
//! connection: frames of the protocol ─▶ tree: nodes below the paths, with a watch on each ─▶ a group for each member
//! ```
//!
//! A session reads everything below the paths and then follows the watches. When it ends, another one starts
//! after ten seconds and reads everything again; until that is complete, the known members stay.

mod connection;
mod tree;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use ferula_config::discovery::{DiscoveryConfigs, NerveSdConfig, ServersetSdConfig};
use ferula_telemetry::{Counter, Gauge, Registry};

use crate::TargetGroup;
use crate::group::{Labels, host_port};
use crate::json::{self, JsonError, answers};
use crate::provider::{Context, Output, Provider, ProviderError};
use connection::{Connection, Message, ZooKeeperError};
use tree::Tree;

/// Pause before the next session after a failure, and before another look for a missing path.
const RETRY: Duration = Duration::from_secs(10);
/// Maximum number of concurrent requests.
const REQUESTS_MAX: usize = 256;

/// Parses the data of a node.
type Parse = fn(path: &str, data: &[u8]) -> Result<Labels, JsonError>;

/// The common part of both mechanisms.
struct Watcher {
    mechanism: &'static str,
    servers: Vec<String>,
    paths: Vec<String>,
    timeout: Duration,
    parse: Parse,
    context: Context,
    failures: Counter,
    watches: Gauge,
}

fn failures(registry: &Registry) -> Counter {
    registry.counter(
        "prometheus_treecache_zookeeper_failures_total",
        "Failed sessions with ZooKeeper, and missing paths. The last known members stay in use.",
    )
}

fn watches(registry: &Registry) -> Gauge {
    registry.gauge("prometheus_treecache_watcher_goroutines", "ZooKeeper nodes that are being watched.")
}

macro_rules! providers {
    ($($name:ident $mechanism:literal $section:ident $field:ident $parse:ident;)*) => {$(
        pub(crate) struct $name(Watcher);

        impl Provider for $name {
            type Section = $section;

            const MECHANISM: &'static str = $mechanism;

            fn sections(configs: &DiscoveryConfigs) -> Vec<$section> {
                configs.$field.clone()
            }

            fn register_metrics(registry: &Registry) {
                failures(registry);
                watches(registry);
            }

            fn new(section: $section, context: &Context) -> Result<Self, ProviderError> {
                Ok($name(Watcher {
                    mechanism: $mechanism,
                    servers: section.servers,
                    paths: section.paths,
                    timeout: section.timeout,
                    parse: $parse,
                    context: context.clone(),
                    failures: failures(&context.registry),
                    watches: watches(&context.registry),
                }))
            }

            async fn run(self, output: Output) {
                self.0.run(output).await;
            }
        }
    )*};
}

providers! {
    Serverset "serverset" ServersetSdConfig serverset_sd_configs serverset_member;
    Nerve "nerve" NerveSdConfig nerve_sd_configs nerve_member;
}

impl Watcher {
    async fn run(self, output: Output) {
        for server in self.servers.iter().cycle() {
            let Err(error) = self.session(server, &output).await else { return };
            self.failures.inc();
            ferula_telemetry::error!(
                "Lost connection to Zookeeper",
                discovery = self.mechanism,
                config = self.context.job,
                server = server,
                err = error
            );
            self.context.clock.sleep(RETRY).await;
        }
    }

    /// Follows one server until the session ends, which always happens with an error.
    async fn session(&self, server: &str, output: &Output) -> Result<(), ZooKeeperError> {
        let clock = &self.context.clock;
        let connecting = Connection::open(server, self.timeout);
        let mut connection = tokio::select! {
            connection = connecting => connection?,
            () = clock.sleep(self.timeout) => return Err(ZooKeeperError::Timeout),
        };
        let timeout = connection.timeout();
        let mut tree = Tree::new(&self.paths);
        let watched = WatchGauge { gauge: &self.watches, count: std::cell::Cell::new(0) };
        let (mut heard, mut next_ping) = (clock.elapsed(), clock.elapsed() + timeout / 3);
        let mut next_look = None;
        loop {
            while connection.requests() < REQUESTS_MAX
                && let Some(request) = tree.next_request()
            {
                connection.request(request).await?;
            }
            if connection.requests() == 0 && tree.take_changed() {
                output.send(tree.groups());
                watched.set(tree.nodes());
                for path in tree.take_missing() {
                    self.failures.inc();
                    let error = format!("path {path} does not exist");
                    ferula_telemetry::error!(
                        "Error during processing of Zookeeper event",
                        discovery = self.mechanism,
                        config = self.context.job,
                        err = error
                    );
                    next_look = Some(clock.elapsed() + RETRY);
                }
            }
            let now = clock.elapsed();
            let deadline = next_look.unwrap_or(next_ping).min(next_ping);
            tokio::select! {
                message = connection.message() => {
                    heard = clock.elapsed();
                    match message? {
                        Message::Changed(path) => tree.changed(&path),
                        Message::Data(path, data) => self.read(&mut tree, path, data)?,
                        Message::Children(path, children) => tree.children(&path, children)?,
                        Message::NoNode(path) => tree.remove(&path),
                        Message::Pong => {}
                    }
                }
                () = clock.sleep(deadline.saturating_sub(now)) => {
                    let now = clock.elapsed();
                    if next_look.is_some_and(|at| at <= now) {
                        next_look = None;
                        tree.look_again();
                    }
                    if next_ping <= now {
                        if now.saturating_sub(heard) > timeout {
                            return Err(ZooKeeperError::Timeout);
                        }
                        connection.ping().await?;
                        next_ping = now + timeout / 3;
                    }
                }
            }
        }
    }

    fn read(&self, tree: &mut Tree, path: String, data: Vec<u8>) -> Result<(), ZooKeeperError> {
        // Nodes that are not members, such as directories, have no group.
        let group = (self.parse)(&path, &data)
            .ok()
            .map(|labels| Arc::new(TargetGroup::of_targets(path.as_str(), vec![labels.to_set()])));
        tree.data(&path, data.len(), group)
    }
}

/// This session's share of the gauge.
struct WatchGauge<'g> {
    gauge: &'g Gauge,
    count: std::cell::Cell<usize>,
}

impl WatchGauge<'_> {
    fn set(&self, count: usize) {
        self.gauge.add(count as f64 - self.count.replace(count) as f64);
    }
}

impl Drop for WatchGauge<'_> {
    fn drop(&mut self) {
        self.set(0);
    }
}

answers! { "camelCase":
    ServersetMember {
        service_endpoint: Endpoint,
        additional_endpoints: BTreeMap<String, Endpoint>,
        status: String,
        shard: i64,
    }
    Endpoint { host: String, port: i64, }
    NerveMember { host: String, port: i64, name: String, }
}

fn serverset_member(path: &str, data: &[u8]) -> Result<Labels, JsonError> {
    let member: ServersetMember = json::from_slice(data)?;
    let Endpoint { host, port } = &member.service_endpoint;
    let mut labels = Labels::of([
        ("__address__", host_port(host, port)),
        ("__meta_serverset_path", path.to_owned()),
        ("__meta_serverset_endpoint_host", host.clone()),
        ("__meta_serverset_endpoint_port", port.to_string()),
        ("__meta_serverset_status", member.status.clone()),
        ("__meta_serverset_shard", member.shard.to_string()),
    ]);
    for (name, endpoint) in &member.additional_endpoints {
        labels.set_key("__meta_serverset_endpoint_host_", name, endpoint.host.as_str());
        labels.set_key("__meta_serverset_endpoint_port_", name, endpoint.port.to_string());
    }
    Ok(labels)
}

fn nerve_member(path: &str, data: &[u8]) -> Result<Labels, JsonError> {
    let member: NerveMember = json::from_slice(data)?;
    Ok(Labels::of([
        ("__address__", host_port(&member.host, member.port)),
        ("__meta_nerve_path", path.to_owned()),
        ("__meta_nerve_endpoint_host", member.host),
        ("__meta_nerve_endpoint_port", member.port.to_string()),
        ("__meta_nerve_endpoint_name", member.name),
    ]))
}

#[cfg(test)]
pub(crate) mod tests;
