//! One request to a service and its answer, recorded and limited in size.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use ferula_http_client::aws::Aws;
use ferula_http_client::header::{AUTHORIZATION, CONTENT_TYPE};
use ferula_http_client::{
    Bytes, HeaderName, HeaderValue, HttpClient, Method, Request, RequestError, Response, StatusCode, header,
};
use ferula_runtime::SharedClock;

use super::record::{Exchange, Record};
use super::{FailureReason, NotifyError, Sent};
use crate::template::Templates;

/// How much of an answer is read, in bytes.
const ANSWER_BYTES_MAX: usize = 1 << 20;
/// Maximum size in bytes of a file that contains a secret or URL.
const FILE_BYTES_MAX: u64 = 1 << 20;
const MASK: &str = "<secret>";
/// The assumed content of a file when none is read; a number, since some files must contain one.
const UNREAD: &str = "0";

/// What every service that uses HTTP needs.
#[derive(Clone)]
pub(super) struct Service {
    pub templates: Arc<Templates>,
    pub client: HttpClient,
    pub clock: SharedClock,
}

/// A request to be made.
pub(super) struct Call {
    method: Method,
    url: String,
    headers: Vec<(HeaderName, String)>,
    body: String,
    /// Texts that must not appear in records.
    secrets: Vec<String>,
    /// Whether errors omit the URL.
    hides_url: bool,
    /// The answer that a dry run pretends to receive.
    dry_answer: &'static str,
    /// Signs the request for this service of AWS.
    signer: Option<(Aws, &'static str)>,
}

impl Call {
    pub fn new(method: Method, url: impl Into<String>) -> Self {
        Call {
            method,
            url: url.into(),
            headers: Vec::new(),
            body: String::new(),
            secrets: Vec::new(),
            hides_url: false,
            dry_answer: "",
            signer: None,
        }
    }

    /// A `POST` of JSON.
    pub fn post(url: impl Into<String>, body: String) -> Self {
        Call { body, ..Call::new(Method::POST, url) }.header(CONTENT_TYPE, "application/json")
    }

    pub fn header(mut self, name: HeaderName, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    pub fn body(self, body: String) -> Self {
        Call { body, ..self }
    }

    pub fn secret(mut self, text: &str) -> Self {
        if !text.is_empty() {
            self.secrets.push(text.to_owned());
        }
        self
    }

    /// Marks the URL as a secret.
    pub fn secret_url(mut self) -> Self {
        self.hides_url = true;
        let url = self.url.clone();
        self.secret(&url)
    }

    /// Omits the URL from errors, but not from records.
    pub fn hide_url(self) -> Self {
        Call { hides_url: true, ..self }
    }

    pub fn dry_answer(self, dry_answer: &'static str) -> Self {
        Call { dry_answer, ..self }
    }

    /// Signs the request for a service of AWS.
    pub fn signed(self, aws: Aws, service: &'static str) -> Self {
        Call { signer: Some((aws, service)), ..self }
    }

    fn masked(&self, text: &str) -> String {
        self.secrets.iter().fold(text.to_owned(), |text, secret| text.replace(secret, MASK))
    }

    fn request(&self) -> Result<Request, RequestError> {
        let mut request = Request::new(self.method.clone(), &self.url)?.body(Bytes::from(self.body.clone()));
        for (name, value) in &self.headers {
            let value = HeaderValue::from_bytes(value.as_bytes()).map_err(|_| {
                let cause = ferula_http_client::error::HeaderError::Value(name.to_string());
                let cause = Box::new(ferula_http_client::Cause::Header(cause));
                RequestError { method: self.method.clone(), url: self.url.clone(), cause }
            })?;
            request = request.header(name.clone(), value);
        }
        Ok(request)
    }

    /// The request as shown in records.
    fn exchange(&self) -> Exchange {
        let headers = self.headers.iter().map(|(name, value)| {
            let value = if *name == AUTHORIZATION { MASK.to_owned() } else { self.masked(value) };
            (name.to_string(), value)
        });
        Exchange {
            method: self.method.to_string(),
            url: self.masked(&self.url),
            headers: headers.collect(),
            body: self.masked(&self.body),
            answer: None,
        }
    }
}

/// An answer, as far as it was read.
pub(super) struct Answer {
    pub status: StatusCode,
    pub content_type: String,
    pub body: String,
    /// Whether the body was truncated.
    pub is_broken: bool,
}

impl Answer {
    /// Checks the status as Alertmanager does: 2xx is success, 5xx and the codes in `retried` are worth a
    /// retry, and all others are final.
    ///
    /// # Errors
    /// `unexpected status code 400: details`
    pub fn check(&self, retried: &[u16]) -> Result<(), NotifyError> {
        self.check_with(retried, &self.body)
    }

