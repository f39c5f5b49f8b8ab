//! Why a file describes no federated identity that can be used here.

/// Why a file describes no identity that can be used here.
#[derive(Debug, thiserror::Error)]
pub(super) enum ExternalError {
    #[error("external_account: {0} is missing")]
    Missing(&'static str),
    /// The text is that of Google's library.
    #[error("oauth2/google/externalaccount: unable to parse credential source")]
    Source,
    #[error("oauth2/google/externalaccount: aws version '{0}' is not supported in the current build")]
    AwsVersion(u64),
    #[error(
        "oauth2/google/externalaccount: invalid `timeout_millis` field — executable timeout must be between 5 and 120 seconds"
    )]
    Timeout,
    #[error("external_account: invalid credential_source format type {0:?}")]
    Format(String),
}
