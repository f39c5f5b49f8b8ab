//! Signature version 4: signs a request with credentials by adding the headers `Authorization` and `X-Amz-…`.
//!
//! The signature covers the method, path, query, body, host, content type, and all `x-amz-` and `x-goog-` headers (Google
//! has requests to AWS signed for it).

use std::collections::BTreeMap;
use std::time::Duration;

use ferula_go::hex;
use ferula_go::url::{parse_query, percent_encode};
use http::header::{AUTHORIZATION, HeaderName, HeaderValue};
use ring::{digest, hmac};

use super::sources::{AwsError, Credentials};
use crate::message::Request;

const ALGORITHM: &str = "AWS4-HMAC-SHA256";
const DATE: HeaderName = HeaderName::from_static("x-amz-date");
const TOKEN: HeaderName = HeaderName::from_static("x-amz-security-token");

/// Signs a request for a service of a region. `at` is the time since the Unix epoch.
///
/// # Errors
/// Credentials contain characters that no header can hold.
pub fn sign(
    request: Request,
    credentials: &Credentials,
    region: &str,
    service: &str,
    at: Duration,
) -> Result<Request, AwsError> {
    let nanos = i64::try_from(at.as_nanos()).unwrap_or(i64::MAX);
    let time = ferula_go::calendar::format(nanos, "20060102T150405Z");
    let date = &time[..8];
    let mut request = request.header(DATE, value(&time)?);
    if !credentials.session_token.is_empty() {
        request = request.header(TOKEN, value(credentials.session_token.reveal())?);
    }
    let (signed_names, canonical) = canonical_request(&request);
    let scope = format!("{date}/{region}/{service}/aws4_request");
    let to_sign = format!("{ALGORITHM}\n{time}\n{scope}\n{}", hash(canonical.as_bytes()));
    let start = format!("AWS4{}", credentials.secret_key.reveal()).into_bytes();
    let steps = [date, region, service, "aws4_request"];
    let key = steps.iter().fold(start, |key, step| mac(&key, step.as_bytes()));
    let signature = hex::encode(mac(&key, to_sign.as_bytes()));
    let authorization = format!(
        "{ALGORITHM} Credential={}/{scope}, SignedHeaders={signed_names}, Signature={signature}",
        credentials.access_key
    );
    Ok(request.header(AUTHORIZATION, value(&authorization)?))
}

fn value(text: &str) -> Result<HeaderValue, AwsError> {
    let mut value = HeaderValue::from_str(text).map_err(|_| AwsError::Header)?;
    value.set_sensitive(true);
    Ok(value)
}

/// Returns the names of the signed headers, and the text whose hash is signed.
fn canonical_request(request: &Request) -> (String, String) {
    let mut headers = BTreeMap::from([("host".to_owned(), request.url.host())]);
    for (name, value) in &request.headers {
        let name_text = name.as_str();
        if name_text == "content-type"
            || ["x-amz-", "x-goog-"].iter().any(|prefix| name_text.starts_with(prefix))
        {
            let text = String::from_utf8_lossy(value.as_bytes());
            let one_space = text.split(' ').filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ");
            headers.insert(name.as_str().to_owned(), one_space);
        }
    }
    let names = headers.keys().map(String::as_str).collect::<Vec<_>>().join(";");
    let lines: String = headers.iter().map(|(name, value)| format!("{name}:{value}\n")).collect();
    let path = match &*request.url.escaped_path() {
        "" => "/".to_owned(),
        // The path has been encoded once already.
        path => escape(path, b"-_.~/"),
    };
    let query = canonical_query(request.url.raw_query());
    let (method, body) = (&request.method, hash(&request.body));
    let text = format!("{method}\n{path}\n{query}\n{lines}\n{names}\n{body}");
    (names, text)
}

fn canonical_query(query: &str) -> String {
    let (pairs, _) = parse_query(query);
    let escaped = |text: &str| escape(text, b"-_.~");
    let mut pairs: Vec<(String, String)> =
        pairs.iter().map(|(name, value)| (escaped(name), escaped(value))).collect();
    pairs.sort();
    pairs.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join("&")
}

/// Encodes everything except letters, digits and these characters: AWS has no `+` for a space.
fn escape(text: &str, signs: &[u8]) -> String {
    percent_encode(text.as_bytes(), |byte| byte.is_ascii_alphanumeric() || signs.contains(&byte))
}

fn mac(key: &[u8], message: &[u8]) -> Vec<u8> {
    hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), message).as_ref().to_vec()
}

fn hash(bytes: &[u8]) -> String {
    hex::encode(digest::digest(&digest::SHA256, bytes))
}
