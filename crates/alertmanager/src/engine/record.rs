//! Changes that must survive a crash, as messages for the journal.

use std::sync::Arc;

use ferula_model::{LabelSet, UnixNanos};

use crate::annotations::Annotations;
use crate::notification_log::LogEntry;
use crate::silence::Silence;
use crate::stored_alert::{StoredAlert, label_set};
use crate::time::Time;
use crate::wire::{Field, Message, WireError, fields};

/// One change. Applying all changes in order to an empty engine restores its state.
#[derive(Clone, Debug, PartialEq)]
pub enum Record {
    /// A new alert with all its properties; it is added to its groups.
    Alert(Arc<StoredAlert>),
    /// Known alerts were reported again, all with these times.
    Reported { fingerprints: Vec<u64>, ends_at: Time, updated_at: Time, timeout: bool },
    /// A resolved alert was removed from the store.
    Forgotten { fingerprint: u64 },
    /// A group's flush ended: the time of the next one, and the alerts whose resolution was sent
    /// (fingerprint, last report).
    Flushed { route: Arc<str>, labels: LabelSet, next_flush: UnixNanos, told: Vec<(u64, Time)> },
    /// A silence was set or expired.
    Silence(Box<Silence>),
    /// A notification was sent.
    Notified(Box<LogEntry>),
    /// The server was receiving reports at this time.
    Alive { at: UnixNanos },
    /// At this time, the server started or the clock had been set forward: alerts that were firing at the last
    /// [`Record::Alive`] keep firing for the time since, at most until `latest`.
    Prolonged { at: UnixNanos, latest: Time },
    /// The state before this record was written as a whole, and these are the two files that were written with it.
    Snapshot { silences: FileMark, nflog: FileMark },
}

/// Identifies the content of a file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FileMark {
    pub bytes: u64,
    pub crc32: u32,
}

impl FileMark {
    /// The mark of this content.
    pub fn of(content: &[u8]) -> Self {
        FileMark { bytes: content.len() as u64, crc32: crc32fast::hash(content) }
    }

    fn write(self, message: &mut Message) {
        message.uint(1, self.bytes);
        message.uint(2, self.crc32.into());
    }

    fn read(content: &[u8]) -> Result<Self, WireError> {
        let mut mark = FileMark::default();
        for field in fields(content) {
            let field = field?;
            match field.number {
                1 => mark.bytes = field.uint()?,
                2 => mark.crc32 = field.uint()? as u32,
                _ => {}
            }
        }
        Ok(mark)
    }
}

