//! How to reach the API server: the section's URL, a kubeconfig file, or the pod's own account.

use std::path::Path;
use std::sync::Arc;

use ferula_config::discovery::KubernetesSdConfig;
use ferula_config::http_client::{Authorization, BasicAuth, HttpClientConfig, ProxyConfig, TlsConfig};
use ferula_config::{Secret, Url};
use serde::Deserialize;

use super::exec::{Exec, ExecError, ExecSection};
use crate::provider::ProviderError;

/// The directory of a pod's account. Kubernetes replaces the token in it every hour, and the client reads it
/// again for each request.
const ACCOUNT_DIRECTORY: &str = "/var/run/secrets/kubernetes.io/serviceaccount";

/// An API server and the client options for it. Equal ones share watches.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Server {
    /// Without a slash at the end.
    pub url: String,
    pub http: HttpClientConfig,
    /// The program that prints a token.
    pub exec: Option<Arc<Exec>>,
}

impl Server {
    pub(super) fn of(section: &KubernetesSdConfig) -> Result<Self, ProviderError> {
        if !section.kubeconfig_file.is_empty() {
            return of_kubeconfig(Path::new(&section.kubeconfig_file));
        }
        if section.api_server.is_empty() {
            return of_pod(|name| std::env::var(name).ok(), Path::new(ACCOUNT_DIRECTORY));
        }
        Ok(Server { url: trimmed(section.api_server.as_str()), http: section.http.clone(), exec: None })
    }
}

/// The namespace of the pod in which this program runs.
pub(super) fn own_namespace() -> Result<String, ProviderError> {
    let file = format!("{ACCOUNT_DIRECTORY}/namespace");
    let namespace = std::fs::read_to_string(&file).map_err(|error| {
        ProviderError::File(format!("could not determine the pod's namespace: open {file}"), error)
    })?;
    if namespace.is_empty() {
        return Err(ProviderError::Option("could not read own namespace name (empty file)".to_owned()));
    }
    Ok(namespace)
}

fn trimmed(url: &str) -> String {
    url.trim_end_matches('/').to_owned()
}

fn of_pod(variable: impl Fn(&str) -> Option<String>, directory: &Path) -> Result<Server, ProviderError> {
    let given = |name| variable(name).filter(|value| !value.is_empty());
    let (Some(host), Some(port)) = (given("KUBERNETES_SERVICE_HOST"), given("KUBERNETES_SERVICE_PORT"))
    else {
        let text = "unable to load in-cluster configuration, KUBERNETES_SERVICE_HOST and \
                    KUBERNETES_SERVICE_PORT must be defined";
        return Err(ProviderError::Option(text.to_owned()));
    };
    let token = directory.join("token");
    std::fs::metadata(&token)
        .map_err(|error| ProviderError::File(format!("open {}", token.display()), error))?;
    let authority = directory.join("ca.crt");
    let http = HttpClientConfig {
        authorization: Some(Authorization {
            credentials_file: token.display().to_string(),
            ..Authorization::default()
        }),
        tls_config: TlsConfig {
            ca_file: if authority.exists() { authority.display().to_string() } else { String::new() },
            ..TlsConfig::default()
        },
        ..HttpClientConfig::default()
    };
    Ok(Server { url: format!("https://{}", crate::group::host_port(&host, port)), http, exec: None })
}

macro_rules! kubeconfig {
    ($($name:ident { $($field:ident: $ty:ty,)* })*) => {$(
        #[derive(Default, Deserialize)]
        #[serde(default, rename_all = "kebab-case")]
        struct $name {
            $($field: $ty,)*
        }
    )*};
}

kubeconfig! {
    Kubeconfig {
        current_context: String,
        clusters: Vec<NamedCluster>,
        users: Vec<NamedUser>,
        contexts: Vec<NamedContext>,
    }
    NamedCluster { name: String, cluster: Cluster, }
    Cluster {
        server: String,
        certificate_authority: String,
        certificate_authority_data: String,
        insecure_skip_tls_verify: bool,
        tls_server_name: String,
        proxy_url: String,
    }
    NamedUser { name: String, user: User, }
    NamedContext { name: String, context: KubeContext, }
    KubeContext { cluster: String, user: String, }
    User {
        client_certificate: String,
        client_certificate_data: String,
        client_key: String,
        client_key_data: String,
        token: String,
        username: String,
        password: String,
        exec: Option<ExecSection>,
        auth_provider: Option<serde::de::IgnoredAny>,
    }
}

