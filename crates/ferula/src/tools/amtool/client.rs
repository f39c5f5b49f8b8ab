//! The client of Alertmanager's API that the commands use.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Result, anyhow, bail};
use ferula_config::alertmanager::{Matcher, parse_matcher};
use ferula_go::quote::go_quote;
use ferula_go::url::encode_query;
use ferula_http_client::Method;
use serde_json::Value;

use super::settings::{self, TIMEOUT, URL, VERSION_CHECK};
use crate::tools::args::{Args, parse_nanos};
use crate::tools::http::{Answer, Server};
use crate::version::ALERTMANAGER_VERSION;

/// An Alertmanager.
pub struct Client {
    server: Server,
    timeout: Duration,
}

/// An operation, as errors name it.
struct Operation {
    method: Method,
    /// Below `/api/v2/`.
    path: String,
    /// `/silence/{silenceID}`
    pattern: &'static str,
    /// `getSilence`
    name: &'static str,
}

impl Client {
    /// The Alertmanager that the flags or settings name.
    ///
    /// # Errors
    /// No Alertmanager is named, or the client's settings are invalid.
    pub fn new(args: &Args) -> Result<Self> {
        let url = settings::value(args, URL).filter(|url| !url.is_empty());
        let url = url.ok_or_else(|| anyhow!("required flag --alertmanager.url not provided"))?;
        let server = Server::new(args, &url, &BTreeMap::new())?;
        let timeout = settings::value(args, TIMEOUT).and_then(|text| parse_nanos(&text).ok()).unwrap_or(0);
        let client = Client { server, timeout: Duration::from_nanos(timeout.unsigned_abs()) };
        if settings::value(args, VERSION_CHECK).as_deref() == Some("true") {
            client.compare_versions();
        }
        Ok(client)
    }

    /// Warns if the server has a different version; a server that reports none is accepted.
    fn compare_versions(&self) {
        let Ok(status) = self.get("status", &[]) else { return };
        let Some(theirs) = status["versionInfo"]["version"].as_str() else { return };
        let minor = |version: &str| version.split('.').take(2).map(str::to_owned).collect::<Vec<_>>();
        if minor(theirs) != minor(ALERTMANAGER_VERSION) {
            eprintln!(
                "Warning: amtool version ({ALERTMANAGER_VERSION}) and alertmanager version ({theirs}) are different."
            );
        }
    }

    /// `GET /status`, `/alerts` or `/silences`.
    pub fn get(&self, what: &'static str, query: &[(&str, &str)]) -> Result<Value> {
        let (pattern, name) = match what {
            "alerts" => ("/alerts", "getAlerts"),
            "silences" => ("/silences", "getSilences"),
            _ => ("/status", "getStatus"),
        };
        self.json(Operation { method: Method::GET, path: what.into(), pattern, name }, query, None)
    }

    /// A path of ferula's own API.
    pub fn get_own(&self, path: &str, query: &[(&str, &str)]) -> Result<Value> {
        let operation =
            Operation { method: Method::GET, path: path.into(), pattern: "/explain", name: "explain" };
        self.json(operation, query, None)
    }

    /// Sends a request to a path of ferula's own API.
    pub fn post_own(&self, path: &str, body: &Value) -> Result<Value> {
        let operation =
            Operation { method: Method::POST, path: path.into(), pattern: "/preview", name: "preview" };
        self.json(operation, &[], Some(body))
    }

    /// One silence.
    pub fn silence(&self, id: &str) -> Result<Value> {
        let path = format!("silence/{id}");
        self.json(
            Operation { method: Method::GET, path, pattern: "/silence/{silenceID}", name: "getSilence" },
            &[],
            None,
        )
    }

    /// Ends a silence.
    pub fn expire(&self, id: &str) -> Result<()> {
        let (path, pattern) = (format!("silence/{id}"), "/silence/{silenceID}");
        let operation = Operation { method: Method::DELETE, path, pattern, name: "deleteSilence" };
        self.call(operation, &[], None).map(drop)
    }

    /// Sets a silence and returns its identifier.
    pub fn post_silence(&self, silence: &Value) -> Result<String> {
        let operation = Operation {
            method: Method::POST,
            path: "silences".into(),
            pattern: "/silences",
            name: "postSilences",
        };
        let answer = self.json(operation, &[], Some(silence))?;
        Ok(answer["silenceID"].as_str().unwrap_or_default().to_owned())
    }

    /// Sends alerts.
    pub fn post_alerts(&self, alerts: &Value) -> Result<()> {
        let operation =
            Operation { method: Method::POST, path: "alerts".into(), pattern: "/alerts", name: "postAlerts" };
        self.call(operation, &[], Some(alerts)).map(drop)
    }

    fn json(&self, operation: Operation, query: &[(&str, &str)], body: Option<&Value>) -> Result<Value> {
        let answer = self.call(operation, query, body)?;
        Ok(serde_json::from_slice(&answer.body)?)
    }

    fn call(&self, operation: Operation, query: &[(&str, &str)], body: Option<&Value>) -> Result<Answer> {
        let mut url = self.server.at(&format!("api/v2/{}", operation.path));
        url.set_raw_query(&encode_query(query.iter().copied()));
        let headers: &[(&str, &str)] = match body {
            Some(_) => &[("accept", "application/json"), ("content-type", "application/json")],
            None => &[("accept", "application/json")],
        };
        let bytes = body.map(|body| body.to_string().into_bytes()).unwrap_or_default();
        let answer = self.server.call(operation.method.clone(), &url, headers, bytes, self.timeout)?;
        if answer.code == 200 {
            return Ok(answer);
        }
        bail!(NotDone { code: answer.code, text: error_text(&operation, &answer) })
    }
}

/// A status other than 200.
#[derive(Debug, thiserror::Error)]
#[error("{text}")]
pub struct NotDone {
    pub code: u16,
    text: String,
}

/// Formats an error as amtool's generated client does: `[POST /silences][400] postSilencesBadRequest "…"`.
fn error_text(operation: &Operation, answer: &Answer) -> String {
    let kind = match answer.code {
        400 => "BadRequest",
        404 => "NotFound",
        500 => "InternalServerError",
        code => {
            let Operation { method, pattern, name, .. } = operation;
            let body = String::from_utf8_lossy(&answer.body);
            return format!("[{method} {pattern}] {name} (status {code}): {}", body.trim_end());
        }
    };
    let head =
        format!("[{} {}][{}] {}{kind}", operation.method, operation.pattern, answer.code, operation.name);
    match String::from_utf8_lossy(&answer.body).trim_end() {
        "" => head,
        body => format!("{head} {body}"),
    }
}

/// Matchers from the command line: if the first word is not a matcher, it is the name of an alert.
pub fn matcher_texts(args: &Args, given: &[&str]) -> Vec<String> {
    let mut texts: Vec<String> = given.iter().map(|text| (*text).to_owned()).collect();
    if let Some(first) = texts.first_mut()
        && parse_matcher(first, settings::syntax(args)).is_err()
    {
        *first = format!("alertname={}", go_quote(first));
    }
    texts
}

/// The same, compiled.
pub fn matchers(args: &Args, given: &[&str]) -> Result<Vec<Matcher>> {
    let parse = |text: &String| Ok(parse_matcher(text, settings::syntax(args))?.value);
    matcher_texts(args, given).iter().map(parse).collect()
}
