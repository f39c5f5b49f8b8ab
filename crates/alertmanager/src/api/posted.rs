//! The body of `POST /api/v2/alerts`.
//!
//! Nearly every body is regular: the known keys, once each, with texts. Such a body is read in one pass, and its texts stay where
//! they are ([`read_regular`]). Every other one is read value by value, as Go's decoder does, and with its errors.

use std::borrow::Cow;
use std::fmt;

use ferula_go::quote::go_quote;
use ferula_go::url::Url;
use serde::Deserialize;
use serde::de::{Deserializer, Error, MapAccess, Visitor};
use serde_json::Value;

use super::answer::Answer;
use super::body;
use crate::stored_alert::Pairs;
use crate::time::Time;

/// An alert in the form in which clients post it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct PostedAlert<'b> {
    pub labels: Pairs<'b>,
    pub annotations: Pairs<'b>,
    pub starts_at: Option<Time>,
    pub ends_at: Option<Time>,
    pub generator_url: Cow<'b, str>,
}

/// Reads a body.
pub(super) fn read_alerts(bytes: &[u8]) -> Result<Vec<PostedAlert<'_>>, Answer> {
    match read_regular(bytes) {
        Some(alerts) => Ok(alerts),
        None => read_values(body::read(bytes, "alerts")?),
    }
}

/// Reads a regular body; `None` if anything in it is unusual.
fn read_regular(bytes: &[u8]) -> Option<Vec<PostedAlert<'_>>> {
    let alerts: Vec<Regular<'_>> = serde_json::from_slice(bytes).ok()?;
    let time = |text: Option<Text<'_>>| match text {
        None => Some(None),
        Some(Text(text)) => body::parse_time(&text).map(Some),
    };
    let read = alerts.into_iter().map(|alert| {
        let generator_url = alert.generator_url.map(|Text(text)| text).unwrap_or_default();
        Some(PostedAlert {
            labels: sorted(alert.labels)?,
            annotations: sorted(alert.annotations.unwrap_or_default())?,
            starts_at: time(alert.starts_at)?,
            ends_at: time(alert.ends_at)?,
            generator_url: Some(generator_url).filter(|text| is_request_uri(text))?,
        })
    });
    read.collect()
}

fn sorted(RegularPairs(mut pairs): RegularPairs<'_>) -> Option<Pairs<'_>> {
    pairs.sort_unstable();
    pairs.windows(2).all(|two| two[0].0 != two[1].0).then_some(pairs)
}

/// Keys in another case, unknown and doubled ones are errors here.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Regular<'b> {
    #[serde(borrow)]
    labels: RegularPairs<'b>,
    #[serde(borrow)]
    annotations: Option<RegularPairs<'b>>,
    #[serde(borrow)]
    starts_at: Option<Text<'b>>,
    #[serde(borrow)]
    ends_at: Option<Text<'b>>,
    #[serde(borrow, rename = "generatorURL")]
    generator_url: Option<Text<'b>>,
}

#[derive(Default)]
struct RegularPairs<'b>(Pairs<'b>);

impl<'de: 'b, 'b> Deserialize<'de> for RegularPairs<'b> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct OfMap;
        impl<'de> Visitor<'de> for OfMap {
            type Value = RegularPairs<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Self::Value, M::Error> {
                let mut pairs = Vec::with_capacity(8);
                while let Some((Text(name), Text(value))) = map.next_entry()? {
                    pairs.push((name, value));
                }
                Ok(RegularPairs(pairs))
            }
        }
        from.deserialize_map(OfMap)
    }
}

/// A text, borrowed unless it has escapes.
struct Text<'b>(Cow<'b, str>);

impl<'de: 'b, 'b> Deserialize<'de> for Text<'b> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct OfText;
        impl<'de> Visitor<'de> for OfText {
            type Value = Text<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a text")
            }

            fn visit_borrowed_str<E: Error>(self, text: &'de str) -> Result<Self::Value, E> {
                Ok(Text(Cow::Borrowed(text)))
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Self::Value, E> {
                Ok(Text(Cow::Owned(text.to_owned())))
            }
        }
        from.deserialize_str(OfText)
    }
}

