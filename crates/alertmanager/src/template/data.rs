//! The data of a notification that templates and webhooks see.

use std::collections::BTreeMap;
use std::sync::Arc;

use ferula_template::json::to_json;
use ferula_template::{CallError, Class, Map, MapElement, Method, Object, Parameter, Value, print};

use super::time::TimeValue;
use crate::receiver::Notification;
use crate::route::Labels;
use crate::time::Time;

const FIRING: &str = "firing";
const RESOLVED: &str = "resolved";

/// The whole notification.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Data {
    /// Special characters of regular expressions are escaped.
    pub receiver: String,
    /// `firing` while any alert is firing.
    pub status: String,
    pub alerts: Vec<DataAlert>,
    pub notification_reason: String,
    pub group_labels: Labels,
    pub common_labels: Labels,
    pub common_annotations: Labels,
    pub external_url: String,
}

/// One of its alerts.
#[derive(Clone, Debug, PartialEq)]
pub struct DataAlert {
    pub status: String,
    pub labels: Labels,
    pub annotations: Labels,
    pub starts_at: Time,
    pub ends_at: Time,
    pub generator_url: String,
    /// Sixteen hexadecimal digits.
    pub fingerprint: String,
}

impl Data {
    /// The data for the first `count` alerts of a notification.
    pub fn of(notification: &Notification<'_>, count: usize, external_url: &str) -> Self {
        let alerts = &notification.alerts[..count.min(notification.alerts.len())];
        let own = |(name, value): (&str, &str)| (name.to_owned(), value.to_owned());
        let shown: Vec<DataAlert> = alerts
            .iter()
            .map(|alert| {
                let is_resolved = alert.is_resolved_at(notification.now);
                let alert = alert.stored();
                DataAlert {
                    status: if is_resolved { RESOLVED } else { FIRING }.to_owned(),
                    labels: alert.labels.iter().map(own).collect(),
                    annotations: alert.annotations.iter().map(own).collect(),
                    starts_at: alert.starts_at,
                    // An end in the future is not shown.
                    ends_at: if is_resolved { alert.ends_at } else { Time::ZERO },
                    generator_url: alert.generator_url.to_string(),
                    fingerprint: format!("{:016x}", alert.fingerprint()),
                }
            })
            .collect();
        let is_firing = shown.iter().any(|alert| alert.status == FIRING);
        Data {
            receiver: quoted(notification.receiver),
            status: if is_firing { FIRING } else { RESOLVED }.to_owned(),
            notification_reason: notification.reason.as_str().to_owned(),
            group_labels: notification.group_labels.clone(),
            common_labels: common(shown.iter().map(|alert| &alert.labels)),
            common_annotations: common(shown.iter().map(|alert| &alert.annotations)),
            external_url: external_url.to_owned(),
            alerts: shown,
        }
    }