impl Record {
    /// Encodes the record.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Message::default();
        self.write(&mut out);
        out.into_bytes()
    }

    /// Appends its bytes.
    pub fn append_to(&self, bytes: &mut Vec<u8>) {
        let mut out = Message::after(std::mem::take(bytes));
        self.write(&mut out);
        *bytes = out.into_bytes();
    }

    fn write(&self, out: &mut Message) {
        match self {
            Record::Alert(alert) => out.message(1, |message| write_alert(message, alert)),
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
                silence.append_current_to(&mut file, silence.ends_at);
                out.bytes(5, &file);
            }
            Record::Notified(entry) => {
                let mut file = Vec::new();
                entry.append_to(&mut file);
                out.bytes(6, &file);
            }
            Record::Alive { at } => out.message(7, |message| message.uint_always(1, at.0 as u64)),
            Record::Reported { fingerprints, ends_at, updated_at, timeout } => out.message(8, |message| {
                let packed: Vec<u8> = fingerprints.iter().flat_map(|one| one.to_le_bytes()).collect();
                message.bytes(1, &packed);
                write_time(message, 2, *ends_at);
                write_time(message, 3, *updated_at);
                message.uint(4, u64::from(*timeout));
            }),
            Record::Prolonged { at, latest } => out.message(9, |message| {
                message.uint(1, at.0 as u64);
                write_time(message, 2, *latest);
            }),
            Record::Snapshot { silences, nflog } => out.message(10, |message| {
                message.message(1, |mark| silences.write(mark));
                message.message(2, |mark| nflog.write(mark));
            }),
        }
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
            // Earlier versions wrote a record for each alert.
            2 => Some(read_reported(content, |field, into| {
                into.push(field.uint()?);
                Ok(())
            })?),
            3 => {
                let field = fields(content).next().ok_or(WireError::Incomplete)??;
                Some(Record::Forgotten { fingerprint: field.uint()? })
            }
            4 => Some(read_flushed(content)?),
            5 => Silence::read_one(content)?.map(|silence| Record::Silence(Box::new(silence))),
            6 => LogEntry::read_one(content)?.map(|entry| Record::Notified(Box::new(entry))),
            7 => {
                let field = fields(content).next().ok_or(WireError::Incomplete)??;
                Some(Record::Alive { at: UnixNanos(field.uint()? as i64) })
            }
            8 => Some(read_reported(content, |field, into| field.extend_fixed64s(into))?),
            9 => {
                let (mut at, mut latest) = (0, Time::from_unix_nanos(0));
                for field in fields(content) {
                    let field = field?;
                    match field.number {
                        1 => at = field.uint()? as i64,
                        2 => latest = read_time(&field)?,
                        _ => {}
                    }
                }
                Some(Record::Prolonged { at: UnixNanos(at), latest })
            }
            10 => {
                let (mut silences, mut nflog) = (FileMark::default(), FileMark::default());
                for field in fields(content) {
                    let field = field?;
                    match field.number {
                        1 => silences = FileMark::read(field.bytes()?)?,
                        2 => nflog = FileMark::read(field.bytes()?)?,
                        _ => {}
                    }
                }
                Some(Record::Snapshot { silences, nflog })
            }
            _ => None,
        })
    }
}

/// Reads the times of a report, and the fingerprints by `read_fingerprints`.
fn read_reported(
    content: &[u8],
    read_fingerprints: impl Fn(&Field<'_>, &mut Vec<u64>) -> Result<(), WireError>,
) -> Result<Record, WireError> {
    let zero = Time::from_unix_nanos(0);
    let (mut fingerprints, mut ends_at, mut updated_at, mut timeout) = (Vec::new(), zero, zero, false);
    for field in fields(content) {
        let field = field?;
        match field.number {
            1 => read_fingerprints(&field, &mut fingerprints)?,
            2 => ends_at = read_time(&field)?,
            3 => updated_at = read_time(&field)?,
            4 => timeout = field.uint()? != 0,
            _ => {}
        }
    }
    Ok(Record::Reported { fingerprints, ends_at, updated_at, timeout })
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

fn read_pair<'a>(field: &Field<'a>) -> Result<(&'a str, &'a str), WireError> {
    let (mut name, mut value) = ("", "");
    for field in fields(field.bytes()?) {
        let field = field?;
        match field.number {
            1 => name = field.str()?,
            2 => value = field.str()?,
            _ => {}
        }
    }
    Ok((name, value))
}

fn write_alert(message: &mut Message, alert: &StoredAlert) {
    write_pairs(message, 1, alert.labels.iter());
    write_pairs(message, 2, alert.annotations.iter());
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
        annotations: Annotations::default(),
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
            6 => alert.generator_url = field.str()?.into(),
            7 => alert.timeout = field.uint()? != 0,
            _ => {}
        }
    }
    alert.labels = label_set(&labels);
    alert.annotations = Annotations::new(annotations);
    Ok(alert)
}

fn read_flushed(content: &[u8]) -> Result<Record, WireError> {
    let (mut route, mut labels, mut next_flush, mut told) = ("", Vec::new(), 0, Vec::new());
    for field in fields(content) {
        let field = field?;
        match field.number {
            1 => route = field.str()?,
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
    let labels = label_set(&labels);
    Ok(Record::Flushed { route: route.into(), labels, next_flush: UnixNanos(next_flush), told })
}
