//! `rds_sd_configs`: the instances of the database clusters of RDS.

use std::collections::BTreeMap;
use std::time::Duration;

use ferula_config::discovery::{DiscoveryConfigs, RdsSdConfig};
use ferula_model::LabelSet;

use super::api::{PAGES_MAX, Service, concurrently, filters, settings};
use super::query_labels::{RDS_CLUSTER, RDS_CLUSTER_TIMES, RDS_INSTANCE, RDS_INSTANCE_TIMES, set, set_times};
use crate::TargetGroup;
use crate::group::{Labels, host_port};
use crate::provider::{Context, ProviderError};
use crate::refresh::{Refresh, RefreshError};
use crate::xml::{Document, Element};

const VERSION: &str = "2014-10-31";

pub(crate) struct Rds {
    section: RdsSdConfig,
    service: Service,
}

impl Refresh for Rds {
    type Section = RdsSdConfig;

    const MECHANISM: &'static str = "rds";

    fn sections(configs: &DiscoveryConfigs) -> Vec<RdsSdConfig> {
        configs.rds_sd_configs.clone()
    }

    fn interval(section: &RdsSdConfig) -> Duration {
        section.refresh_interval
    }

    fn new(section: RdsSdConfig, context: &Context) -> Result<Self, ProviderError> {
        let (settings, interval) = (settings!(section), section.refresh_interval);
        let service = Service::new("rds", &section.endpoint, settings, &section.http, context, interval)?;
        Ok(Rds { section, service })
    }

    async fn refresh(&mut self) -> Result<Vec<TargetGroup>, RefreshError> {
        let region = self.service.region().await?;
        let limit = self.section.request_concurrency;
        let pages = match &self.section.clusters[..] {
            [] => {
                let pages = self.pages("DescribeDBClusters", Vec::new()).await;
                pages.map_err(|error| error.within("error describing all DB clusters"))?
            }
            named => {
                let requests = named.iter().map(|arn| self.named_cluster(arn)).collect();
                let pages = concurrently(requests, limit).await;
                let pages = pages.map_err(|error| error.within("error describing DB clusters"))?;
                pages.into_iter().flatten().collect()
            }
        };
        let mut clusters = Vec::new();
        for page in &pages {
            let list = page.root("DescribeDBClustersResponse")?.child("DescribeDBClustersResult");
            clusters.extend(list.into_iter().flat_map(|list| list.items("DBClusters", "DBCluster")));
        }
        clusters.retain(|cluster| !cluster.text_at(&["DBClusterArn"]).is_empty());
        let requests = clusters.iter().map(|cluster| self.instances(cluster)).collect();
        let found = concurrently(requests, limit).await;
        let found = found.map_err(|error| error.within("error describing DB instances"))?;
        let targets = found.into_iter().flatten().collect();
        Ok(vec![TargetGroup::of_targets(region, targets)])
    }
}

impl Rds {
    /// Reads all pages of a list.
    async fn pages(
        &self,
        action: &'static str,
        parameters: Vec<(String, String)>,
    ) -> Result<Vec<Document>, RefreshError> {
        let (response, result) = match action {
            "DescribeDBClusters" => ("DescribeDBClustersResponse", "DescribeDBClustersResult"),
            _ => ("DescribeDBInstancesResponse", "DescribeDBInstancesResult"),
        };
        let mut all = Vec::new();
        let mut marker = String::new();
        for _ in 0..PAGES_MAX {
            let mut parameters = parameters.clone();
            parameters.push(("MaxRecords".to_owned(), "100".to_owned()));
            if !marker.is_empty() {
                parameters.push(("Marker".to_owned(), marker));
            }
            let page = self.service.query(VERSION, action, &parameters).await?;
            marker = page.root(response)?.text_at(&[result, "Marker"]).to_owned();
            all.push(page);
            if marker.is_empty() {
                break;
            }
        }
        Ok(all)
    }

    async fn named_cluster(&self, arn: &str) -> Result<Vec<Document>, RefreshError> {
        let parameters = vec![("DBClusterIdentifier".to_owned(), arn.to_owned())];
        let pages = self.pages("DescribeDBClusters", parameters).await;
        pages.map_err(|error| error.within(format!("failed to describe DB cluster {arn}")))
    }

    async fn instances(&self, cluster: &Element) -> Result<Vec<LabelSet>, RefreshError> {
        let arn = cluster.text_at(&["DBClusterArn"]).to_owned();
        let id = [arn.clone()];
        let own = std::iter::once(("db-cluster-id", &id[..]));
        let more = self.section.filters.iter().map(|filter| (filter.name.as_str(), &filter.values[..]));
        let parameters = filters("Filters.Filter", "Values.Value", own.chain(more));
        let pages = self.pages("DescribeDBInstances", parameters).await;
        let pages = pages.map_err(|error| {
            error.within(format!("failed to describe DB instances for cluster ARN {arn}"))
        })?;
        let writers: BTreeMap<&str, &str> = cluster
            .items("DBClusterMembers", "DBClusterMember")
            .map(|member| (member.text_at(&["DBInstanceIdentifier"]), member.text_at(&["IsClusterWriter"])))
            .collect();
        let mut shared = Labels::default();
        set(&mut shared, "__meta_rds_cluster_", cluster, RDS_CLUSTER);
        set_times(&mut shared, "__meta_rds_cluster_", cluster, RDS_CLUSTER_TIMES);
        set_tags(&mut shared, "__meta_rds_cluster_tag_", cluster);
        let mut targets = Vec::new();
        for page in &pages {
            let list = page.root("DescribeDBInstancesResponse")?.child("DescribeDBInstancesResult");
            for instance in list.into_iter().flat_map(|list| list.items("DBInstances", "DBInstance")) {
                let mut labels = shared.clone();
                self.set_instance(&mut labels, instance);
                let writer = writers.get(instance.text_at(&["DBInstanceIdentifier"]));
                labels.set("__meta_rds_instance_is_cluster_writer", writer.copied().unwrap_or_default());
                targets.push(labels.to_set());
            }
        }
        Ok(targets)
    }

    fn set_instance(&self, labels: &mut Labels, instance: &Element) {
        const PREFIX: &str = "__meta_rds_instance_";
        set(labels, PREFIX, instance, RDS_INSTANCE);
        set_times(labels, PREFIX, instance, RDS_INSTANCE_TIMES);
        set_tags(labels, "__meta_rds_instance_tag_", instance);
        let address = instance.text_at(&["Endpoint", "Address"]);
        if !address.is_empty() && !instance.text_at(&["Endpoint", "Port"]).is_empty() {
            labels.set("__address__", host_port(address, self.section.port));
        }
    }
}

fn set_tags(labels: &mut Labels, prefix: &str, of: &Element) {
    for tag in of.items("TagList", "Tag") {
        labels.set_key(prefix, tag.text_at(&["Key"]), tag.text_at(&["Value"]));
    }
}
