//! Mechanisms that do not belong to a cloud provider: files, HTTP, DNS, and servers that users run themselves.

use std::collections::BTreeMap;
use std::time::Duration;

use ferula_go::quote::go_quote;
use ferula_go::unicode;

use crate::error::Problem;
use crate::http_client::{BasicAuth, FileNames, HttpClientConfig, TlsConfig};
use crate::scalars::{Secret, secs};
use crate::section::section;
use crate::url::Url;

section! {
    /// Target groups in JSON or YAML files.
    pub struct FileSdConfig as "*file.SDConfig" read as "file.plain", checked {
        keep files: FileNames;
        omit refresh_interval: Duration = secs(300);
    }
}

impl FileSdConfig {
    fn check(&mut self) -> Result<(), Problem> {
        if self.files.0.is_empty() {
            return Err("file service discovery config must contain at least one path name".into());
        }
        for (index, name) in self.files.0.iter().enumerate() {
            if !is_target_file_pattern(name) {
                let text = format!("path name {} is not valid for file discovery", go_quote(name));
                return Err(Problem::new(text).at_item("files", index));
            }
        }
        Ok(())
    }
}

/// At most one `*`, in the last segment, and an ending for JSON or YAML.
fn is_target_file_pattern(name: &str) -> bool {
    let stem = ["json", "yml", "yaml", "JSON", "YML", "YAML"]
        .iter()
        .find_map(|ending| name.strip_suffix(ending).and_then(|stem| stem.strip_suffix('.')));
    stem.is_some_and(crate::glob::is_simple_pattern)
}

section! {
    /// Target groups from an HTTP server.
    pub struct HttpSdConfig as "*http.SDConfig" read as "http.plain", checked {
        inline http: HttpClientConfig;
        omit refresh_interval: Duration = secs(60);
        keep url: String;
    }
}

impl HttpSdConfig {
    fn check(&mut self) -> Result<(), Problem> {
        check_http_url(&self.url)?;
        self.http.check()
    }
}

/// The address of a server that speaks HTTP.
fn check_http_url(text: &str) -> Result<(), Problem> {
    if text.is_empty() {
        return Err("URL is missing".into());
    }
    let url = Url::parse(text).map_err(|error| Problem::new(error).at("url"))?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(Problem::new("URL scheme must be 'http' or 'https'").at("url"));
    }
    if url.host().is_empty() {
        return Err(Problem::new("host is missing in URL").at("url"));
    }
    Ok(())
}

section! {
    /// Targets from DNS records.
    pub struct DnsSdConfig as "*dns.SDConfig" read as "dns.plain", checked {
        keep names: Vec<String>;
        omit refresh_interval: Duration = secs(30);
        keep kind as "type": String = "SRV".into();
        keep port: i64;
    }
}

impl DnsSdConfig {
    fn check(&mut self) -> Result<(), Problem> {
        if self.names.is_empty() {
            return Err("DNS-SD config must contain at least one SRV record name".into());
        }
        match unicode::upper(&self.kind).as_str() {
            "SRV" => Ok(()),
            "A" | "AAAA" | "MX" | "NS" if self.port == 0 => {
                Err("a port is required in DNS-SD configs for all record types except SRV".into())
            }
            "A" | "AAAA" | "MX" | "NS" => Ok(()),
            _ => Err(Problem::new(format!("invalid DNS-SD records type {}", self.kind)).at("type")),
        }
    }
}

section! {
    /// Services registered with Consul.
    pub struct ConsulSdConfig as "*consul.SDConfig" read as "consul.plain", checked {
        omit server: String = "localhost:8500".into();
        omit path_prefix: String;
        omit token: Secret;
        omit datacenter: String;
        omit namespace: String;
        omit partition: String;
        omit tag_separator: String = ",".into();
        omit scheme: String = "http".into();
        omit username: String;
        omit password: Secret;
        keep allow_stale: bool = true;
        omit refresh_interval: Duration = secs(30);
        omit services: Vec<String>;
        omit tags: Vec<String>;
        omit node_meta: BTreeMap<String, String>;
        omit filter: String;
        omit health_filter: String;
        inline http: HttpClientConfig;
    }
}

impl ConsulSdConfig {
    fn check(&mut self) -> Result<(), Problem> {
        if self.server.trim().is_empty() {
            return Err(Problem::new("consul SD configuration requires a server address").at("server"));
        }
        if !self.username.is_empty() || !self.password.is_empty() {
            if self.http.basic_auth.is_some() {
                return Err(
                    "at most one of consul SD configuration username and password and basic auth can be \
                            configured"
                        .into(),
                );
            }
            self.http.basic_auth = Some(BasicAuth {
                username: self.username.clone(),
                password: self.password.clone(),
                ..BasicAuth::default()
            });
        }
        if !self.token.is_empty() && (self.http.authorization.is_some() || self.http.oauth2.is_some()) {
            return Err("at most one of consul SD token, authorization, or oauth2 can be configured".into());
        }
        self.http.check()
    }
}

