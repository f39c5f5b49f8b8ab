//! Credentials from a program named in a kubeconfig, such as `aws eks get-token` or `gke-gcloud-auth-plugin`.
//!
//! The program prints a token, a client certificate with its key, or both. It runs when they are needed, and again when
//! they have expired or been rejected.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use ferula_config::Secret;
use ferula_http_client::program::{self, ProgramError};
use ferula_runtime::SharedClock;
use serde::Deserialize;
use serde_json::json;
use tokio::process::Command;
use tokio::sync::Mutex;

use crate::json::{self, JsonError, answers};
use crate::refresh::RefreshError;

const PRINTED_BYTES_MAX: usize = 1 << 20;
const TIMEOUT: Duration = Duration::from_secs(60);
const VERSIONS: [&str; 2] = ["client.authentication.k8s.io/v1", "client.authentication.k8s.io/v1beta1"];

/// The key `exec` of a user.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct ExecSection {
    api_version: String,
    command: String,
    args: Option<Vec<String>>,
    env: Option<Vec<Variable>>,
    install_hint: String,
    interactive_mode: String,
}

#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
struct Variable {
    name: String,
    value: String,
}

/// Why a program provides no credentials.
#[derive(Debug, thiserror::Error)]
pub(super) enum ExecError {
    #[error("exec plugin: invalid apiVersion {0:?}")]
    Version(String),
    #[error("exec plugin cannot support interactive mode: standard input is unavailable")]
    Interactive,
    #[error("exec: a program has to be named")]
    NoCommand,
    #[error("getting credentials: exec: {error}{hint}")]
    Program { error: ProgramError, hint: String },
    #[error("getting credentials: decoding stdout: {0}")]
    Answer(#[from] JsonError),
    #[error("getting credentials: exec plugin didn't return a token or cert/key pair")]
    NoCredentials,
    #[error("getting credentials: exec plugin returned only certificate or key, not both")]
    HalfPair,
}

answers! { "camelCase":
    ExecCredential { api_version: String, status: ExecStatus, }
    ExecStatus {
        token: String,
        client_certificate_data: String,
        client_key_data: String,
        expiration_timestamp: String,
    }
}

/// What a program printed.
#[derive(Clone, Debug)]
pub(super) struct Credential {
    /// "" for none.
    pub token: String,
    pub pair: Option<Arc<KeyPair>>,
    /// In seconds since the Unix epoch.
    ends: i64,
}

/// A client certificate and its key, as PEM.
#[derive(Debug, PartialEq)]
pub(super) struct KeyPair {
    pub certificate: String,
    pub key: Secret,
}

/// A program and the last credentials that it printed.
#[derive(Debug)]
pub(super) struct Exec {
    section: ExecSection,
    known: Mutex<Option<Credential>>,
}

impl PartialEq for Exec {
    fn eq(&self, other: &Self) -> bool {
        self.section == other.section
    }
}

impl Exec {
    /// A relative program path, such as `./token`, is resolved against the directory of the kubeconfig.
    pub(super) fn new(mut section: ExecSection, directory: &Path) -> Result<Self, ExecError> {
        if !VERSIONS.contains(&section.api_version.as_str()) {
            return Err(ExecError::Version(section.api_version));
        }
        if section.interactive_mode == "Always" {
            return Err(ExecError::Interactive);
        }
        if section.command.is_empty() {
            return Err(ExecError::NoCommand);
        }
        if section.command.contains('/') {
            section.command = directory.join(&section.command).display().to_string();
        }
        Ok(Exec { section, known: Mutex::default() })
    }

    /// Valid credentials.
    pub(super) async fn credential(&self, clock: &SharedClock) -> Result<Credential, RefreshError> {
        let mut known = self.known.lock().await;
        let now = clock.unix_nanos().div_euclid(1_000_000_000);
        if let Some(credential) = &*known
            && credential.ends > now
        {
            return Ok(credential.clone());
        }
        let fresh = self.run().await.map_err(|error| RefreshError::Answer(error.to_string()))?;
        *known = Some(fresh.clone());
        Ok(fresh)
    }

    /// Makes the program run again next time: the server rejected its credentials.
    pub(super) async fn forget(&self) {
        *self.known.lock().await = None;
    }

    async fn run(&self) -> Result<Credential, ExecError> {
        let section = &self.section;
        let mut command = Command::new(&section.command);
        command.args(section.args.iter().flatten());
        command.envs(section.env.iter().flatten().map(|variable| (&variable.name, &variable.value)));
        let version = &section.api_version;
        let asked = json!({"kind": "ExecCredential", "apiVersion": version, "spec": {"interactive": false}});
        command.env("KUBERNETES_EXEC_INFO", asked.to_string());
        let printed = program::output(command, PRINTED_BYTES_MAX, TIMEOUT).await;
        let printed = printed.map_err(|error| {
            let hint = section.install_hint.trim();
            let hint = if hint.is_empty() { String::new() } else { format!("; {hint}") };
            ExecError::Program { error, hint }
        })?;
        let credential: ExecCredential = json::from_slice(&printed)?;
        if credential.api_version != *version {
            return Err(ExecError::Version(credential.api_version));
        }
        let ends = ferula_go::calendar::parse_rfc3339(&credential.status.expiration_timestamp);
        let ExecStatus { token, client_certificate_data: certificate, client_key_data: key, .. } =
            credential.status;
        let pair = match (certificate.is_empty(), key.is_empty()) {
            (false, false) => Some(Arc::new(KeyPair { certificate, key: Secret::new(key) })),
            (true, true) if token.is_empty() => return Err(ExecError::NoCredentials),
            (true, true) => None,
            _ => return Err(ExecError::HalfPair),
        };
        let ends = ends.map_or(i64::MAX, |(seconds, _)| seconds);
        Ok(Credential { token, pair, ends })
    }
}
