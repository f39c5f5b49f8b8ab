//! Common parts of the mechanisms for AWS, and `aws_sd_configs`, which selects one of them by role.

mod api;
pub(super) mod ec2;
pub(super) mod ecs;
pub(super) mod elasticache;
pub(super) mod lightsail;
pub(super) mod msk;
mod query_labels;
pub(super) mod rds;

use std::time::Duration;

use ferula_config::discovery::{
    AwsSdConfig, DiscoveryConfigs, Ec2SdConfig, EcsSdConfig, ElasticacheSdConfig, LightsailSdConfig,
    MskSdConfig, RdsSdConfig,
};

use crate::TargetGroup;
use crate::provider::{Context, ProviderError};
use crate::refresh::{Refresh, RefreshError};

/// The mechanism of a section's role.
pub(crate) enum ByRole {
    Ec2(ec2::Ec2),
    Ecs(ecs::Ecs),
    Elasticache(elasticache::Elasticache),
    Lightsail(lightsail::Lightsail),
    Msk(msk::Msk),
    Rds(rds::Rds),
}

/// Converts a section to the role's own section; unset values get the role's defaults.
macro_rules! of_role {
    ($section:ident, $role:ident { $($more:ident),* } $($rest:ident)?) => {{
        let own = $role::default();
        let AwsSdConfig {
            region, endpoint, access_key, secret_key, profile, role_arn, external_id, refresh_interval, port, http, ..
        } = $section.clone();
        $role {
            region,
            endpoint,
            access_key,
            secret_key,
            profile,
            role_arn,
            external_id,
            http,
            refresh_interval: if refresh_interval.is_zero() { own.refresh_interval } else { refresh_interval },
            port: if port == 0 { own.port } else { port },
            $($more: $section.$more.clone(),)*
            $($rest: own.$rest,)?
        }
    }};
}

impl Refresh for ByRole {
    type Section = AwsSdConfig;

    const MECHANISM: &'static str = "aws";

    fn sections(configs: &DiscoveryConfigs) -> Vec<AwsSdConfig> {
        configs.aws_sd_configs.clone()
    }

    fn interval(section: &AwsSdConfig) -> Duration {
        let own = Ec2SdConfig::default().refresh_interval;
        if section.refresh_interval.is_zero() { own } else { section.refresh_interval }
    }

    fn new(section: AwsSdConfig, context: &Context) -> Result<Self, ProviderError> {
        Ok(match section.role.as_str() {
            "ecs" => ByRole::Ecs(ecs::Ecs::new(
                of_role!(section, EcsSdConfig { clusters } request_concurrency),
                context,
            )?),
            "elasticache" => {
                let section = of_role!(section, ElasticacheSdConfig { clusters } request_concurrency);
                ByRole::Elasticache(elasticache::Elasticache::new(section, context)?)
            }
            "lightsail" => {
                let section = of_role!(section, LightsailSdConfig {});
                ByRole::Lightsail(lightsail::Lightsail::new(section, context)?)
            }
            "msk" => ByRole::Msk(msk::Msk::new(
                of_role!(section, MskSdConfig { clusters } request_concurrency),
                context,
            )?),
            "rds" => ByRole::Rds(rds::Rds::new(
                of_role!(section, RdsSdConfig { clusters, filters } request_concurrency),
                context,
            )?),
            _ => ByRole::Ec2(ec2::Ec2::new(of_role!(section, Ec2SdConfig { filters }), context)?),
        })
    }

    async fn refresh(&mut self) -> Result<Vec<TargetGroup>, RefreshError> {
        match self {
            ByRole::Ec2(role) => role.refresh().await,
            ByRole::Ecs(role) => role.refresh().await,
            ByRole::Elasticache(role) => role.refresh().await,
            ByRole::Lightsail(role) => role.refresh().await,
            ByRole::Msk(role) => role.refresh().await,
            ByRole::Rds(role) => role.refresh().await,
        }
    }
}

#[cfg(test)]
pub(crate) mod tests;
