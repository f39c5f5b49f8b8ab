//! The parts of Kubernetes objects that become labels. Everything else is skipped when parsing.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde::de::DeserializeOwned;

/// The common part of all objects.
pub(super) trait Object: DeserializeOwned + Default + Send + Sync + 'static {
    fn meta(&self) -> &Meta;
    /// The group and version in the path, such as `api/v1`.
    const API: &'static str;
    /// The collection in the path, such as `pods`.
    const PLURAL: &'static str;
    /// The label `role` of event metrics; `None` for objects that are only looked up.
    const ROLE: Option<&'static str> = None;

    /// `namespace/name`, or the name alone.
    fn key(&self) -> String {
        let meta = self.meta();
        namespaced(&meta.namespace, &meta.name)
    }
}

pub(super) fn namespaced(namespace: &str, name: &str) -> String {
    if namespace.is_empty() { name.to_owned() } else { format!("{namespace}/{name}") }
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct Meta {
    pub name: String,
    pub namespace: String,
    pub uid: String,
    pub resource_version: String,
    pub labels: BTreeMap<String, String>,
    pub annotations: BTreeMap<String, String>,
    pub owner_references: Vec<Owner>,
}

impl Meta {
    /// The owner that controls the object.
    pub(super) fn controller(&self) -> Option<&Owner> {
        self.owner_references.iter().find(|owner| owner.controller)
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Owner {
    pub kind: String,
    pub name: String,
    pub controller: bool,
}

/// Struct, path and role of each type of object.
macro_rules! objects {
    ($($name:ident $api:literal $plural:literal $role:expr, { $($field:ident: $ty:ty,)* })*) => {$(
        #[derive(Debug, Default, Deserialize)]
        #[serde(default, rename_all = "camelCase")]
        pub(super) struct $name {
            pub metadata: Meta,
            $(pub $field: $ty,)*
        }

        impl Object for $name {
            const API: &'static str = $api;
            const PLURAL: &'static str = $plural;
            const ROLE: Option<&'static str> = $role;

            fn meta(&self) -> &Meta {
                &self.metadata
            }
        }
    )*};
}

objects! {
    Node "api/v1" "nodes" Some("node"), { spec: NodeSpec, status: NodeStatus, }
    Pod "api/v1" "pods" Some("pod"), { spec: PodSpec, status: PodStatus, }
    Service "api/v1" "services" Some("service"), { spec: ServiceSpec, status: ServiceStatus, }
    Endpoints "api/v1" "endpoints" Some("endpoints"), { subsets: Vec<Subset>, }
    EndpointSlice "apis/discovery.k8s.io/v1" "endpointslices" Some("endpointslice"), {
        address_type: String,
        endpoints: Vec<Endpoint>,
        ports: Vec<SlicePort>,
    }
    Ingress "apis/networking.k8s.io/v1" "ingresses" Some("ingress"), { spec: IngressSpec, }
    Namespace "api/v1" "namespaces" None, {}
    ReplicaSet "apis/apps/v1" "replicasets" None, {}
    Job "apis/batch/v1" "jobs" None, {}
}

macro_rules! parts {
    ($($name:ident { $($(#[$meta:meta])* $field:ident: $ty:ty,)* })*) => {$(
        #[derive(Debug, Default, Deserialize)]
        #[serde(default, rename_all = "camelCase")]
        pub(super) struct $name {
            $($(#[$meta])* pub $field: $ty,)*
        }
    )*};
}

parts! {
    NodeSpec {
        #[serde(rename = "providerID")]
        provider_id: String,
    }
    NodeStatus {
        addresses: Vec<NodeAddress>,
        conditions: Vec<Condition>,
        daemon_endpoints: DaemonEndpoints,
    }
    NodeAddress {
        #[serde(rename = "type")]
        kind: String,
        address: String,
    }
    Condition {
        #[serde(rename = "type")]
        kind: String,
        status: String,
    }
    DaemonEndpoints {
        kubelet_endpoint: DaemonEndpoint,
    }
    DaemonEndpoint {
        #[serde(rename = "Port")]
        port: i64,
    }
    PodSpec {
        node_name: String,
        containers: Vec<Container>,
        init_containers: Vec<Container>,
    }
    Container {
        name: String,
        image: String,
        ports: Vec<ContainerPort>,
    }
    ContainerPort {
        name: String,
        container_port: i64,
        protocol: String,
    }
    PodStatus {
        phase: String,
        conditions: Vec<Condition>,
        #[serde(rename = "hostIP")]
        host_ip: String,
        #[serde(rename = "podIP")]
        pod_ip: String,
        container_statuses: Vec<ContainerStatus>,
        init_container_statuses: Vec<ContainerStatus>,
    }
    ContainerStatus {
        name: String,
        #[serde(rename = "containerID")]
        container_id: String,
    }
    ServiceSpec {
        #[serde(rename = "type")]
        kind: String,
        #[serde(rename = "clusterIP")]
        cluster_ip: String,
        external_name: String,
        #[serde(rename = "loadBalancerIP")]
        load_balancer_ip: String,
        ip_families: Vec<String>,
        ip_family_policy: String,
        ports: Vec<ServicePort>,
    }
    ServicePort {
        name: String,
        port: i64,
        protocol: String,
    }
    ServiceStatus {
        load_balancer: LoadBalancer,
    }
    LoadBalancer {
        ingress: Vec<LoadBalancerAddress>,
    }
    LoadBalancerAddress {
        ip: String,
    }
    Subset {
        addresses: Vec<EndpointAddress>,
        not_ready_addresses: Vec<EndpointAddress>,
        ports: Vec<EndpointPort>,
    }
    EndpointAddress {
        ip: String,
        hostname: String,
        node_name: Option<String>,
        target_ref: Option<Reference>,
    }
    Reference {
        kind: String,
        namespace: String,
        name: String,
    }
    EndpointPort {
        name: String,
        port: i64,
        protocol: String,
    }
    Endpoint {
        addresses: Vec<String>,
        conditions: EndpointConditions,
        hostname: Option<String>,
        target_ref: Option<Reference>,
        node_name: Option<String>,
        zone: Option<String>,
        deprecated_topology: BTreeMap<String, String>,
    }
    EndpointConditions {
        ready: Option<bool>,
        serving: Option<bool>,
        terminating: Option<bool>,
    }
    SlicePort {
        name: Option<String>,
        protocol: Option<String>,
        port: Option<i64>,
        app_protocol: Option<String>,
    }
    IngressSpec {
        ingress_class_name: Option<String>,
        tls: Vec<IngressTls>,
        rules: Vec<IngressRule>,
    }
    IngressTls {
        hosts: Vec<String>,
    }
    IngressRule {
        host: String,
        http: Option<IngressPaths>,
    }
    IngressPaths {
        paths: Vec<IngressPath>,
    }
    IngressPath {
        path: String,
    }
}
