//! The AWS services: their endpoints and answers.

use std::time::Duration;

use bytes::Bytes;
use quick_xml::events::Event;

use super::sources::AwsError;
use crate::client::HttpClient;
use crate::message::Request;

/// Larger than any answer with credentials.
const ANSWER_BYTES_MAX: usize = 1 << 20;

/// The domain of the services in a region.
fn domain(region: &str) -> &'static str {
    match region {
        region if region.starts_with("cn-") => "amazonaws.com.cn",
        region if region.starts_with("us-iso-") => "c2s.ic.gov",
        region if region.starts_with("us-isob-") => "sc2s.sgov.gov",
        region if region.starts_with("eu-isoe-") => "cloud.adc-e.uk",
        region if region.starts_with("us-isof-") => "csp.hci.ic.gov",
        region if region.starts_with("eusc-") => "amazonaws.eu",
        _ => "amazonaws.com",
    }
}

/// The URL of a service in a region.
pub(super) fn service_url(service: &str, region: &str) -> String {
    format!("https://{service}.{region}.{}", domain(region))
}

/// Sends a request and returns the body of a successful answer.
pub(super) async fn ask(
    client: &HttpClient,
    request: Request,
    url: &str,
    timeout: Duration,
) -> Result<Bytes, AwsError> {
    let exchange = async {
        let response = client.send(request).await?;
        let (good, status) = (response.status().is_success(), response.status_text().to_owned());
        let body = response.bytes(ANSWER_BYTES_MAX).await?;
        if good {
            return Ok(body);
        }
        // Show only the reason, because the rest of the answer may be long.
        let [code, message] = element_texts(&String::from_utf8_lossy(&body), ["Code", "Message"]);
        let message = format!("{code} {message}").trim().to_owned();
        Err(AwsError::Status { url: url.to_owned(), status, message })
    };
    let timed_out = |_| AwsError::Timeout { url: url.to_owned(), after: timeout };
    tokio::time::timeout(timeout, exchange).await.map_err(timed_out)?
}

/// The text of the first element with each name, or "". Malformed XML has none.
pub(super) fn element_texts<const N: usize>(xml: &str, names: [&str; N]) -> [String; N] {
    let mut texts = [const { String::new() }; N];
    let mut reader = quick_xml::Reader::from_str(xml);
    let mut inside: Option<usize> = None;
    while let Ok(event) = reader.read_event() {
        match event {
            Event::Start(start) => {
                let name = start.local_name();
                inside = names.iter().position(|wanted| name.as_ref() == *wanted);
            }
            Event::Text(text) => {
                if let Some(slot) =
                    inside.take().map(|index| &mut texts[index]).filter(|slot| slot.is_empty())
                {
                    *slot = text.xml10_content().into_owned();
                }
            }
            Event::End(_) => inside = None,
            Event::Eof => break,
            _ => {}
        }
    }
    texts
}
