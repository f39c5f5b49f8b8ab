//! Turns objects into target groups: the labels of each role.
//!
//! A group depends on its own object and on others: the service of its endpoints, the pods behind them, their
//! nodes. Each object that was used is recorded, so that a group is rebuilt only when one of them has
//! changed.

use std::any::Any;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::sync::{Arc, MutexGuard};

use ferula_go::unicode;
use ferula_model::LabelSet;

use super::objects::{
    Container, ContainerPort, Endpoint, EndpointAddress, EndpointPort, EndpointSlice, Endpoints, Ingress,
    Job, Meta, Namespace, Node, Object, Pod, Reference, ReplicaSet, Service, SlicePort, namespaced,
};
use super::watch::{Objects, Watch};
use crate::TargetGroup;
use crate::group::{Labels, host_port, sanitized};
use crate::provider::Groups;

const NAMESPACE: &str = "__meta_kubernetes_namespace";

/// The collections that are only used for look-ups.
#[derive(Default)]
pub(super) struct Lookups {
    pub nodes: Option<Arc<Watch<Node>>>,
    pub namespaces: Option<Arc<Watch<Namespace>>>,
    pub services: Option<Arc<Watch<Service>>>,
    pub pods: Option<Arc<Watch<Pod>>>,
    pub replica_sets: Option<Arc<Watch<ReplicaSet>>>,
    pub jobs: Option<Arc<Watch<Job>>>,
    pub with_job: bool,
    pub with_cron_job: bool,
}

impl Lookups {
    pub(super) fn are_synced(&self) -> bool {
        fn synced<T>(watch: Option<&Arc<Watch<T>>>) -> bool {
            watch.is_none_or(|watch| watch.is_synced())
        }
        synced(self.nodes.as_ref())
            && synced(self.namespaces.as_ref())
            && synced(self.services.as_ref())
            && synced(self.pods.as_ref())
            && synced(self.replica_sets.as_ref())
            && synced(self.jobs.as_ref())
    }
}

/// A collection, locked while groups are built.
struct Table<'l, T>(Option<MutexGuard<'l, Objects<T>>>);

impl<'l, T: Object> Table<'l, T> {
    fn of(watch: Option<&'l Arc<Watch<T>>>) -> Self {
        Table(watch.map(|watch| watch.objects()))
    }

    fn get(&self, key: &str) -> Option<&Arc<T>> {
        self.0.as_ref()?.get(key)
    }

    fn is_wanted(&self) -> bool {
        self.0.is_some()
    }
}

/// An object from which a group was built, or its absence. Held so that no other object can get its memory
/// address.
type Dependency = (&'static str, String, Option<Arc<dyn Any + Send + Sync>>);

/// Builds groups from the collections at one moment.
pub(super) struct GroupMaker<'l> {
    nodes: Table<'l, Node>,
    namespaces: Table<'l, Namespace>,
    services: Table<'l, Service>,
    pods: Table<'l, Pod>,
    replica_sets: Table<'l, ReplicaSet>,
    jobs: Table<'l, Job>,
    with_job: bool,
    with_cron_job: bool,
    looked: RefCell<Vec<Dependency>>,
}

/// The groups that were built, by the key of their object.
#[derive(Default)]
pub(super) struct Memo(BTreeMap<String, BuiltGroup>);

struct BuiltGroup {
    object: Arc<dyn Any + Send + Sync>,
    looked: Vec<Dependency>,
    group: Option<Arc<TargetGroup>>,
}

impl Memo {
    /// The groups of all objects; those with changes are rebuilt.
    pub(super) fn groups<'l, T: Object>(
        &mut self,
        watch: &Watch<T>,
        maker: &GroupMaker<'l>,
        make: fn(&GroupMaker<'l>, &T) -> Option<TargetGroup>,
    ) -> Groups {
        let objects: Objects<T> = watch.objects().clone();
        self.0.retain(|key, _| objects.contains_key(key));
        let mut groups = Vec::with_capacity(objects.len());
        for (key, object) in objects {
            let as_any = object.clone() as Arc<dyn Any + Send + Sync>;
            let known = self.0.get(&key).filter(|made| {
                Arc::ptr_eq(&made.object, &as_any) && made.looked.iter().all(|looked| maker.is_same(looked))
            });
            if let Some(made) = known {
                groups.extend(made.group.clone());
                continue;
            }
            maker.looked.borrow_mut().clear();
            let group = make(maker, &object).map(Arc::new);
            groups.extend(group.clone());
            self.0.insert(key, BuiltGroup { object: as_any, looked: maker.looked.take(), group });
        }
        groups
    }
}

