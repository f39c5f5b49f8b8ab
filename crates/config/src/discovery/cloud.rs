//! Mechanisms that ask a cloud provider's API.

use std::time::Duration;

use ferula_go::quote::go_quote;

use crate::error::Problem;
use crate::http_client::{HttpClientConfig, TlsConfig};
use crate::scalars::{Secret, choice, secs, show_duration};
use crate::section::section;
use crate::url::Url;

section! {
    /// AWS by role.
    pub struct AwsSdConfig as "*aws.SDConfig" read as "aws.plain", checked {
        keep role: AwsRole;
        omit region: String;
        omit endpoint: String;
        omit access_key: String;
        omit secret_key: Secret;
        omit profile: String;
        omit role_arn: String;
        omit external_id: String;
        omit refresh_interval: Duration;
        omit port: i64;
        inline http: HttpClientConfig;
        omit filters: Vec<AwsFilter>;
        omit clusters: Vec<String>;
    }
}

choice! {
    /// Which service of AWS to ask.
    AwsRole as "aws.Role", ["ec2", "ecs", "elasticache", "lightsail", "msk", "rds"],
    |other: &str| format!("unknown AWS SD role {}", go_quote(other))
}

section! {
    /// A filter that AWS applies.
    pub struct AwsFilter as "*aws.Filter" read as "aws.Filter" {
        keep name: String;
        keep values: Vec<String>;
    }
}

impl AwsSdConfig {
    fn check(&mut self) -> Result<(), Problem> {
        if self.role.as_str().is_empty() {
            return Err("unknown AWS SD role \"\"".into());
        }
        Ok(())
    }
}

section! {
    /// EC2 instances.
    pub struct Ec2SdConfig as "*aws.EC2SDConfig" read as "aws.plain", checked {
        keep endpoint: String;
        keep region: String;
        omit access_key: String;
        omit secret_key: Secret;
        omit profile: String;
        omit role_arn: String;
        omit external_id: String;
        omit refresh_interval: Duration = secs(60);
        keep port: i64 = 80;
        keep filters: Vec<AwsFilter>;
        inline http: HttpClientConfig;
    }
}

impl Ec2SdConfig {
    fn check(&mut self) -> Result<(), Problem> {
        if let Some(index) = self.filters.iter().position(|filter| filter.values.is_empty()) {
            let text = "EC2 SD configuration filter values cannot be empty";
            return Err(Problem::new(text).at_item("filters", index));
        }
        self.http.check()
    }
}

section! {
    /// Lightsail instances.
    pub struct LightsailSdConfig as "*aws.LightsailSDConfig" read as "aws.plain", checked {
        keep endpoint: String;
        keep region: String;
        omit access_key: String;
        omit secret_key: Secret;
        omit profile: String;
        omit role_arn: String;
        omit external_id: String;
        omit refresh_interval: Duration = secs(60);
        keep port: i64 = 80;
        inline http: HttpClientConfig;
    }
}

impl LightsailSdConfig {
    fn check(&mut self) -> Result<(), Problem> {
        self.http.check()
    }
}

