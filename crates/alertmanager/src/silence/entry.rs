//! One silence: its states, its validation, and its file format.

use std::collections::BTreeMap;

use ferula_config::alertmanager::{MatchOp, Matcher, MatcherSyntax, is_label_name};
use ferula_go::Regexp;
use ferula_go::quote::go_quote;
use ferula_model::UnixNanos;

use crate::wire::{Field, Message, WireError, fields, messages};

/// Why a silence was not set.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SilenceError {
    #[error("silence not found")]
    NotFound,
    #[error("invalid silence: {0}")]
    Invalid(String),
    #[error("exceeded maximum number of silences: {count} (limit: {limit})")]
    TooMany { count: usize, limit: usize },
    #[error("silence exceeded maximum size: {bytes} bytes (limit: {limit} bytes)")]
    TooLarge { bytes: usize, limit: usize },
}

/// The state of a silence at a certain time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum SilenceState {
    Active,
    Pending,
    Expired,
}

impl SilenceState {
    /// The word in the API.
    pub fn as_str(self) -> &'static str {
        match self {
            SilenceState::Active => "active",
            SilenceState::Pending => "pending",
            SilenceState::Expired => "expired",
        }
    }
}

/// One silence.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Silence {
    /// "" for a silence that does not exist yet.
    pub id: String,
    /// An alert is silenced if all matchers of one set match.
    pub matcher_sets: Vec<Vec<Matcher>>,
    pub starts_at: UnixNanos,
    pub ends_at: UnixNanos,
    pub updated_at: UnixNanos,
    pub created_by: String,
    pub comment: String,
    pub annotations: BTreeMap<String, String>,
    /// Matchers of receivers, which only other cluster members set; kept as read.
    pub receiver_matcher_sets: Vec<Vec<u8>>,
}

impl Silence {
    /// Its state at this time.
    pub fn state_at(&self, now: UnixNanos) -> SilenceState {
        if now < self.starts_at {
            SilenceState::Pending
        } else if now > self.ends_at {
            SilenceState::Expired
        } else {
            SilenceState::Active
        }
    }

    /// Whether it can be replaced in place without changing the past.
    pub fn can_become(&self, next: &Silence, now: UnixNanos) -> bool {
        self.matcher_sets == next.matcher_sets
            && match self.state_at(now) {
                SilenceState::Active => {
                    self.starts_at.whole_seconds() == next.starts_at.whole_seconds() && next.ends_at >= now
                }
                SilenceState::Pending => next.starts_at >= now,
                SilenceState::Expired => false,
            }
    }

    /// Versions before 0.32 know only the first set, which has a separate field.
    fn message(&self, expires_at: UnixNanos, for_old_versions: bool) -> Message {
        let mut whole = Message::default();
        whole.message(1, |silence| {
            silence.bytes(1, self.id.as_bytes());
            let old_set = self.matcher_sets.first().filter(|_| for_old_versions);
            for matcher in old_set.into_iter().flatten() {
                silence.message(2, |message| write_matcher(message, matcher));
            }
            silence.time(3, self.starts_at);
            silence.time(4, self.ends_at);
            silence.time(5, self.updated_at);
            silence.bytes(8, self.created_by.as_bytes());
            silence.bytes(9, self.comment.as_bytes());
            for (name, value) in &self.annotations {
                silence.message(10, |pair| {
                    pair.bytes_always(1, name.as_bytes());
                    pair.bytes_always(2, value.as_bytes());
                });
            }
            for set in &self.matcher_sets {
                silence.message(11, |message| {
                    for matcher in set {
                        message.message(1, |message| write_matcher(message, matcher));
                    }
                });
            }
            for set in &self.receiver_matcher_sets {
                silence.bytes_always(12, set);
            }
        });
        whole.time(2, expires_at);
        whole
    }

    /// Appends its message to the content of a file.
    pub fn append_to(&self, file: &mut Vec<u8>, expires_at: UnixNanos) {
        self.message(expires_at, true).append_to(file);
    }

    /// The same without what only versions before 0.32 read.
    pub fn append_current_to(&self, file: &mut Vec<u8>, expires_at: UnixNanos) {
        self.message(expires_at, false).append_to(file);
    }

    /// Parses the first silence of a file, if it is valid.
    ///
    /// # Errors
    /// The bytes are not a silence.
    pub fn read_one(file: &[u8]) -> Result<Option<Self>, WireError> {
        Ok(read_file(file)?.0.into_iter().next())
    }

    /// Its size on disk in bytes.
    pub fn encoded_len(&self, expires_at: UnixNanos) -> usize {
        // The limit counts only one form of the matchers.
        self.message(expires_at, false).bytes_len()
    }
}

fn write_matcher(message: &mut Message, matcher: &Matcher) {
    let op = match matcher.op() {
        MatchOp::Equal => 0,
        MatchOp::Regexp => 1,
        MatchOp::NotEqual => 2,
        MatchOp::NotRegexp => 3,
    };
    message.uint(1, op);
    message.bytes(2, matcher.name().as_bytes());
    message.bytes(3, matcher.value().as_bytes());
}