impl<'l> GroupMaker<'l> {
    pub(super) fn new(lookups: &'l Lookups) -> Self {
        GroupMaker {
            nodes: Table::of(lookups.nodes.as_ref()),
            namespaces: Table::of(lookups.namespaces.as_ref()),
            services: Table::of(lookups.services.as_ref()),
            pods: Table::of(lookups.pods.as_ref()),
            replica_sets: Table::of(lookups.replica_sets.as_ref()),
            jobs: Table::of(lookups.jobs.as_ref()),
            with_job: lookups.with_job,
            with_cron_job: lookups.with_cron_job,
            looked: RefCell::default(),
        }
    }

    /// Looks up an object, and records that the group depends on it.
    fn look<T: Object>(&self, table: &Table<'_, T>, key: String) -> Option<Arc<T>> {
        let found = table.get(&key).cloned();
        let held = found.clone().map(|object| object as Arc<dyn Any + Send + Sync>);
        self.looked.borrow_mut().push((T::PLURAL, key, held));
        found
    }

    fn is_same(&self, looked: &Dependency) -> bool {
        fn held<T: Object>(table: &Table<'_, T>, key: &str) -> Option<Arc<dyn Any + Send + Sync>> {
            table.get(key).map(|object| object.clone() as Arc<dyn Any + Send + Sync>)
        }
        let (plural, key, before) = looked;
        let now = match *plural {
            Node::PLURAL => held(&self.nodes, key),
            Namespace::PLURAL => held(&self.namespaces, key),
            Service::PLURAL => held(&self.services, key),
            Pod::PLURAL => held(&self.pods, key),
            ReplicaSet::PLURAL => held(&self.replica_sets, key),
            _ => held(&self.jobs, key),
        };
        match (before, &now) {
            (Some(before), Some(now)) => Arc::ptr_eq(before, now),
            (before, now) => before.is_none() && now.is_none(),
        }
    }

    pub(super) fn node(&self, node: &Node) -> Option<TargetGroup> {
        let mut labels = Labels::of([("__meta_kubernetes_node_provider_id", node.spec.provider_id.as_str())]);
        for condition in &node.status.conditions {
            let status = unicode::lower(&condition.status);
            labels.set_key("__meta_kubernetes_node_condition_", &unicode::lower(&condition.kind), status);
        }
        add_meta(&mut labels, &node.metadata, "node");
        let mut by_kind: BTreeMap<&str, &str> = BTreeMap::new();
        for address in &node.status.addresses {
            by_kind.entry(&address.kind).or_insert(&address.address);
        }
        let kinds = ["InternalIP", "InternalDNS", "ExternalIP", "ExternalDNS", "LegacyHostIP", "Hostname"];
        let Some(host) = kinds.iter().find_map(|kind| by_kind.get(kind)) else {
            ferula_telemetry::warn!(
                "No node address found",
                discovery = "kubernetes",
                node = node.metadata.name,
                err = "host address unknown"
            );
            return None;
        };
        let port = node.status.daemon_endpoints.kubelet_endpoint.port;
        let mut target =
            Labels::of([("__address__", host_port(host, port)), ("instance", node.metadata.name.clone())]);
        for (kind, address) in &by_kind {
            target.set_key("__meta_kubernetes_node_address_", kind, *address);
        }
        Some(group("node", &node.metadata, &labels, vec![target.to_set()]))
    }

    pub(super) fn service(&self, service: &Service) -> Option<TargetGroup> {
        let meta = &service.metadata;
        let mut labels = service_labels(service);
        self.add_namespace(&mut labels, &meta.namespace);
        let spec = &service.spec;
        let targets = spec.ports.iter().map(|port| {
            let host = format!("{}.{}.svc", meta.name, meta.namespace);
            let mut target = Labels::of([
                ("__address__", host_port(&host, port.port)),
                ("__meta_kubernetes_service_port_name", port.name.clone()),
                ("__meta_kubernetes_service_port_number", port.port.to_string()),
                ("__meta_kubernetes_service_port_protocol", port.protocol.clone()),
                ("__meta_kubernetes_service_type", spec.kind.clone()),
            ]);
            if spec.kind == "ExternalName" {
                target.set("__meta_kubernetes_service_external_name", spec.external_name.as_str());
            } else {
                target.set("__meta_kubernetes_service_cluster_ip", spec.cluster_ip.as_str());
            }
            if spec.kind == "LoadBalancer" {
                target.set("__meta_kubernetes_service_loadbalancer_ip", load_balancer_ips(service));
            }
            target.to_set()
        });
        Some(group("svc", meta, &labels, targets.collect()))
    }