    /// The default data of `amtool template render`: two alerts, one of them resolved.
    pub fn sample(now: Time) -> Self {
        let before = |minutes: i64| Time { seconds: now.seconds - minutes * 60, ..now };
        let numbered = |name: &str, value: &str| -> Labels {
            (1..=2).map(|n| (format!("{name}{n}"), format!("{value}{n}"))).collect()
        };
        let with = |mut base: Labels, more: &[(&str, &str)]| {
            base.extend(more.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
            base
        };
        let common_labels = numbered("commonlabelkey", "commonlabelvalue");
        let common_annotations = numbered("commonannotationkey", "commonannotationvalue");
        let alert = |status: &str, labels, annotations, minutes, fingerprint: &str| DataAlert {
            status: status.to_owned(),
            labels,
            annotations,
            starts_at: before(minutes),
            ends_at: now,
            generator_url: "https://generatorurl.com".to_owned(),
            fingerprint: fingerprint.to_owned(),
        };
        let firing = with(
            common_labels.clone(),
            &[("label1", "value1"), ("label2", "value2"), ("instance", "foo.bar:1234")],
        );
        let resolved = with(common_labels.clone(), &[("foo", "bar"), ("baz", "qux")]);
        let noted = with(common_annotations.clone(), &[("annotation1", "value1"), ("annotation2", "value2")]);
        let other = with(common_annotations.clone(), &[("aaa", "bbb"), ("ccc", "ddd")]);
        Data {
            receiver: "receiver".to_owned(),
            status: "alertstatus".to_owned(),
            alerts: vec![
                alert(FIRING, firing, noted, 5, "fingerprint1"),
                alert(RESOLVED, resolved, other, 10, "fingerprint2"),
            ],
            notification_reason: String::new(),
            group_labels: numbered("grouplabelkey", "grouplabelvalue"),
            common_labels,
            common_annotations,
            external_url: "https://example.com".to_owned(),
        }
    }

    /// Whether an alert is firing.
    pub fn is_firing(&self) -> bool {
        self.status == FIRING
    }

    /// The data as `dot` of a template; `is_pointer` is visible only in errors.
    pub fn value(&self, is_pointer: bool) -> Value {
        let alerts = self.alerts.iter().map(DataAlert::value).collect();
        Value::Object(Arc::new(DataObject {
            receiver: self.receiver.as_str().into(),
            status: self.status.as_str().into(),
            alerts: Value::defined(&ALERTS, Value::List(alerts, ALERT_LIST)),
            notification_reason: self.notification_reason.as_str().into(),
            group_labels: labels(&self.group_labels),
            common_labels: labels(&self.common_labels),
            common_annotations: labels(&self.common_annotations),
            external_url: self.external_url.as_str().into(),
            is_pointer,
        }))
    }

    /// The fields of a webhook's message, without braces.
    pub fn json_fields(&self) -> String {
        let json = to_json(&self.value(true)).unwrap_or_default();
        json.trim_start_matches('{').strip_suffix('}').unwrap_or_default().to_owned()
    }
}

/// Go's `regexp.QuoteMeta`.
fn quoted(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if r"\.+*?()|[]{}^$".contains(c) {
            out.push('\\');
        }
        out.push(c);
    }
    out
}

/// The labels that all sets share.
fn common<'a>(mut all: impl Iterator<Item = &'a Labels>) -> Labels {
    let mut common = all.next().cloned().unwrap_or_default();
    for labels in all {
        // As in Alertmanager, a missing label equals an empty value.
        common.retain(|name, value| labels.get(name).map_or("", String::as_str) == value);
    }
    common
}

impl DataAlert {
    fn value(&self) -> Value {
        Value::Object(Arc::new(AlertObject {
            status: self.status.as_str().into(),
            labels: labels(&self.labels),
            annotations: labels(&self.annotations),
            starts_at: TimeValue::new(self.starts_at).value(),
            ends_at: TimeValue::new(self.ends_at).value(),
            generator_url: self.generator_url.as_str().into(),
            fingerprint: self.fingerprint.as_str().into(),
        }))
    }
}

/// `template.KV`
pub static KV: Class = Class {
    name: "template.KV",
    methods: &[
        Method { name: "SortedPairs", parameters: &[], code: |kv, _| Ok(pairs(sorted(kv))) },
        Method {
            name: "Remove",
            parameters: &[Parameter::Named("[]string")],
            code: |kv, arguments| {
                let Value::Map(map) = kv else { return Ok(Value::Nil) };
                let mut entries = map.entries.clone();
                if let Some(Value::List(names, _)) = arguments.first() {
                    names.iter().filter_map(Value::as_text).for_each(|name| {
                        entries.remove(name);
                    });
                }
                Ok(kv_of(entries))
            },
        },
        Method { name: "Names", parameters: &[], code: |kv, _| Ok(strings(sorted(kv).map(|pair| pair.0))) },
        Method { name: "Values", parameters: &[], code: |kv, _| Ok(strings(sorted(kv).map(|pair| pair.1))) },
        Method { name: "String", parameters: &[], code: |kv, _| Ok(print_pairs(sorted(kv)).into()) },
    ],
    print: Some(|kv| print_pairs(sorted(kv))),
};

