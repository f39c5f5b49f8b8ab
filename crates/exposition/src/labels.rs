//! Labels of one series, in reusable buffers.

use std::ops::Range;

use ferula_go::protobuf::ProtobufError;
use ferula_model::LabelSet;

/// The label of a summary's quantile.
pub(crate) const QUANTILE_LABEL: &str = "quantile";

/// Why labels cannot be decoded. For keys of a text page only the first can occur, and only for keys not from a parser.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    #[error("not the text of a series")]
    NotAKey,
    #[error("{0}")]
    Message(#[from] ProtobufError),
    #[error("invalid label name: {0}")]
    LabelName(String),
    #[error("invalid label value: {0}")]
    LabelValue(String),
}

/// Labels of one series, decoded into buffers that are reused for the next.
///
/// Unlike a [`LabelSet`], it may hold duplicate names and empty values, because a page may.
#[derive(Clone, Debug, Default)]
pub struct LabelScratch {
    text: String,
    /// Name and value as ranges of `text`; sorted by name once decoded, equal names in page order.
    labels: Vec<(Range<usize>, Range<usize>)>,
}

impl LabelScratch {
    /// An empty scratch.
    pub fn new() -> Self {
        Self::default()
    }

    /// Names and values, sorted by name.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&str, &str)> {
        self.labels.iter().map(|(name, value)| (&self.text[name.clone()], &self.text[value.clone()]))
    }

    /// A name shared by several labels with a value.
    pub fn duplicate_name(&self) -> Option<&str> {
        let mut previous = None;
        for (name, _) in self.iter().filter(|(_, value)| !value.is_empty()) {
            if previous == Some(name) {
                return previous;
            }
            previous = Some(name);
        }
        None
    }

    /// The labels as a set; for a duplicate name the last value is used.
    pub fn to_label_set(&self) -> LabelSet {
        LabelSet::from_pairs(self.iter())
    }

    pub(crate) fn clear(&mut self) {
        self.text.clear();
        self.labels.clear();
    }

    pub(crate) fn push(&mut self, name: &str, value: &str) {
        self.push_joined(name, value, "");
    }

    /// Adds a label whose value consists of two parts.
    pub(crate) fn push_joined(&mut self, name: &str, value: &str, suffix: &str) {
        let start = self.text.len();
        self.text.push_str(name);
        let middle = self.text.len();
        self.text.push_str(value);
        self.text.push_str(suffix);
        self.labels.push((start..middle, middle..self.text.len()));
    }

    pub(crate) fn sort(&mut self) {
        let text = &self.text;
        self.labels.sort_by(|a, b| text[a.0.clone()].cmp(&text[b.0.clone()]));
    }
}
