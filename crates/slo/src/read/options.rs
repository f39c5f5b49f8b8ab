//! What a file of objectives may leave open.

use std::collections::BTreeMap;

/// Values for settings that a file does not contain.
#[derive(Debug, Clone, Default)]
pub struct ReadOptions {
    /// The period for formats that do not state one.
    pub period_millis: i64,
    /// Labels added to every recorded series; the file's own labels take precedence.
    pub extra_labels: BTreeMap<String, String>,
}
