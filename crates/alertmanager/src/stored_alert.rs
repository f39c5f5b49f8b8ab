//! An alert in the compact form of the store: identity, order, and how two reports of the same alert are
//! merged.

use std::cmp::Ordering;
use std::sync::Arc;

use ferula_go::quote::go_quote;
use ferula_model::LabelSet;
use twox_hash::XxHash64;

use crate::annotations::Annotations;
use crate::time::Time;

/// The label with the alert's name.
pub const ALERT_NAME: &str = "alertname";

/// Separates the parts of a hashed label set; valid UTF-8 does not contain it.
const SEPARATOR: u8 = 0xff;

/// One alert. Cloning only copies pointers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredAlert {
    /// Its identity.
    pub labels: LabelSet,
    pub annotations: Annotations,
    pub starts_at: Time,
    /// When it ended, or will end without further reports.
    pub ends_at: Time,
    /// When it was last reported.
    pub updated_at: Time,
    /// Link to the expression.
    pub generator_url: Arc<str>,
    /// Whether `ends_at` was not reported but derived from `resolve_timeout`.
    pub timeout: bool,
}

impl StoredAlert {
    /// The value of `alertname`, or "".
    pub fn name(&self) -> &str {
        self.labels.value(ALERT_NAME)
    }

    /// Whether the alert has ended at this time.
    pub fn is_resolved_at(&self, now: Time) -> bool {
        self.ends_at <= now
    }

    /// The hash that the API shows as 16 hexadecimal digits.
    pub fn fingerprint(&self) -> u64 {
        fingerprint(&self.labels)
    }

    /// The hash that identifies the alert in the notification log.
    pub fn log_hash(&self) -> u64 {
        let mut bytes = Vec::with_capacity(256);
        for (name, value) in self.labels.iter() {
            bytes.extend_from_slice(name.as_bytes());
            bytes.push(SEPARATOR);
            bytes.extend_from_slice(value.as_bytes());
            bytes.push(SEPARATOR);
        }
        XxHash64::oneshot(0, &bytes)
    }

    /// Merges two reports of the same alert: the earliest start, the annotations of the later report, and the
    /// most certain end.
    pub fn merge(&self, other: &StoredAlert, now: Time) -> StoredAlert {
        if other.updated_at < self.updated_at {
            return other.merge(self, now);
        }
        let mut merged = other.clone();
        merged.starts_at = self.starts_at.min(other.starts_at);
        let is_later = self.ends_at > other.ends_at;
        let keeps_older_end = match other.is_resolved_at(now) {
            true => self.is_resolved_at(now) && is_later,
            false => is_later && !self.timeout,
        };
        if keeps_older_end {
            merged.ends_at = self.ends_at;
        }
        merged
    }

    /// Whether the firing periods of the two reports overlap, so that they are merged.
    pub fn overlaps(&self, newer: &StoredAlert) -> bool {
        let within = |time: Time| self.starts_at < time && time < self.ends_at;
        within(newer.ends_at) || within(newer.starts_at)
    }

    /// Whether the reports differ only in their times.
    pub fn differs_only_in_time(&self, other: &StoredAlert) -> bool {
        self.labels == other.labels
            && self.annotations == other.annotations
            && self.starts_at == other.starts_at
            && self.generator_url == other.generator_url
    }

    /// The order of alerts in a notification: by `job`, by `instance`, then by all labels.
    pub fn notification_order(&self, other: &StoredAlert) -> Ordering {
        for name in ["job", "instance"] {
            let order = match (self.labels.get(name), other.labels.get(name)) {
                (None, None) => Ordering::Equal,
                (None, Some(_)) => Ordering::Greater,
                (Some(_), None) => Ordering::Less,
                (Some(mine), Some(theirs)) => mine.cmp(theirs),
            };
            if order.is_ne() {
                return order;
            }
        }
        label_order(&self.labels, &other.labels)
    }
}

/// A label set from pairs, which are mostly sorted already; empty values are left out.
pub(crate) fn label_set<N: AsRef<str>, V: AsRef<str>>(pairs: &[(N, V)]) -> LabelSet {
    let pairs = || pairs.iter().map(|(name, value)| (name.as_ref(), value.as_ref()));
    let names_rise = pairs().zip(pairs().skip(1)).all(|((one, _), (next, _))| one < next);
    match names_rise && pairs().all(|(_, value)| !value.is_empty()) {
        true => LabelSet::from_sorted(pairs()),
        false => LabelSet::from_pairs(pairs()),
    }
}

/// FNV-1a over names and values, sorted by name.
pub fn fingerprint(labels: &LabelSet) -> u64 {
    let mut hash: u64 = 14_695_981_039_346_656_037;
    let mut add = |byte: u8| hash = (hash ^ u64::from(byte)).wrapping_mul(1_099_511_628_211);
    for (name, value) in labels.iter() {
        name.bytes().chain([SEPARATOR]).chain(value.bytes()).chain([SEPARATOR]).for_each(&mut add);
    }
    hash
}

