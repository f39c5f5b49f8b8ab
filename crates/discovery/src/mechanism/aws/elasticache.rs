//! `elasticache_sd_configs`: the nodes of cache clusters, and the serverless caches of ElastiCache.

use std::collections::BTreeMap;
use std::time::Duration;

use ferula_config::discovery::{DiscoveryConfigs, ElasticacheSdConfig};
use ferula_model::LabelSet;

use super::api::{PAGES_MAX, Service, concurrently, settings};
use super::query_labels::{
    CACHE_CLUSTER, CACHE_CLUSTER_TIMES, CACHE_NODE, CACHE_NODE_TIMES, SERVERLESS, SERVERLESS_TIMES, set,
    set_times,
};
use crate::TargetGroup;
use crate::group::{Labels, host_port};
use crate::provider::{Context, ProviderError};
use crate::refresh::{Refresh, RefreshError};
use crate::xml::{Document, Element};

const VERSION: &str = "2015-02-02";
const CLUSTER: &str = "__meta_elasticache_cache_cluster_";
const CACHE: &str = "__meta_elasticache_serverless_cache_";

pub(crate) struct Elasticache {
    section: ElasticacheSdConfig,
    service: Service,
}

/// The tags of caches by their ARN.
type Tags = BTreeMap<String, Vec<(String, String)>>;

impl Refresh for Elasticache {
    type Section = ElasticacheSdConfig;

    const MECHANISM: &'static str = "elasticache";

    fn sections(configs: &DiscoveryConfigs) -> Vec<ElasticacheSdConfig> {
        configs.elasticache_sd_configs.clone()
    }

    fn interval(section: &ElasticacheSdConfig) -> Duration {
        section.refresh_interval
    }

    fn new(section: ElasticacheSdConfig, context: &Context) -> Result<Self, ProviderError> {
        let (settings, interval) = (settings!(section), section.refresh_interval);
        let endpoint = &section.endpoint;
        let service = Service::new("elasticache", endpoint, settings, &section.http, context, interval)?;
        Ok(Elasticache { section, service })
    }

    async fn refresh(&mut self) -> Result<Vec<TargetGroup>, RefreshError> {
        let region = self.service.region().await?;
        let (serverless, clusters) = self.named();
        let serverless = self.serverless_pages(&serverless).await;
        let serverless = serverless.map_err(|error| error.within("failed to describe serverless caches"))?;
        let clusters = self.cluster_pages(&clusters).await;
        let clusters = clusters.map_err(|error| error.within("failed to describe cache clusters"))?;
        let caches = elements(&serverless, "DescribeServerlessCaches", "ServerlessCaches")?;
        let clusters = elements(&clusters, "DescribeCacheClusters", "CacheClusters")?;
        let all = caches.iter().chain(&clusters).map(|cache| cache.text_at(&["ARN"]));
        let tags = self.tags(all.filter(|arn| !arn.is_empty()).collect()).await;
        let tags = tags.map_err(|error| error.within("failed to list tags for resources"))?;
        let mut targets: Vec<LabelSet> = caches.iter().map(|cache| serverless_labels(cache, &tags)).collect();
        clusters.iter().for_each(|cluster| add_nodes(&mut targets, cluster, &tags));
        Ok(vec![TargetGroup::of_targets(region, targets)])
    }
}

/// The items of a list over all its pages.
fn elements<'d>(
    pages: &'d [(&'static str, Document)],
    action: &str,
    list: &str,
) -> Result<Vec<&'d Element>, RefreshError> {
    let mut all = Vec::new();
    for (root, page) in pages {
        let list = page.root(root)?.at(&[&format!("{action}Result"), list]);
        all.extend(list.into_iter().flat_map(|list| &list.children));
    }
    Ok(all)
}