    pub(super) fn ingress(&self, ingress: &Ingress) -> Option<TargetGroup> {
        let meta = &ingress.metadata;
        let mut labels = Labels::of([(NAMESPACE, meta.namespace.as_str())]);
        if let Some(class) = &ingress.spec.ingress_class_name {
            labels.set("__meta_kubernetes_ingress_class_name", class.as_str());
        }
        add_meta(&mut labels, meta, "ingress");
        self.add_namespace(&mut labels, &meta.namespace);
        let mut targets = Vec::new();
        for rule in &ingress.spec.rules {
            let patterns = ingress.spec.tls.iter().flat_map(|tls| &tls.hosts);
            let is_secure = patterns.into_iter().any(|pattern| matches_host(pattern, &rule.host));
            let paths: Vec<&str> = match &rule.http {
                None => vec!["/"],
                Some(http) => http.paths.iter().map(|path| path.path.as_str()).collect(),
            };
            targets.extend(paths.into_iter().map(|path| {
                Labels::of([
                    ("__address__", rule.host.as_str()),
                    ("__meta_kubernetes_ingress_scheme", if is_secure { "https" } else { "http" }),
                    ("__meta_kubernetes_ingress_host", rule.host.as_str()),
                    ("__meta_kubernetes_ingress_path", if path.is_empty() { "/" } else { path }),
                ])
                .to_set()
            }));
        }
        Some(group("ingress", meta, &labels, targets))
    }

    pub(super) fn pod(&self, pod: &Pod) -> Option<TargetGroup> {
        let meta = &pod.metadata;
        let ip = pod.status.pod_ip.as_str();
        // Not yet started, or evicted, or on a node that the selectors exclude.
        if ip.is_empty()
            || self.nodes.is_wanted() && self.look(&self.nodes, pod.spec.node_name.clone()).is_none()
        {
            return None;
        }
        let mut labels = self.pod_labels(pod);
        labels.set(NAMESPACE, meta.namespace.as_str());
        self.add_node(&mut labels, &pod.spec.node_name);
        self.add_namespace(&mut labels, &meta.namespace);
        let mut targets = Vec::new();
        for (container, is_init) in containers(pod) {
            let statuses =
                if is_init { &pod.status.init_container_statuses } else { &pod.status.container_statuses };
            let status = statuses.iter().find(|status| status.name == container.name);
            let common = Labels::of([
                ("__meta_kubernetes_pod_container_name", container.name.clone()),
                (
                    "__meta_kubernetes_pod_container_id",
                    status.map_or_else(String::new, |s| s.container_id.clone()),
                ),
                ("__meta_kubernetes_pod_container_image", container.image.clone()),
                ("__meta_kubernetes_pod_container_init", is_init.to_string()),
            ]);
            if container.ports.is_empty() {
                let mut target = common.clone();
                target.set("__address__", ip);
                targets.push(target.to_set());
            }
            for port in &container.ports {
                let mut target = common.clone();
                target.set("__address__", host_port(ip, port.container_port));
                add_container_port(&mut target, port, &port.protocol);
                targets.push(target.to_set());
            }
        }
        Some(group("pod", meta, &labels, targets))
    }

    pub(super) fn endpoints(&self, endpoints: &Endpoints) -> Option<TargetGroup> {
        let meta = &endpoints.metadata;
        let mut labels = Labels::of([(NAMESPACE, meta.namespace.as_str())]);
        if let Some(service) = self.look(&self.services, meta_key(meta)) {
            labels.extend(&service_labels(&service));
        }
        add_meta(&mut labels, meta, "endpoints");
        self.add_namespace(&mut labels, &meta.namespace);
        let mut found = EndpointTargets::default();
        for subset in &endpoints.subsets {
            for port in &subset.ports {
                let ready = subset.addresses.iter().map(|address| (address, "true"));
                let not_ready = subset.not_ready_addresses.iter().map(|address| (address, "false"));
                for (address, is_ready) in ready.chain(not_ready) {
                    self.add_endpoint(&mut found, address, port, is_ready);
                }
            }
        }
        self.add_other_ports(&mut found);
        Some(group("endpoints", meta, &labels, found.targets))
    }