section! {
    /// Containers of a Docker daemon.
    pub struct DockerSdConfig as "*moby.DockerSDConfig" read as "moby.plain", checked {
        inline http: HttpClientConfig;
        keep host: String;
        keep port: i64 = 80;
        keep filters: Vec<NamedFilter>;
        keep host_networking_host: String = "localhost".into();
        keep refresh_interval: Duration = secs(60);
        keep match_first_network: bool = true;
    }
}

section! {
    /// Services, tasks or nodes of a Docker swarm.
    pub struct DockerSwarmSdConfig as "*moby.DockerSwarmSDConfig" read as "moby.plain", checked {
        inline http: HttpClientConfig;
        keep host: String;
        keep role: String;
        keep port: i64 = 80;
        keep filters: Vec<NamedFilter>;
        keep refresh_interval: Duration = secs(60);
    }
}

section! {
    /// A filter that the server applies.
    pub struct NamedFilter as "moby.Filter" {
        keep name: String;
        keep values: Vec<String>;
    }
}

/// The address of a Docker daemon.
fn check_docker_host(host: &str) -> Result<(), Problem> {
    if host.is_empty() {
        return Err("host missing".into());
    }
    Url::parse(host).map(|_| ()).map_err(|error| Problem::new(error).at("host"))
}

impl DockerSdConfig {
    fn check(&mut self) -> Result<(), Problem> {
        check_docker_host(&self.host)?;
        self.http.check()
    }
}

impl DockerSwarmSdConfig {
    fn check(&mut self) -> Result<(), Problem> {
        check_docker_host(&self.host)?;
        match self.role.as_str() {
            "services" | "nodes" | "tasks" => self.http.check(),
            "" => Err("role missing (one of: tasks, services, nodes)".into()),
            role => {
                Err(Problem::new(format!("invalid role {role}, expected tasks, services, or nodes"))
                    .at("role"))
            }
        }
    }
}

section! {
    /// Instances registered with Eureka.
    pub struct EurekaSdConfig as "*eureka.SDConfig" read as "eureka.plain", checked {
        omit server: String;
        inline http: HttpClientConfig;
        omit refresh_interval: Duration = secs(30);
    }
}

impl EurekaSdConfig {
    fn check(&mut self) -> Result<(), Problem> {
        if self.server.is_empty() {
            return Err("eureka_sd: empty or null eureka server".into());
        }
        let url = Url::parse(&self.server).map_err(|error| Problem::new(error).at("server"))?;
        if url.scheme().is_empty() || url.host().is_empty() {
            return Err(Problem::new("eureka_sd: invalid eureka server URL").at("server"));
        }
        self.http.check()
    }
}

section! {
    /// Monitoring assignments of a Kuma control plane.
    pub struct KumaSdConfig as "*xds.KumaSDConfig" read as "xds.plainKumaConf", checked {
        inline http: HttpClientConfig;
        omit refresh_interval: Duration = secs(15);
        omit fetch_timeout: Duration = secs(120);
        omit server: String;
        omit client_id: String;
    }
}

impl KumaSdConfig {
    fn check(&mut self) -> Result<(), Problem> {
        if self.server.is_empty() {
            return Err("kuma SD server must not be empty: ".into());
        }
        let url = Url::parse(&self.server).map_err(|error| Problem::new(error).at("server"))?;
        if url.scheme().is_empty() || url.host().is_empty() {
            let text = format!("kuma SD server must not be empty and have a scheme: {}", self.server);
            return Err(Problem::new(text).at("server"));
        }
        self.http.check()
    }
}

section! {
    /// Applications of Marathon.
    pub struct MarathonSdConfig as "*marathon.SDConfig" read as "marathon.plain", checked {
        omit servers: Vec<String>;
        omit refresh_interval: Duration = secs(30);
        omit auth_token: Secret;
        path auth_token_file: String;
        inline http: HttpClientConfig;
    }
}

impl MarathonSdConfig {
    fn check(&mut self) -> Result<(), Problem> {
        if self.servers.is_empty() {
            return Err("marathon_sd: must contain at least one Marathon server".into());
        }
        let (token, file) = (!self.auth_token.is_empty(), !self.auth_token_file.is_empty());
        if token && file {
            return Err("marathon_sd: at most one of auth_token & auth_token_file must be configured".into());
        }
        let clash = match &self.http {
            _ if !token && !file => None,
            http if http.basic_auth.is_some() => Some("basic_auth, auth_token & auth_token_file"),
            http if !http.bearer_token.is_empty() || !http.bearer_token_file.is_empty() => {
                Some("bearer_token, bearer_token_file, auth_token & auth_token_file")
            }
            http if http.authorization.is_some() => Some("auth_token, auth_token_file & authorization"),
            _ => None,
        };
        match clash {
            Some(keys) => Err(format!("marathon_sd: at most one of {keys} must be configured").into()),
            None => self.http.check(),
        }
    }
}

