//! Changes that must survive a crash, as messages for the journal.

use std::sync::Arc;

use ferula_model::{LabelSet, UnixNanos};

use crate::alert::Time;
use crate::notification_log::LogEntry;
use crate::silence::Silence;
use crate::stored_alert::StoredAlert;
use crate::wire::{Field, Message, WireError, fields};

/// One change. Applying all changes in order to an empty engine restores its state.
#[derive(Clone, Debug, PartialEq)]
pub enum Record {
    /// A new alert with all its properties; it is added to its groups.
    Alert(Arc<StoredAlert>),
    /// A known alert was reported again.
    Extended { fingerprint: u64, ends_at: Time, updated_at: Time, timeout: bool },
    /// A resolved alert was removed from the store.
    Forgotten { fingerprint: u64 },
    /// A group's flush ended: the time of the next one, and the alerts whose resolution was sent
    /// (fingerprint, last report).
    Flushed { route: Arc<str>, labels: LabelSet, next_flush: UnixNanos, told: Vec<(u64, Time)> },
    /// A silence was set or expired.
    Silence(Silence),
    /// A notification was sent.
    Notified(LogEntry),
    /// The server was receiving reports at this time.
    Alive { at: UnixNanos },
}

impl Record {
    /// Encodes the record.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Message::default();
        match self {
            Record::Alert(alert) => out.message(1, |message| write_alert(message, alert)),
            Record::Extended { fingerprint, ends_at, updated_at, timeout } => out.message(2, |message| {
                message.uint(1, *fingerprint);
                write_time(message, 2, *ends_at);
                write_time(message, 3, *updated_at);
                message.uint(4, u64::from(*timeout));
            }),
            Record::Forgotten { fingerprint } => out.message(3, |message| message.uint(1, *fingerprint)),
            Record::Flushed { route, labels, next_flush, told } => out.message(4, |message| {
                message.bytes(1, route.as_bytes());
                write_pairs(message, 2, labels.iter());
                message.uint(3, next_flush.0 as u64);
                for (fingerprint, updated_at) in told {
                    message.message(4, |one| {
                        one.uint(1, *fingerprint);
                        write_time(one, 2, *updated_at);
                    });
                }
            }),
            Record::Silence(silence) => {
                let mut file = Vec::new();
                silence.append_to(&mut file, silence.ends_at);
                out.bytes(5, &file);
            }
            Record::Notified(entry) => {
                let mut file = Vec::new();
                entry.append_to(&mut file);
                out.bytes(6, &file);
            }
            Record::Alive { at } => out.message(7, |message| message.uint_always(1, at.0 as u64)),
        }
        out.into_bytes()
    }

    /// Decodes a record; `None` for a kind that only a later version knows, or a silence that cannot be used.
    ///
    /// # Errors
    /// The bytes are not a record.
    pub fn decode(bytes: &[u8]) -> Result<Option<Self>, WireError> {
        let Some(field) = fields(bytes).next() else { return Err(WireError::Incomplete) };
        let field = field?;
        let content = field.bytes()?;
        Ok(match field.number {
            1 => Some(Record::Alert(Arc::new(read_alert(content)?))),
            2 => {
                let zero = Time::from_unix_nanos(0);
                let (mut fingerprint, mut ends_at, mut updated_at, mut timeout) = (0, zero, zero, false);
                for field in fields(content) {
                    let field = field?;
                    match field.number {
                        1 => fingerprint = field.uint()?,
                        2 => ends_at = read_time(&field)?,
                        3 => updated_at = read_time(&field)?,
                        4 => timeout = field.uint()? != 0,
                        _ => {}
                    }
                }
                Some(Record::Extended { fingerprint, ends_at, updated_at, timeout })
            }
            3 => {
                let field = fields(content).next().ok_or(WireError::Incomplete)??;
                Some(Record::Forgotten { fingerprint: field.uint()? })
            }
            4 => Some(read_flushed(content)?),
            5 => Silence::read_one(content)?.map(Record::Silence),
            6 => LogEntry::read_one(content)?.map(Record::Notified),
            7 => {
                let field = fields(content).next().ok_or(WireError::Incomplete)??;
                Some(Record::Alive { at: UnixNanos(field.uint()? as i64) })
            }
            _ => None,
        })
    }
}

