//! `ecs_sd_configs`: the tasks of clusters of the Elastic Container Service.
//!
//! For each cluster with tasks: its services and tasks, the container instances on which the tasks run, and
//! the tasks' own network cards. If a cluster cannot be described, the round fails and its known targets are
//! kept; Prometheus drops them.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use ferula_config::discovery::{DiscoveryConfigs, EcsSdConfig};
use ferula_model::LabelSet;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::api::{PAGES_MAX, Service, concurrently, settings};
use super::ec2;
use crate::TargetGroup;
use crate::group::{Labels, host_port};
use crate::json::answers;
use crate::provider::{Context, ProviderError};
use crate::refresh::{Refresh, RefreshError};

pub(crate) struct Ecs {
    section: EcsSdConfig,
    service: Service,
    ec2: Service,
}

answers! { "camelCase":
    Arns {
        cluster_arns: Vec<String>,
        service_arns: Vec<String>,
        task_arns: Vec<String>,
        next_token: String,
    }
    Described {
        clusters: Vec<Cluster>,
        services: Vec<ServiceOfCluster>,
        tasks: Vec<Task>,
        container_instances: Vec<ContainerInstance>,
    }
    Cluster { cluster_arn: String, cluster_name: String, tags: Vec<Tag>, }
    ServiceOfCluster { service_arn: String, service_name: String, status: String, tags: Vec<Tag>, }
    ContainerInstance { container_instance_arn: String, ec2_instance_id: String, }
    Tag { key: Option<String>, value: Option<String>, }
    Task {
        task_arn: String,
        task_definition_arn: String,
        group: String,
        availability_zone: String,
        launch_type: String,
        desired_status: String,
        last_status: String,
        health_status: String,
        platform_family: String,
        platform_version: String,
        container_instance_arn: String,
        attachments: Vec<Attachment>,
        tags: Vec<Tag>,
    }
    Attachment {
        #[serde(rename = "type")]
        attachment_type: String,
        details: Vec<Detail>,
    }
    Detail { name: String, value: String, }
}

impl Task {
    /// The task's own network card.
    fn network_card(&self) -> Option<&Attachment> {
        self.attachments.iter().find(|one| one.attachment_type == "ElasticNetworkInterface")
    }
}

impl Attachment {
    /// A detail by its name, or "".
    fn detail(&self, name: &str) -> &str {
        let detail = self.details.iter().rfind(|detail| detail.name == name);
        detail.map_or("", |detail| detail.value.as_str())
    }
}

/// An EC2 instance.
#[derive(Default)]
struct Machine {
    private_ip: String,
    public_ip: String,
    subnet: String,
    instance_type: String,
    tags: Vec<(String, String)>,
}

/// Everything known about a cluster.
struct ClusterContents {
    cluster: Cluster,
    services: BTreeMap<String, ServiceOfCluster>,
    tasks: Vec<Task>,
    /// EC2 instance IDs by the ARN of the container instance.
    machine_ids: BTreeMap<String, String>,
    machines: BTreeMap<String, Machine>,
    /// Public addresses of network cards by their ID.
    public_ips: BTreeMap<String, String>,
}

impl Refresh for Ecs {
    type Section = EcsSdConfig;

    const MECHANISM: &'static str = "ecs";

    fn sections(configs: &DiscoveryConfigs) -> Vec<EcsSdConfig> {
        configs.ecs_sd_configs.clone()
    }

    fn interval(section: &EcsSdConfig) -> Duration {
        section.refresh_interval
    }

    fn new(section: EcsSdConfig, context: &Context) -> Result<Self, ProviderError> {
        let (settings, interval) = (settings!(section), section.refresh_interval);
        let service = Service::new("ecs", &section.endpoint, settings, &section.http, context, interval)?;
        let ec2 = service.beside("ec2");
        Ok(Ecs { section, service, ec2 })
    }

