//! `ec2_sd_configs`: the instances of EC2 in a region.

use std::collections::BTreeMap;
use std::time::Duration;

use ferula_config::discovery::{DiscoveryConfigs, Ec2SdConfig};

use super::api::{PAGES_MAX, Service, filters, settings};
use crate::TargetGroup;
use crate::group::{Labels, host_port, joined};
use crate::provider::{Context, ProviderError};
use crate::refresh::{Refresh, RefreshError};
use crate::xml::{Document, Element};

pub(super) const VERSION: &str = "2016-11-15";
const SEPARATOR: &str = ",";
/// No instance has this many network cards; a label repeats separators up to their index.
const DEVICE_INDEX_MAX: i64 = 1000;

pub(crate) struct Ec2 {
    section: Ec2SdConfig,
    service: Service,
    /// The IDs of availability zones by name, which differ between accounts. Requested until they are known.
    zone_ids: Option<BTreeMap<String, String>>,
}

impl Refresh for Ec2 {
    type Section = Ec2SdConfig;

    const MECHANISM: &'static str = "ec2";

    fn sections(configs: &DiscoveryConfigs) -> Vec<Ec2SdConfig> {
        configs.ec2_sd_configs.clone()
    }

    fn interval(section: &Ec2SdConfig) -> Duration {
        section.refresh_interval
    }

    fn new(section: Ec2SdConfig, context: &Context) -> Result<Self, ProviderError> {
        let settings = settings!(section);
        let interval = section.refresh_interval;
        let service = Service::new("ec2", &section.endpoint, settings, &section.http, context, interval)?;
        Ok(Ec2 { section, service, zone_ids: None })
    }

    async fn refresh(&mut self) -> Result<Vec<TargetGroup>, RefreshError> {
        let region = self.service.region().await?;
        if self.zone_ids.is_none() {
            // Not every role may list zones; the label is omitted then.
            self.zone_ids = self.zones().await.ok();
        }
        let wanted = self.section.filters.iter().map(|filter| (filter.name.as_str(), &filter.values[..]));
        let base = filters("Filter", "Value", wanted);
        let mut parameters = base.clone();
        let mut targets = Vec::new();
        for _ in 0..PAGES_MAX {
            let page = self.service.query(VERSION, "DescribeInstances", &parameters).await;
            let page = page.map_err(|error| error.within("could not describe instances"))?;
            for (owner, instance) in instances(&page)? {
                if let Some(labels) = self.labels(&region, owner, instance)? {
                    targets.push(labels.to_set());
                }
            }
            let next = page.root("DescribeInstancesResponse")?.text_at(&["nextToken"]);
            if next.is_empty() {
                break;
            }
            parameters = base.clone();
            parameters.push(("NextToken".to_owned(), next.to_owned()));
        }
        Ok(vec![TargetGroup::of_targets(region, targets)])
    }
}

/// The instances of a page, each with its account.
pub(super) fn instances(page: &Document) -> Result<Vec<(&str, &Element)>, RefreshError> {
    let root = page.root("DescribeInstancesResponse")?;
    let mut all = Vec::new();
    for reservation in root.items("reservationSet", "item") {
        let owner = reservation.text_at(&["ownerId"]);
        all.extend(reservation.items("instancesSet", "item").map(|instance| (owner, instance)));
    }
    Ok(all)
}

/// The IPv6 addresses of an instance in a VPC.
#[derive(Default)]
struct Ipv6<'e> {
    /// By the index of their network card.
    primary: Vec<&'e str>,
    all: Vec<&'e str>,
}

impl<'e> Ipv6<'e> {
    fn of(instance: &'e Element) -> Result<Self, RefreshError> {
        let mut found = Ipv6::default();
        if instance.child("vpcId").is_none() {
            return Ok(found);
        }
        for card in instance.items("networkInterfaceSet", "item") {
            if card.child("subnetId").is_none() {
                continue;
            }
            for address in card.items("ipv6AddressesSet", "item") {
                let text = address.text_at(&["ipv6Address"]);
                found.all.push(text);
                if address.text_at(&["isPrimaryIpv6"]) == "true" {
                    let index = card.at(&["attachment", "deviceIndex"]).map_or(Ok(0), Element::integer)?;
                    if !(0..=DEVICE_INDEX_MAX).contains(&index) {
                        return Err(RefreshError::Answer(format!("a network card with number {index}")));
                    }
                    // Cards without a primary address keep their position in the list.
                    let index = index as usize;
                    found.primary.resize(found.primary.len().max(index + 1), "");
                    found.primary[index] = text;
                }
            }
        }
        Ok(found)
    }

