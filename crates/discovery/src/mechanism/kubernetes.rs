//! `kubernetes_sd_configs`: targets made of a cluster's objects, kept up to date by watches.
//!
//! ```text
//! section ─▶ client (server, login) ─▶ watch (copies of objects, shared) ─▶ groups (labels by role) ─▶ output
//! ```
//!
//! Here: which collections a role needs, and when groups are rebuilt. Always true: nothing is sent before
//! every collection has been listed once, and a group is rebuilt only if one of its objects has changed.

mod client;
mod exec;
mod groups;
mod login;
mod objects;
mod watch;

use std::sync::Arc;
use std::time::Duration;

use ferula_config::discovery::{DiscoveryConfigs, KubernetesSdConfig};
use ferula_telemetry::Registry;
use tokio::sync::Notify;

use crate::provider::{Context, Groups, Output, Provider, ProviderError};
use client::Server;
use groups::{GroupMaker, Lookups, Memo};
use objects::{EndpointSlice, Endpoints, Ingress, Node, Object, Pod, Service};
use watch::{KubernetesMetrics, Selector, Watch, Watches};

/// Changes come in bursts: groups are rebuilt this long after the first change.
const BURST: Duration = Duration::from_millis(100);

pub(crate) struct Kubernetes {
    context: Context,
    namespaces: Vec<NamespaceWatches>,
    changed: Arc<Notify>,
}

/// The collections of one namespace, or of all namespaces.
struct NamespaceWatches {
    role: Role,
    lookups: Lookups,
}

/// The collection from which groups are made, one for each object.
enum Role {
    Node(Arc<Watch<Node>>, Memo),
    Pod(Arc<Watch<Pod>>, Memo),
    Service(Arc<Watch<Service>>, Memo),
    Endpoints(Arc<Watch<Endpoints>>, Memo),
    EndpointSlice(Arc<Watch<EndpointSlice>>, Memo),
    Ingress(Arc<Watch<Ingress>>, Memo),
}

impl Provider for Kubernetes {
    type Section = KubernetesSdConfig;

    const MECHANISM: &'static str = "kubernetes";

    fn sections(configs: &DiscoveryConfigs) -> Vec<KubernetesSdConfig> {
        configs.kubernetes_sd_configs.clone()
    }

    fn register_metrics(registry: &Registry) {
        let metrics = KubernetesMetrics::new(registry);
        for role in ["node", "pod", "service", "endpoints", "endpointslice", "ingress"] {
            for event in ["add", "update", "delete"] {
                metrics.events.with(&[role, event]);
            }
        }
    }

    fn new(section: KubernetesSdConfig, context: &Context) -> Result<Self, ProviderError> {
        let start = Start {
            server: Server::of(&section)?,
            watches: context.shared.get::<Watches>(),
            changed: Arc::new(Notify::new()),
            section: &section,
            context,
        };
        let names = start.namespaces()?;
        let namespaces = names.iter().map(|name| start.watches_of(name)).collect::<Result<_, _>>()?;
        Ok(Kubernetes { context: context.clone(), namespaces, changed: start.changed })
    }

    async fn run(mut self, output: Output) {
        loop {
            self.changed.notified().await;
            self.context.clock.sleep(BURST).await;
            if self.namespaces.iter().all(NamespaceWatches::is_synced) {
                let groups = self.namespaces.iter_mut().flat_map(NamespaceWatches::groups).collect();
                output.send(groups);
            }
        }
    }
}

/// The inputs for starting the watches of a section.
struct Start<'s> {
    server: Server,
    watches: Arc<Watches>,
    changed: Arc<Notify>,
    section: &'s KubernetesSdConfig,
    context: &'s Context,
}

