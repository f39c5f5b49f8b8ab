//! Role `instance`: the virtual machines, with a target for each fixed address.

use std::collections::{BTreeMap, HashMap, HashSet};

use ferula_config::discovery::OpenStackSdConfig;
use ferula_model::LabelSet;

use super::session::Session;
use crate::group::{Labels, host_port};
use crate::json::{Json, answers};
use crate::refresh::RefreshError;

answers! { "snake_case":
    Server {
        id: String,
        name: String,
        status: String,
        tenant_id: String,
        user_id: String,
        flavor: Json,
        /// "" for a server that boots from a volume.
        image: Json,
        metadata: BTreeMap<String, String>,
        addresses: BTreeMap<String, Json>,
    }
    Port { id: String, device_id: String, }
    FloatingIp { port_id: String, fixed_ip_address: String, floating_ip_address: String, }
}

/// The floating addresses of a region.
#[derive(Default)]
struct FloatingIps {
    /// By server ID and fixed address.
    by_fixed: HashMap<(String, String), String>,
    all: HashSet<String>,
}

pub(super) async fn targets(
    session: &Session<'_>,
    section: &OpenStackSdConfig,
) -> Result<Vec<LabelSet>, RefreshError> {
    let compute = session.endpoint("compute", section);
    let compute = compute.map_err(|error| error.within("could not create OpenStack compute session"))?;
    let network = session.endpoint("network", section);
    let network = network.map_err(|error| error.within("could not create OpenStack network session"))?;
    let floating = floating_ips(session, &network).await?;
    let all_tenants = if section.all_tenants { "?all_tenants=true" } else { "" };
    let url = format!("{compute}servers/detail{all_tenants}");
    let servers: Vec<Server> = session.list(&url, "servers").await?;
    let mut targets = Vec::new();
    for server in &servers {
        add_targets(&mut targets, server, &floating, section.port);
    }
    Ok(targets)
}

async fn floating_ips(session: &Session<'_>, network: &str) -> Result<FloatingIps, RefreshError> {
    let ports = session.list(&format!("{network}v2.0/ports"), "ports").await;
    let ports: Vec<Port> = ports.map_err(|error| error.within("failed to list all ports"))?;
    let devices: HashMap<&str, &str> =
        ports.iter().map(|port| (port.id.as_str(), port.device_id.as_str())).collect();
    let ips: Vec<FloatingIp> = session.list(&format!("{network}v2.0/floatingips"), "floatingips").await?;
    let mut floating = FloatingIps::default();
    // Unassigned ones have no port.
    for ip in ips.into_iter().filter(|ip| !ip.port_id.is_empty() && !ip.fixed_ip_address.is_empty()) {
        match devices.get(ip.port_id.as_str()) {
            Some(device) => {
                let key = ((*device).to_owned(), ip.fixed_ip_address);
                floating.all.insert(ip.floating_ip_address.clone());
                floating.by_fixed.insert(key, ip.floating_ip_address);
            }
            None => ferula_telemetry::warn!(
                "Floating IP PortID not found in portList",
                discovery = "openstack",
                PortID = ip.port_id
            ),
        }
    }
    Ok(floating)
}

fn add_targets(targets: &mut Vec<LabelSet>, server: &Server, floating: &FloatingIps, port: i64) {
    let mut shared = Labels::of([
        ("__meta_openstack_instance_id", server.id.as_str()),
        ("__meta_openstack_instance_status", &server.status),
        ("__meta_openstack_instance_name", &server.name),
        ("__meta_openstack_project_id", &server.tenant_id),
        ("__meta_openstack_user_id", &server.user_id),
        ("__meta_openstack_instance_image", server.image.text("id")),
    ]);
    // Version 2.47 of the API replaced the ID by the name.
    let flavor = ["original_name", "id"].into_iter().find_map(|key| match server.flavor.get(key) {
        Some(Json::Text(flavor)) => Some(flavor),
        _ => None,
    });
    let Some(flavor) = flavor else {
        ferula_telemetry::warn!(
            "Invalid type for both flavor original_name and flavor id, expected string",
            discovery = "openstack",
            instance = server.id
        );
        return;
    };
    shared.set("__meta_openstack_instance_flavor", flavor.as_str());
    shared.set_keys("__meta_openstack_tag_", &server.metadata);
    for (pool, addresses) in &server.addresses {
        let Json::Array(addresses) = addresses else { continue };
        for address in addresses.iter().map(|address| address.text("addr")) {
            if address.is_empty() || floating.all.contains(address) {
                continue;
            }
            let mut labels = shared.clone();
            labels.set("__meta_openstack_address_pool", pool.as_str());
            labels.set("__meta_openstack_private_ip", address);
            if let Some(public) = floating.by_fixed.get(&(server.id.clone(), address.to_owned())) {
                labels.set("__meta_openstack_public_ip", public.as_str());
            }
            labels.set("__address__", host_port(address, port));
            targets.push(labels.to_set());
        }
    }
}
