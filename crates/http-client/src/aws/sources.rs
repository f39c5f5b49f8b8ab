//! Inputs of the look-up: the settings of the section, the environment, and a client.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use ferula_config::Secret;

use crate::client::HttpClient;
use crate::error::{BodyError, RequestError};
use crate::program::ProgramError;

/// Credentials are renewed this long before they expire, as in the SDK.
const RENEWED_BEFORE: Duration = Duration::from_secs(300);

/// The AWS settings of a section.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Settings {
    /// If empty, it is looked up in the environment, the profile and the instance's metadata.
    pub region: String,
    /// Ignored without a secret key.
    pub access_key: String,
    pub secret_key: Secret,
    /// In the shared files. If empty, the one named in the environment, or `default`.
    pub profile: String,
    /// A role to assume with the credentials found.
    pub role_arn: String,
    pub external_id: String,
    pub use_fips_sts_endpoint: bool,
}

/// A key, its secret, and the session token if they are temporary.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Credentials {
    pub access_key: String,
    pub secret_key: Secret,
    /// Empty for keys that do not expire.
    pub session_token: Secret,
    pub ends: Option<SystemTime>,
}

impl Credentials {
    pub(super) fn is_complete(&self) -> bool {
        !self.access_key.is_empty() && !self.secret_key.is_empty()
    }

    pub(super) fn is_valid(&self) -> bool {
        self.ends.is_none_or(|ends| ends > SystemTime::now() + RENEWED_BEFORE)
    }
}

/// Why a request to AWS cannot be signed.
#[derive(Debug, thiserror::Error)]
pub enum AwsError {
    #[error("could not determine AWS region: region not found in AWS config or IMDS")]
    NoRegion,
    #[error("failed to get shared config profile, {0}")]
    NoProfile(String),
    /// Source profiles form a cycle.
    #[error("profile {0} is its own source through other profiles")]
    ProfileCycle(String),
    #[error("profile {profile}: {reason}")]
    Profile { profile: String, reason: &'static str },
    #[error("profile {0}: the SSO session has expired or is invalid; run `aws sso login`")]
    SsoExpired(String),
    #[error("{file}: {error}")]
    File { file: String, error: std::io::Error },
    #[error("failed to refresh cached credentials, {0}")]
    Request(#[from] RequestError),
    #[error("failed to refresh cached credentials, {0}")]
    Body(#[from] BodyError),
    #[error("failed to refresh cached credentials, {url}: no answer within {}s", .after.as_secs())]
    Timeout { url: String, after: Duration },
    #[error("failed to refresh cached credentials, {url}: {status}: {message}")]
    Status { url: String, status: String, message: String },
    /// An answer without credentials.
    #[error("failed to refresh cached credentials, {0}: no credentials in the answer")]
    Answer(String),
    #[error("{0} must be https, a loopback address or an address of AWS")]
    ContainerHost(String),
    #[error("credential_process: {0}")]
    Program(#[from] ProgramError),
    #[error("no EC2 IMDS role found, access to the instance metadata is disabled")]
    MetadataDisabled,
    #[error("the credentials contain characters that are not allowed in headers")]
    Header,
}

/// Looks up an environment variable; tests pass their own.
pub(super) type Variable = dyn Fn(&str) -> Option<String> + Send + Sync;

/// Where credentials can come from. The files beside this one hold the ways to get them.
pub(super) struct Sources {
    pub settings: Settings,
    pub client: HttpClient,
    pub variable: Box<Variable>,
}

impl Sources {
    /// An environment variable, if it is set and not empty.
    pub(super) fn variable(&self, name: &str) -> Option<String> {
        (self.variable)(name).filter(|value| !value.is_empty())
    }
}

/// Time since the Unix epoch.
pub(super) fn now() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

/// Parses a time such as `2015-08-30T12:36:00Z`.
pub(super) fn moment(text: &str) -> Option<SystemTime> {
    let (seconds, _) = ferula_go::calendar::parse_rfc3339(text)?;
    Some(UNIX_EPOCH + Duration::from_secs(u64::try_from(seconds).ok()?))
}