impl Start<'_> {
    /// The namespaces to search; "" means all of them.
    fn namespaces(&self) -> Result<Vec<String>, ProviderError> {
        let wanted = &self.section.namespaces;
        let mut names = wanted.names.clone();
        if wanted.own_namespace {
            names.push(client::own_namespace()?);
        }
        // Nodes have no namespace.
        if names.is_empty() || self.section.role.as_str() == "node" {
            return Ok(vec![String::new()]);
        }
        names.sort();
        names.dedup();
        Ok(names)
    }

    fn watch<T: Object>(&self, namespace: &str) -> Result<Arc<Watch<T>>, ProviderError> {
        // A selector restricts only the objects of its own role.
        let own = self.section.selectors.iter().find(|selector| Some(selector.role.as_str()) == T::ROLE);
        let selector = own.map_or_else(Selector::default, |selector| Selector {
            label: selector.label.clone(),
            field: selector.field.clone(),
        });
        let watch = self.watches.get(&self.server, namespace, &selector, self.context)?;
        watch.subscribe(&self.changed);
        // A watch that was started by others may have nothing new to report.
        self.changed.notify_one();
        Ok(watch)
    }

    fn watches_of(&self, namespace: &str) -> Result<NamespaceWatches, ProviderError> {
        let attach = &self.section.attach_metadata;
        let role = self.section.role.as_str();
        let has_pods = matches!(role, "pod" | "endpoints" | "endpointslice");
        let memo = Memo::default();
        let mut lookups =
            Lookups { with_job: attach.job, with_cron_job: attach.cronjob, ..Lookups::default() };
        if attach.node && has_pods {
            lookups.nodes = Some(self.watch("")?);
        }
        if attach.namespace && role != "node" {
            lookups.namespaces = Some(self.watch("")?);
        }
        if attach.deployment && has_pods {
            lookups.replica_sets = Some(self.watch(namespace)?);
        }
        if (attach.job || attach.cronjob) && has_pods {
            lookups.jobs = Some(self.watch(namespace)?);
        }
        if matches!(role, "endpoints" | "endpointslice") {
            lookups.services = Some(self.watch(namespace)?);
            lookups.pods = Some(self.watch(namespace)?);
        }
        let role = match role {
            "node" => Role::Node(self.watch("")?, memo),
            "pod" => Role::Pod(self.watch(namespace)?, memo),
            "service" => Role::Service(self.watch(namespace)?, memo),
            "endpoints" => Role::Endpoints(self.watch(namespace)?, memo),
            "endpointslice" => Role::EndpointSlice(self.watch(namespace)?, memo),
            _ => Role::Ingress(self.watch(namespace)?, memo),
        };
        Ok(NamespaceWatches { role, lookups })
    }
}

impl NamespaceWatches {
    fn is_synced(&self) -> bool {
        let own = match &self.role {
            Role::Node(watch, _) => watch.is_synced(),
            Role::Pod(watch, _) => watch.is_synced(),
            Role::Service(watch, _) => watch.is_synced(),
            Role::Endpoints(watch, _) => watch.is_synced(),
            Role::EndpointSlice(watch, _) => watch.is_synced(),
            Role::Ingress(watch, _) => watch.is_synced(),
        };
        own && self.lookups.are_synced()
    }

    fn groups(&mut self) -> Groups {
        let maker = GroupMaker::new(&self.lookups);
        match &mut self.role {
            Role::Node(watch, memo) => memo.groups(watch, &maker, GroupMaker::node),
            Role::Pod(watch, memo) => memo.groups(watch, &maker, GroupMaker::pod),
            Role::Service(watch, memo) => memo.groups(watch, &maker, GroupMaker::service),
            Role::Endpoints(watch, memo) => memo.groups(watch, &maker, GroupMaker::endpoints),
            Role::EndpointSlice(watch, memo) => memo.groups(watch, &maker, GroupMaker::endpoint_slice),
            Role::Ingress(watch, memo) => memo.groups(watch, &maker, GroupMaker::ingress),
        }
    }
}

#[cfg(test)]
pub(crate) mod tests;