/// The services of AWS that are found by cluster differ in little.
macro_rules! aws_clusters {
    ($($(#[$meta:meta])* $name:ident as $go:literal, $concurrency:literal;)*) => {$(
        section! {
            $(#[$meta])*
            pub struct $name as $go read as "aws.plain", checked {
                keep region: String;
                keep endpoint: String;
                omit access_key: String;
                omit secret_key: Secret;
                omit profile: String;
                omit role_arn: String;
                omit external_id: String;
                omit clusters: Vec<String>;
                keep port: i64 = 80;
                omit refresh_interval: Duration = secs(60);
                omit request_concurrency: i64 = $concurrency;
                inline http: HttpClientConfig;
            }
        }

        impl $name {
            fn check(&mut self) -> Result<(), Problem> {
                self.http.check()
            }
        }
    )*};
}

aws_clusters! {
    /// Containers of ECS.
    EcsSdConfig as "*aws.ECSSDConfig", 20;
    /// Caches of ElastiCache.
    ElasticacheSdConfig as "*aws.ElasticacheSDConfig", 10;
    /// Brokers of MSK.
    MskSdConfig as "*aws.MSKSDConfig", 10;
}

section! {
    /// Databases of RDS.
    pub struct RdsSdConfig as "*aws.RDSSDConfig" read as "aws.plain", checked {
        keep region: String;
        keep endpoint: String;
        omit access_key: String;
        omit secret_key: Secret;
        omit profile: String;
        omit role_arn: String;
        omit external_id: String;
        omit clusters: Vec<String>;
        keep port: i64 = 80;
        omit refresh_interval: Duration = secs(60);
        keep filters: Vec<AwsFilter>;
        omit request_concurrency: i64 = 10;
        inline http: HttpClientConfig;
    }
}

impl RdsSdConfig {
    fn check(&mut self) -> Result<(), Problem> {
        self.http.check()
    }
}

section! {
    /// Azure virtual machines.
    pub struct AzureSdConfig as "*azure.SDConfig" read as "azure.plain", checked {
        omit environment: String = "AzurePublicCloud".into();
        keep port: i64 = 80;
        keep subscription_id: String;
        omit tenant_id: String;
        omit client_id: String;
        omit client_secret: Secret;
        omit refresh_interval: Duration = secs(300);
        omit authentication_method: String = "OAuth".into();
        omit resource_group: String;
        inline http: HttpClientConfig;
    }
}

impl AzureSdConfig {
    fn check(&mut self) -> Result<(), Problem> {
        let oauth = self.authentication_method == "OAuth";
        for (missing, key) in [
            (self.subscription_id.is_empty(), "subscription_id"),
            (oauth && self.tenant_id.is_empty(), "tenant_id"),
            (oauth && self.client_id.is_empty(), "client_id"),
            (oauth && self.client_secret.is_empty(), "client_secret"),
        ] {
            if missing {
                return Err(format!("azure SD configuration requires a {key}").into());
            }
        }
        if !matches!(
            self.authentication_method.as_str(),
            "OAuth" | "ManagedIdentity" | "SDK" | "WorkloadIdentity"
        ) {
            let text = format!(
                "unknown authentication_type {}. Supported types are \"OAuth\", \"ManagedIdentity\", \"SDK\" or \
                 \"WorkloadIdentity\"",
                go_quote(&self.authentication_method)
            );
            return Err(Problem::new(text).at("authentication_method"));
        }
        self.http.check()
    }
}

section! {
    /// DigitalOcean droplets or databases.
    pub struct DigitalOceanSdConfig as "*digitalocean.SDConfig" read as "digitalocean.plain", checked {
        inline http: HttpClientConfig;
        keep refresh_interval: Duration = secs(60);
        keep port: i64 = 80;
        keep role: DigitalOceanRole = DigitalOceanRole::new("droplets");
    }
}

choice! {
    /// What to list at DigitalOcean.
    DigitalOceanRole as "digitalocean.Role", ["droplets", "databases"],
    |other: &str| format!("unknown DigitalOcean SD role {}", go_quote(other))
}

impl DigitalOceanSdConfig {
    fn check(&mut self) -> Result<(), Problem> {
        self.http.check()
    }
}

section! {
    /// Google Compute Engine instances.
    pub struct GceSdConfig as "*gce.SDConfig" read as "gce.plain", checked {
        keep project: String;
        keep zone: String;
        omit filter: String;
        omit refresh_interval: Duration = secs(60);
        keep port: i64 = 80;
        omit tag_separator: String = ",".into();
    }
}

impl GceSdConfig {
    fn check(&mut self) -> Result<(), Problem> {
        if self.project.is_empty() {
            return Err("GCE SD configuration requires a project".into());
        }
        if self.zone.is_empty() {
            return Err("GCE SD configuration requires a zone".into());
        }
        Ok(())
    }
}

section! {
    /// Hetzner servers.
    pub struct HetznerSdConfig as "*hetzner.SDConfig" read as "hetzner.plain", checked {
        inline http: HttpClientConfig;
        keep refresh_interval: Duration = secs(60);
        keep port: i64 = 80;
        keep role: HetznerRole;
        omit label_selector: String;
    }
}

choice! {
    /// Which API of Hetzner to ask.
    HetznerRole as "hetzner.Role", ["robot", "hcloud"],
    |other: &str| format!("unknown role {}", go_quote(other))
}

impl HetznerSdConfig {
    fn check(&mut self) -> Result<(), Problem> {
        if self.role.as_str().is_empty() {
            return Err("role missing (one of: robot, hcloud)".into());
        }
        self.http.check()
    }
}

section! {
    /// IONOS servers.
    pub struct IonosSdConfig as "*ionos.SDConfig" read as "ionos.plain", checked {
        keep datacenter_id: String;
        inline http: HttpClientConfig;
        keep refresh_interval: Duration = secs(60);
        keep port: i64 = 80;
    }
}

impl IonosSdConfig {
    fn check(&mut self) -> Result<(), Problem> {
        if self.datacenter_id.is_empty() {
            return Err("datacenter id can't be empty".into());
        }
        self.http.check()
    }
}

section! {
    /// Linode instances.
    pub struct LinodeSdConfig as "*linode.SDConfig" read as "linode.plain", checked {
        inline http: HttpClientConfig;
        keep refresh_interval: Duration = secs(60);
        keep port: i64 = 80;
        omit tag_separator: String = ",".into();
        omit region: String;
    }
}

impl LinodeSdConfig {
    fn check(&mut self) -> Result<(), Problem> {
        self.http.check()
    }
}

section! {
    /// Oracle Cloud instances.
    pub struct OciSdConfig as "*oci.SDConfig" read as "oci.plain", checked {
        omit auth: String = "api_key".into();
        omit tenancy: String;
        omit user: String;
        omit fingerprint: String;
        path key_file: String;
        omit key_passphrase: Secret;
        path key_passphrase_file: String;
        keep region: String;
        omit compartments: Vec<String>;
        inline http: HttpClientConfig;
        keep port: i64 = 80;
        keep refresh_interval: Duration = secs(60);
    }
}

impl OciSdConfig {
    fn check(&mut self) -> Result<(), Problem> {
        if self.region.is_empty() {
            return Err("oci_sd: region is required".into());
        }
        self.check_auth()?;
        if let Some(index) = self.compartments.iter().position(String::is_empty) {
            let text = format!("oci_sd: compartments[{index}] must not be empty");
            return Err(Problem::new(text).at_item("compartments", index));
        }
        if self.refresh_interval.is_zero() {
            let shown = show_duration(self.refresh_interval);
            return Err(format!("oci_sd: refresh_interval must be positive, got {shown}").into());
        }
        self.http.check()
    }

    fn check_auth(&self) -> Result<(), Problem> {
        let given = [
            ("tenancy", !self.tenancy.is_empty()),
            ("user", !self.user.is_empty()),
            ("fingerprint", !self.fingerprint.is_empty()),
            ("key_file", !self.key_file.is_empty()),
        ];
        let (passphrase, file) = (!self.key_passphrase.is_empty(), !self.key_passphrase_file.is_empty());
        match self.auth.as_str() {
            "api_key" => {
                if let Some((key, _)) = given.iter().find(|(_, there)| !there) {
                    return Err(format!("oci_sd: api_key auth requires {key}").into());
                }
                if passphrase && file {
                    return Err(
                        "oci_sd: at most one of key_passphrase and key_passphrase_file must be configured"
                            .into(),
                    );
                }
                Ok(())
            }
            "instance_principal" if passphrase || file || given.iter().any(|(_, there)| *there) => {
                Err("oci_sd: instance_principal auth must not have tenancy, user, fingerprint, key_file, \
                     key_passphrase, or key_passphrase_file set"
                    .into())
            }
            "instance_principal" => Ok(()),
            other => {
                let text = format!(
                    "oci_sd: unknown auth method {}, expected \"api_key\" or \"instance_principal\"",
                    go_quote(other)
                );
                Err(Problem::new(text).at("auth"))
            }
        }
    }
}

section! {
    /// OpenStack servers.
    pub struct OpenStackSdConfig as "*openstack.SDConfig" read as "openstack.plain", checked {
        keep identity_endpoint: String;
        keep username: String;
        keep userid: String;
        keep password: Secret;
        keep project_name: String;
        keep project_id: String;
        keep domain_name: String;
        keep domain_id: String;
        keep application_credential_name: String;
        keep application_credential_id: String;
        keep application_credential_secret: Secret;
        keep role: OpenStackRole;
        keep region: String;
        keep refresh_interval: Duration = secs(60);
        keep port: i64 = 80;
        omit all_tenants: bool;
        omit tls_config: TlsConfig;
        omit availability: String = "public".into();
    }
}

choice! {
    /// What to list at OpenStack.
    OpenStackRole as "openstack.Role", ["hypervisor", "instance", "loadbalancer"],
    |other: &str| format!("unknown OpenStack SD role {}", go_quote(other))
}

impl OpenStackSdConfig {
    fn check(&mut self) -> Result<(), Problem> {
        if !matches!(self.availability.as_str(), "public" | "internal" | "admin") {
            let text = format!(
                "unknown availability {}, must be one of admin, internal or public",
                self.availability
            );
            return Err(Problem::new(text).at("availability"));
        }
        if self.role.as_str().is_empty() {
            return Err("role missing (one of: instance, hypervisor, loadbalancer)".into());
        }
        if self.region.is_empty() {
            return Err("openstack SD configuration requires a region".into());
        }
        Ok(())
    }
}

/// A secret key that is given or in a file, never both or neither.
fn check_secret_key(key: &Secret, file: &str) -> Result<(), Problem> {
    match (key.is_empty(), file.is_empty()) {
        (true, true) => Err("one of secret_key & secret_key_file must be configured".into()),
        (false, false) => Err("at most one of secret_key & secret_key_file must be configured".into()),
        _ => Ok(()),
    }
}

section! {
    /// Outscale virtual machines.
    pub struct OutscaleSdConfig as "*outscale.SDConfig" read as "outscale.plain", checked {
        omit endpoint: String;
        keep region: String = "eu-west-2".into();
        keep access_key: String;
        keep secret_key: Secret;
        keep secret_key_file: String;
        omit refresh_interval: Duration = secs(60);
        keep port: i64 = 80;
        inline http: HttpClientConfig;
    }
}

impl OutscaleSdConfig {
    fn check(&mut self) -> Result<(), Problem> {
        if self.region.is_empty() {
            return Err("outscale SD configuration requires a region".into());
        }
        if self.access_key.is_empty() {
            return Err("outscale SD configuration requires access_key".into());
        }
        check_secret_key(&self.secret_key, &self.secret_key_file)?;
        if self.endpoint.is_empty() {
            self.endpoint = format!("https://api.{}.outscale.com/api/v1", self.region);
        }
        self.http.check()
    }
}

section! {
    /// OVHcloud servers.
    pub struct OvhCloudSdConfig as "*ovhcloud.SDConfig" read as "ovhcloud.plain", checked {
        keep endpoint: String = "ovh-eu".into();
        keep application_key: String;
        keep application_secret: Secret;
        keep consumer_key: Secret;
        keep refresh_interval: Duration = secs(60);
        keep service: String;
    }
}

impl OvhCloudSdConfig {
    fn check(&mut self) -> Result<(), Problem> {
        for (missing, what) in [
            (self.endpoint.is_empty(), "endpoint"),
            (self.application_key.is_empty(), "application key"),
            (self.application_secret.is_empty(), "application secret"),
            (self.consumer_key.is_empty(), "consumer key"),
        ] {
            if missing {
                return Err(format!("{what} can not be empty").into());
            }
        }
        match self.service.as_str() {
            "dedicated_server" | "vps" => Ok(()),
            other => Err(Problem::new(format!("unknown service: {other}")).at("service")),
        }
    }
}

section! {
    /// Scaleway servers.
    pub struct ScalewaySdConfig as "*scaleway.SDConfig" read as "scaleway.plain", checked {
        keep project_id: String;
        omit api_url: String = "https://api.scaleway.com".into();
        keep zone: String = "fr-par-1".into();
        keep access_key: String;
        keep secret_key: Secret;
        keep_path secret_key_file: String;
        omit name_filter: String;
        omit tags_filter: Vec<String>;
        inline http: HttpClientConfig;
        keep refresh_interval: Duration = secs(60);
        keep port: i64 = 80;
        keep role: ScalewayRole;
    }
}

choice! {
    /// What to list at Scaleway.
    ScalewayRole as "scaleway.role", ["instance", "baremetal"],
    |other: &str| format!("unknown role {}", go_quote(other))
}

impl ScalewaySdConfig {
    fn check(&mut self) -> Result<(), Problem> {
        if self.role.as_str().is_empty() {
            return Err("role missing (one of: instance, baremetal)".into());
        }
        if self.project_id.is_empty() {
            return Err("project_id is mandatory".into());
        }
        check_secret_key(&self.secret_key, &self.secret_key_file)?;
        if self.access_key.is_empty() {
            return Err("access_key is mandatory".into());
        }
        self.http.check()
    }
}

section! {
    /// STACKIT servers.
    pub struct StackitSdConfig as "*stackit.SDConfig" read as "stackit.plain", checked {
        inline http: HttpClientConfig;
        keep project: String;
        omit refresh_interval: Duration = secs(60);
        omit port: i64 = 80;
        omit region: String = "eu01".into();
        omit endpoint: String;
        omit service_account_key: Secret;
        omit private_key: Secret;
        omit service_account_key_path: String;
        omit private_key_path: String;
        omit credentials_file_path: String;
    }
}

impl StackitSdConfig {
    fn check(&mut self) -> Result<(), Problem> {
        if self.endpoint.is_empty() && self.region.is_empty() {
            return Err("stackit_sd: endpoint and region missing".into());
        }
        Url::parse(&self.endpoint).map_err(|text| {
            let text = format!("stackit_sd: invalid endpoint {}: {text}", go_quote(&self.endpoint));
            Problem::new(text).at("endpoint")
        })?;
        self.http.check()
    }
}

section! {
    /// Vultr instances.
    pub struct VultrSdConfig as "*vultr.SDConfig" read as "vultr.plain", checked {
        inline http: HttpClientConfig;
        keep refresh_interval: Duration = secs(60);
        keep port: i64 = 80;
    }
}

impl VultrSdConfig {
    fn check(&mut self) -> Result<(), Problem> {
        self.http.check()
    }
}
