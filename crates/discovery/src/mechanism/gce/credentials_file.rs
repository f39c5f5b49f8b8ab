//! What a file of application default credentials says, of any type.

use std::collections::BTreeMap;

use crate::json::answers;

answers! { "snake_case":
    pub(super) CredentialsFile {
        #[serde(rename = "type")]
        pub credentials_type: String,
        // Of a service account.
        pub client_email: String,
        pub private_key: String,
        pub private_key_id: String,
        pub token_uri: String,
        // Of a user.
        pub client_id: String,
        pub client_secret: String,
        pub refresh_token: String,
        // Of an external account.
        pub audience: String,
        pub subject_token_type: String,
        pub token_url: String,
        pub service_account_impersonation_url: String,
        pub service_account_impersonation: Impersonation,
        pub delegates: Vec<String>,
        pub workforce_pool_user_project: String,
        pub credential_source: CredentialSource,
        // Of an account that impersonates another one.
        pub source_credentials: Option<Box<CredentialsFile>>,
    }
    pub(super) Impersonation { pub token_lifetime_seconds: u64, }
    pub(super) CredentialSource {
        pub file: String,
        pub url: String,
        pub headers: BTreeMap<String, String>,
        pub environment_id: String,
        pub region_url: String,
        pub regional_cred_verification_url: String,
        pub imdsv2_session_token_url: String,
        pub executable: Option<Executable>,
        pub format: TokenFormat,
    }
    pub(super) Executable { pub command: String, pub timeout_millis: Option<u64>, pub output_file: String, }
    pub(super) TokenFormat {
        #[serde(rename = "type")]
        pub format_type: String,
        pub subject_token_field_name: String,
    }
}

impl CredentialsFile {
    /// The client with its secret, as a header has them.
    pub(super) fn basic(&self) -> String {
        let text = format!("{}:{}", self.client_id, self.client_secret);
        format!("Basic {}", ferula_go::base64::encode(text.as_bytes()))
    }
}
