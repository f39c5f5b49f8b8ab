//! Credentials of a role for the holder of a single sign-on session (IAM Identity Center).
//!
//! ```text
//! `aws sso login` ─▶ ~/.aws/sso/cache/SHA1.json ─▶ access token ─▶ portal.sso: credentials of the role
//!                        ▲ replaced                     │ expired
//!                        └────── oidc: new token ◀──────┘ with the refresh token, if the session has one
//! ```

use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use ferula_config::Secret;
use ferula_go::url::query_escape;
use http::{HeaderName, HeaderValue};
use serde_json::{Value, json};

use super::profile::Profile;
use super::service::{ask, service_url};
use super::sources::{AwsError, Credentials, Sources, moment, now};
use crate::message::Request;

const TIMEOUT: Duration = Duration::from_secs(30);
const TOKEN_FILE_BYTES_MAX: u64 = 1 << 20;

/// Where the session of a profile is, and the role that it is for.
struct Session {
    /// The name of the token's file is made of it.
    cache_key: String,
    region: String,
    account_id: String,
    role_name: String,
    /// Only sessions with a section of their own have refresh tokens.
    is_refreshable: bool,
}

/// The file that `aws sso login` wrote.
#[derive(Clone)]
struct TokenFile {
    path: PathBuf,
    json: Value,
}

impl TokenFile {
    async fn read(path: PathBuf) -> Result<Self, AwsError> {
        let failed = |error| AwsError::File { file: path.display().to_string(), error };
        let bytes = tokio::fs::metadata(&path).await.map_err(failed)?.len();
        if bytes > TOKEN_FILE_BYTES_MAX {
            return Err(failed(std::io::Error::other("it is too large for a token")));
        }
        let text = tokio::fs::read(&path).await.map_err(failed)?;
        // The error of the reader could show a part of the token.
        let json =
            serde_json::from_slice(&text).map_err(|_| failed(std::io::Error::other("it is not JSON")))?;
        Ok(TokenFile { path, json })
    }

    fn text(&self, key: &str) -> &str {
        self.json[key].as_str().unwrap_or_default()
    }

    fn is_valid(&self) -> bool {
        !self.text("accessToken").is_empty()
            && moment(self.text("expiresAt")).is_some_and(|ends| ends > SystemTime::now())
    }

    /// Replaces the file, which no one else may read. Refresh tokens are good for one use.
    fn save(&self) -> std::io::Result<()> {
        let temporary = self.path.with_extension("json.tmp");
        // One that an interrupted run left may be readable by others.
        let _ = std::fs::remove_file(&temporary);
        let mut options = std::fs::OpenOptions::new();
        let mut file = options.write(true).create_new(true).mode(0o600).open(&temporary)?;
        file.write_all(self.json.to_string().as_bytes())?;
        file.sync_all()?;
        std::fs::rename(&temporary, &self.path)
    }
}

impl Sources {
    /// Credentials of the role that a profile names; `None` if it uses no single sign-on.
    pub(super) async fn sso_credentials(&self, profile: &Profile) -> Result<Option<Credentials>, AwsError> {
        let Some(session) = self.sso_session(profile)? else { return Ok(None) };
        let path = self.sso_token_path(&session.cache_key).ok_or_else(|| AwsError::Profile {
            profile: profile.name.clone(),
            reason: "HOME is not set, so the token of single sign-on cannot be found",
        })?;
        let mut token = TokenFile::read(path).await?;
        if !token.is_valid() {
            if !session.is_refreshable || token.text("refreshToken").is_empty() {
                return Err(AwsError::SsoExpired(profile.name.clone()));
            }
            self.refresh(&session, &mut token).await?;
        }
        self.role_credentials(&session, token.text("accessToken")).await.map(Some)
    }

    fn sso_session(&self, profile: &Profile) -> Result<Option<Session>, AwsError> {
        let (name, start_url) = (profile.get("sso_session"), profile.get("sso_start_url"));
        if name.is_none() && start_url.is_none() {
            return Ok(None);
        }
        let wrong = |reason| AwsError::Profile { profile: profile.name.clone(), reason };
        let section = match name {
            Some(name) => self.sso_section(name)?.ok_or(wrong("its sso_session does not exist"))?,
            None => profile.clone(),
        };
        let needed = |of: &Profile, key: &str, reason| of.get(key).map(str::to_owned).ok_or(wrong(reason));
        needed(&section, "sso_start_url", "sso_start_url is missing")?;
        Ok(Some(Session {
            cache_key: name.or(start_url).unwrap_or_default().to_owned(),
            region: needed(&section, "sso_region", "sso_region is missing")?,
            account_id: needed(profile, "sso_account_id", "sso_account_id is missing")?,
            role_name: needed(profile, "sso_role_name", "sso_role_name is missing")?,
            is_refreshable: name.is_some(),
        }))
    }