/// `template.Pairs`
static PAIRS: Class = Class {
    name: "template.Pairs",
    methods: &[
        Method {
            name: "Names",
            parameters: &[],
            code: |list, _| Ok(strings(listed(list).map(|pair| pair.0))),
        },
        Method {
            name: "Values",
            parameters: &[],
            code: |list, _| Ok(strings(listed(list).map(|pair| pair.1))),
        },
        Method { name: "String", parameters: &[], code: |list, _| Ok(print_pairs(listed(list)).into()) },
    ],
    print: Some(|list| print_pairs(listed(list))),
};

/// `template.Alerts`
static ALERTS: Class = Class {
    name: "template.Alerts",
    methods: &[
        Method { name: "Firing", parameters: &[], code: |list, _| Ok(with_status(list, FIRING)) },
        Method { name: "Resolved", parameters: &[], code: |list, _| Ok(with_status(list, RESOLVED)) },
    ],
    print: None,
};

const ALERT_LIST: &str = "[]template.Alert";

fn with_status(list: &Value, status: &str) -> Value {
    let Value::List(items, _) = list else { return Value::Nil };
    let has = |item: &Value| match item {
        Value::Object(alert) => alert.field("Status").is_some_and(|field| field.as_text() == Some(status)),
        _ => false,
    };
    Value::List(items.iter().filter(|item| has(item)).cloned().collect(), ALERT_LIST)
}

fn labels(labels: &Labels) -> Value {
    kv_of(labels.iter().map(|(name, value)| (name.clone(), value.as_str().into())).collect())
}

fn kv_of(entries: BTreeMap<String, Value>) -> Value {
    Value::defined(&KV, Value::Map(Arc::new(Map { entries, element: MapElement::Text })))
}

type Pair = (String, Value);

/// Sorted by name, with the alert's name first.
fn sorted(kv: &Value) -> impl Iterator<Item = Pair> {
    let Value::Map(map) = kv else { return Vec::new().into_iter() };
    let is_name = |name: &str| name == "alertname";
    let first = map.entries.iter().filter(|(name, _)| is_name(name));
    let rest = map.entries.iter().filter(|(name, _)| !is_name(name));
    let pairs: Vec<Pair> = first.chain(rest).map(|(name, value)| (name.clone(), value.clone())).collect();
    pairs.into_iter()
}

fn listed(list: &Value) -> impl Iterator<Item = Pair> {
    let Value::List(items, _) = list else { return Vec::new().into_iter() };
    let pair = |item: &Value| match item {
        Value::Object(pair) => {
            let name = pair.field("Name")?.as_text()?.to_owned();
            Some((name, pair.field("Value")?))
        }
        _ => None,
    };
    items.iter().filter_map(pair).collect::<Vec<_>>().into_iter()
}

fn pairs(pairs: impl Iterator<Item = Pair>) -> Value {
    let items = pairs.map(|(name, value)| Value::Object(Arc::new(PairObject { name: name.into(), value })));
    Value::defined(&PAIRS, Value::List(items.collect(), "[]template.Pair"))
}

fn strings(texts: impl Iterator<Item = impl Into<Value>>) -> Value {
    Value::List(texts.map(Into::into).collect(), "[]string")
}

fn print_pairs(pairs: impl Iterator<Item = Pair>) -> String {
    pairs.map(|(name, value)| format!("{name}={}", print(&value))).collect::<Vec<_>>().join(", ")
}

/// Defines a struct with named fields, for field access, printing and JSON.
macro_rules! object {
    ($object:ident as $type_name:expr, $self:ident: $($field:ident $name:literal $json:literal),+ $(,)?) => {
        impl Object for $object {
            fn type_name(&$self) -> String {
                $type_name.to_owned()
            }

            fn field(&self, name: &str) -> Option<Value> {
                match name {
                    $($name => Some(self.$field.clone()),)+
                    _ => None,
                }
            }

            fn print(&$self) -> String {
                let fields = [$(print(&$self.$field)),+].join(" ");
                format!("{}{{{fields}}}", if $type_name.starts_with('*') { "&" } else { "" })
            }

            fn to_json(&self) -> Result<String, CallError> {
                let fields = [$(format!("\"{}\":{}", $json, to_json(&self.$field)?)),+].join(",");
                Ok(format!("{{{fields}}}"))
            }
        }
    };
}