    fn add_endpoint(
        &self,
        found: &mut EndpointTargets,
        address: &EndpointAddress,
        port: &EndpointPort,
        is_ready: &str,
    ) {
        let mut target = Labels::of([
            ("__address__", host_port(&address.ip, port.port)),
            ("__meta_kubernetes_endpoint_port_name", port.name.clone()),
            ("__meta_kubernetes_endpoint_port_protocol", port.protocol.clone()),
            ("__meta_kubernetes_endpoint_ready", is_ready.to_owned()),
            ("__meta_kubernetes_endpoint_hostname", address.hostname.clone()),
        ]);
        if let Some(reference) = &address.target_ref {
            target.set("__meta_kubernetes_endpoint_address_target_kind", reference.kind.as_str());
            target.set("__meta_kubernetes_endpoint_address_target_name", reference.name.as_str());
        }
        if let Some(node) = &address.node_name {
            target.set("__meta_kubernetes_endpoint_node_name", node.as_str());
        }
        match (&address.node_name, &address.target_ref) {
            (Some(node), _) => self.add_node(&mut target, node),
            (None, Some(reference)) if reference.kind == "Node" => {
                self.add_node(&mut target, &reference.name)
            }
            _ => {}
        }
        let pod = self.pod_behind(address.target_ref.as_ref());
        found.add(self, target, pod, Some(port.port), Some(&port.protocol));
    }

    pub(super) fn endpoint_slice(&self, slice: &EndpointSlice) -> Option<TargetGroup> {
        let meta = &slice.metadata;
        let mut labels = Labels::of([
            (NAMESPACE, meta.namespace.as_str()),
            ("__meta_kubernetes_endpointslice_address_type", slice.address_type.as_str()),
        ]);
        add_meta(&mut labels, meta, "endpointslice");
        let service = meta.labels.get("kubernetes.io/service-name");
        let service = service.and_then(|name| self.look(&self.services, namespaced(&meta.namespace, name)));
        if let Some(service) = &service {
            labels.extend(&service_labels(service));
        }
        self.add_namespace(&mut labels, &meta.namespace);
        let mut found = EndpointTargets::default();
        if !service.is_some_and(|service| is_second_family(&service, slice)) {
            for endpoint in &slice.endpoints {
                for port in &slice.ports {
                    for address in &endpoint.addresses {
                        self.add_slice_endpoint(&mut found, address, endpoint, port);
                    }
                }
            }
            self.add_other_ports(&mut found);
        }
        Some(group("endpointslice", meta, &labels, found.targets))
    }

    fn add_slice_endpoint(
        &self,
        found: &mut EndpointTargets,
        address: &str,
        endpoint: &Endpoint,
        port: &SlicePort,
    ) {
        const PREFIX: &str = "__meta_kubernetes_endpointslice_";
        let mut target = Labels::default();
        target.set(
            "__address__",
            port.port.map_or_else(|| address.to_owned(), |port| host_port(address, port)),
        );
        let conditions = &endpoint.conditions;
        let number = port.port.map(|port| port.to_string());
        for (name, value) in [
            ("port_name", port.name.as_deref()),
            ("port_protocol", port.protocol.as_deref()),
            ("port", number.as_deref()),
            ("port_app_protocol", port.app_protocol.as_deref()),
            ("endpoint_conditions_ready", conditions.ready.map(bool_text)),
            ("endpoint_conditions_serving", conditions.serving.map(bool_text)),
            ("endpoint_conditions_terminating", conditions.terminating.map(bool_text)),
            ("endpoint_hostname", endpoint.hostname.as_deref()),
            ("endpoint_node_name", endpoint.node_name.as_deref()),
            ("endpoint_zone", endpoint.zone.as_deref()),
            ("address_target_kind", endpoint.target_ref.as_ref().map(|reference| reference.kind.as_str())),
            ("address_target_name", endpoint.target_ref.as_ref().map(|reference| reference.name.as_str())),
        ] {
            if let Some(value) = value {
                target.set(&format!("{PREFIX}{name}"), value);
            }
        }
        for (key, value) in &endpoint.deprecated_topology {
            target.set_key("__meta_kubernetes_endpointslice_endpoint_topology_", key, value.as_str());
            target.set_key("__meta_kubernetes_endpointslice_endpoint_topology_present_", key, "true");
        }
        match (&endpoint.target_ref, &endpoint.node_name) {
            (Some(reference), _) if reference.kind == "Node" => self.add_node(&mut target, &reference.name),
            (_, Some(node)) => self.add_node(&mut target, node),
            _ => {}
        }
        let pod = self.pod_behind(endpoint.target_ref.as_ref());
        found.add(self, target, pod, port.port, None);
    }

