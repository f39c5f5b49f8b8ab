//! The inputs of the look-up: the section's settings, the environment, and a client.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use ferula_config::Secret;

use crate::client::HttpClient;
use crate::error::{BodyError, RequestError};
use crate::program::ProgramError;

/// Credentials are renewed this long before they end, as in the SDK.
const RENEWED_BEFORE: Duration = Duration::from_secs(300);

/// What a section of the configuration says about AWS.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Settings {
    /// "" looks for it in the environment, the profile and the instance's metadata.
    pub region: String,
    /// Counts only together with a secret key.
    pub access_key: String,
    pub secret_key: Secret,
    /// Of the shared files; "" means the one that the environment names, or `default`.
    pub profile: String,
    /// A role to assume with the credentials that were found.
    pub role_arn: String,
    pub external_id: String,
    pub use_fips_sts_endpoint: bool,
}

/// A key, its secret, and the token that goes with both when they are temporary.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Credentials {
    pub access_key: String,
    pub secret_key: Secret,
    /// "" for keys that do not end.
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
    /// Profiles that lead to each other.
    #[error("profile {0} leads back to itself")]
    ProfileCycle(String),
    #[error("profile {profile}: {reason}")]
    Profile { profile: String, reason: &'static str },
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
    #[error("{0} is neither a loopback address nor one of AWS' own, and not https")]
    ContainerHost(String),
    #[error("credential_process: {0}")]
    Program(#[from] ProgramError),
    #[error("no EC2 IMDS role found, access to the instance metadata is disabled")]
    MetadataDisabled,
    #[error("the credentials hold characters that no header may have")]
    Header,
}

/// Variables of the environment, so that tests bring their own.
pub(super) type Variable = dyn Fn(&str) -> Option<String> + Send + Sync;

/// Where credentials may come from. The ways to get them are in the files beside this one.
pub(super) struct Sources {
    pub settings: Settings,
    pub client: HttpClient,
    pub variable: Box<Variable>,
}

impl Sources {
    /// A variable of the environment that is set to something.
    pub(super) fn variable(&self, name: &str) -> Option<String> {
        (self.variable)(name).filter(|value| !value.is_empty())
    }
}

/// Since the Unix epoch.
pub(super) fn now() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

/// A moment such as `2015-08-30T12:36:00Z`.
pub(super) fn moment(text: &str) -> Option<SystemTime> {
    let (seconds, _) = ferula_go::calendar::parse_rfc3339(text)?;
    Some(UNIX_EPOCH + Duration::from_secs(u64::try_from(seconds).ok()?))
}
