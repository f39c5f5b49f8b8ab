//! `msk_sd_configs`: the brokers and controllers of Managed Streaming for Apache Kafka.

use std::collections::BTreeMap;
use std::time::Duration;

use ferula_config::discovery::{DiscoveryConfigs, MskSdConfig};
use ferula_go::url::{path_escape, query_escape};
use ferula_model::LabelSet;

use super::api::{PAGES_MAX, Service, concurrently, settings};
use crate::TargetGroup;
use crate::group::{Labels, host_port};
use crate::json::answers;
use crate::provider::{Context, ProviderError};
use crate::refresh::{Refresh, RefreshError};

pub(crate) struct Msk {
    section: MskSdConfig,
    service: Service,
}

answers! { "camelCase":
    ClusterPage { cluster_info_list: Vec<Cluster>, next_token: String, }
    OneCluster { cluster_info: Cluster, }
    Cluster {
        cluster_arn: String,
        cluster_name: String,
        state: String,
        cluster_type: String,
        current_version: String,
        tags: BTreeMap<String, String>,
        provisioned: Provisioned,
    }
    Provisioned { current_broker_software_info: Software, open_monitoring: OpenMonitoring, }
    Software { kafka_version: String, configuration_arn: String, configuration_revision: Option<i64>, }
    OpenMonitoring { prometheus: Exporters, }
    Exporters { jmx_exporter: Option<Exporter>, node_exporter: Option<Exporter>, }
    Exporter { enabled_in_broker: bool, }
    NodePage { node_info_list: Vec<Node>, next_token: String, }
    Node {
        #[serde(rename = "nodeARN")]
        node_arn: String,
        added_to_cluster_time: String,
        instance_type: String,
        broker_node_info: Option<Broker>,
        controller_node_info: Option<Controller>,
    }
    Broker {
        #[serde(rename = "attachedENIId")]
        attached_eni_id: String,
        broker_id: f64,
        client_subnet: String,
        client_vpc_ip_address: String,
        endpoints: Vec<String>,
    }
    Controller { endpoints: Vec<String>, }
}

impl Refresh for Msk {
    type Section = MskSdConfig;

    const MECHANISM: &'static str = "msk";

    fn sections(configs: &DiscoveryConfigs) -> Vec<MskSdConfig> {
        configs.msk_sd_configs.clone()
    }

    fn interval(section: &MskSdConfig) -> Duration {
        section.refresh_interval
    }

    fn new(section: MskSdConfig, context: &Context) -> Result<Self, ProviderError> {
        let (settings, interval) = (settings!(section), section.refresh_interval);
        let service = Service::new("kafka", &section.endpoint, settings, &section.http, context, interval)?;
        Ok(Msk { section, service })
    }

    async fn refresh(&mut self) -> Result<Vec<TargetGroup>, RefreshError> {
        let region = self.service.region().await?;
        let limit = self.section.request_concurrency;
        let clusters = match &self.section.clusters[..] {
            [] => self.all_clusters().await?,
            named => {
                let requests = named.iter().map(|arn| self.cluster(arn)).collect();
                let found = concurrently(requests, limit).await?;
                // Only provisioned clusters have reachable brokers.
                found.into_iter().filter(|cluster| cluster.cluster_type == "PROVISIONED").collect()
            }
        };
        let requests = clusters.iter().map(|cluster| self.nodes(&cluster.cluster_arn)).collect();
        let nodes = concurrently(requests, limit).await?;
        let mut targets = Vec::new();
        for (cluster, nodes) in clusters.iter().zip(&nodes) {
            for node in nodes {
                add_targets(&mut targets, cluster, node, self.section.port);
            }
        }
        Ok(vec![TargetGroup::of_targets(region, targets)])
    }
}

impl Msk {
    async fn all_clusters(&self) -> Result<Vec<Cluster>, RefreshError> {
        let mut all = Vec::new();
        let mut next = String::new();
        for _ in 0..PAGES_MAX {
            let path = format!("/api/v2/clusters?clusterTypeFilter=PROVISIONED&maxResults=100{next}");
            let page: Result<ClusterPage, _> = self.service.get("ListClustersV2", &path).await;
            let page = page.map_err(|error| error.within("could not list clusters"))?;
            all.extend(page.cluster_info_list);
            if page.next_token.is_empty() {
                break;
            }
            next = format!("&nextToken={}", query_escape(&page.next_token));
        }
        Ok(all)
    }