    fn pod_behind(&self, reference: Option<&Reference>) -> Option<Arc<Pod>> {
        let reference = reference.filter(|reference| reference.kind == "Pod")?;
        self.look(&self.pods, namespaced(&reference.namespace, &reference.name))
    }

    /// Adds targets for the pods' ports without an endpoint.
    fn add_other_ports(&self, found: &mut EndpointTargets) {
        for (pod, seen) in found.pods.values() {
            let ip = pod.status.pod_ip.as_str();
            if ip.is_empty() {
                continue;
            }
            for (container, is_init) in containers(pod) {
                for port in container.ports.iter().filter(|port| !seen.contains(&port.container_port)) {
                    let mut target = Labels::of([("__address__", host_port(ip, port.container_port))]);
                    add_container(&mut target, container, is_init);
                    add_container_port(&mut target, port, &port.protocol);
                    target.extend(&self.pod_labels(pod));
                    found.targets.push(target.to_set());
                }
            }
        }
    }

    fn pod_labels(&self, pod: &Pod) -> Labels {
        let meta = &pod.metadata;
        let ready = pod.status.conditions.iter().find(|condition| condition.kind == "Ready");
        let ready = ready.map_or_else(|| "unknown".to_owned(), |condition| unicode::lower(&condition.status));
        let mut labels = Labels::of([
            ("__meta_kubernetes_pod_ip", pod.status.pod_ip.as_str()),
            ("__meta_kubernetes_pod_ready", ready.as_str()),
            ("__meta_kubernetes_pod_phase", pod.status.phase.as_str()),
            ("__meta_kubernetes_pod_node_name", pod.spec.node_name.as_str()),
            ("__meta_kubernetes_pod_host_ip", pod.status.host_ip.as_str()),
            ("__meta_kubernetes_pod_uid", meta.uid.as_str()),
        ]);
        add_meta(&mut labels, meta, "pod");
        let Some(owner) = meta.controller() else { return labels };
        labels.set("__meta_kubernetes_pod_controller_kind", owner.kind.as_str());
        labels.set("__meta_kubernetes_pod_controller_name", owner.name.as_str());
        let key = namespaced(&meta.namespace, &owner.name);
        match owner.kind.as_str() {
            "ReplicaSet" if self.replica_sets.is_wanted() => {
                let owner = self.look(&self.replica_sets, key);
                if let Some(deployment) = owner.as_ref().and_then(|set| owned_by(&set.metadata, "Deployment"))
                {
                    labels.set("__meta_kubernetes_pod_deployment_name", deployment);
                }
            }
            "Job" => {
                if self.with_job {
                    labels.set("__meta_kubernetes_pod_job_name", owner.name.as_str());
                }
                let job = self.with_cron_job.then(|| self.look(&self.jobs, key)).flatten();
                if let Some(cron_job) = job.as_ref().and_then(|job| owned_by(&job.metadata, "CronJob")) {
                    labels.set("__meta_kubernetes_pod_cronjob_name", cron_job);
                }
            }
            _ => {}
        }
        labels
    }

    fn add_node(&self, labels: &mut Labels, name: &str) {
        if !self.nodes.is_wanted() {
            return;
        }
        if let Some(node) = self.look(&self.nodes, name.to_owned()) {
            add_meta(labels, &node.metadata, "node");
        }
    }

    fn add_namespace(&self, labels: &mut Labels, name: &str) {
        if !self.namespaces.is_wanted() {
            return;
        }
        if let Some(namespace) = self.look(&self.namespaces, name.to_owned()) {
            add_keys(labels, &namespace.metadata, "namespace");
        }
    }
}

/// The targets of one group of endpoints, and the pods behind them with the ports that were used.
#[derive(Default)]
struct EndpointTargets {
    targets: Vec<LabelSet>,
    pods: BTreeMap<String, (Arc<Pod>, Vec<i64>)>,
}

