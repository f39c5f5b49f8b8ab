//! Sections that configure how targets are found: `static_configs` and the `<x>_sd_configs`.
//!
//! Every mechanism of Prometheus is read and checked here; `ferula-discovery` runs them.

mod cloud;
mod general;
mod kubernetes;

use ferula_go::quote::go_quote;

use crate::error::{ConfigError, Problem};
use crate::scalars::TargetLabels;
use crate::section::section;
use crate::yaml::decode::{Decoder, Value, decode_document};
use crate::yaml::emit::PrintedValue;
use crate::yaml::tree::NodeId;

pub use cloud::*;
pub use general::*;
pub use kubernetes::*;

section! {
    /// The keys of a target group.
    pub(crate) struct TargetGroupKeys as "*targetgroup.Group" read as "struct { Targets []string \"yaml:\\\"targets\\\"\"; Labels model.LabelSet \"yaml:\\\"labels\\\"\" }" {
        keep targets: Vec<String>;
        omit labels: TargetLabels;
    }
}

/// Targets with labels that they share, as in `static_configs` and in target files.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TargetGroup {
    /// Addresses, as `host:port`.
    pub targets: Vec<String>,
    /// Labels of all of them.
    pub labels: TargetLabels,
    /// The item is `null`; `{}` is an empty group.
    null: bool,
}

impl Value for TargetGroup {
    fn zero() -> Self {
        TargetGroup { null: true, ..TargetGroup::default() }
    }

    fn decode(&mut self, id: NodeId, d: &mut Decoder<'_>) -> Result<(), Problem> {
        let mut keys = TargetGroupKeys::default();
        keys.decode(id, d)?;
        *self = TargetGroup { targets: keys.targets, labels: keys.labels, null: false };
        Ok(())
    }

    fn go_type() -> String {
        TargetGroupKeys::go_type()
    }

    fn is_zero(&self) -> bool {
        self.null
    }

    fn print(&self) -> PrintedValue {
        TargetGroupKeys { targets: self.targets.clone(), labels: self.labels.clone() }.print()
    }
}

/// Makes the struct of all mechanisms, their checks for null items, and their list.
macro_rules! mechanisms {
    ($($field:ident: $ty:ty;)*) => {
        section! {
            /// Everything that finds targets, by mechanism.
            pub struct DiscoveryConfigs as "discovery.Configs" {
                $(omit $field: Vec<$ty>;)*
            }
        }

        impl DiscoveryConfigs {
            /// Each mechanism's key with the number of its sections, in the order of the keys.
            pub fn counts(&self) -> impl Iterator<Item = (&'static str, usize)> {
                [$((stringify!($field), self.$field.len()),)*].into_iter()
            }

            fn no_null_sections(&self) -> Result<(), Problem> {
                $(if let Some(index) = self.$field.iter().position(Value::is_zero) {
                    let key = stringify!($field);
                    return Err(Problem::new(format!("empty or null section in {key}")).at_item(key, index));
                })*
                Ok(())
            }
        }
    };
}

mechanisms! {
    aws_sd_configs: AwsSdConfig;
    azure_sd_configs: AzureSdConfig;
    consul_sd_configs: ConsulSdConfig;
    digitalocean_sd_configs: DigitalOceanSdConfig;
    dns_sd_configs: DnsSdConfig;
    docker_sd_configs: DockerSdConfig;
    dockerswarm_sd_configs: DockerSwarmSdConfig;
    ec2_sd_configs: Ec2SdConfig;
    ecs_sd_configs: EcsSdConfig;
    elasticache_sd_configs: ElasticacheSdConfig;
    eureka_sd_configs: EurekaSdConfig;
    file_sd_configs: FileSdConfig;
    gce_sd_configs: GceSdConfig;
    hetzner_sd_configs: HetznerSdConfig;
    http_sd_configs: HttpSdConfig;
    ionos_sd_configs: IonosSdConfig;
    kubernetes_sd_configs: KubernetesSdConfig;
    kuma_sd_configs: KumaSdConfig;
    lightsail_sd_configs: LightsailSdConfig;
    linode_sd_configs: LinodeSdConfig;
    marathon_sd_configs: MarathonSdConfig;
    msk_sd_configs: MskSdConfig;
    nerve_sd_configs: NerveSdConfig;
    nomad_sd_configs: NomadSdConfig;
    oci_sd_configs: OciSdConfig;
    openstack_sd_configs: OpenStackSdConfig;
    outscale_sd_configs: OutscaleSdConfig;
    ovhcloud_sd_configs: OvhCloudSdConfig;
    puppetdb_sd_configs: PuppetDbSdConfig;
    rds_sd_configs: RdsSdConfig;
    scaleway_sd_configs: ScalewaySdConfig;
    serverset_sd_configs: ServersetSdConfig;
    stackit_sd_configs: StackitSdConfig;
    static_configs: TargetGroup;
    triton_sd_configs: TritonSdConfig;
    uyuni_sd_configs: UyuniSdConfig;
    vultr_sd_configs: VultrSdConfig;
}

impl DiscoveryConfigs {
    /// Refuses null items, and targets that are URLs. A job with relabel rules may have such targets: a rule can
    /// take them apart.
    pub(crate) fn check(&self, allow_urls: bool) -> Result<(), Problem> {
        self.no_null_sections()?;
        if allow_urls {
            return Ok(());
        }
        for (index, group) in self.static_configs.iter().enumerate() {
            if let Some(target) = group.targets.iter().find(|target| target.contains('/')) {
                let text = format!("{} is not a valid hostname", go_quote(target));
                return Err(Problem::new(text).at("targets").at_item("static_configs", index));
            }
        }
        Ok(())
    }
}

/// Reads a YAML file of target groups, as `file_sd_configs` finds them.
///
/// # Errors
/// What is wrong with the file, in go-yaml's words, or `nil target group item found` for a null item.
pub fn parse_target_groups(text: &str) -> Result<Vec<TargetGroup>, ConfigError> {
    let mut groups: Vec<TargetGroup> = Vec::new();
    decode_document(text.as_bytes(), &mut groups)?;
    if groups.iter().any(|group| group.null) {
        return Err(ConfigError::bare("nil target group item found"));
    }
    Ok(groups)
}