    /// Checks the status, with the service's own details in the error.
    ///
    /// # Errors
    /// See [`Answer::check`].
    pub fn check_with(&self, retried: &[u16], details: &str) -> Result<(), NotifyError> {
        let code = self.status.as_u16();
        if code / 100 == 2 {
            return Ok(());
        }
        let separator = if details.is_empty() { "" } else { ": " };
        let text = format!("unexpected status code {code}{separator}{details}");
        Err(NotifyError {
            retry: code / 100 == 5 || retried.contains(&code),
            reason: FailureReason::of_status(code),
            text,
        })
    }
}

impl FailureReason {
    /// Tells from a status whether the client or the server is at fault.
    pub fn of_status(code: u16) -> Self {
        match code / 100 {
            4 => FailureReason::ClientError,
            5 => FailureReason::ServerError,
            _ => FailureReason::Other,
        }
    }
}

impl NotifyError {
    /// An error that a retry would not change.
    pub(super) fn fatal(text: impl std::fmt::Display) -> Self {
        NotifyError { retry: false, reason: FailureReason::Other, text: text.to_string() }
    }

    /// An error for which a retry may help.
    pub(super) fn passing(text: impl std::fmt::Display) -> Self {
        NotifyError { retry: true, ..NotifyError::fatal(text) }
    }

    pub(super) fn because(self, reason: FailureReason) -> Self {
        NotifyError { reason, ..self }
    }

    pub(super) fn prefixed(self, prefix: &str) -> Self {
        NotifyError { text: format!("{prefix}{}", self.text), ..self }
    }
}

impl Service {
    /// Sends a request and reads the answer.
    ///
    /// # Errors
    /// No answer arrived; worth a retry.
    pub async fn send(&self, record: &Record, call: Call) -> Result<Answer, NotifyError> {
        if record.is_dry() {
            record.note(|| call.exchange());
            return Ok(Answer {
                status: StatusCode::OK,
                content_type: "application/json".to_owned(),
                body: call.dry_answer.to_owned(),
                is_broken: false,
            });
        }
        let failed = |mut error: RequestError| {
            if call.hides_url {
                error.url = "<redacted>".to_owned();
            }
            let text = call.masked(&error.to_string());
            record.note(|| Exchange { answer: Some(text.clone()), ..call.exchange() });
            NotifyError::passing(text)
        };
        let mut request = call.request().map_err(failed)?;
        if let Some((aws, service)) = &call.signer {
            let signed = aws.sign(request, service).await;
            request = signed.map_err(|error| NotifyError::passing(error.to_string()))?;
        }
        let response = self.client.send(request).await.map_err(failed)?;
        let status_text = response.status_text().to_owned();
        let answer = read(response).await;
        record.note(|| {
            let body = call.masked(&answer.body);
            let text = if body.is_empty() { status_text } else { format!("{status_text}\n{body}") };
            Exchange { answer: Some(text), ..call.exchange() }
        });
        Ok(answer)
    }