    async fn refresh(&mut self) -> Result<Vec<TargetGroup>, RefreshError> {
        let region = self.service.region().await?;
        let names = match &self.section.clusters[..] {
            [] => {
                let arns = self.arns("ListClusters", None, |page| page.cluster_arns).await;
                arns.map_err(|error| error.within("could not list clusters"))?
            }
            named => named.to_vec(),
        };
        let clusters = self.clusters(&names).await?;
        let requests = clusters.into_iter().map(|cluster| self.found(cluster)).collect();
        let found = concurrently(requests, self.section.request_concurrency).await?;
        let mut targets: Vec<LabelSet> = Vec::new();
        for found in found.into_iter().flatten() {
            let labels = found.tasks.iter().filter_map(|task| self.labels(&region, &found, task));
            targets.extend(labels.map(|labels| labels.to_set()));
        }
        Ok(vec![TargetGroup::of_targets(region, targets)])
    }
}

impl Ecs {
    async fn call<T: DeserializeOwned>(
        &self,
        action: &'static str,
        parameters: &Value,
    ) -> Result<T, RefreshError> {
        let target = match action {
            "ListClusters" => "AmazonEC2ContainerServiceV20141113.ListClusters",
            "ListServices" => "AmazonEC2ContainerServiceV20141113.ListServices",
            "ListTasks" => "AmazonEC2ContainerServiceV20141113.ListTasks",
            "DescribeClusters" => "AmazonEC2ContainerServiceV20141113.DescribeClusters",
            "DescribeServices" => "AmazonEC2ContainerServiceV20141113.DescribeServices",
            "DescribeTasks" => "AmazonEC2ContainerServiceV20141113.DescribeTasks",
            _ => "AmazonEC2ContainerServiceV20141113.DescribeContainerInstances",
        };
        self.service.call(target, parameters).await
    }

    /// Reads all pages of a list of ARNs.
    async fn arns(
        &self,
        action: &'static str,
        cluster: Option<&str>,
        list: impl Fn(Arns) -> Vec<String>,
    ) -> Result<Vec<String>, RefreshError> {
        let mut all = Vec::new();
        let mut parameters = json!({"maxResults": 100});
        if let Some(cluster) = cluster {
            parameters["cluster"] = json!(cluster);
        }
        for _ in 0..PAGES_MAX {
            let page: Arns = self.call(action, &parameters).await?;
            let next = page.next_token.clone();
            all.extend(list(page));
            if next.is_empty() {
                break;
            }
            parameters["nextToken"] = json!(next);
        }
        Ok(all)
    }

    /// Describes as many at a time as the service allows.
    async fn described<T>(
        &self,
        action: &'static str,
        names: &[String],
        batch: usize,
        parameters: impl Fn(&[String]) -> Value,
        list: impl Fn(Described) -> Vec<T>,
    ) -> Result<Vec<T>, RefreshError> {
        let bodies: Vec<Value> = names.chunks(batch).map(parameters).collect();
        let requests = bodies.iter().map(|body| self.call::<Described>(action, body)).collect();
        let pages = concurrently(requests, self.section.request_concurrency).await?;
        Ok(pages.into_iter().flat_map(list).collect())
    }

    async fn clusters(&self, names: &[String]) -> Result<Vec<Cluster>, RefreshError> {
        let body = |names: &[String]| json!({"clusters": names, "include": ["TAGS"]});
        let clusters = self.described("DescribeClusters", names, 100, body, |page| page.clusters).await;
        let clusters =
            clusters.map_err(|error| error.within(format!("could not describe clusters {names:?}")))?;
        Ok(clusters.into_iter().filter(|cluster| !cluster.cluster_arn.is_empty()).collect())
    }