struct DataObject {
    receiver: Value,
    status: Value,
    alerts: Value,
    notification_reason: Value,
    group_labels: Value,
    common_labels: Value,
    common_annotations: Value,
    external_url: Value,
    is_pointer: bool,
}

object! {
    DataObject as if self.is_pointer { "*template.Data" } else { "template.Data" }, self:
    receiver "Receiver" "receiver",
    status "Status" "status",
    alerts "Alerts" "alerts",
    notification_reason "NotificationReason" "notification_reason",
    group_labels "GroupLabels" "groupLabels",
    common_labels "CommonLabels" "commonLabels",
    common_annotations "CommonAnnotations" "commonAnnotations",
    external_url "ExternalURL" "externalURL",
}

struct AlertObject {
    status: Value,
    labels: Value,
    annotations: Value,
    starts_at: Value,
    ends_at: Value,
    generator_url: Value,
    fingerprint: Value,
}

object! {
    AlertObject as "template.Alert", self:
    status "Status" "status",
    labels "Labels" "labels",
    annotations "Annotations" "annotations",
    starts_at "StartsAt" "startsAt",
    ends_at "EndsAt" "endsAt",
    generator_url "GeneratorURL" "generatorURL",
    fingerprint "Fingerprint" "fingerprint",
}

struct PairObject {
    name: Value,
    value: Value,
}

object! {
    PairObject as "template.Pair", self:
    name "Name" "Name",
    value "Value" "Value",
}

/// Why a text is not template data.
#[derive(Debug, thiserror::Error)]
pub enum DataJsonError {
    #[error("{0}")]
    Json(#[from] serde_json::Error),
    #[error("field {field}: {text:?} is not a time")]
    Time { field: &'static str, text: String },
}

impl Data {
    /// Parses data in the format of webhooks; missing fields are empty.
    ///
    /// # Errors
    /// The text is not JSON, or a value has the wrong type.
    pub fn from_json(text: &str) -> Result<Self, DataJsonError> {
        let written: WrittenData = serde_json::from_str(text)?;
        let alerts = written.alerts.unwrap_or_default().into_iter().map(|alert| {
            Ok(DataAlert {
                status: alert.status.unwrap_or_default(),
                labels: alert.labels.unwrap_or_default(),
                annotations: alert.annotations.unwrap_or_default(),
                starts_at: time("startsAt", alert.starts_at)?,
                ends_at: time("endsAt", alert.ends_at)?,
                generator_url: alert.generator_url.unwrap_or_default(),
                fingerprint: alert.fingerprint.unwrap_or_default(),
            })
        });
        Ok(Data {
            alerts: alerts.collect::<Result<_, DataJsonError>>()?,
            receiver: written.receiver.unwrap_or_default(),
            status: written.status.unwrap_or_default(),
            notification_reason: written.notification_reason.unwrap_or_default(),
            group_labels: written.group_labels.unwrap_or_default(),
            common_labels: written.common_labels.unwrap_or_default(),
            common_annotations: written.common_annotations.unwrap_or_default(),
            external_url: written.external_url.unwrap_or_default(),
        })
    }
}

fn time(field: &'static str, text: Option<String>) -> Result<Time, DataJsonError> {
    let Some(text) = text else { return Ok(Time::ZERO) };
    Time::parse_rfc3339(&text).ok_or(DataJsonError::Time { field, text })
}

#[derive(serde::Deserialize)]
#[serde(rename_all = "camelCase")]
struct WrittenData {
    receiver: Option<String>,
    status: Option<String>,
    alerts: Option<Vec<WrittenAlert>>,
    #[serde(rename = "notification_reason")]
    notification_reason: Option<String>,
    group_labels: Option<Labels>,
    common_labels: Option<Labels>,
    common_annotations: Option<Labels>,
    #[serde(rename = "externalURL")]
    external_url: Option<String>,
}

#[derive(serde::Deserialize)]
#[serde(rename_all = "camelCase")]
struct WrittenAlert {
    status: Option<String>,
    labels: Option<Labels>,
    annotations: Option<Labels>,
    starts_at: Option<String>,
    ends_at: Option<String>,
    #[serde(rename = "generatorURL")]
    generator_url: Option<String>,
    fingerprint: Option<String>,
}
