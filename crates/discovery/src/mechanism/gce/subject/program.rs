//! A token that a program prints. Programs run only if the environment allows it, as with Google's own libraries.

use std::time::Duration;

use ferula_http_client::program;
use ferula_runtime::SharedClock;
use tokio::process::Command;

use super::super::credentials_file::{CredentialsFile, Executable};
use super::super::external_error::ExternalError;
use super::super::token_file::{TOKEN_BYTES_MAX, token_file};
use crate::json::{self, answers};
use crate::refresh::RefreshError;

const TIMEOUT_DEFAULT: Duration = Duration::from_secs(30);
const TIMEOUT_MIN: Duration = Duration::from_secs(5);
const TIMEOUT_MAX: Duration = Duration::from_secs(120);
const JWT: &str = "urn:ietf:params:oauth:token-type:jwt";
const ID_TOKEN: &str = "urn:ietf:params:oauth:token-type:id_token";
const SAML2: &str = "urn:ietf:params:oauth:token-type:saml2";

answers! { "snake_case":
    Printed {
        version: i64,
        success: Option<bool>,
        token_type: String,
        expiration_time: i64,
        id_token: String,
        saml_response: String,
        code: String,
        message: String,
    }
}

pub(in crate::mechanism::gce) struct Program {
    command: Vec<String>,
    timeout: Duration,
    /// Where the program keeps its last answer, if anywhere.
    output_file: String,
    is_allowed: bool,
    environment: Vec<(&'static str, String)>,
}

/// Why an answer has no token.
enum NoToken {
    /// It has expired, or tells of a failure: the program may have a newer one.
    Outdated(String),
    Invalid(String),
}

impl From<NoToken> for RefreshError {
    fn from((NoToken::Outdated(reason) | NoToken::Invalid(reason)): NoToken) -> Self {
        RefreshError::Answer(format!("oauth2/google/externalaccount: {reason}"))
    }
}

impl Program {
    pub(super) fn of_file(
        section: &Executable,
        file: &CredentialsFile,
        variable: &dyn Fn(&str) -> Option<String>,
    ) -> Result<Self, ExternalError> {
        let command: Vec<String> = section.command.split_whitespace().map(str::to_owned).collect();
        if command.is_empty() {
            return Err(ExternalError::Missing("command"));
        }
        let timeout = section.timeout_millis.map_or(TIMEOUT_DEFAULT, Duration::from_millis);
        if !(TIMEOUT_MIN..=TIMEOUT_MAX).contains(&timeout) {
            return Err(ExternalError::Timeout);
        }
        let mut environment = vec![
            ("GOOGLE_EXTERNAL_ACCOUNT_AUDIENCE", file.audience.clone()),
            ("GOOGLE_EXTERNAL_ACCOUNT_TOKEN_TYPE", file.subject_token_type.clone()),
            ("GOOGLE_EXTERNAL_ACCOUNT_INTERACTIVE", "0".to_owned()),
        ];
        if let Some(email) = impersonated_email(&file.service_account_impersonation_url) {
            environment.push(("GOOGLE_EXTERNAL_ACCOUNT_IMPERSONATED_EMAIL", email.to_owned()));
        }
        if !section.output_file.is_empty() {
            environment.push(("GOOGLE_EXTERNAL_ACCOUNT_OUTPUT_FILE", section.output_file.clone()));
        }
        let is_allowed = variable("GOOGLE_EXTERNAL_ACCOUNT_ALLOW_EXECUTABLES").as_deref() == Some("1");
        Ok(Program { command, timeout, output_file: section.output_file.clone(), is_allowed, environment })
    }

    pub(super) async fn token(&self, clock: &SharedClock) -> Result<String, RefreshError> {
        if let Some(kept) = self.kept().await {
            match self.read(&kept, "output file", clock) {
                Err(NoToken::Outdated(_)) => {}
                read => return Ok(read?),
            }
        }
        if !self.is_allowed {
            let reason = "executables need to be explicitly allowed (set GOOGLE_EXTERNAL_ACCOUNT_ALLOW_EXECUTABLES to '1') to run";
            return Err(NoToken::Invalid(reason.to_owned()).into());
        }
        let mut command = Command::new(&self.command[0]);
        command.args(&self.command[1..]).envs(self.environment.iter().map(|(name, value)| (name, value)));
        let printed = program::output(command, TOKEN_BYTES_MAX, self.timeout).await;
        let printed =
            printed.map_err(|error| NoToken::Invalid(format!("executable command failed: {error}")))?;
        Ok(self.read(&printed, "response", clock)?)
    }

    /// What the program wrote to its file, if it is not empty.
    async fn kept(&self) -> Option<Vec<u8>> {
        if self.output_file.is_empty() {
            return None;
        }
        token_file(&self.output_file).await.ok().filter(|bytes| !bytes.is_empty())
    }

    fn read(&self, text: &[u8], source: &str, clock: &SharedClock) -> Result<String, NoToken> {
        let printed: Printed = json::from_slice(text)
            .map_err(|error| NoToken::Invalid(format!("unable to parse {source}: {error}")))?;
        let missing = |field: &str| NoToken::Invalid(format!("{source} missing `{field:?}` field"));
        let success = match (printed.version, printed.success) {
            (0, _) => return Err(missing("version")),
            (_, None) => return Err(missing("success")),
            (_, Some(success)) => success,
        };
        if !success {
            let Printed { code, message, .. } = printed;
            return Err(NoToken::Outdated(match code.is_empty() || message.is_empty() {
                true => "response must include `error` and `message` fields when unsuccessful".to_owned(),
                false => format!("response contains unsuccessful response: ({code}) {message}"),
            }));
        }
        if printed.version != 1 {
            let version = printed.version;
            return Err(NoToken::Invalid(format!("{source} contains unsupported version: {version}")));
        }
        if printed.expiration_time == 0 && !self.output_file.is_empty() {
            return Err(missing("expiration_time"));
        }
        if printed.token_type.is_empty() {
            return Err(missing("token_type"));
        }
        if printed.expiration_time != 0
            && printed.expiration_time < clock.unix_nanos().div_euclid(1_000_000_000)
        {
            return Err(NoToken::Outdated("the token returned by the executable is expired".to_owned()));
        }
        let (field, token) = match printed.token_type.as_str() {
            JWT | ID_TOKEN => ("id_token", printed.id_token),
            SAML2 => ("saml_response", printed.saml_response),
            _ => return Err(NoToken::Invalid(format!("{source} contains unsupported token type"))),
        };
        if token.is_empty() { Err(missing(field)) } else { Ok(token) }
    }
}

/// The account in an address that ends with `serviceAccounts/EMAIL:generateAccessToken`.
fn impersonated_email(url: &str) -> Option<&str> {
    let rest = url.strip_prefix("https://iamcredentials.")?.strip_suffix(":generateAccessToken")?;
    let (_, email) = rest.split_once("/v1/projects/-/serviceAccounts/")?;
    email.contains('@').then_some(email)
}