    /// Runs an attempt with the configured time limit; 0 means no limit.
    ///
    /// # Errors
    /// The attempt's own error, or a timeout.
    pub async fn within(
        &self,
        limit: Duration,
        attempt: impl Future<Output = Result<Sent, NotifyError>>,
        timed_out: impl FnOnce() -> String,
    ) -> Result<Sent, NotifyError> {
        if limit.is_zero() {
            return attempt.await;
        }
        tokio::select! {
            result = attempt => result,
            () = self.clock.sleep(limit) => Err(NotifyError::passing(timed_out())),
        }
    }
}

async fn read(mut response: Response) -> Answer {
    let (status, content_type) = (response.status(), response.header_text(&header::CONTENT_TYPE));
    let (mut body, mut is_broken) = (Vec::new(), false);
    loop {
        match response.chunk().await {
            Ok(Some(chunk)) => {
                body.extend_from_slice(&chunk);
                if body.len() > ANSWER_BYTES_MAX {
                    // Reading on would change nothing, and might never end.
                    body.truncate(ANSWER_BYTES_MAX);
                    break;
                }
            }
            Ok(None) => break,
            Err(_) => {
                is_broken = true;
                break;
            }
        }
    }
    Answer { status, content_type, body: String::from_utf8_lossy(&body).into_owned(), is_broken }
}

/// A file with a secret or URL cannot be read. The text is Go's.
#[derive(Debug, thiserror::Error)]
#[error("open {file}: {}", ferula_http_client::error::io_text(.error))]
pub(super) struct FileError {
    file: String,
    error: std::io::Error,
}

/// Reads a file with a secret or URL, at each attempt; surrounding white space is removed.
///
/// # Errors
/// The file cannot be read.
pub(super) async fn read_trimmed(record: &Record, file: &str) -> Result<String, FileError> {
    read_file(record, file).await.map(|text| text.trim().to_owned())
}

/// Reads a file unchanged.
///
/// # Errors
/// See [`read_trimmed`].
pub(super) async fn read_file(record: &Record, file: &str) -> Result<String, FileError> {
    if record.reads_no_files() {
        return Ok(UNREAD.to_owned());
    }
    let path = file.to_owned();
    let read = tokio::task::spawn_blocking(move || read_bounded(Path::new(&path)));
    let read = read.await.unwrap_or_else(|error| Err(std::io::Error::other(error)));
    read.map_err(|error| FileError { file: file.to_owned(), error })
}

pub(super) fn read_bounded(path: &Path) -> std::io::Result<String> {
    use std::io::Read;
    let mut bytes = Vec::new();
    std::fs::File::open(path)?.take(FILE_BYTES_MAX).read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// The configured value, or else the content of the file.
///
/// # Errors
/// See [`read_trimmed`].
pub(super) async fn inline_or_file(record: &Record, inline: &str, file: &str) -> Result<String, FileError> {
    if inline.is_empty() { read_trimmed(record, file).await } else { Ok(inline.to_owned()) }
}

#[cfg(test)]
mod tests {
    use ferula_config::http_client::HttpClientConfig;
    use ferula_runtime::RealClock;
    use ferula_testkit::http_lab::{Case, Lab};

    use super::*;

    #[tokio::test]
    async fn every_key_of_the_client_section_works_as_elsewhere() {
        let lab = Lab::start().await;
        let clock = RealClock::shared();
        let templates = Arc::new(Templates::load(&[], "http://am", &clock).expect("the default templates"));
        let connect = |case: &Case| {
            let section = HttpClientConfig::parse_file(&case.section, ".").expect("a good section");
            let client =
                HttpClient::new(&section, "Alertmanager/0.33.0").map_err(|error| error.to_string())?;
            Ok(Service { templates: templates.clone(), client, clock: clock.clone() })
        };
        let send = async |service: &Service, case: &Case| {
            let record = Record::answers();
            match service.send(&record, Call::post(case.url("/hook"), "{}".to_owned())).await {
                Err(error) => Err(error.text),
                Ok(answer) if answer.status.is_success() => Ok(()),
                // The error has the code alone; the history has the server's words.
                Ok(_) => Err(record.take().remove(0).answer.unwrap_or_default()),
            }
        };
        lab.run(lab.cases_of_addresses(), connect, send).await;
    }
}
