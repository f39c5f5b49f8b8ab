//! Role `hypervisor`: the machines on which instances run.

use ferula_config::discovery::OpenStackSdConfig;
use ferula_model::LabelSet;

use super::session::Session;
use crate::group::{Labels, host_port};
use crate::json::{Json, answers};
use crate::refresh::RefreshError;

answers! { "snake_case":
    Hypervisor {
        id: Json,
        hypervisor_hostname: String,
        host_ip: String,
        status: String,
        state: String,
        hypervisor_type: String,
    }
}

pub(super) async fn targets(
    session: &Session<'_>,
    section: &OpenStackSdConfig,
) -> Result<Vec<LabelSet>, RefreshError> {
    let compute = session.endpoint("compute", section);
    let compute = compute.map_err(|error| error.within("could not create OpenStack compute session"))?;
    let url = format!("{compute}os-hypervisors/detail");
    let hypervisors: Vec<Hypervisor> = session.list(&url, "hypervisors").await?;
    let labels = |hypervisor: &Hypervisor| {
        Labels::of([
            ("__address__", host_port(&hypervisor.host_ip, section.port)),
            // A number, or a UUID since version 2.53 of the API.
            ("__meta_openstack_hypervisor_id", hypervisor.id.scalar()),
            ("__meta_openstack_hypervisor_hostname", hypervisor.hypervisor_hostname.clone()),
            ("__meta_openstack_hypervisor_host_ip", hypervisor.host_ip.clone()),
            ("__meta_openstack_hypervisor_status", hypervisor.status.clone()),
            ("__meta_openstack_hypervisor_state", hypervisor.state.clone()),
            ("__meta_openstack_hypervisor_type", hypervisor.hypervisor_type.clone()),
        ])
    };
    Ok(hypervisors.iter().map(|hypervisor| labels(hypervisor).to_set()).collect())
}
