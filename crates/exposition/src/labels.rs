//! Labels of one series, in buffers that are used again.

use std::ops::Range;

use ferula_go::protobuf::ProtobufError;
use ferula_model::LabelSet;

/// The label of a summary's quantile.
pub(crate) const QUANTILE_LABEL: &str = "quantile";

/// Why there are no labels. Only the first can come of a text page's keys, and only where no parser returned them.
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

/// Labels of one series, decoded into buffers that are used again for the next.
///
/// Unlike a [`LabelSet`] it may hold a name twice, because a page may, and empty values.
#[derive(Clone, Debug, Default)]
pub struct LabelScratch {
    text: String,
    /// Name and value as ranges of `text`; sorted by name once decoded, equal names in the order of the page.
    labels: Vec<(Range<usize>, Range<usize>)>,
}

impl LabelScratch {
    /// An empty scratch.
    pub fn new() -> Self {
        Self::default()
    }

    /// Names and values, names rising.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&str, &str)> {
        self.labels.iter().map(|(name, value)| (&self.text[name.clone()], &self.text[value.clone()]))
    }

    /// A name that more than one label with a value has.
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

    /// The labels as a set; of a name that is there twice the last one counts.
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

    /// Adds a label whose value comes in two pieces.
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
