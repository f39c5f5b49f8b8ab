//! Signs requests to OCI: method, path, date and host are signed with a user's key.

use ferula_config::discovery::OciSdConfig;
use ferula_go::base64;
use ferula_http_client::Request;
use ferula_http_client::jwt::{Algorithm, SigningKey};
use ferula_runtime::SharedClock;

use crate::api_client::with_headers;
use crate::provider::{Context, ProviderError};
use crate::refresh::RefreshError;

pub(super) struct Signer {
    /// `tenancy/user/fingerprint`
    key_id: String,
    key: SigningKey,
    clock: SharedClock,
}

impl Signer {
    pub(super) fn of(section: &OciSdConfig, context: &Context) -> Result<Self, ProviderError> {
        let wrong = |reason: String| {
            ProviderError::Option(format!("oci_sd: failed to build configuration provider: {reason}"))
        };
        if section.auth != "api_key" {
            let text = "instance_principal needs a key made for each session, which this build cannot make; use api_key";
            return Err(wrong(text.to_owned()));
        }
        let file = &section.key_file;
        let pem = std::fs::read_to_string(file).map_err(|error| {
            let what =
                format!("oci_sd: failed to build configuration provider: reading OCI key file {file:?}");
            ProviderError::File(what, error)
        })?;
        if pem.contains("ENCRYPTED") {
            let text = "the key file is encrypted; store it without a passphrase, readable only by the user of this program";
            return Err(wrong(text.to_owned()));
        }
        let key = SigningKey::parse(&pem).map_err(|error| wrong(error.to_string()))?;
        let key_id = format!("{}/{}/{}", section.tenancy, section.user, section.fingerprint);
        Ok(Signer { key_id, key, clock: context.clock.clone() })
    }

    /// Returns the request for this URL with its signature.
    pub(super) fn sign(&self, request: Request, url: &str) -> Result<Request, RefreshError> {
        let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
        let (host, target) = rest.find('/').map_or((rest, "/"), |at| rest.split_at(at));
        let date = ferula_go::calendar::format(self.clock.unix_nanos(), "Mon, 02 Jan 2006 15:04:05 GMT");
        let signed = format!("date: {date}\n(request-target): get {target}\nhost: {host}");
        let signature = base64::encode(&self.key.sign(Algorithm::Rs256, signed.as_bytes())?);
        let authorization = format!(
            "Signature version=\"1\",headers=\"date (request-target) host\",keyId=\"{}\",algorithm=\"rsa-sha256\",signature=\"{signature}\"",
            self.key_id
        );
        with_headers(request, &[("date", &date), ("authorization", &authorization)])
    }
}
