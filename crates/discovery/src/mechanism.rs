//! The discovery mechanisms, one file each, and the table that the manager uses.
//!
//! A new mechanism is a module here, a line in [`table`], and its section in `ferula_config::discovery`.

mod aws;
mod azure;
mod consul;
mod digitalocean;
mod dns;
mod docker;
mod docker_api;
mod dockerswarm;
mod eureka;
pub mod file;
mod gce;
mod hetzner;
mod http;
mod ionos;
mod kubernetes;
mod kuma;
mod linode;
mod marathon;
mod nomad;
mod oci;
mod openstack;
mod outscale;
mod ovhcloud;
mod puppetdb;
mod scaleway;
mod stackit;
mod static_targets;
mod triton;
mod uyuni;
mod vultr;
mod zookeeper;

use crate::provider::Mechanism;
use crate::refresh::Refreshed;

/// Every mechanism that this build can run.
pub(crate) fn table() -> Vec<Mechanism> {
    vec![
        Mechanism::of::<Refreshed<aws::ByRole>>(),
        Mechanism::of::<Refreshed<azure::Azure>>(),
        Mechanism::of::<consul::Consul>(),
        Mechanism::of::<Refreshed<digitalocean::DigitalOcean>>(),
        Mechanism::of::<Refreshed<dns::Dns>>(),
        Mechanism::of::<Refreshed<docker::Docker>>(),
        Mechanism::of::<Refreshed<dockerswarm::DockerSwarm>>(),
        Mechanism::of::<Refreshed<aws::ec2::Ec2>>(),
        Mechanism::of::<Refreshed<aws::ecs::Ecs>>(),
        Mechanism::of::<Refreshed<aws::elasticache::Elasticache>>(),
        Mechanism::of::<Refreshed<eureka::Eureka>>(),
        Mechanism::of::<file::FileProvider>(),
        Mechanism::of::<Refreshed<gce::Gce>>(),
        Mechanism::of::<Refreshed<hetzner::Hetzner>>(),
        Mechanism::of::<Refreshed<http::HttpDiscovery>>(),
        Mechanism::of::<Refreshed<ionos::Ionos>>(),
        Mechanism::of::<kubernetes::Kubernetes>(),
        Mechanism::of::<kuma::Kuma>(),
        Mechanism::of::<Refreshed<aws::lightsail::Lightsail>>(),
        Mechanism::of::<Refreshed<linode::Linode>>(),
        Mechanism::of::<Refreshed<marathon::Marathon>>(),
        Mechanism::of::<Refreshed<aws::msk::Msk>>(),
        Mechanism::of::<zookeeper::Nerve>(),
        Mechanism::of::<Refreshed<nomad::Nomad>>(),
        Mechanism::of::<Refreshed<oci::Oci>>(),
        Mechanism::of::<Refreshed<openstack::OpenStack>>(),
        Mechanism::of::<Refreshed<outscale::Outscale>>(),
        Mechanism::of::<Refreshed<ovhcloud::OvhCloud>>(),
        Mechanism::of::<Refreshed<puppetdb::PuppetDb>>(),
        Mechanism::of::<Refreshed<aws::rds::Rds>>(),
        Mechanism::of::<Refreshed<scaleway::Scaleway>>(),
        Mechanism::of::<zookeeper::Serverset>(),
        Mechanism::of::<Refreshed<stackit::Stackit>>(),
        Mechanism::of::<static_targets::StaticTargets>(),
        Mechanism::of::<Refreshed<triton::Triton>>(),
        Mechanism::of::<Refreshed<uyuni::Uyuni>>(),
        Mechanism::of::<Refreshed<vultr::Vultr>>(),
    ]
}

#[cfg(test)]
pub(crate) use kubernetes::tests as kubernetes_tests;
#[cfg(test)]
pub(crate) mod tests;