    fn first(&self) -> Option<&'e str> {
        self.primary.iter().chain(&self.all).find(|address| !address.is_empty()).copied()
    }
}

impl Ec2 {
    async fn zones(&self) -> Result<BTreeMap<String, String>, RefreshError> {
        let answer = self.service.query(VERSION, "DescribeAvailabilityZones", &[]).await?;
        let root = answer.root("DescribeAvailabilityZonesResponse")?;
        let pair =
            |zone: &Element| (zone.text_at(&["zoneName"]).to_owned(), zone.text_at(&["zoneId"]).to_owned());
        Ok(root.items("availabilityZoneInfo", "item").map(pair).collect())
    }

    /// `None` for an instance without an address.
    fn labels(&self, region: &str, owner: &str, instance: &Element) -> Result<Option<Labels>, RefreshError> {
        let text = |path: &[&str]| instance.text_at(path).to_owned();
        let ipv6 = Ipv6::of(instance)?;
        let private_ip = text(&["privateIpAddress"]);
        let address = match (private_ip.as_str(), ipv6.first()) {
            ("", None) => return Ok(None),
            ("", Some(address)) => address,
            (address, _) => address,
        };
        let zone = text(&["placement", "availabilityZone"]);
        let zone_id = self.zone_ids.as_ref().and_then(|ids| ids.get(&zone)).cloned().unwrap_or_default();
        let public_ip = text(&["ipAddress"]);
        let public_dns = if public_ip.is_empty() { String::new() } else { text(&["dnsName"]) };
        let mut labels = Labels::of([
            ("__address__", host_port(address, self.section.port)),
            ("__meta_ec2_instance_id", text(&["instanceId"])),
            ("__meta_ec2_region", region.to_owned()),
            ("__meta_ec2_owner_id", owner.to_owned()),
            ("__meta_ec2_default_ipv6_address", ipv6.first().unwrap_or_default().to_owned()),
            ("__meta_ec2_private_ip", private_ip),
            ("__meta_ec2_private_dns_name", text(&["privateDnsName"])),
            ("__meta_ec2_platform", text(&["platform"])),
            ("__meta_ec2_public_ip", public_ip),
            ("__meta_ec2_public_dns_name", public_dns),
            ("__meta_ec2_ami", text(&["imageId"])),
            ("__meta_ec2_availability_zone", zone),
            ("__meta_ec2_availability_zone_id", zone_id),
            ("__meta_ec2_instance_state", text(&["instanceState", "name"])),
            ("__meta_ec2_instance_type", text(&["instanceType"])),
            ("__meta_ec2_instance_lifecycle", text(&["instanceLifecycle"])),
            ("__meta_ec2_architecture", text(&["architecture"])),
        ]);
        for (name, addresses) in [("primary_ipv6_addresses", &ipv6.primary), ("ipv6_addresses", &ipv6.all)] {
            if !addresses.is_empty() {
                labels.set(&format!("__meta_ec2_{name}"), joined(addresses, SEPARATOR));
            }
        }
        if instance.child("vpcId").is_some() {
            labels.set("__meta_ec2_vpc_id", text(&["vpcId"]));
            labels.set("__meta_ec2_primary_subnet_id", text(&["subnetId"]));
            let mut subnets: Vec<&str> = Vec::new();
            for card in instance.items("networkInterfaceSet", "item") {
                if let Some(subnet) = card.child("subnetId").map(|subnet| subnet.text.as_str())
                    && !subnets.contains(&subnet)
                {
                    subnets.push(subnet);
                }
            }
            labels.set("__meta_ec2_subnet_id", joined(&subnets, SEPARATOR));
        }
        for (key, value) in tags(instance) {
            labels.set_key("__meta_ec2_tag_", key, value);
        }
        Ok(Some(labels))
    }
}

/// The tags of an instance.
pub(super) fn tags(instance: &Element) -> impl Iterator<Item = (&str, &str)> {
    instance.items("tagSet", "item").map(|tag| (tag.text_at(&["key"]), tag.text_at(&["value"])))
}