impl Elasticache {
    /// The names of serverless caches and of clusters in the section's ARNs.
    fn named(&self) -> (Vec<&str>, Vec<&str>) {
        let (mut serverless, mut clusters) = (Vec::new(), Vec::new());
        for arn in self.section.clusters.iter().filter(|arn| !arn.is_empty()) {
            let parts: Vec<&str> = arn.split(':').collect();
            match (parts.get(5), parts.get(6)) {
                (Some(&"serverlesscache"), Some(name)) => serverless.push(*name),
                (Some(&"replicationgroup"), Some(name)) => clusters.push(*name),
                (_, Some(_)) => {}
                (_, None) => ferula_telemetry::warn!(
                    "Skipping invalid ElastiCache ARN",
                    discovery = Self::MECHANISM,
                    arn = arn
                ),
            }
        }
        (serverless, clusters)
    }

    /// Reads all pages of a list; `token` names the element with the position of the next page.
    async fn pages(
        &self,
        action: &'static str,
        token: &'static str,
        parameters: &[(&str, &str)],
    ) -> Result<Vec<(&'static str, Document)>, RefreshError> {
        let (root, result) = match action {
            "DescribeServerlessCaches" => {
                ("DescribeServerlessCachesResponse", "DescribeServerlessCachesResult")
            }
            _ => ("DescribeCacheClustersResponse", "DescribeCacheClustersResult"),
        };
        let mut all = Vec::new();
        let mut next = String::new();
        for _ in 0..PAGES_MAX {
            let own = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
            let mut parameters: Vec<(String, String)> = parameters.iter().map(own).collect();
            if !next.is_empty() {
                parameters.push((token.to_owned(), next));
            }
            let page = self.service.query(VERSION, action, &parameters).await?;
            next = page.root(root)?.text_at(&[result, token]).to_owned();
            all.push((root, page));
            if next.is_empty() {
                break;
            }
        }
        Ok(all)
    }

    async fn serverless_pages(&self, names: &[&str]) -> Result<Vec<(&'static str, Document)>, RefreshError> {
        const ACTION: &str = "DescribeServerlessCaches";
        if names.is_empty() {
            return self.pages(ACTION, "NextToken", &[("MaxResults", "50")]).await;
        }
        let lists: Vec<[(&str, &str); 2]> =
            names.iter().map(|name| [("MaxResults", "50"), ("ServerlessCacheName", *name)]).collect();
        let requests = lists.iter().map(|parameters| self.pages(ACTION, "NextToken", parameters)).collect();
        let pages = concurrently(requests, self.section.request_concurrency).await?;
        Ok(pages.into_iter().flatten().collect())
    }

    /// Clusters in replication groups are listed separately from the others.
    async fn cluster_pages(&self, names: &[&str]) -> Result<Vec<(&'static str, Document)>, RefreshError> {
        let mut lists = Vec::new();
        for outside in ["false", "true"] {
            let shared = vec![
                ("MaxRecords", "100"),
                ("ShowCacheNodeInfo", "true"),
                ("ShowCacheClustersNotInReplicationGroups", outside),
            ];
            if names.is_empty() {
                lists.push(shared);
            } else {
                for name in names {
                    let mut parameters = shared.clone();
                    parameters.push(("CacheClusterId", *name));
                    lists.push(parameters);
                }
            }
        }
        let requests = lists
            .iter()
            .map(|parameters| self.pages("DescribeCacheClusters", "Marker", parameters))
            .collect();
        let pages = concurrently(requests, self.section.request_concurrency).await?;
        Ok(pages.into_iter().flatten().collect())
    }

    async fn tags(&self, arns: Vec<&str>) -> Result<Tags, RefreshError> {
        let requests = arns.into_iter().map(|arn| self.tags_of(arn)).collect();
        Ok(concurrently(requests, self.section.request_concurrency).await?.into_iter().collect())
    }

    async fn tags_of(&self, arn: &str) -> Result<(String, Vec<(String, String)>), RefreshError> {
        let parameters = [("ResourceName".to_owned(), arn.to_owned())];
        let answer = self.service.query(VERSION, "ListTagsForResource", &parameters).await;
        let answer =
            answer.map_err(|error| error.within(format!("failed to list tags for resource {arn}")))?;
        let list = answer.root("ListTagsForResourceResponse")?.at(&["ListTagsForResourceResult", "TagList"]);
        let pair = |tag: &Element| (tag.text_at(&["Key"]).to_owned(), tag.text_at(&["Value"]).to_owned());
        Ok((arn.to_owned(), list.into_iter().flat_map(|list| &list.children).map(pair).collect()))
    }
}

