//! Section `kubernetes_sd_configs`.

mod field_selector;
mod label_selector;

use ferula_go::quote::go_quote;

use self::field_selector::check_field_selector;
use self::label_selector::check_label_selector;
use crate::error::Problem;
use crate::http_client::HttpClientConfig;
use crate::scalars::choice;
use crate::section::section;
use crate::url::Url;

section! {
    /// Objects of a Kubernetes cluster.
    pub struct KubernetesSdConfig as "*kubernetes.SDConfig" read as "kubernetes.plain", checked {
        omit api_server: Url;
        keep role: KubernetesRole;
        keep_path kubeconfig_file: String;
        inline http: HttpClientConfig;
        omit namespaces: NamespaceDiscovery;
        omit selectors: Vec<SelectorConfig>;
        omit attach_metadata: AttachMetadataConfig;
    }
}

choice! {
    /// The kind of object that targets are made of.
    KubernetesRole as "kubernetes.Role", ["node", "pod", "service", "endpoints", "endpointslice", "ingress"],
    |other: &str| format!("unknown Kubernetes SD role {}", go_quote(other))
}

section! {
    /// Which namespaces to look in; all when none is named.
    pub struct NamespaceDiscovery as "kubernetes.NamespaceDiscovery" read as "kubernetes.plain" {
        keep own_namespace: bool;
        keep names: Vec<String>;
    }
}

section! {
    /// Which objects of a role to look at.
    pub struct SelectorConfig as "kubernetes.SelectorConfig" {
        omit role: KubernetesRole;
        omit label: String;
        omit field: String;
    }
}

section! {
    /// What else to look up for each target.
    pub struct AttachMetadataConfig as "kubernetes.AttachMetadataConfig" {
        keep node: bool;
        keep namespace: bool;
        keep deployment: bool;
        keep job: bool;
        keep cronjob: bool;
    }
}

/// Roles whose objects a selector may narrow down, by the role of the section.
fn selectable(role: &str) -> &'static [&'static str] {
    match role {
        "pod" => &["pod", "node"],
        "service" => &["service"],
        "endpointslice" => &["pod", "service", "endpointslice"],
        "endpoints" => &["pod", "service", "endpoints"],
        "node" => &["node"],
        _ => &["ingress"],
    }
}

impl KubernetesSdConfig {
    fn check(&mut self) -> Result<(), Problem> {
        if self.role.as_str().is_empty() {
            return Err("role missing (one of: pod, service, endpoints, endpointslice, node, ingress)".into());
        }
        self.http.check()?;
        let (server, kubeconfig) = (!self.api_server.is_empty(), !self.kubeconfig_file.is_empty());
        if server && kubeconfig {
            return Err("cannot use 'kubeconfig_file' and 'api_server' simultaneously".into());
        }
        if kubeconfig && !self.http.is_default() {
            return Err(
                "cannot use a custom HTTP client configuration together with 'kubeconfig_file'".into()
            );
        }
        if !server && !self.http.is_default() {
            return Err(
                "to use custom HTTP client configuration please provide the 'api_server' URL explicitly"
                    .into(),
            );
        }
        if server && self.namespaces.own_namespace {
            return Err("cannot use 'api_server' and 'namespaces.own_namespace' simultaneously".into());
        }
        if kubeconfig && self.namespaces.own_namespace {
            return Err("cannot use 'kubeconfig_file' and 'namespaces.own_namespace' simultaneously".into());
        }
        self.check_selectors()
    }

    fn check_selectors(&self) -> Result<(), Problem> {
        let allowed = selectable(self.role.as_str());
        for (index, selector) in self.selectors.iter().enumerate() {
            let role = selector.role.as_str();
            let refuse = |text: String| Err(Problem::new(text).at_item("selectors", index));
            if self.selectors[..index].iter().any(|earlier| earlier.role == selector.role) {
                return refuse(format!("duplicated selector role: {role}"));
            }
            if !allowed.contains(&role) {
                let own = self.role.as_str();
                return refuse(format!("{own} role supports only {} selectors", allowed.join(", ")));
            }
            if let Err(error) = check_field_selector(&selector.field) {
                return refuse(error.to_string());
            }
            if let Err(error) = check_label_selector(&selector.label) {
                return refuse(error.to_string());
            }
        }
        Ok(())
    }
}