/// The only key that is not in kebab case.
#[derive(Default, Deserialize)]
#[serde(default)]
struct TokenFiles {
    users: Vec<NamedTokenFile>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct NamedTokenFile {
    name: String,
    user: TokenFile,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct TokenFile {
    #[serde(rename = "tokenFile")]
    token_file: String,
}

fn of_kubeconfig(file: &Path) -> Result<Server, ProviderError> {
    let text = std::fs::read_to_string(file)
        .map_err(|error| ProviderError::File(format!("open {}", file.display()), error))?;
    let directory = file.parent().unwrap_or(Path::new("."));
    parse_kubeconfig(&text, directory).map_err(|reason| {
        let text = format!("error loading config file \"{}\": {reason}", file.display());
        ProviderError::Option(text)
    })
}

/// Why a kubeconfig cannot be used.
#[derive(Debug, thiserror::Error)]
enum KubeconfigError {
    /// Without values, which are secrets.
    #[error("not a valid kubeconfig{}", .0.map(|line| format!(", see line {line}")).unwrap_or_default())]
    Yaml(Option<usize>),
    #[error("context {0:?} does not exist")]
    NoContext(String),
    #[error("cluster {0:?} does not exist")]
    NoCluster(String),
    #[error("no server in cluster {0:?}")]
    NoServer(String),
    #[error("{0} is not base64")]
    Base64(&'static str),
    #[error("{0}")]
    ProxyUrl(#[from] ferula_config::UrlError),
    #[error("user {0:?} has `auth-provider`, which Kubernetes removed; use `exec`, a token or a certificate")]
    AuthProvider(String),
    #[error("{0}")]
    Exec(#[from] ExecError),
}

fn parse_kubeconfig(text: &str, directory: &Path) -> Result<Server, KubeconfigError> {
    let bad = |error: serde_yaml::Error| KubeconfigError::Yaml(error.location().map(|at| at.line()));
    let config: Kubeconfig = serde_yaml::from_str(text).map_err(bad)?;
    let token_files: TokenFiles = serde_yaml::from_str(text).map_err(bad)?;
    let name = &config.current_context;
    let context = config.contexts.iter().find(|context| context.name == *name);
    let context = &context.ok_or_else(|| KubeconfigError::NoContext(name.clone()))?.context;
    let cluster = config.clusters.iter().find(|cluster| cluster.name == context.cluster);
    let cluster = &cluster.ok_or_else(|| KubeconfigError::NoCluster(context.cluster.clone()))?.cluster;
    if cluster.server.is_empty() {
        return Err(KubeconfigError::NoServer(context.cluster.clone()));
    }
    let none = User::default();
    let user = config.users.iter().find(|user| user.name == context.user).map_or(&none, |named| &named.user);
    let token_file = token_files.users.iter().find(|user| user.name == context.user);
    let token_file = token_file.map_or("", |named| named.user.token_file.as_str());
    if user.auth_provider.is_some() {
        return Err(KubeconfigError::AuthProvider(context.user.clone()));
    }
    let exec = user.exec.clone().map(|section| Exec::new(section, directory)).transpose()?.map(Arc::new);
    let path = |file: &str| match file {
        "" => String::new(),
        file => directory.join(file).display().to_string(),
    };
    let decoded = |key: &'static str, data: &str| {
        let bytes = ferula_go::base64::decode(data).ok_or(KubeconfigError::Base64(key))?;
        String::from_utf8(bytes).map_err(|_| KubeconfigError::Base64(key))
    };
    // Inline data takes precedence over a file.
    let file_unless = |data: &str, file: &str| if data.is_empty() { path(file) } else { String::new() };
    let tls_config = TlsConfig {
        ca: decoded("certificate-authority-data", &cluster.certificate_authority_data)?,
        ca_file: file_unless(&cluster.certificate_authority_data, &cluster.certificate_authority),
        cert: decoded("client-certificate-data", &user.client_certificate_data)?,
        cert_file: file_unless(&user.client_certificate_data, &user.client_certificate),
        key: Secret::new(decoded("client-key-data", &user.client_key_data)?),
        key_file: file_unless(&user.client_key_data, &user.client_key),
        server_name: cluster.tls_server_name.clone(),
        insecure_skip_verify: cluster.insecure_skip_tls_verify,
        ..TlsConfig::default()
    };
    // A file takes precedence over a token, because it can be replaced.
    let credentials = if token_file.is_empty() { user.token.as_str() } else { "" };
    let authorization = (!credentials.is_empty() || !token_file.is_empty()).then(|| Authorization {
        credentials: Secret::new(credentials),
        credentials_file: path(token_file),
        ..Authorization::default()
    });
    let basic_auth = (authorization.is_none() && !user.username.is_empty()).then(|| BasicAuth {
        username: user.username.clone(),
        password: Secret::new(user.password.as_str()),
        ..BasicAuth::default()
    });
    let proxy = match cluster.proxy_url.as_str() {
        "" => ProxyConfig { proxy_from_environment: true, ..ProxyConfig::default() },
        url => ProxyConfig { proxy_url: Url::parse(url)?, ..ProxyConfig::default() },
    };
    let http =
        HttpClientConfig { authorization, basic_auth, tls_config, proxy, ..HttpClientConfig::default() };
    Ok(Server { url: trimmed(&cluster.server), http, exec })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kubeconfig_is_read_with_its_current_context() {
        let text = "apiVersion: v1\nkind: Config\ncurrent-context: b\n\
            clusters:\n- {name: x, cluster: {server: 'https://x:1/'}}\n\
            - {name: y, cluster: {server: 'https://y:2/', certificate-authority: ca.pem, tls-server-name: z}}\n\
            users:\n- {name: u, user: {token: SECRET}}\n- {name: v, user: {tokenFile: t, client-key-data: a2V5}}\n\
            contexts:\n- {name: a, context: {cluster: x, user: u}}\n- {name: b, context: {cluster: y, user: v}}\n";
        let server = parse_kubeconfig(text, Path::new("/k")).expect("a good file");
        assert_eq!(server.url, "https://y:2");
        let http = &server.http;
        assert_eq!(http.tls_config.ca_file, "/k/ca.pem");
        assert_eq!(http.tls_config.server_name, "z");
        assert_eq!(http.tls_config.key.reveal(), "key");
        assert_eq!(http.authorization.as_ref().map(|a| a.credentials_file.as_str()), Some("/k/t"));

        let other =
            parse_kubeconfig(&text.replace("current-context: b", "current-context: a"), Path::new("/k"));
        let other = other.expect("a good file");
        assert_eq!((other.url.as_str(), other.http.tls_config.ca_file.as_str()), ("https://x:1", ""));
        assert_eq!(
            other.http.authorization.map(|a| a.credentials.reveal().to_owned()),
            Some("SECRET".to_owned())
        );

        for (from, to, error) in [
            ("current-context: b", "current-context: c", "context \"c\" does not exist"),
            ("cluster: y,", "cluster: w,", "cluster \"w\" does not exist"),
            ("a2V5", "SECRET!", "client-key-data is not base64"),
            ("{tokenFile: t,", "{auth-provider: {name: x},", "user \"v\" has `auth-provider`"),
            ("{tokenFile: t,", "{exec: {command: x},", "exec plugin: invalid apiVersion \"\""),
            ("users:\n", "users: SECRET\n#", "not a valid kubeconfig, see line "),
        ] {
            let Err(found) = parse_kubeconfig(&text.replace(from, to), Path::new("/k")) else {
                panic!("{to} is accepted")
            };
            assert!(found.to_string().starts_with(error), "{found}");
            assert!(!found.to_string().contains("SECRET"), "{found}");
        }
    }

    #[test]
    fn a_pod_uses_its_account() {
        let directory = tempfile::tempdir().expect("a directory");
        let variable = |name: &str| match name {
            "KUBERNETES_SERVICE_HOST" => Some("fd00::1".to_owned()),
            _ => Some("443".to_owned()),
        };
        assert!(of_pod(|_| None, directory.path()).is_err());
        let error = of_pod(variable, directory.path()).expect_err("there is no token");
        assert!(error.to_string().contains("token"), "{error}");
        std::fs::write(directory.path().join("token"), "t").expect("written");
        std::fs::write(directory.path().join("ca.crt"), "c").expect("written");
        let server = of_pod(variable, directory.path()).expect("an account");
        assert_eq!(server.url, "https://[fd00::1]:443");
        assert!(server.http.tls_config.ca_file.ends_with("ca.crt"));
    }
}
