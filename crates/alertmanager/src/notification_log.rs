//! The notification log: what was last sent about each group to each integration, so that it is not repeated
//! too early.
//!
//! Here: the log, the rule that decides whether a notification is needed, and the format of the file `nflog`.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use ferula_model::UnixNanos;

use crate::receiver::{KeptValue, KeptValues, Reason};
use crate::wire::{Message, WireError, fields, messages};

/// An integration of a receiver.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct LogReceiver {
    /// The receiver's name.
    pub group_name: String,
    /// `webhook`
    pub integration: String,
    /// Index among the receiver's integrations of that name.
    pub index: u32,
}

/// The last notification about a group to an integration.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct LogEntry {
    pub group_key: String,
    pub receiver: LogReceiver,
    pub timestamp: UnixNanos,
    /// Hashes of the alerts that were sent as firing.
    pub firing: Vec<u64>,
    /// Hashes of the alerts that were sent as resolved.
    pub resolved: Vec<u64>,
    /// Data that the integration stored.
    pub kept: KeptValues,
    /// When the entry may be dropped.
    pub expires_at: UnixNanos,
}

/// Hashes of the alerts of a flush.
#[derive(Clone, Debug, Default)]
pub struct FlushHashes {
    pub firing: Vec<u64>,
    pub resolved: Vec<u64>,
}

impl LogEntry {
    /// Appends its message to the content of a file.
    pub fn append_to(&self, file: &mut Vec<u8>) {
        let mut whole = Message::default();
        whole.message(1, |entry| {
            entry.bytes(1, self.group_key.as_bytes());
            entry.message(2, |receiver| {
                receiver.bytes(1, self.receiver.group_name.as_bytes());
                receiver.bytes(2, self.receiver.integration.as_bytes());
                receiver.uint(3, self.receiver.index.into());
            });
            entry.time(5, self.timestamp);
            entry.uints(6, &self.firing);
            entry.uints(7, &self.resolved);
            for (name, value) in &self.kept {
                entry.message(8, |pair| {
                    pair.bytes_always(1, name.as_bytes());
                    pair.message(2, |message| match value {
                        KeptValue::Text(text) => message.bytes_always(1, text.as_bytes()),
                        KeptValue::Int(number) => message.uint_always(2, *number as u64),
                        KeptValue::Float(number) => message.double_always(3, *number),
                    });
                });
            }
        });
        whole.time(2, self.expires_at);
        whole.append_to(file);
    }

    /// Parses the first entry of a file.
    ///
    /// # Errors
    /// The bytes are not an entry.
    pub fn read_one(file: &[u8]) -> Result<Option<Self>, WireError> {
        messages(file).next().map(|message| LogEntry::read(message?)).transpose()
    }

    fn read(message: &[u8]) -> Result<Self, WireError> {
        let mut entry = None;
        let mut expires_at = UnixNanos(0);
        for field in fields(message) {
            let field = field?;
            match field.number {
                1 => entry = Some(LogEntry::read_inner(field.bytes()?)?),
                2 => expires_at = field.time()?,
                _ => {}
            }
        }
        let entry = entry.ok_or(WireError::Incomplete)?;
        Ok(LogEntry { expires_at, ..entry })
    }

    fn read_inner(message: &[u8]) -> Result<Self, WireError> {
        let mut entry = LogEntry::default();
        let mut has_receiver = false;
        for field in fields(message) {
            let field = field?;
            match field.number {
                // Label values could contain any bytes, but Alertmanager accepts only UTF-8.
                1 => entry.group_key = String::from_utf8_lossy(field.bytes()?).into_owned(),
                2 => {
                    has_receiver = true;
                    for part in fields(field.bytes()?) {
                        let part = part?;
                        match part.number {
                            1 => entry.receiver.group_name = part.text()?,
                            2 => entry.receiver.integration = part.text()?,
                            3 => entry.receiver.index = part.uint()? as u32,
                            _ => {}
                        }
                    }
                }
                5 => entry.timestamp = field.time()?,
                6 => field.extend_uints(&mut entry.firing)?,
                7 => field.extend_uints(&mut entry.resolved)?,
                8 => {
                    if let Some((name, value)) = read_kept(field.bytes()?)? {
                        entry.kept.insert(name, value);
                    }
                }
                _ => {}
            }
        }
        if has_receiver { Ok(entry) } else { Err(WireError::Incomplete) }
    }
}

