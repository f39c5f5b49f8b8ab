//! An alert in the compact form of the store: identity, order, and how two reports of the same alert are
//! merged.

use std::borrow::Cow;
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

    /// Its times.
    pub fn times(&self) -> Times {
        let StoredAlert { starts_at, ends_at, updated_at, timeout, .. } = *self;
        Times { starts_at, ends_at, updated_at, timeout }
    }

    /// Sets its times.
    pub fn set_times(&mut self, times: Times) {
        let Times { starts_at, ends_at, updated_at, timeout } = times;
        (self.starts_at, self.ends_at, self.updated_at, self.timeout) =
            (starts_at, ends_at, updated_at, timeout);
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

/// When an alert fires, according to a report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Times {
    pub starts_at: Time,
    pub ends_at: Time,
    /// When it was reported.
    pub updated_at: Time,
    /// Whether `ends_at` was not reported but derived from `resolve_timeout`.
    pub timeout: bool,
}

impl Times {
    /// The times of an alert with these ones that is reported again now.
    pub fn reported_again(self, mut report: Times, now: Time) -> Times {
        // What arrives now is newer than what is known, even if the clock was set back.
        if report.updated_at <= self.updated_at {
            report.updated_at = Time::from_unix_nanos(self.updated_at.unix_nanos().saturating_add(1));
        }
        match self.overlaps(report) {
            true => self.merge(report, now),
            false => report,
        }
    }

    /// Merges two reports of the same alert: the earliest start, and the most certain end.
    fn merge(self, other: Times, now: Time) -> Times {
        if other.updated_at < self.updated_at {
            return other.merge(self, now);
        }
        let is_resolved = |times: Times| times.ends_at <= now;
        let is_later = self.ends_at > other.ends_at;
        let keeps_older_end = match is_resolved(other) {
            true => is_resolved(self) && is_later,
            false => is_later && !self.timeout,
        };
        Times {
            starts_at: self.starts_at.min(other.starts_at),
            ends_at: if keeps_older_end { self.ends_at } else { other.ends_at },
            ..other
        }
    }

    /// Whether the firing periods of the two reports overlap, so that they are merged.
    fn overlaps(self, newer: Times) -> bool {
        let within = |time: Time| self.starts_at < time && time < self.ends_at;
        within(newer.ends_at) || within(newer.starts_at)
    }
}

/// Names and values, sorted by name.
pub type Pairs<'b> = Vec<(Cow<'b, str>, Cow<'b, str>)>;

/// An alert as a client reports it. Its texts are those of the request: most reports are about known alerts, and need no others.
#[derive(Debug)]
pub struct Report<'b> {
    /// Without empty values.
    pub labels: Pairs<'b>,
    pub annotations: Pairs<'b>,
    pub generator_url: Cow<'b, str>,
    pub times: Times,
}

impl Report<'_> {
    /// The fingerprint of its labels.
    pub fn fingerprint(&self) -> u64 {
        fingerprint_of(self.labels.iter().map(|(name, value)| (&**name, &**value)))
    }

    /// Whether it has the labels, annotations and link of this alert.
    pub fn has_texts_of(&self, alert: &StoredAlert) -> bool {
        let labels = self.labels.iter().map(|(name, value)| (&**name, &**value));
        let annotations = self.annotations.iter().map(|(name, value)| (&**name, &**value));
        *self.generator_url == *alert.generator_url
            && alert.labels.iter().eq(labels)
            && alert.annotations.is_of(annotations)
    }

    /// The alert.
    pub fn to_alert(&self) -> StoredAlert {
        let Times { starts_at, ends_at, updated_at, timeout } = self.times;
        StoredAlert {
            labels: label_set(&self.labels),
            annotations: Annotations::new(self.annotations.iter().map(|(name, value)| (name, value))),
            starts_at,
            ends_at,
            updated_at,
            generator_url: (&*self.generator_url).into(),
            timeout,
        }
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
    fingerprint_of(labels.iter())
}

fn fingerprint_of<'p>(pairs: impl Iterator<Item = (&'p str, &'p str)>) -> u64 {
    let mut hash: u64 = 14_695_981_039_346_656_037;
    let mut add = |byte: u8| hash = (hash ^ u64::from(byte)).wrapping_mul(1_099_511_628_211);
    for (name, value) in pairs {
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
            let (older, newer) = (older.times(), newer.times());
            for merged in [older.merge(newer, now), newer.merge(older, now)] {
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
