//! `digitalocean_sd_configs`: droplets or managed databases of a DigitalOcean account.

use std::time::Duration;

use ferula_config::discovery::{DigitalOceanSdConfig, DiscoveryConfigs};
use ferula_model::LabelSet;
use serde::Deserialize;

use crate::TargetGroup;
use crate::api_client::ApiClient;
use crate::group::{Labels, host_port, joined};
use crate::provider::{Context, ProviderError};
use crate::refresh::{Refresh, RefreshError};

const API: &str = "https://api.digitalocean.com";
const SEPARATOR: &str = ",";
/// No account has this many pages; stops an API that always names another page.
const PAGES_MAX: u32 = 10_000;

pub(crate) struct DigitalOcean {
    section: DigitalOceanSdConfig,
    api: ApiClient,
    base: String,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Droplets {
    droplets: Vec<Droplet>,
    links: Links,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Links {
    pages: Pages,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Pages {
    last: String,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Droplet {
    id: i64,
    name: String,
    size_slug: String,
    status: String,
    vpc_uuid: String,
    image: Image,
    region: Region,
    features: Vec<String>,
    tags: Vec<String>,
    networks: Networks,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Image {
    name: String,
    slug: String,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Region {
    slug: String,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Networks {
    v4: Vec<Address>,
    v6: Vec<Address>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Address {
    ip_address: String,
    #[serde(rename = "type")]
    kind: String,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Databases {
    databases: Vec<Database>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Database {
    id: String,
    name: String,
    engine: String,
    version: String,
    status: String,
    region: String,
    size: String,
    num_nodes: i64,
    connection: Option<Connection>,
    private_connection: Option<Connection>,
    tags: Vec<String>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Connection {
    host: String,
}

impl Refresh for DigitalOcean {
    type Section = DigitalOceanSdConfig;

    const MECHANISM: &'static str = "digitalocean";

    fn sections(configs: &DiscoveryConfigs) -> Vec<DigitalOceanSdConfig> {
        configs.digitalocean_sd_configs.clone()
    }

    fn interval(section: &DigitalOceanSdConfig) -> Duration {
        section.refresh_interval
    }

    fn new(section: DigitalOceanSdConfig, context: &Context) -> Result<Self, ProviderError> {
        let api = ApiClient::new(&section.http, context, section.refresh_interval)?;
        Ok(DigitalOcean { section, api, base: context.service_url(API) })
    }

    async fn refresh(&mut self) -> Result<Vec<TargetGroup>, RefreshError> {
        Ok(vec![match self.section.role.as_str() {
            "databases" => TargetGroup::of_targets("DigitalOcean Databases", self.databases().await?),
            _ => TargetGroup::of_targets("DigitalOcean", self.droplets().await?),
        }])
    }
}

impl DigitalOcean {
    async fn droplets(&self) -> Result<Vec<LabelSet>, RefreshError> {
        let mut targets = Vec::new();
        for page in 1..=PAGES_MAX {
            let url = format!("{}/v2/droplets?page={page}&per_page=200", self.base);
            let answer: Droplets = self.api.get_json(&url).await.map_err(|error| {
                RefreshError::Answer(format!("error while listing droplets page {page}: {error}"))
            })?;
            let found = answer.droplets.iter().filter(|droplet| !droplet.networks.v4.is_empty());
            targets.extend(found.map(|droplet| self.droplet_labels(droplet).to_set()));
            if answer.links.pages.last.is_empty() {
                break;
            }
        }
        Ok(targets)
    }

    fn droplet_labels(&self, droplet: &Droplet) -> Labels {
        let first = |addresses: &[Address], kind: &str| {
            let found = addresses.iter().find(|address| address.kind == kind);
            found.map_or_else(String::new, |address| address.ip_address.clone())
        };
        let public = first(&droplet.networks.v4, "public");
        let mut labels = Labels::of([
            ("__address__", host_port(&public, self.section.port)),
            ("__meta_digitalocean_droplet_id", droplet.id.to_string()),
            ("__meta_digitalocean_droplet_name", droplet.name.clone()),
            ("__meta_digitalocean_image", droplet.image.slug.clone()),
            ("__meta_digitalocean_image_name", droplet.image.name.clone()),
            ("__meta_digitalocean_private_ipv4", first(&droplet.networks.v4, "private")),
            ("__meta_digitalocean_public_ipv4", public),
            ("__meta_digitalocean_public_ipv6", first(&droplet.networks.v6, "public")),
            ("__meta_digitalocean_region", droplet.region.slug.clone()),
            ("__meta_digitalocean_size", droplet.size_slug.clone()),
            ("__meta_digitalocean_status", droplet.status.clone()),
            ("__meta_digitalocean_vpc", droplet.vpc_uuid.clone()),
        ]);
        for (name, values) in [("features", &droplet.features), ("tags", &droplet.tags)] {
            if !values.is_empty() {
                labels.set(&format!("__meta_digitalocean_{name}"), joined(values, SEPARATOR));
            }
        }
        labels
    }

    async fn databases(&self) -> Result<Vec<LabelSet>, RefreshError> {
        let mut targets = Vec::new();
        for page in 1..=PAGES_MAX {
            let url = format!("{}/v2/databases?page={page}&per_page=100", self.base);
            let answer: Databases = self.api.get_json(&url).await.map_err(|error| {
                RefreshError::Answer(format!("error while listing database clusters page {page}: {error}"))
            })?;
            // This list does not mark its last page.
            if answer.databases.is_empty() {
                break;
            }
            targets.extend(answer.databases.iter().map(|database| self.database_labels(database).to_set()));
        }
        Ok(targets)
    }

    fn database_labels(&self, database: &Database) -> Labels {
        let host = |connection: &Option<Connection>| {
            connection.as_ref().map_or_else(String::new, |connection| connection.host.clone())
        };
        let (private, public) = (host(&database.private_connection), host(&database.connection));
        let best = if private.is_empty() { &public } else { &private };
        let address = if best.is_empty() { String::new() } else { host_port(best, self.section.port) };
        let mut labels = Labels::of([
            ("__address__", address),
            ("__meta_digitalocean_db_id", database.id.clone()),
            ("__meta_digitalocean_db_name", database.name.clone()),
            ("__meta_digitalocean_db_engine", database.engine.clone()),
            ("__meta_digitalocean_db_version", database.version.clone()),
            ("__meta_digitalocean_db_status", database.status.clone()),
            ("__meta_digitalocean_db_region", database.region.clone()),
            ("__meta_digitalocean_db_size", database.size.clone()),
            ("__meta_digitalocean_db_num_nodes", database.num_nodes.to_string()),
            ("__meta_digitalocean_db_host", public),
            ("__meta_digitalocean_db_private_host", private),
        ]);
        for tag in &database.tags {
            labels.set(&format!("__meta_digitalocean_db_tag_{tag}"), "true");
        }
        labels
    }
}

#[cfg(test)]
mod tests;
