//! Credentials from a program named in a kubeconfig, such as `aws eks get-token` or `gke-gcloud-auth-plugin`.
//!
//! The program runs when a token is needed, and again when that has expired or been rejected.

use std::path::Path;
use std::time::Duration;

use ferula_http_client::Request;
use ferula_http_client::program::{self, ProgramError};
use ferula_runtime::SharedClock;
use serde::Deserialize;
use serde_json::json;
use tokio::process::Command;
use tokio::sync::Mutex;

use crate::api_client::with_headers;
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
    #[error("getting credentials: exec plugin didn't return a token")]
    NoToken,
}

answers! { "camelCase":
    ExecCredential { api_version: String, status: ExecStatus, }
    ExecStatus { token: String, expiration_timestamp: String, }
}

/// A program and the last token that it printed.
#[derive(Debug)]
pub(super) struct Exec {
    section: ExecSection,
    /// With its expiry, in seconds since the Unix epoch.
    token: Mutex<Option<(String, i64)>>,
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
        Ok(Exec { section, token: Mutex::default() })
    }

    /// Adds a valid token to the request.
    pub(super) async fn authorize(
        &self,
        request: Request,
        clock: &SharedClock,
    ) -> Result<Request, RefreshError> {
        let mut known = self.token.lock().await;
        let now = clock.unix_nanos().div_euclid(1_000_000_000);
        if known.as_ref().is_none_or(|(_, ends)| *ends <= now) {
            let fresh = self.run().await.map_err(|error| RefreshError::Answer(error.to_string()))?;
            *known = Some(fresh);
        }
        let token = known.as_ref().map_or("", |(token, _)| token);
        with_headers(request, &[("authorization", &format!("Bearer {token}"))])
    }

    /// Makes the program run again next time: the server rejected its token.
    pub(super) async fn forget(&self) {
        *self.token.lock().await = None;
    }

    async fn run(&self) -> Result<(String, i64), ExecError> {
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
        if credential.status.token.is_empty() {
            return Err(ExecError::NoToken);
        }
        let ends = ferula_go::calendar::parse_rfc3339(&credential.status.expiration_timestamp);
        Ok((credential.status.token, ends.map_or(i64::MAX, |(seconds, _)| seconds)))
    }
}