    fn sso_token_path(&self, cache_key: &str) -> Option<PathBuf> {
        let hash = ring::digest::digest(&ring::digest::SHA1_FOR_LEGACY_USE_ONLY, cache_key.as_bytes());
        let name: String = hash.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
        Some(Path::new(&self.variable("HOME")?).join(".aws/sso/cache").join(name + ".json"))
    }

    fn sso_url(&self, variable: &str, service: &str, region: &str) -> String {
        let named = self.variable(variable).or_else(|| self.variable("AWS_ENDPOINT_URL"));
        let url = named.unwrap_or_else(|| service_url(service, region));
        url.trim_end_matches('/').to_owned()
    }

    /// Exchanges the refresh token, and keeps the new ones in the file.
    async fn refresh(&self, session: &Session, token: &mut TokenFile) -> Result<(), AwsError> {
        let url = format!("{}/token", self.sso_url("AWS_ENDPOINT_URL_SSO_OIDC", "oidc", &session.region));
        let body = json!({
            "clientId": token.text("clientId"),
            "clientSecret": token.text("clientSecret"),
            "grantType": "refresh_token",
            "refreshToken": token.text("refreshToken"),
        });
        let request = Request::post(&url, "application/json", Bytes::from(body.to_string()))?;
        let answer = ask(&self.client, request, &url, TIMEOUT).await?;
        let answer: Value = serde_json::from_slice(&answer).map_err(|_| AwsError::Answer(url.clone()))?;
        let (Some(access), Some(seconds)) = (answer["accessToken"].as_str(), answer["expiresIn"].as_i64())
        else {
            return Err(AwsError::Answer(url));
        };
        let ends = i64::try_from(now().as_secs()).unwrap_or(i64::MAX).saturating_add(seconds.max(0));
        token.json["accessToken"] = access.into();
        token.json["expiresAt"] =
            ferula_go::calendar::format(ends.saturating_mul(1_000_000_000), "2006-01-02T15:04:05Z").into();
        if let Some(next) = answer["refreshToken"].as_str() {
            token.json["refreshToken"] = next.into();
        }
        let copy = token.clone();
        let saved = tokio::task::spawn_blocking(move || copy.save()).await;
        saved
            .unwrap_or_else(|error| Err(std::io::Error::other(error)))
            .map_err(|error| AwsError::File { file: token.path.display().to_string(), error })
    }

    async fn role_credentials(&self, session: &Session, access_token: &str) -> Result<Credentials, AwsError> {
        const BEARER: HeaderName = HeaderName::from_static("x-amz-sso_bearer_token");
        let base = self.sso_url("AWS_ENDPOINT_URL_SSO", "portal.sso", &session.region);
        let (account, role) = (query_escape(&session.account_id), query_escape(&session.role_name));
        let url = format!("{base}/federation/credentials?account_id={account}&role_name={role}");
        let mut value = HeaderValue::from_str(access_token).map_err(|_| AwsError::Header)?;
        value.set_sensitive(true);
        let request = Request::get(&url)?.header(BEARER, value);
        let answer = ask(&self.client, request, &url, TIMEOUT).await?;
        let answer: Value = serde_json::from_slice(&answer).map_err(|_| AwsError::Answer(url.clone()))?;
        let found = &answer["roleCredentials"];
        let text = |key: &str| found[key].as_str().unwrap_or_default();
        let credentials = Credentials {
            access_key: text("accessKeyId").to_owned(),
            secret_key: Secret::new(text("secretAccessKey")),
            session_token: Secret::new(text("sessionToken")),
            ends: found["expiration"].as_u64().map(|ms| UNIX_EPOCH + Duration::from_millis(ms)),
        };
        if credentials.is_complete() { Ok(credentials) } else { Err(AwsError::Answer(url)) }
    }
}