section! {
    /// Services registered with Nomad.
    pub struct NomadSdConfig as "*nomad.SDConfig" read as "nomad.plain", checked {
        keep allow_stale: bool = true;
        inline http: HttpClientConfig;
        keep namespace: String = "default".into();
        keep refresh_interval: Duration = secs(60);
        keep region: String = "global".into();
        keep server: String = "http://localhost:4646".into();
        omit tag_separator: String = ",".into();
    }
}

impl NomadSdConfig {
    fn check(&mut self) -> Result<(), Problem> {
        if self.server.trim().is_empty() {
            return Err(Problem::new("nomad SD configuration requires a server address").at("server"));
        }
        self.http.check()
    }
}

section! {
    /// Resources of a PuppetDB query.
    pub struct PuppetDbSdConfig as "*puppetdb.SDConfig" read as "puppetdb.plain", checked {
        inline http: HttpClientConfig;
        omit refresh_interval: Duration = secs(60);
        keep url: String;
        keep query: String;
        keep include_parameters: bool;
        keep port: i64 = 80;
    }
}

impl PuppetDbSdConfig {
    fn check(&mut self) -> Result<(), Problem> {
        check_http_url(&self.url)?;
        if self.query.is_empty() {
            return Err("query missing".into());
        }
        self.http.check()
    }
}

section! {
    /// Serversets kept in Zookeeper.
    pub struct ServersetSdConfig as "*zookeeper.ServersetSDConfig" read as "zookeeper.plain", checked {
        keep servers: Vec<String>;
        keep paths: Vec<String>;
        omit timeout: Duration = secs(10);
    }
}

section! {
    /// AirBnB's Nerve entries kept in Zookeeper.
    pub struct NerveSdConfig as "*zookeeper.NerveSDConfig" read as "zookeeper.plain", checked {
        keep servers: Vec<String>;
        keep paths: Vec<String>;
        omit timeout: Duration = secs(10);
    }
}

fn check_zookeeper(what: &str, servers: &[String], paths: &[String]) -> Result<(), Problem> {
    if servers.is_empty() {
        return Err(format!("{what} SD config must contain at least one Zookeeper server").into());
    }
    if paths.is_empty() {
        return Err(format!("{what} SD config must contain at least one path").into());
    }
    match paths.iter().position(|path| !path.starts_with('/')) {
        Some(index) => {
            let text = format!("{what} SD config paths must begin with '/': {}", paths[index]);
            Err(Problem::new(text).at_item("paths", index))
        }
        None => Ok(()),
    }
}

impl ServersetSdConfig {
    fn check(&mut self) -> Result<(), Problem> {
        check_zookeeper("serverset", &self.servers, &self.paths)
    }
}

impl NerveSdConfig {
    fn check(&mut self) -> Result<(), Problem> {
        check_zookeeper("nerve", &self.servers, &self.paths)
    }
}

section! {
    /// Containers or compute nodes of Triton.
    pub struct TritonSdConfig as "*triton.SDConfig" read as "triton.plain", checked {
        keep account: String;
        keep role: String = "container".into();
        keep dns_suffix: String;
        keep endpoint: String;
        omit groups: Vec<String>;
        keep port: i64 = 9163;
        omit refresh_interval: Duration = secs(60);
        omit tls_config: TlsConfig;
        keep version: i64 = 1;
    }
}

impl TritonSdConfig {
    fn check(&mut self) -> Result<(), Problem> {
        if !matches!(self.role.as_str(), "container" | "cn") {
            let text = "triton SD configuration requires role to be 'container' or 'cn'";
            return Err(Problem::new(text).at("role"));
        }
        for (value, what) in [
            (&self.account, "an account"),
            (&self.dns_suffix, "a dns_suffix"),
            (&self.endpoint, "an endpoint"),
        ] {
            if value.is_empty() {
                return Err(format!("triton SD configuration requires {what}").into());
            }
        }
        if self.refresh_interval.is_zero() {
            return Err("triton SD configuration requires RefreshInterval to be a positive integer".into());
        }
        Ok(())
    }
}

section! {
    /// Systems managed by Uyuni.
    pub struct UyuniSdConfig as "*uyuni.SDConfig" read as "uyuni.plain", checked {
        keep server: String;
        keep username: String;
        keep password: Secret;
        inline http: HttpClientConfig;
        omit entitlement: String = "monitoring_entitled".into();
        omit separator: String = ",".into();
        omit refresh_interval: Duration = secs(60);
    }
}

impl UyuniSdConfig {
    fn check(&mut self) -> Result<(), Problem> {
        if self.server.is_empty() {
            return Err("Uyuni SD configuration requires server host".into());
        }
        Url::parse(&self.server)
            .map_err(|text| Problem::new(format!("Uyuni Server URL is not valid: {text}")).at("server"))?;
        if self.username.is_empty() {
            return Err("Uyuni SD configuration requires a username".into());
        }
        if self.password.is_empty() {
            return Err("Uyuni SD configuration requires a password".into());
        }
        self.http.check()
    }
}