impl EndpointTargets {
    /// Adds a target with the labels of its pod and of the container with its port. Endpoints state the
    /// protocol themselves; that of slices comes from the container.
    fn add(
        &mut self,
        maker: &GroupMaker<'_>,
        mut target: Labels,
        pod: Option<Arc<Pod>>,
        port: Option<i64>,
        protocol: Option<&str>,
    ) {
        if let Some(pod) = pod {
            target.extend(&maker.pod_labels(&pod));
            for (container, is_init) in containers(&pod) {
                let own = container.ports.iter().find(|own| Some(own.container_port) == port);
                if let Some(own) = own {
                    add_container(&mut target, container, is_init);
                    add_container_port(&mut target, own, protocol.unwrap_or(&own.protocol));
                }
            }
            let (_, seen) = self.pods.entry(pod.key()).or_insert_with(|| (pod.clone(), Vec::new()));
            seen.extend(port);
        }
        self.targets.push(target.to_set());
    }
}

fn group(kind: &str, meta: &Meta, labels: &Labels, targets: Vec<LabelSet>) -> TargetGroup {
    TargetGroup { source: format!("{kind}/{}", meta_key(meta)), targets, labels: labels.to_set() }
}

fn meta_key(meta: &Meta) -> String {
    namespaced(&meta.namespace, &meta.name)
}

/// The containers of a pod, regular ones first, and whether each is an init container.
fn containers(pod: &Pod) -> impl Iterator<Item = (&Container, bool)> {
    let ordinary = pod.spec.containers.iter().map(|container| (container, false));
    ordinary.chain(pod.spec.init_containers.iter().map(|container| (container, true)))
}

fn add_container(labels: &mut Labels, container: &Container, is_init: bool) {
    labels.set("__meta_kubernetes_pod_container_name", container.name.as_str());
    labels.set("__meta_kubernetes_pod_container_image", container.image.as_str());
    labels.set("__meta_kubernetes_pod_container_init", bool_text(is_init));
}

fn add_container_port(labels: &mut Labels, port: &ContainerPort, protocol: &str) {
    labels.set("__meta_kubernetes_pod_container_port_name", port.name.as_str());
    labels.set("__meta_kubernetes_pod_container_port_number", port.container_port.to_string());
    labels.set("__meta_kubernetes_pod_container_port_protocol", protocol);
}

/// Adds name, labels and annotations of an object, with the prefix of its role.
fn add_meta(labels: &mut Labels, meta: &Meta, role: &str) {
    labels.set(&format!("__meta_kubernetes_{role}_name"), meta.name.as_str());
    add_keys(labels, meta, role);
}

fn add_keys(labels: &mut Labels, meta: &Meta, role: &str) {
    for (what, pairs) in [("label", &meta.labels), ("annotation", &meta.annotations)] {
        for (key, value) in pairs {
            let key = sanitized(key);
            labels.set(&format!("__meta_kubernetes_{role}_{what}_{key}"), value.as_str());
            labels.set(&format!("__meta_kubernetes_{role}_{what}present_{key}"), "true");
        }
    }
}

fn service_labels(service: &Service) -> Labels {
    let meta = &service.metadata;
    let mut labels = Labels::of([(NAMESPACE, meta.namespace.as_str())]);
    add_meta(&mut labels, meta, "service");
    labels
}

fn load_balancer_ips(service: &Service) -> String {
    let ingress = &service.status.load_balancer.ingress;
    let ips: Vec<&str> =
        ingress.iter().map(|address| address.ip.as_str()).filter(|ip| !ip.is_empty()).collect();
    if ips.is_empty() { service.spec.load_balancer_ip.clone() } else { ips.join(",") }
}

fn owned_by<'m>(meta: &'m Meta, kind: &str) -> Option<&'m str> {
    meta.controller().filter(|owner| owner.kind == kind).map(|owner| owner.name.as_str())
}

/// Whether a slice only repeats another one for the second address family of a service.
fn is_second_family(service: &Service, slice: &EndpointSlice) -> bool {
    matches!(service.spec.ip_family_policy.as_str(), "PreferDualStack" | "RequireDualStack")
        && service.spec.ip_families.first().is_some_and(|family| *family != slice.address_type)
}

/// Matches a host name with a pattern that may have `*` as its first part.
fn matches_host(pattern: &str, host: &str) -> bool {
    if pattern == host {
        return true;
    }
    match (pattern.strip_prefix("*."), host.split_once('.')) {
        (Some(pattern), Some((_, host))) => pattern == host,
        _ => false,
    }
}

fn bool_text(value: bool) -> &'static str {
    if value { "true" } else { "false" }
}
