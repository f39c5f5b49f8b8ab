//! The client for an API server with what the program of a kubeconfig provides: a token, a client certificate, or both.

use std::sync::Arc;
use std::time::Duration;

use ferula_config::http_client::HttpClientConfig;
use ferula_http_client::{Request, StatusCode};
use tokio::sync::Mutex;

use super::client::Server;
use super::exec::{Credential, Exec, KeyPair};
use crate::api_client::{ApiClient, with_headers};
use crate::provider::{Context, ProviderError};
use crate::refresh::RefreshError;

/// How requests of one watch are sent.
pub(super) struct Login {
    /// Without a certificate of the program.
    plain: ApiClient,
    http: HttpClientConfig,
    exec: Option<Arc<Exec>>,
    context: Context,
    timeout: Duration,
    /// The client with the program's last certificate. A new certificate needs new connections.
    certified: Mutex<Option<(Arc<KeyPair>, ApiClient)>>,
}

impl Login {
    /// # Errors
    /// The options of the client are invalid.
    pub(super) fn new(server: &Server, context: &Context, timeout: Duration) -> Result<Self, ProviderError> {
        Ok(Login {
            plain: ApiClient::new(&server.http, context, timeout)?,
            http: server.http.clone(),
            exec: server.exec.clone(),
            context: context.clone(),
            timeout,
            certified: Mutex::default(),
        })
    }

    /// A `GET` and the client to send it with.
    ///
    /// # Errors
    /// The program fails, or its credentials cannot be used.
    pub(super) async fn get(&self, url: &str) -> Result<(ApiClient, Request), RefreshError> {
        let request = Request::get(url)?;
        let Some(exec) = &self.exec else { return Ok((self.plain.clone(), request)) };
        let Credential { token, pair, .. } = exec.credential(&self.context.clock).await?;
        let request = match token.as_str() {
            "" => request,
            token => with_headers(request, &[("authorization", &format!("Bearer {token}"))])?,
        };
        match pair {
            Some(pair) => Ok((self.certified(pair).await?, request)),
            None => Ok((self.plain.clone(), request)),
        }
    }

    async fn certified(&self, pair: Arc<KeyPair>) -> Result<ApiClient, RefreshError> {
        let mut known = self.certified.lock().await;
        if let Some((of, client)) = &*known
            && *of == pair
        {
            return Ok(client.clone());
        }
        let mut http = self.http.clone();
        http.tls_config.cert.clone_from(&pair.certificate);
        http.tls_config.key = pair.key.clone();
        // What the program says takes precedence over files of the kubeconfig.
        http.tls_config.cert_file.clear();
        http.tls_config.key_file.clear();
        let client = ApiClient::new(&http, &self.context, self.timeout)
            .map_err(|error| RefreshError::Answer(format!("getting credentials: exec: {error}")))?;
        *known = Some((pair, client.clone()));
        Ok(client)
    }

    /// Makes the program run again next time, if the server rejected its credentials.
    pub(super) async fn look_at_status(&self, status: StatusCode) {
        if let Some(exec) = &self.exec
            && status == StatusCode::UNAUTHORIZED
        {
            exec.forget().await;
        }
    }
}