fn read_kept(pair: &[u8]) -> Result<Option<(String, KeptValue)>, WireError> {
    let (mut name, mut value) = (String::new(), None);
    for part in fields(pair) {
        let part = part?;
        match part.number {
            1 => name = part.text()?,
            2 => {
                for kind in fields(part.bytes()?) {
                    let kind = kind?;
                    value = match kind.number {
                        1 => Some(KeptValue::Text(kind.text()?)),
                        2 => Some(KeptValue::Int(kind.uint()? as i64)),
                        3 => Some(KeptValue::Float(kind.double()?)),
                        _ => value,
                    };
                }
            }
            _ => {}
        }
    }
    Ok(value.map(|value| (name, value)))
}

/// Why a notification is needed, if it is. `entry` describes the previous one.
pub fn reason_to_notify(
    entry: Option<&LogEntry>,
    flush: &FlushHashes,
    sends_resolved: bool,
    repeat_interval: Duration,
    now: UnixNanos,
) -> Option<Reason> {
    let Some(entry) = entry else {
        return (!flush.firing.is_empty()).then_some(Reason::FirstNotification);
    };
    if !is_subset(&flush.firing, &entry.firing) {
        // After a resolution, the group starts over.
        let is_first = entry.firing.is_empty();
        return Some(if is_first { Reason::FirstNotification } else { Reason::NewAlertsInGroup });
    }
    if flush.firing.is_empty() {
        // This applies without `send_resolved` too, so that the log drops the firing alerts. What fired and
        // resolved between two flushes was never sent.
        return (!entry.firing.is_empty()).then_some(Reason::AllAlertsResolved);
    }
    if sends_resolved && !is_subset(&flush.resolved, &entry.resolved) {
        return Some(Reason::NewResolvedAlerts);
    }
    (entry.timestamp < now.minus(repeat_interval)).then_some(Reason::RepeatIntervalElapsed)
}

fn is_subset(part: &[u64], whole: &[u64]) -> bool {
    // Alerts are in the same order in every flush, so this is what usually differs in nothing.
    if part == whole || part.is_empty() {
        return true;
    }
    let whole: HashSet<&u64> = whole.iter().collect();
    part.iter().all(|hash| whole.contains(hash))
}

type Key = (String, LogReceiver);

/// The last entry for each group and integration.
#[derive(Debug)]
pub struct NotificationLog {
    retention: Duration,
    entries: HashMap<Key, LogEntry>,
}

impl NotificationLog {
    /// A log without entries.
    pub fn new(retention: Duration) -> Self {
        NotificationLog { retention, entries: HashMap::new() }
    }

    /// The entry of the last notification.
    pub fn last(&self, group_key: &str, receiver: &LogReceiver) -> Option<&LogEntry> {
        self.entries.get(&(group_key.to_owned(), receiver.clone()))
    }

    /// Records a notification that was sent, unless a later one is known. `expiry` is how long it is needed.
    /// Returns the recorded entry.
    pub fn note(&mut self, mut entry: LogEntry, expiry: Duration, now: UnixNanos) -> LogEntry {
        // The clock may have been set back; this entry is the latest all the same.
        let known = self.last(&entry.group_key, &entry.receiver).map(|known| known.timestamp);
        entry.timestamp = match known {
            Some(known) if known > now => UnixNanos(known.0.saturating_add(1)),
            _ => now,
        };
        let is_shorter = !expiry.is_zero() && expiry < self.retention;
        entry.expires_at = now.plus(if is_shorter { expiry } else { self.retention });
        self.merge(entry.clone(), now);
        entry
    }

    /// Merges an entry from a file or from another cluster member: the later one wins.
    pub fn merge(&mut self, entry: LogEntry, now: UnixNanos) -> bool {
        if entry.expires_at < now {
            return false;
        }
        let key = (entry.group_key.clone(), entry.receiver.clone());
        let is_newer = self.entries.get(&key).is_none_or(|known| known.timestamp < entry.timestamp);
        if is_newer {
            self.entries.insert(key, entry);
        }
        is_newer
    }

    /// Drops expired entries and returns their number.
    pub fn collect_garbage(&mut self, now: UnixNanos) -> usize {
        let before = self.entries.len();
        self.entries.retain(|_, entry| entry.expires_at > now);
        before - self.entries.len()
    }

    /// All entries, unordered.
    pub fn entries(&self) -> impl Iterator<Item = &LogEntry> {
        self.entries.values()
    }

    /// The content of the file `nflog`.
    pub fn to_file(&self) -> Vec<u8> {
        let mut entries: Vec<&LogEntry> = self.entries.values().collect();
        entries.sort_by(|a, b| (&a.group_key, &a.receiver).cmp(&(&b.group_key, &b.receiver)));
        let mut file = Vec::new();
        entries.into_iter().for_each(|entry| entry.append_to(&mut file));
        file
    }