fn write_time(message: &mut Message, field: u32, time: Time) {
    message.message(field, |message| {
        message.uint(1, time.seconds as u64);
        message.uint(2, time.nanos.into());
        message.uint(3, i64::from(time.offset_seconds) as u64);
    });
}

fn read_time(field: &Field<'_>) -> Result<Time, WireError> {
    let mut time = Time { seconds: 0, nanos: 0, offset_seconds: 0 };
    for field in fields(field.bytes()?) {
        let field = field?;
        match field.number {
            1 => time.seconds = field.uint()? as i64,
            2 => time.nanos = (field.uint()? as u32).min(999_999_999),
            3 => time.offset_seconds = field.uint()? as i32,
            _ => {}
        }
    }
    Ok(time)
}

fn write_pairs<'p>(message: &mut Message, field: u32, pairs: impl Iterator<Item = (&'p str, &'p str)>) {
    for (name, value) in pairs {
        message.message(field, |pair| {
            pair.bytes(1, name.as_bytes());
            pair.bytes(2, value.as_bytes());
        });
    }
}

fn read_pair(field: &Field<'_>) -> Result<(String, String), WireError> {
    let (mut name, mut value) = (String::new(), String::new());
    for field in fields(field.bytes()?) {
        let field = field?;
        match field.number {
            1 => name = field.text()?,
            2 => value = field.text()?,
            _ => {}
        }
    }
    Ok((name, value))
}

fn write_alert(message: &mut Message, alert: &StoredAlert) {
    write_pairs(message, 1, alert.labels.iter());
    write_pairs(message, 2, alert.annotations.iter().map(|(name, value)| (name.as_str(), value.as_str())));
    write_time(message, 3, alert.starts_at);
    write_time(message, 4, alert.ends_at);
    write_time(message, 5, alert.updated_at);
    message.bytes(6, alert.generator_url.as_bytes());
    message.uint(7, u64::from(alert.timeout));
}

fn read_alert(content: &[u8]) -> Result<StoredAlert, WireError> {
    let zero = Time::from_unix_nanos(0);
    let (mut labels, mut annotations) = (Vec::new(), Vec::new());
    let mut alert = StoredAlert {
        labels: LabelSet::empty(),
        annotations: Arc::new([]),
        starts_at: zero,
        ends_at: zero,
        updated_at: zero,
        generator_url: "".into(),
        timeout: false,
    };
    for field in fields(content) {
        let field = field?;
        match field.number {
            1 => labels.push(read_pair(&field)?),
            2 => annotations.push(read_pair(&field)?),
            3 => alert.starts_at = read_time(&field)?,
            4 => alert.ends_at = read_time(&field)?,
            5 => alert.updated_at = read_time(&field)?,
            6 => alert.generator_url = field.text()?.into(),
            7 => alert.timeout = field.uint()? != 0,
            _ => {}
        }
    }
    alert.labels = LabelSet::from_pairs(labels);
    alert.annotations = annotations.into();
    Ok(alert)
}

fn read_flushed(content: &[u8]) -> Result<Record, WireError> {
    let (mut route, mut labels, mut next_flush, mut told) = (String::new(), Vec::new(), 0, Vec::new());
    for field in fields(content) {
        let field = field?;
        match field.number {
            1 => route = field.text()?,
            2 => labels.push(read_pair(&field)?),
            3 => next_flush = field.uint()? as i64,
            4 => {
                let (mut fingerprint, mut updated_at) = (0, Time::from_unix_nanos(0));
                for part in fields(field.bytes()?) {
                    let part = part?;
                    match part.number {
                        1 => fingerprint = part.uint()?,
                        2 => updated_at = read_time(&part)?,
                        _ => {}
                    }
                }
                told.push((fingerprint, updated_at));
            }
            _ => {}
        }
    }
    let labels = LabelSet::from_pairs(labels);
    Ok(Record::Flushed { route: route.into(), labels, next_flush: UnixNanos(next_flush), told })
}