    async fn cluster(&self, arn: &str) -> Result<Cluster, RefreshError> {
        let path = format!("/api/v2/clusters/{}", segment(arn));
        let found: Result<OneCluster, _> = self.service.get("DescribeClusterV2", &path).await;
        let found = found.map_err(|error| error.within(format!("could not describe cluster {arn}")))?;
        Ok(found.cluster_info)
    }

    async fn nodes(&self, arn: &str) -> Result<Vec<Node>, RefreshError> {
        let mut all = Vec::new();
        let mut next = String::new();
        for _ in 0..PAGES_MAX {
            let path = format!("/v1/clusters/{}/nodes?maxResults=100{next}", segment(arn));
            let page: Result<NodePage, _> = self.service.get("ListNodes", &path).await;
            let what = || format!("could not list nodes for cluster {arn}");
            let page = page.map_err(|error| error.within(what()))?;
            all.extend(page.node_info_list);
            if page.next_token.is_empty() {
                break;
            }
            next = format!("&nextToken={}", query_escape(&page.next_token));
        }
        Ok(all)
    }
}

/// Encodes a path segment as AWS signs it: colons are encoded too.
fn segment(text: &str) -> String {
    path_escape(text).replace(':', "%3A")
}

fn add_targets(targets: &mut Vec<LabelSet>, cluster: &Cluster, node: &Node, port: i64) {
    let Provisioned { current_broker_software_info: software, open_monitoring } = &cluster.provisioned;
    let exporters = &open_monitoring.prometheus;
    let enabled = |exporter: &Option<Exporter>| {
        exporter.as_ref().map_or_else(String::new, |exporter| exporter.enabled_in_broker.to_string())
    };
    let revision = software.configuration_revision.map_or_else(String::new, |revision| revision.to_string());
    let mut labels = Labels::of([
        ("__meta_msk_cluster_name", cluster.cluster_name.clone()),
        ("__meta_msk_cluster_arn", cluster.cluster_arn.clone()),
        ("__meta_msk_cluster_state", cluster.state.clone()),
        ("__meta_msk_cluster_type", cluster.cluster_type.clone()),
        ("__meta_msk_cluster_version", cluster.current_version.clone()),
        ("__meta_msk_cluster_kafka_version", software.kafka_version.clone()),
        ("__meta_msk_cluster_configuration_arn", software.configuration_arn.clone()),
        ("__meta_msk_cluster_configuration_revision", revision),
        ("__meta_msk_cluster_jmx_exporter_enabled", enabled(&exporters.jmx_exporter)),
        ("__meta_msk_node_arn", node.node_arn.clone()),
        ("__meta_msk_node_added_time", node.added_to_cluster_time.clone()),
        ("__meta_msk_node_instance_type", node.instance_type.clone()),
    ]);
    labels.set_keys("__meta_msk_cluster_tag_", &cluster.tags);
    let (index, endpoints) = match (&node.broker_node_info, &node.controller_node_info) {
        (Some(broker), _) => {
            labels.extend(&Labels::of([
                ("__meta_msk_node_type", "BROKER".to_owned()),
                ("__meta_msk_node_attached_eni", broker.attached_eni_id.clone()),
                ("__meta_msk_broker_id", format!("{:.0}", broker.broker_id)),
                ("__meta_msk_broker_client_subnet", broker.client_subnet.clone()),
                ("__meta_msk_broker_client_vpc_ip", broker.client_vpc_ip_address.clone()),
                ("__meta_msk_broker_node_exporter_enabled", enabled(&exporters.node_exporter)),
            ]));
            ("__meta_msk_broker_endpoint_index", &broker.endpoints)
        }
        (None, Some(controller)) => {
            labels.set("__meta_msk_node_type", "CONTROLLER");
            ("__meta_msk_controller_endpoint_index", &controller.endpoints)
        }
        (None, None) => return,
    };
    for (at, endpoint) in endpoints.iter().enumerate() {
        labels.set(index, at.to_string());
        labels.set("__address__", host_port(endpoint, port));
        targets.push(labels.to_set());
    }
}
