//! The token of another identity provider: from a file, a URL, AWS, or a program. Others renew it, so it is read each time.

mod aws;
mod program;

use std::collections::BTreeMap;

use ferula_http_client::{HeaderName, HeaderValue, Request};
use ferula_runtime::SharedClock;

use super::credentials_file::{CredentialsFile, TokenFormat};
use super::external_error::ExternalError;
use super::token_file::token_file;
use crate::api_client::ApiClient;
use crate::json;
use crate::refresh::RefreshError;

/// Where the token comes from.
pub(super) enum Subject {
    File(String, TokenFormat),
    Url { url: String, headers: BTreeMap<String, String>, format: TokenFormat },
    Aws(Box<aws::Identity>),
    Program(program::Program),
}

impl Subject {
    pub(super) fn of_file(
        file: &CredentialsFile,
        variable: &dyn Fn(&str) -> Option<String>,
    ) -> Result<Self, ExternalError> {
        let source = &file.credential_source;
        let aws_version = source.environment_id.strip_prefix("aws").and_then(|version| version.parse().ok());
        match aws_version {
            Some(1) => return Ok(Subject::Aws(Box::new(aws::Identity::of_file(file, variable)))),
            Some(other) => return Err(ExternalError::AwsVersion(other)),
            None => {}
        }
        match source.format.format_type.as_str() {
            "" | "text" => {}
            "json" if source.format.subject_token_field_name.is_empty() => {
                return Err(ExternalError::Missing("subject_token_field_name"));
            }
            "json" => {}
            other => return Err(ExternalError::Format(other.to_owned())),
        }
        if !source.file.is_empty() {
            Ok(Subject::File(source.file.clone(), source.format.clone()))
        } else if !source.url.is_empty() {
            let (url, headers, format) = (source.url.clone(), source.headers.clone(), source.format.clone());
            Ok(Subject::Url { url, headers, format })
        } else if let Some(executable) = &source.executable {
            Ok(Subject::Program(program::Program::of_file(executable, file, variable)?))
        } else {
            Err(ExternalError::Source)
        }
    }

    pub(super) async fn token(&self, api: &ApiClient, clock: &SharedClock) -> Result<String, RefreshError> {
        match self {
            Subject::File(file, format) => read_token(&token_file(file).await?, format),
            Subject::Url { url, headers, format } => {
                let mut request = Request::get(url)?;
                for (name, value) in headers {
                    let wrong = || RefreshError::Answer(format!("external_account: invalid header {name:?}"));
                    let mut value = HeaderValue::from_str(value).map_err(|_| wrong())?;
                    value.set_sensitive(true);
                    request = request.header(HeaderName::try_from(name).map_err(|_| wrong())?, value);
                }
                read_token(&api.send(request).await?.expect_ok()?.body, format)
            }
            Subject::Aws(identity) => identity.token(api, clock).await,
            Subject::Program(program) => program.token(clock).await,
        }
    }
}

fn read_token(text: &[u8], format: &TokenFormat) -> Result<String, RefreshError> {
    let token = match format.format_type.as_str() {
        "json" => {
            let json: BTreeMap<String, json::Json> = json::from_slice(text)?;
            json.get(&format.subject_token_field_name).map(json::Json::scalar).unwrap_or_default()
        }
        _ => String::from_utf8_lossy(text).trim().to_owned(),
    };
    match token.is_empty() {
        true => Err(RefreshError::Answer("external_account: the subject token is empty".to_owned())),
        false => Ok(token),
    }
}