/// Parses a file: returns the silences, and the identifier and error of each invalid one.
pub(super) fn read_file(file: &[u8]) -> Result<(Vec<Silence>, Vec<String>), WireError> {
    let (mut silences, mut refused) = (Vec::new(), Vec::new());
    for message in messages(file) {
        let mut silence = None;
        for field in fields(message?) {
            let field = field?;
            if field.number == 1 {
                silence = Some(read_silence(field.bytes()?)?);
            }
        }
        match silence.ok_or(WireError::Incomplete)? {
            (silence, None) => silences.push(silence),
            (silence, Some(why)) => refused.push(format!("{}: {why}", silence.id)),
        }
    }
    Ok((silences, refused))
}

/// The silence, and the error if a matcher does not compile.
fn read_silence(message: &[u8]) -> Result<(Silence, Option<String>), WireError> {
    let mut silence = Silence::default();
    let (mut old_matchers, mut problem) = (Vec::new(), None);
    for field in fields(message) {
        let field = field?;
        match field.number {
            1 => silence.id = field.text()?,
            2 => old_matchers.push(field.bytes()?),
            3 => silence.starts_at = field.time()?,
            4 => silence.ends_at = field.time()?,
            5 => silence.updated_at = field.time()?,
            // Versions before 0.7 stored a list of comments.
            7 if silence.comment.is_empty() => read_comment(&field, &mut silence)?,
            8 => silence.created_by = field.text()?,
            9 => silence.comment = field.text()?,
            10 => {
                let (mut name, mut value) = (String::new(), String::new());
                for part in fields(field.bytes()?) {
                    let part = part?;
                    match part.number {
                        1 => name = part.text()?,
                        2 => value = part.text()?,
                        _ => {}
                    }
                }
                silence.annotations.insert(name, value);
            }
            11 => {
                let mut set = Vec::new();
                for part in fields(field.bytes()?) {
                    let part = part?;
                    if part.number == 1 {
                        set.extend(read_matcher(part.bytes()?, &mut problem)?);
                    }
                }
                silence.matcher_sets.push(set);
            }
            12 => silence.receiver_matcher_sets.push(field.bytes()?.to_vec()),
            _ => {}
        }
    }
    // The old field repeats the first set.
    if silence.matcher_sets.is_empty() && !old_matchers.is_empty() {
        let mut set = Vec::new();
        for matcher in old_matchers {
            set.extend(read_matcher(matcher, &mut problem)?);
        }
        silence.matcher_sets.push(set);
    }
    Ok((silence, problem))
}

fn read_comment(field: &Field<'_>, silence: &mut Silence) -> Result<(), WireError> {
    for part in fields(field.bytes()?) {
        let part = part?;
        match part.number {
            1 => silence.created_by = part.text()?,
            2 => silence.comment = part.text()?,
            _ => {}
        }
    }
    Ok(())
}

fn read_matcher(message: &[u8], problem: &mut Option<String>) -> Result<Option<Matcher>, WireError> {
    let (mut op, mut name, mut value) = (MatchOp::Equal, String::new(), String::new());
    for field in fields(message) {
        let field = field?;
        match field.number {
            1 => match field.uint()? {
                0 => op = MatchOp::Equal,
                1 => op = MatchOp::Regexp,
                2 => op = MatchOp::NotEqual,
                3 => op = MatchOp::NotRegexp,
                other => *problem = Some(format!("unknown matcher type {}", go_quote(&other.to_string()))),
            },
            2 => name = field.text()?,
            3 => value = field.text()?,
            _ => {}
        }
    }
    match Matcher::new(name, op, value) {
        Ok(matcher) => Ok(Some(matcher)),
        Err(error) => {
            *problem = Some(error.to_string());
            Ok(None)
        }
    }
}

/// Why a silence is invalid, in Alertmanager's words.
pub(super) fn validate(silence: &Silence, syntax: MatcherSyntax) -> Result<(), String> {
    if silence.matcher_sets.is_empty() {
        return Err("at least one matcher set required".into());
    }
    for (set_at, set) in silence.matcher_sets.iter().enumerate() {
        if set.is_empty() {
            return Err(format!("matcher set {set_at} is empty"));
        }
        for (at, matcher) in set.iter().enumerate() {
            if !is_label_name(matcher.name(), syntax) {
                let name = go_quote(matcher.name());
                return Err(format!("invalid label matcher {at} in set {set_at}: invalid label name {name}"));
            }
        }
        let is_positive = |matcher: &Matcher| matches!(matcher.op(), MatchOp::Equal | MatchOp::Regexp);
        if set.iter().all(|matcher| is_positive(matcher) && matcher.matches("")) {
            return Err(format!(
                "matcher set {set_at}: at least one matcher must not match the empty string"
            ));
        }
    }
    if silence.ends_at < silence.starts_at {
        return Err("end time must not be before start time".into());
    }
    Ok(())
}

impl Silence {
    /// Compiles a matcher from a client; the error is that of a silence with an invalid expression.
    ///
    /// # Errors
    /// The expression does not compile; in Alertmanager's words.
    pub fn matcher(at: usize, name: &str, op: MatchOp, value: &str) -> Result<Matcher, SilenceError> {
        if matches!(op, MatchOp::Regexp | MatchOp::NotRegexp)
            && let Err(error) = Regexp::new(value)
        {
            let value = go_quote(value);
            return Err(SilenceError::Invalid(format!(
                "invalid label matcher {at} in set 0: invalid regular expression {value}: {error}"
            )));
        }
        Matcher::new(name, op, value).map_err(|error| SilenceError::Invalid(error.to_string()))
    }
}