    /// Merges the content of the file `nflog`.
    ///
    /// # Errors
    /// The file is damaged. Nothing of it was used.
    pub fn load_file(&mut self, file: &[u8], now: UnixNanos) -> Result<(), WireError> {
        let entries: Vec<LogEntry> =
            messages(file).map(|message| LogEntry::read(message?)).collect::<Result<_, _>>()?;
        entries.into_iter().for_each(|entry| {
            self.merge(entry, now);
        });
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(firing: &[u64], resolved: &[u64], timestamp: i64) -> LogEntry {
        LogEntry {
            group_key: "{}:{a=\"b\"}".into(),
            receiver: LogReceiver { group_name: "r".into(), integration: "webhook".into(), index: 1 },
            timestamp: UnixNanos(timestamp),
            firing: firing.to_vec(),
            resolved: resolved.to_vec(),
            kept: KeptValues::from([
                ("ts".into(), KeptValue::Text(String::new())),
                ("n".into(), KeptValue::Int(-1)),
                ("f".into(), KeptValue::Float(0.0)),
            ]),
            expires_at: UnixNanos(i64::MAX),
        }
    }

    #[test]
    fn a_group_is_notified_when_something_changed_or_it_is_time() {
        let told = entry(&[1, 2], &[3], 100);
        let all_over = entry(&[], &[1, 2], 100);
        for (name, last, firing, resolved, sends, now, expected) in [
            ("nothing fires", None, vec![], vec![1], true, 0, None),
            ("never told", None, vec![1], vec![], true, 0, Some(Reason::FirstNotification)),
            (
                "told a resolution before",
                Some(&all_over),
                vec![1],
                vec![],
                true,
                0,
                Some(Reason::FirstNotification),
            ),
            ("one more", Some(&told), vec![1, 4], vec![], true, 0, Some(Reason::NewAlertsInGroup)),
            ("fewer", Some(&told), vec![1], vec![], true, 0, None),
            ("resolved", Some(&told), vec![1], vec![2], true, 0, Some(Reason::NewResolvedAlerts)),
            ("resolved is not told", Some(&told), vec![1], vec![2], false, 0, None),
            ("resolved was told", Some(&told), vec![1], vec![3], true, 0, None),
            ("all over", Some(&told), vec![], vec![1, 2], true, 0, Some(Reason::AllAlertsResolved)),
            (
                "all over is noted even when not told",
                Some(&told),
                vec![],
                vec![1, 2],
                false,
                0,
                Some(Reason::AllAlertsResolved),
            ),
            ("came and went", Some(&all_over), vec![], vec![7], true, 0, None),
            ("the interval is not quite over", Some(&told), vec![1], vec![], true, 150, None),
            (
                "the interval is over",
                Some(&told),
                vec![1],
                vec![],
                true,
                151,
                Some(Reason::RepeatIntervalElapsed),
            ),
        ] {
            let flush = FlushHashes { firing, resolved };
            let repeat = Duration::from_nanos(50);
            assert_eq!(reason_to_notify(last, &flush, sends, repeat, UnixNanos(now)), expected, "{name}");
        }
    }

    #[test]
    fn files_are_read_back() {
        let mut log = NotificationLog::new(Duration::from_secs(1));
        log.merge(entry(&[1, u64::MAX], &[], 7), UnixNanos(0));
        let second =
            LogEntry { group_key: "{}:{}".into(), kept: KeptValues::new(), ..entry(&[], &[300], -7) };
        log.merge(second, UnixNanos(0));
        let file = log.to_file();
        let mut read = NotificationLog::new(Duration::from_secs(1));
        assert_eq!(read.load_file(&file, UnixNanos(0)), Ok(()));
        assert_eq!(read.entries, log.entries);
        assert_eq!(
            read.load_file(&file[..file.len() - 1], UnixNanos(0)),
            Err(WireError::Protobuf(ferula_go::protobuf::ProtobufError::UnexpectedEnd))
        );
    }

    #[test]
    fn entries_live_for_twice_the_repeat_interval_within_the_retention() {
        let mut log = NotificationLog::new(Duration::from_nanos(1000));
        for (expiry, expires_at) in [(400, 500), (2000, 1100), (0, 1100)] {
            let noted = log.note(entry(&[1], &[], 0), Duration::from_nanos(expiry), UnixNanos(100));
            assert_eq!((noted.timestamp.0, noted.expires_at.0), (100, expires_at));
        }
        log.entries.clear();
        log.note(entry(&[1], &[], 0), Duration::from_nanos(400), UnixNanos(100));
        assert_eq!((log.collect_garbage(UnixNanos(499)), log.collect_garbage(UnixNanos(500))), (0, 1));
    }
}
