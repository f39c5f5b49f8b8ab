//! Role `loadbalancer`: load balancers with a listener of the protocol `PROMETHEUS`.

use std::collections::HashMap;

use ferula_config::discovery::OpenStackSdConfig;
use ferula_model::LabelSet;

use super::session::Session;
use crate::group::{Labels, host_port};
use crate::json::answers;
use crate::refresh::RefreshError;

answers! { "snake_case":
    LoadBalancer {
        id: String,
        name: String,
        operating_status: String,
        provisioning_status: String,
        availability_zone: String,
        vip_address: String,
        vip_port_id: String,
        provider: String,
        project_id: String,
        tags: Vec<String>,
    }
    Listener { protocol: String, protocol_port: i64, loadbalancers: Vec<Reference>, }
    Reference { id: String, }
    FloatingIp { port_id: String, floating_ip_address: String, }
}

pub(super) async fn targets(
    session: &Session<'_>,
    section: &OpenStackSdConfig,
) -> Result<Vec<LabelSet>, RefreshError> {
    let balancing = session.endpoint("load-balancer", section);
    let balancing =
        balancing.map_err(|error| error.within("could not create OpenStack load balancer session"))?;
    // Some catalogs include the version already.
    let balancing = balancing.replace("v2.0/", "");
    let network = session.endpoint("network", section);
    let network = network.map_err(|error| error.within("could not create OpenStack network session"))?;
    let balancers = session.list(&format!("{balancing}v2.0/lbaas/loadbalancers"), "loadbalancers").await;
    let balancers: Vec<LoadBalancer> =
        balancers.map_err(|error| error.within("failed to list load balancers"))?;
    let listeners = session.list(&format!("{balancing}v2.0/lbaas/listeners"), "listeners").await;
    let listeners: Vec<Listener> = listeners.map_err(|error| error.within("failed to list all listeners"))?;
    let ips = session.list(&format!("{network}v2.0/floatingips"), "floatingips").await;
    let ips: Vec<FloatingIp> = ips.map_err(|error| error.within("failed to list floating IPs"))?;
    // The first such listener of each load balancer.
    let mut ports: HashMap<&str, i64> = HashMap::new();
    for listener in listeners.iter().filter(|listener| listener.protocol == "PROMETHEUS") {
        for balancer in &listener.loadbalancers {
            ports.entry(&balancer.id).or_insert(listener.protocol_port);
        }
    }
    let with_port = ips.iter().filter(|ip| !ip.port_id.is_empty());
    let floating: HashMap<&str, &str> =
        with_port.map(|ip| (ip.port_id.as_str(), ip.floating_ip_address.as_str())).collect();
    let labels = |balancer: &LoadBalancer| {
        let port = ports.get(balancer.id.as_str())?;
        let floating = floating.get(balancer.vip_port_id.as_str()).copied().unwrap_or_default();
        let labels = Labels::of([
            ("__address__", host_port(&balancer.vip_address, port)),
            ("__meta_openstack_loadbalancer_id", balancer.id.clone()),
            ("__meta_openstack_loadbalancer_name", balancer.name.clone()),
            ("__meta_openstack_loadbalancer_operating_status", balancer.operating_status.clone()),
            ("__meta_openstack_loadbalancer_provisioning_status", balancer.provisioning_status.clone()),
            ("__meta_openstack_loadbalancer_availability_zone", balancer.availability_zone.clone()),
            ("__meta_openstack_loadbalancer_vip", balancer.vip_address.clone()),
            ("__meta_openstack_loadbalancer_provider", balancer.provider.clone()),
            ("__meta_openstack_project_id", balancer.project_id.clone()),
            ("__meta_openstack_loadbalancer_tags", balancer.tags.join(",")),
            ("__meta_openstack_loadbalancer_floating_ip", floating.to_owned()),
        ]);
        Some(labels.to_set())
    };
    Ok(balancers.iter().filter_map(labels).collect())
}