fn set_tags(labels: &mut Labels, prefix: &str, of: &Element, tags: &Tags) {
    for (key, value) in tags.get(of.text_at(&["ARN"])).into_iter().flatten() {
        labels.set_key(prefix, key, value.as_str());
    }
}

/// Sets `PREFIX_0`, `PREFIX_1` … to the texts of a list.
fn set_list(labels: &mut Labels, prefix: &str, of: &Element, list: &str, path: &[&str]) {
    for (at, item) in of.child(list).into_iter().flat_map(|list| &list.children).enumerate() {
        labels.set(&format!("{prefix}_{at}"), item.text_at(path));
    }
}

fn set_address(labels: &mut Labels, of: &Element) {
    let (host, port) = (of.text_at(&["Endpoint", "Address"]), of.text_at(&["Endpoint", "Port"]));
    if !host.is_empty() && !port.is_empty() {
        labels.set("__address__", host_port(host, port));
    }
}

fn serverless_labels(cache: &Element, tags: &Tags) -> LabelSet {
    let mut labels = Labels::of([("__meta_elasticache_deployment_option", "serverless")]);
    set(&mut labels, CACHE, cache, SERVERLESS);
    set_times(&mut labels, CACHE, cache, SERVERLESS_TIMES);
    set_list(&mut labels, &format!("{CACHE}security_group_id"), cache, "SecurityGroupIds", &[]);
    set_list(&mut labels, &format!("{CACHE}subnet_id"), cache, "SubnetIds", &[]);
    set_tags(&mut labels, &format!("{CACHE}tag_"), cache, tags);
    set_address(&mut labels, cache);
    labels.to_set()
}

/// One target for each node of a cluster.
fn add_nodes(targets: &mut Vec<LabelSet>, cluster: &Element, tags: &Tags) {
    let mut shared = Labels::of([("__meta_elasticache_deployment_option", "node")]);
    set(&mut shared, CLUSTER, cluster, CACHE_CLUSTER);
    set_times(&mut shared, CLUSTER, cluster, CACHE_CLUSTER_TIMES);
    for (label, path) in [
        ("destination_type", &["DestinationType"] as &[&str]),
        ("log_format", &["LogFormat"]),
        ("log_type", &["LogType"]),
        ("status", &["Status"]),
        ("message", &["Message"]),
        ("log_group", &["DestinationDetails", "CloudWatchLogsDetails", "LogGroup"]),
        ("delivery_stream", &["DestinationDetails", "KinesisFirehoseDetails", "DeliveryStream"]),
    ] {
        let prefix = format!("{CLUSTER}log_delivery_configuration_{label}");
        set_list(&mut shared, &prefix, cluster, "LogDeliveryConfigurations", path);
    }
    let removed = cluster.at(&["PendingModifiedValues", "CacheNodeIdsToRemove"]);
    let removed = removed.into_iter().flat_map(|list| &list.children).map(|id| id.text.as_str());
    let removed = removed.collect::<Vec<_>>().join(",");
    shared.set(&format!("{CLUSTER}pending_modified_values_cache_node_ids_to_remove"), removed);
    for (label, field) in [("id", "SecurityGroupId"), ("status", "Status")] {
        let prefix = format!("{CLUSTER}security_group_membership_{label}");
        set_list(&mut shared, &prefix, cluster, "SecurityGroups", &[field]);
    }
    set_tags(&mut shared, &format!("{CLUSTER}tag_"), cluster, tags);
    for node in cluster.child("CacheNodes").into_iter().flat_map(|nodes| &nodes.children) {
        let mut labels = shared.clone();
        let prefix = format!("{CLUSTER}node_");
        set(&mut labels, &prefix, node, CACHE_NODE);
        set_times(&mut labels, &prefix, node, CACHE_NODE_TIMES);
        set_address(&mut labels, node);
        targets.push(labels.to_set());
    }
}
