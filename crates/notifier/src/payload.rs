//! The request body for Alertmanager's API v2.

use ferula_model::Alert;
use serde_json::{Map, Value, json};
use std::sync::Arc;

/// Encodes a batch as JSON.
pub(crate) fn encode(alerts: &[Arc<Alert>]) -> Vec<u8> {
    let all: Vec<Value> = alerts.iter().map(|alert| one(alert)).collect();
    Value::Array(all).to_string().into_bytes()
}

fn one(alert: &Alert) -> Value {
    let time = |time: Option<ferula_model::UnixNanos>| {
        time.map_or_else(|| "0001-01-01T00:00:00.000Z".to_owned(), ferula_model::UnixNanos::rfc3339_millis)
    };
    let labels: Map<String, Value> =
        alert.labels.iter().map(|(name, value)| (name.to_owned(), value.into())).collect();
    let annotations: Map<String, Value> =
        alert.annotations.iter().map(|(name, value)| (name.clone(), value.as_str().into())).collect();
    let mut all = json!({
        "endsAt": time(alert.ends_at),
        "startsAt": time(alert.starts_at),
        "generatorURL": &*alert.generator_url,
        "labels": labels,
    });
    // Omitted when there are none, as in Prometheus.
    if let (false, Value::Object(fields)) = (annotations.is_empty(), &mut all) {
        fields.shift_insert(0, "annotations".to_owned(), annotations.into());
    }
    all
}

#[cfg(test)]
mod tests {
    use ferula_model::{LabelSet, UnixNanos};

    use super::*;

    #[test]
    fn a_batch_is_encoded_as_in_prometheus() {
        let alert = Alert {
            labels: LabelSet::from_pairs([("alertname", "A"), ("x", "\"é")]),
            annotations: Arc::new([("text".to_owned(), String::new())]),
            starts_at: Some(UnixNanos::from_millis(1_500)),
            ends_at: None,
            resolved: false,
            generator_url: "http://x/graph".into(),
        };
        let bare = Alert { annotations: Arc::new([]), ..alert.clone() };
        let text = String::from_utf8(encode(&[Arc::new(bare)])).expect("JSON is UTF-8");
        assert!(text.starts_with("[{\"endsAt\":"), "{text}");
        assert_eq!(
            String::from_utf8(encode(&[Arc::new(alert)])).unwrap(),
            r#"[{"annotations":{"text":""},"endsAt":"0001-01-01T00:00:00.000Z","startsAt":"1970-01-01T00:00:01.500Z","generatorURL":"http://x/graph","labels":{"alertname":"A","x":"\"é"}}]"#
        );
    }
}
