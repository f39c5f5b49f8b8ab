//! Signed requests to one service of AWS, in the three protocols that the services have.

use std::time::Duration;

use ferula_config::http_client::HttpClientConfig;
use ferula_http_client::aws::{Aws, Settings};
use ferula_http_client::{Bytes, Request};
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::api_client::{Answer, ApiClient, with_headers};
use crate::json::answers;
use crate::provider::{Context, ProviderError};
use crate::refresh::RefreshError;
use crate::xml::Document;

/// No account has this many pages; stops an API that always names another page.
pub(super) const PAGES_MAX: u32 = 10_000;
/// The number of requests at a time when a section sets no limit.
const CONCURRENCY_MAX: i64 = 100;

/// The settings that all sections have under the same names.
macro_rules! settings {
    ($section:expr) => {
        ferula_http_client::aws::Settings {
            region: $section.region.clone(),
            access_key: $section.access_key.clone(),
            secret_key: $section.secret_key.clone(),
            profile: $section.profile.clone(),
            role_arn: $section.role_arn.clone(),
            external_id: $section.external_id.clone(),
            use_fips_sts_endpoint: false,
        }
    };
}

pub(super) use settings;

/// A service of AWS.
pub(super) struct Service {
    api: ApiClient,
    aws: Aws,
    context: Context,
    /// `ec2`: as in its host name and in signatures.
    name: &'static str,
    /// The endpoint in the section; if empty, that of the region.
    endpoint: String,
}

answers! { "camelCase":
    JsonError {
        #[serde(rename = "__type")]
        error_type: String,
        #[serde(alias = "Message")]
        message: String,
    }
}

impl Service {
    pub(super) fn new(
        name: &'static str,
        endpoint: &str,
        settings: Settings,
        http: &HttpClientConfig,
        context: &Context,
        timeout: Duration,
    ) -> Result<Self, ProviderError> {
        let api = ApiClient::new(http, context, timeout)?;
        let aws = Aws::new(settings, api.client().clone());
        let endpoint = endpoint.trim_end_matches('/').to_owned();
        Ok(Service { api, aws, context: context.clone(), name, endpoint })
    }

    /// Another service with the same credentials, at the region's endpoint.
    pub(super) fn beside(&self, name: &'static str) -> Self {
        let (api, aws, context) = (self.api.clone(), self.aws.clone(), self.context.clone());
        Service { api, aws, context, name, endpoint: String::new() }
    }

    pub(super) async fn region(&self) -> Result<String, RefreshError> {
        Ok(self.aws.region().await?)
    }

    async fn url(&self) -> Result<String, RefreshError> {
        if !self.endpoint.is_empty() {
            return Ok(self.endpoint.clone());
        }
        Ok(self.context.service_url(&self.aws.service_url(self.name).await?))
    }

    /// Calls an action with parameters in a form; the answer is XML.
    pub(super) async fn query(
        &self,
        version: &str,
        action: &str,
        parameters: &[(String, String)],
    ) -> Result<Document, RefreshError> {
        let mut form = vec![("Action", action), ("Version", version)];
        form.extend(parameters.iter().map(|(name, value)| (name.as_str(), value.as_str())));
        let body = ferula_go::url::encode_query(form);
        let url = format!("{}/", self.url().await?);
        let request = Request::post(&url, "application/x-www-form-urlencoded", Bytes::from(body))?;
        let answer = self.send(request, action, xml_error).await?;
        Ok(Document::parse(&answer.body)?)
    }

    /// Calls an action with its name in a header and parameters as JSON.
    pub(super) async fn call<T: DeserializeOwned>(
        &self,
        target: &'static str,
        parameters: &Value,
    ) -> Result<T, RefreshError> {
        let url = format!("{}/", self.url().await?);
        let request = Request::post(&url, "application/x-amz-json-1.1", Bytes::from(parameters.to_string()))?;
        let request = with_headers(request, &[("x-amz-target", target)])?;
        let action = target.rsplit('.').next().unwrap_or(target);
        self.send(request, action, json_error).await?.json()
    }

    /// Sends a `GET` for a path and parses the JSON of its answer.
    pub(super) async fn get<T: DeserializeOwned>(&self, action: &str, path: &str) -> Result<T, RefreshError> {
        let request = Request::get(&format!("{}{path}", self.url().await?))?;
        self.send(request, action, json_error).await?.json()
    }

    async fn send(
        &self,
        request: Request,
        action: &str,
        error_of: fn(&Answer) -> (String, String),
    ) -> Result<Answer, RefreshError> {
        let request = self.aws.sign(request, self.name).await?;
        let answer = self.api.send(request).await?;
        if answer.status.is_success() {
            return Ok(answer);
        }
        let (code, message) = error_of(&answer);
        // Keys may have been replaced; the next round uses the new ones.
        if matches!(code.as_str(), "AuthFailure" | "UnauthorizedOperation")
            || code.starts_with("ExpiredToken")
            || code.starts_with("UnrecognizedClient")
        {
            self.aws.forget_credentials().await;
        }
        let reason = match code.as_str() {
            "" => format!("StatusCode: {}", answer.status_text),
            code => format!("StatusCode: {}, api error {code}: {message}", answer.status.as_u16()),
        };
        Err(RefreshError::Answer(format!("operation error {}: {action}, {reason}", self.name)))
    }
}

/// Code and message of an error in the format of the XML services.
fn xml_error(answer: &Answer) -> (String, String) {
    let Ok(document) = Document::parse(&answer.body) else { return Default::default() };
    let error = ["Response", "ErrorResponse"].into_iter().find_map(|root| document.root(root).ok());
    let error = error.and_then(|root| root.at(&["Errors", "Error"]).or_else(|| root.child("Error")));
    error.map_or_else(Default::default, |error| {
        (error.text_at(&["Code"]).to_owned(), error.text_at(&["Message"]).to_owned())
    })
}

/// Code and message of an error in the format of the JSON services.
fn json_error(answer: &Answer) -> (String, String) {
    let said: JsonError = answer.json().unwrap_or_default();
    let code = match answer.header("x-amzn-errortype") {
        "" => said.error_type.as_str(),
        header => header,
    };
    let code = code.rsplit('#').next().unwrap_or(code);
    (code.split(':').next().unwrap_or(code).to_owned(), said.message)
}

/// Runs requests with limited concurrency, and returns the results in order.
pub(super) async fn concurrently<T, F: Future<Output = Result<T, RefreshError>>>(
    requests: Vec<F>,
    limit: i64,
) -> Result<Vec<T>, RefreshError> {
    let limit = if limit < 0 { CONCURRENCY_MAX } else { limit.clamp(1, CONCURRENCY_MAX) } as usize;
    let mut all = Vec::with_capacity(requests.len());
    let mut requests = requests.into_iter();
    loop {
        let some: Vec<F> = requests.by_ref().take(limit).collect();
        if some.is_empty() {
            return Ok(all);
        }
        all.extend(futures_util::future::try_join_all(some).await?);
    }
}

/// `Filter.1.Name=…&Filter.1.Value.1=…`, with the service's own words for both.
pub(super) fn filters<'f>(
    filter: &str,
    value: &str,
    filters: impl IntoIterator<Item = (&'f str, &'f [String])>,
) -> Vec<(String, String)> {
    let mut parameters = Vec::new();
    for (at, (name, values)) in (1..).zip(filters) {
        parameters.push((format!("{filter}.{at}.Name"), name.to_owned()));
        for (number, text) in (1..).zip(values) {
            parameters.push((format!("{filter}.{at}.{value}.{number}"), text.clone()));
        }
    }
    parameters
}
