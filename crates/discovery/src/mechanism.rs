//! The discovery mechanisms, one file each, and the table that the manager reads.
//!
//! A new mechanism is a module here, a line in [`table`], and its section in `ferula_config::discovery`.

mod consul;
mod digitalocean;
mod dns;
mod docker;
mod docker_api;
mod dockerswarm;
pub mod file;
mod hetzner;
mod http;
mod kubernetes;
mod marathon;
mod nomad;
mod puppetdb;
mod static_targets;
mod vultr;

use crate::provider::Mechanism;
use crate::refresh::Refreshed;

/// Every mechanism that this build can run.
pub(crate) fn table() -> Vec<Mechanism> {
    vec![
        Mechanism::of::<consul::Consul>(),
        Mechanism::of::<Refreshed<digitalocean::DigitalOcean>>(),
        Mechanism::of::<Refreshed<dns::Dns>>(),
        Mechanism::of::<Refreshed<docker::Docker>>(),
        Mechanism::of::<Refreshed<dockerswarm::DockerSwarm>>(),
        Mechanism::of::<file::FileProvider>(),
        Mechanism::of::<Refreshed<hetzner::Hetzner>>(),
        Mechanism::of::<Refreshed<http::HttpDiscovery>>(),
        Mechanism::of::<kubernetes::Kubernetes>(),
        Mechanism::of::<Refreshed<marathon::Marathon>>(),
        Mechanism::of::<Refreshed<nomad::Nomad>>(),
        Mechanism::of::<Refreshed<puppetdb::PuppetDb>>(),
        Mechanism::of::<static_targets::StaticTargets>(),
        Mechanism::of::<Refreshed<vultr::Vultr>>(),
    ]
}

#[cfg(test)]
pub(crate) mod tests;