fn read_values(body: Value) -> Result<Vec<PostedAlert<'static>>, Answer> {
    let items = match body {
        Value::Null => return Ok(Vec::new()),
        Value::Array(items) => items,
        other => return Err(body::failed("alerts", &body::wrong_type(&other, "", "models.PostableAlerts"))),
    };
    let mut alerts = Vec::with_capacity(items.len());
    // Type errors come before missing fields, because the body is decoded before it is validated.
    let mut problem = None;
    for (at, item) in items.iter().enumerate() {
        let object = match item {
            // Alertmanager closes the connection here.
            Value::Null => {
                problem =
                    problem.or_else(|| Some(Answer::invalid(602, &format!("{at} in body is required"))));
                continue;
            }
            Value::Object(object) => object,
            other => {
                return Err(body::failed("alerts", &body::wrong_type(other, "", "models.Alert")));
            }
        };
        let failed = |why: String| body::failed("alerts", &why);
        let labels = body::pairs(object, "labels", "Alert").map_err(failed)?;
        let generator_url = body::text(object, "generatorURL", "Alert").map_err(failed)?.unwrap_or_default();
        let annotations = body::pairs(object, "annotations", "").map_err(failed)?.unwrap_or_default();
        let (starts_at, ends_at) = (
            body::time(object, "startsAt", "").map_err(failed)?,
            body::time(object, "endsAt", "").map_err(failed)?,
        );
        if problem.is_none() {
            if !is_request_uri(&generator_url) {
                let quoted = go_quote(&generator_url);
                problem = Some(Answer::invalid(
                    601,
                    &format!("{at}.generatorURL in body must be of type uri: {quoted}"),
                ));
            } else if labels.is_none() {
                problem = Some(Answer::invalid(602, &format!("{at}.labels in body is required")));
            }
        }
        alerts.push(PostedAlert {
            labels: owned(labels.unwrap_or_default()),
            annotations: owned(annotations),
            starts_at,
            ends_at,
            generator_url: generator_url.into(),
        });
    }
    problem.map_or(Ok(alerts), Err)
}

fn owned(pairs: Vec<(String, String)>) -> Pairs<'static> {
    pairs.into_iter().map(|(name, value)| (name.into(), value.into())).collect()
}

/// Whether a link has a scheme or is an absolute path.
fn is_request_uri(text: &str) -> bool {
    let is_whole = |url: Url| !url.scheme().is_empty() || text.starts_with('/');
    text.is_empty() || is_plain_http_url(text) || Url::parse(text).is_ok_and(is_whole)
}

/// Whether it is certainly a URL: most links can be recognized without being parsed.
fn is_plain_http_url(text: &str) -> bool {
    let Some((scheme, rest)) = text.split_once("://") else { return false };
    let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
    let (name, port) = host.split_once(':').unwrap_or((host, ""));
    let is_of_name = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'.' || byte == b'-';
    // An escape might be broken.
    let is_of_path = |byte: u8| byte.is_ascii_graphic() && byte != b'%';
    matches!(scheme, "http" | "https")
        && !name.is_empty()
        && name.bytes().all(is_of_name)
        && port.bytes().all(|byte| byte.is_ascii_digit())
        && path.bytes().all(is_of_path)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn regular_bodies_are_read_in_one_pass() {
        let regular = r#"[{"labels":{"b":"1","a":"\u00e4"},"annotations":{"s":""},"startsAt":"2026-01-02T03:04:05Z",
            "endsAt":"0001-01-01T00:00:00Z","generatorURL":"http://x:1/g?e=%3D"},{"labels":{}}]"#;
        let alerts = read_regular(regular.as_bytes()).expect("it is regular");
        assert_eq!(alerts[0].labels, [("a".into(), "ä".into()), ("b".into(), "1".into())]);
        assert_eq!(alerts, read_values(serde_json::from_str(regular).expect("JSON")).expect("good"));
        for unusual in [
            "null",
            "{}",
            "[null]",
            "[{}]",
            r#"[{"Labels":{"a":"b"}}]"#,
            r#"[{"labels":{"a":null}}]"#,
            r#"[{"labels":{"a":"b","a":"c"}}]"#,
            r#"[{"labels":{},"labels":{}}]"#,
            r#"[{"labels":{},"more":1}]"#,
            r#"[{"labels":{},"generatorURL":"no uri"}]"#,
            r#"[{"labels":{},"startsAt":"yesterday"}]"#,
        ] {
            assert_eq!(read_regular(unusual.as_bytes()), None, "{unusual}");
        }
    }

    proptest! {
        /// What is read in one pass means what it means to the other reader.
        #[test]
        fn both_readers_agree(
            labels in proptest::collection::vec(("[a-c\"\\\\é]{0,2}", ".{0,3}"), 0..4),
            key in "labels|annotations|startsAt|endsAt|generatorURL|Labels|x",
            value in r#""[a-z/:.0-9TZ-]{0,20}"|null|1|\{\}|\{"a":"b"\}|"2026-01-02T03:04:05Z"|"http://a(:1)?/[%a-z0-9? -]{0,4}""#,
        ) {
            let labels: Vec<String> = labels
                .iter()
                .map(|(name, value)| format!("{}:{}", serde_json::json!(name), serde_json::json!(value)))
                .collect();
            let text = format!("[{{\"labels\":{{{}}},\"{key}\":{value}}}]", labels.join(","));
            if let Some(quick) = read_regular(text.as_bytes()) {
                let slow = body::read(text.as_bytes(), "alerts").and_then(read_values);
                prop_assert_eq!(slow.ok(), Some(quick), "{}", text);
            }
        }

        #[test]
        fn plain_urls_are_urls(text in "https?://[a-z0-9.-]{1,5}(:[0-9]{0,3})?(/[!-~]{0,6})?") {
            if is_plain_http_url(&text) {
                prop_assert!(Url::parse(&text).is_ok(), "{}", text);
            }
        }
    }
}
