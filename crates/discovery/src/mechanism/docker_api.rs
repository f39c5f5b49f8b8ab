//! The API of the Docker daemon, over TCP or its Unix socket: the common part of `docker` and `dockerswarm`
//! discovery.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use ferula_config::Url;
use ferula_config::discovery::NamedFilter;
use ferula_config::http_client::HttpClientConfig;
use ferula_go::url::query_escape;
use ferula_http_client::{Request, StatusCode};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::api_client::ApiClient;
use crate::group::Labels;
use crate::provider::{Context, ProviderError};
use crate::refresh::RefreshError;

/// The newest API version that is requested. A daemon that supports only older ones names its own.
const VERSION: (u32, u32) = (1, 44);

pub(super) struct DockerApi {
    client: ApiClient,
    /// `http://host:port`.
    base: String,
    socket: Option<Arc<Path>>,
}

/// The daemon's own version.
#[derive(Default, Deserialize)]
#[serde(default)]
struct ErrorMessage {
    message: String,
}

impl DockerApi {
    pub(super) fn new(
        host: &str,
        http: &HttpClientConfig,
        context: &Context,
        timeout: Duration,
    ) -> Result<Self, ProviderError> {
        let url = Url::parse(host).map_err(|error| ProviderError::Option(error.to_string()))?;
        let rest = host.split_once("://").map_or("", |(_, rest)| rest);
        let (base, socket) = match url.scheme() {
            "unix" => ("http://docker".to_owned(), Some(Arc::from(Path::new(rest)))),
            "tcp" => (format!("http://{rest}"), None),
            "http" | "https" => (host.to_owned(), None),
            _ => {
                let text = format!("error setting up docker client: unable to parse docker host `{host}`");
                return Err(ProviderError::Option(text));
            }
        };
        // Credentials and proxies apply to HTTP; sockets and plain TCP have none.
        let plain = HttpClientConfig::default();
        let http = if base == host { http } else { &plain };
        let base = base.trim_end_matches('/').to_owned();
        Ok(DockerApi { client: ApiClient::new(http, context, timeout)?, base, socket })
    }

    /// Sends a `GET` and parses the answer; errors begin with `what`.
    pub(super) async fn get<T: DeserializeOwned>(&self, path: &str, what: &str) -> Result<T, RefreshError> {
        let result = self.get_plain(path).await;
        result.map_err(|error| RefreshError::Answer(format!("{what}: {error}")))
    }

    async fn get_plain<T: DeserializeOwned>(&self, path: &str) -> Result<T, RefreshError> {
        let (major, minor) = VERSION;
        let mut request = Request::get(&format!("{}/v{major}.{minor}{path}", self.base))?;
        if let Some(socket) = &self.socket {
            request = request.over_unix_socket(socket.clone());
        }
        let mut answer = self.client.send(request).await?;
        if answer.status == StatusCode::BAD_REQUEST {
            // For an old daemon, requests without a version use its own.
            let mut request = Request::get(&format!("{}{path}", self.base))?;
            if let Some(socket) = &self.socket {
                request = request.over_unix_socket(socket.clone());
            }
            answer = self.client.send(request).await?;
        }
        if answer.status != StatusCode::OK {
            let said = answer.json::<ErrorMessage>().map(|error| error.message).unwrap_or_default();
            let text = if said.is_empty() { answer.status_text } else { said };
            return Err(RefreshError::Answer(format!("Error response from daemon: {text}")));
        }
        answer.json()
    }
}

/// `?filters={"name":{"value":true}}`, escaped; empty without filters.
pub(super) fn filters(filters: &[NamedFilter]) -> String {
    if filters.iter().all(|filter| filter.values.is_empty()) {
        return String::new();
    }
    let mut all: BTreeMap<&str, BTreeMap<&str, bool>> = BTreeMap::new();
    for filter in filters {
        let values = filter.values.iter().map(|value| (value.as_str(), true));
        all.entry(filter.name.as_str()).or_default().extend(values);
    }
    let json = serde_json::to_string(&all).unwrap_or_default();
    format!("?filters={}", query_escape(&json))
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct Network {
    id: String,
    name: String,
    scope: String,
    internal: bool,
    ingress: bool,
    labels: BTreeMap<String, String>,
}

/// The labels of each network, by its ID.
pub(super) async fn network_labels(
    api: &DockerApi,
    prefix: &str,
    what: &str,
) -> Result<BTreeMap<String, Labels>, RefreshError> {
    let networks: Vec<Network> = api.get("/networks", what).await?;
    let labels = |network: &Network| {
        let mut labels = Labels::default();
        for (key, value) in [
            ("id", &network.id),
            ("name", &network.name),
            ("scope", &network.scope),
            ("internal", &network.internal.to_string()),
            ("ingress", &network.ingress.to_string()),
        ] {
            labels.set(&format!("{prefix}network_{key}"), value.as_str());
        }
        labels.set_keys(&format!("{prefix}network_label_"), &network.labels);
        labels
    };
    Ok(networks.iter().map(|network| (network.id.clone(), labels(network))).collect())
}