    /// `None` for a cluster without tasks.
    async fn found(&self, cluster: Cluster) -> Result<Option<ClusterContents>, RefreshError> {
        let arn = cluster.cluster_arn.clone();
        let within = |what: &str, error: RefreshError| error.within(format!("{what} cluster {arn:?}"));
        let task_arns = self.arns("ListTasks", Some(&arn), |page| page.task_arns).await;
        let task_arns = task_arns.map_err(|error| within("could not list tasks for", error))?;
        if task_arns.is_empty() {
            return Ok(None);
        }
        let service_arns = self.arns("ListServices", Some(&arn), |page| page.service_arns).await;
        let service_arns = service_arns.map_err(|error| within("could not list services for", error))?;
        let body = |names: &[String]| json!({"cluster": arn, "services": names, "include": ["TAGS"]});
        let services =
            self.described("DescribeServices", &service_arns, 10, body, |page| page.services).await;
        let services = services.map_err(|error| within("could not describe services for", error))?;
        let body = |names: &[String]| json!({"cluster": arn, "tasks": names, "include": ["TAGS"]});
        let tasks = self.described("DescribeTasks", &task_arns, 100, body, |page| page.tasks).await;
        let tasks = tasks.map_err(|error| within("could not describe tasks in", error))?;
        let on: BTreeSet<&String> = tasks.iter().map(|task| &task.container_instance_arn).collect();
        let on: Vec<String> = on.into_iter().filter(|arn| !arn.is_empty()).cloned().collect();
        let body = |names: &[String]| json!({"cluster": arn, "containerInstances": names});
        let containers = self
            .described("DescribeContainerInstances", &on, 100, body, |page| page.container_instances)
            .await;
        let containers =
            containers.map_err(|error| error.within("could not describe container instances"))?;
        let machine_ids: BTreeMap<String, String> = containers
            .into_iter()
            .map(|container| (container.container_instance_arn, container.ec2_instance_id))
            .filter(|(_, id)| !id.is_empty())
            .collect();
        let machines = self.machines(machine_ids.values().collect()).await?;
        let public_ips = self.public_ips(&tasks).await?;
        let services = services.into_iter().map(|service| (service.service_name.clone(), service)).collect();
        Ok(Some(ClusterContents { cluster, services, tasks, machine_ids, machines, public_ips }))
    }

    async fn machines(&self, ids: BTreeSet<&String>) -> Result<BTreeMap<String, Machine>, RefreshError> {
        let mut machines = BTreeMap::new();
        if ids.is_empty() {
            return Ok(machines);
        }
        let numbered = (1..).zip(ids).map(|(at, id)| (format!("InstanceId.{at}"), id.clone()));
        let base: Vec<(String, String)> = numbered.collect();
        let mut parameters = base.clone();
        for _ in 0..PAGES_MAX {
            let page = self.ec2.query(ec2::VERSION, "DescribeInstances", &parameters).await;
            let page = page.map_err(|error| error.within("could not describe EC2 instances"))?;
            for (_, instance) in ec2::instances(&page)? {
                let text = |name: &str| instance.text_at(&[name]).to_owned();
                let machine = Machine {
                    private_ip: text("privateIpAddress"),
                    public_ip: text("ipAddress"),
                    subnet: text("subnetId"),
                    instance_type: text("instanceType"),
                    tags: ec2::tags(instance)
                        .map(|(key, value)| (key.to_owned(), value.to_owned()))
                        .collect(),
                };
                if !machine.private_ip.is_empty() {
                    machines.insert(text("instanceId"), machine);
                }
            }
            let next = page.root("DescribeInstancesResponse")?.text_at(&["nextToken"]).to_owned();
            if next.is_empty() {
                break;
            }
            parameters = [&base[..], &[("NextToken".to_owned(), next)]].concat();
        }
        Ok(machines)
    }

    async fn public_ips(&self, tasks: &[Task]) -> Result<BTreeMap<String, String>, RefreshError> {
        let mut public = BTreeMap::new();
        let cards = tasks
            .iter()
            .filter_map(|task| Some(task.network_card()?.detail("networkInterfaceId").to_owned()));
        let cards: Vec<String> = cards.filter(|id| !id.is_empty()).collect();
        for cards in cards.chunks(100) {
            let numbered = (1..).zip(cards).map(|(at, id)| (format!("NetworkInterfaceId.{at}"), id.clone()));
            let parameters: Vec<(String, String)> = numbered.collect();
            let answer = self.ec2.query(ec2::VERSION, "DescribeNetworkInterfaces", &parameters).await;
            let answer = answer.map_err(|error| error.within("could not describe network interfaces"))?;
            let root = answer.root("DescribeNetworkInterfacesResponse")?;
            for card in root.items("networkInterfaceSet", "item") {
                let ip = card.text_at(&["association", "publicIp"]).to_owned();
                public.insert(card.text_at(&["networkInterfaceId"]).to_owned(), ip);
            }
        }
        Ok(public)
    }

