//! What a silence can do beyond Alertmanager's: set by annotations, so that every client and file keeps it.

use std::collections::BTreeMap;
use std::time::Duration;

use ferula_go::quote::go_quote;
use ferula_model::duration::{DurationError, parse_millis};

/// `true`: the silence ends when the alerts that it covers are over.
pub const END_WHEN_RESOLVED: &str = "ferula_end_when_resolved";
/// A duration: so long before the end, receivers are reminded of the alerts that are still silenced.
pub const REMIND_BEFORE: &str = "ferula_remind_before";
/// The name of a time interval: the silence holds only within it.
pub const REPEAT_IN: &str = "ferula_repeat_in";
/// When receivers were reminded; written by the engine.
pub const REMINDED_AT: &str = "ferula_reminded_at";

/// Why an annotation is not an option.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SilenceOptionError {
    #[error("annotation ferula_end_when_resolved: {} is neither true nor false", go_quote(.0))]
    NotBoolean(String),
    #[error("annotation ferula_remind_before: {0}")]
    Duration(#[from] DurationError),
}

/// The options of one silence.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SilenceOptions {
    pub ends_when_resolved: bool,
    /// `None` where the server's setting holds.
    pub remind_before: Option<Duration>,
    pub repeats_in: Option<String>,
    pub is_reminded: bool,
}

impl SilenceOptions {
    /// The options among annotations.
    ///
    /// # Errors
    /// A value that is not what the option takes.
    pub fn parse(annotations: &BTreeMap<String, String>) -> Result<Self, SilenceOptionError> {
        let get = |name: &str| annotations.get(name).map(String::as_str).filter(|value| !value.is_empty());
        let ends_when_resolved = match get(END_WHEN_RESOLVED) {
            None | Some("false") => false,
            Some("true") => true,
            Some(other) => return Err(SilenceOptionError::NotBoolean(other.to_owned())),
        };
        let remind_before = match get(REMIND_BEFORE) {
            None => None,
            Some(text) => {
                let millis = parse_millis(text)?;
                Some(Duration::from_millis(u64::try_from(millis).unwrap_or(0)))
            }
        };
        Ok(SilenceOptions {
            ends_when_resolved,
            remind_before,
            repeats_in: get(REPEAT_IN).map(str::to_owned),
            is_reminded: annotations.contains_key(REMINDED_AT),
        })
    }

    /// Whether all are as if there were none.
    pub fn is_plain(&self) -> bool {
        *self == SilenceOptions::default()
    }
}