/// The order of label sets: smaller sets first, then name by name; of two sets of equal size, the one that
/// lacks the first name that they do not share comes first.
pub fn label_order(a: &LabelSet, b: &LabelSet) -> Ordering {
    if a.len() != b.len() {
        return a.len().cmp(&b.len());
    }
    for ((a_name, a_value), (b_name, b_value)) in a.iter().zip(b.iter()) {
        // The set with the greater name lacks the smaller one.
        let order = b_name.cmp(a_name).then_with(|| a_value.cmp(b_value));
        if order.is_ne() {
            return order;
        }
    }
    Ordering::Equal
}

/// `{a="b", c="d"}`, the form in group keys.
pub fn show_labels(labels: &LabelSet) -> String {
    let pairs: Vec<String> =
        labels.iter().map(|(name, value)| format!("{name}={}", go_quote(value))).collect();
    format!("{{{}}}", pairs.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn alert(start: i64, end: i64, updated: i64, timeout: bool) -> StoredAlert {
        StoredAlert {
            labels: LabelSet::from_pairs([("alertname", "A")]),
            annotations: Annotations::default(),
            starts_at: Time::from_unix_nanos(start),
            ends_at: Time::from_unix_nanos(end),
            updated_at: Time::from_unix_nanos(updated),
            generator_url: "".into(),
            timeout,
        }
    }

    #[test]
    fn both_orders_are_total() {
        let mut sets = Vec::new();
        for job in ["", "a", "b"] {
            for instance in ["", "1", "2"] {
                for other in ["", "x"] {
                    sets.push(LabelSet::from_pairs([("job", job), ("instance", instance), ("other", other)]));
                }
            }
        }
        ferula_testkit::assert_total_order(&sets, label_order);
        let alerts: Vec<StoredAlert> =
            sets.into_iter().map(|labels| StoredAlert { labels, ..alert(0, 1, 1, false) }).collect();
        ferula_testkit::assert_total_order(&alerts, StoredAlert::notification_order);
    }

    #[test]
    fn fingerprints_are_those_of_alertmanager() {
        // Taken from answers of /api/v2/alerts.
        for (pairs, expected) in [
            (&[("alertname", "A")][..], 0xd2c6_efc3_89df_0927),
            (&[("alertname", "A"), ("instance", "h:1"), ("job", "ü")], 0xb090_e6c9_9286_852d),
        ] {
            assert_eq!(fingerprint(&LabelSet::from_pairs(pairs.iter().copied())), expected);
        }
    }

    #[test]
    fn two_reports_become_one_alert() {
        let now = Time::from_unix_nanos(100);
        for (name, older, newer, start, end) in [
            ("the earliest start", alert(10, 200, 1, false), alert(20, 200, 2, false), 10, 200),
            ("a later reported end stays", alert(10, 300, 1, false), alert(10, 200, 2, false), 10, 300),
            ("a later timeout does not", alert(10, 300, 1, true), alert(10, 200, 2, false), 10, 200),
            ("a resolution ends it", alert(10, 300, 1, false), alert(10, 90, 2, false), 10, 90),
            ("the latest of two resolutions", alert(10, 95, 1, false), alert(10, 90, 2, false), 10, 95),
        ] {
            for merged in [older.merge(&newer, now), newer.merge(&older, now)] {
                assert_eq!(
                    (merged.starts_at.unix_nanos(), merged.ends_at.unix_nanos()),
                    (start, end),
                    "{name}"
                );
                assert_eq!(merged.updated_at, newer.updated_at, "{name}");
            }
        }
    }

    #[test]
    fn alerts_are_sent_in_order_of_job_instance_and_labels() {
        let make = |pairs: &[(&str, &str)]| StoredAlert {
            labels: LabelSet::from_pairs(pairs.iter().copied()),
            ..alert(0, 1, 0, false)
        };
        let sorted = [
            make(&[("job", "a"), ("instance", "1"), ("z", "2"), ("y", "3")]),
            make(&[("job", "a"), ("instance", "2")]),
            make(&[("job", "a")]),
            make(&[("job", "b")]),
            make(&[("instance", "1")]),
            make(&[("z", "1")]),
            make(&[("x", "1")]),
            make(&[("a", "1"), ("b", "2")]),
        ];
        for (at, pair) in sorted.windows(2).enumerate() {
            assert_eq!(pair[0].notification_order(&pair[1]), Ordering::Less, "{at}");
            assert_eq!(pair[1].notification_order(&pair[0]), Ordering::Greater, "{at}");
        }
    }
}