    /// `None` for a task without an address.
    fn labels(&self, region: &str, found: &ClusterContents, task: &Task) -> Option<Labels> {
        let machine_id = found.machine_ids.get(&task.container_instance_arn).map_or("", String::as_str);
        let none = Machine::default();
        let machine = found.machines.get(machine_id).unwrap_or(&none);
        let (mode, address, subnet, public_ip) = match task.network_card() {
            Some(card) => {
                let public = found.public_ips.get(card.detail("networkInterfaceId"));
                let public = public.map_or("", String::as_str);
                ("awsvpc", card.detail("privateIPv4Address"), card.detail("subnetId"), public)
            }
            None if task.container_instance_arn.is_empty() => ("", "", "", ""),
            None => ("bridge", &*machine.private_ip, &*machine.subnet, &*machine.public_ip),
        };
        if address.is_empty() {
            return None;
        }
        let cluster = &found.cluster;
        let mut labels = Labels::of([
            ("__address__", host_port(address, self.section.port)),
            ("__meta_ecs_ip_address", address.to_owned()),
            ("__meta_ecs_region", region.to_owned()),
            ("__meta_ecs_launch_type", task.launch_type.clone()),
            ("__meta_ecs_health_status", task.health_status.clone()),
            ("__meta_ecs_network_mode", mode.to_owned()),
            ("__meta_ecs_cluster_arn", cluster.cluster_arn.clone()),
            ("__meta_ecs_cluster", cluster.cluster_name.clone()),
            ("__meta_ecs_task_group", task.group.clone()),
            ("__meta_ecs_task_arn", task.task_arn.clone()),
            ("__meta_ecs_task_definition", task.task_definition_arn.clone()),
            ("__meta_ecs_availability_zone", task.availability_zone.clone()),
            ("__meta_ecs_desired_status", task.desired_status.clone()),
            ("__meta_ecs_last_status", task.last_status.clone()),
            ("__meta_ecs_subnet_id", subnet.to_owned()),
            ("__meta_ecs_container_instance_arn", task.container_instance_arn.clone()),
            ("__meta_ecs_ec2_instance_id", machine_id.to_owned()),
            ("__meta_ecs_ec2_instance_type", machine.instance_type.clone()),
            ("__meta_ecs_ec2_instance_private_ip", machine.private_ip.clone()),
            ("__meta_ecs_ec2_instance_public_ip", machine.public_ip.clone()),
            ("__meta_ecs_public_ip", public_ip.to_owned()),
            ("__meta_ecs_platform_family", task.platform_family.clone()),
            ("__meta_ecs_platform_version", task.platform_version.clone()),
        ]);
        set_tags(&mut labels, "__meta_ecs_tag_cluster_", &cluster.tags);
        let service = task.group.strip_prefix("service:").and_then(|name| found.services.get(name));
        if let Some(service) = service {
            labels.set("__meta_ecs_service", service.service_name.as_str());
            labels.set("__meta_ecs_service_arn", service.service_arn.as_str());
            labels.set("__meta_ecs_service_status", service.status.as_str());
            set_tags(&mut labels, "__meta_ecs_tag_service_", &service.tags);
        }
        set_tags(&mut labels, "__meta_ecs_tag_task_", &task.tags);
        for (key, value) in &machine.tags {
            labels.set_key("__meta_ecs_tag_ec2_", key, value.as_str());
        }
        Some(labels)
    }
}

fn set_tags(labels: &mut Labels, prefix: &str, tags: &[Tag]) {
    for tag in tags {
        if let (Some(key), Some(value)) = (&tag.key, &tag.value) {
            labels.set_key(prefix, key, value.as_str());
        }
    }
}
