//! What the comments of a page state about the samples that follow them.

use ferula_exposition::Entry;

use crate::metadata_cache::MetadataCache;

/// What the latest comments of a page state.
#[derive(Default)]
pub(super) struct Comments {
    /// In text pages it remains in force until the next unit, even for families without one, as in Prometheus.
    pub(super) unit: String,
    pub(super) unit_of_family: bool,
    /// The family of the last comment.
    pub(super) family: Option<Vec<u8>>,
}

impl Comments {
    pub(super) fn note(&mut self, entry: &Entry<'_>, metadata: &mut MetadataCache) {
        let metric = match entry {
            Entry::Series(_) | Entry::Histogram(_) => return,
            Entry::Type { metric, kind } => {
                metadata.set_kind(metric, *kind);
                metric
            }
            Entry::Help { metric, text } => {
                if self.unit_of_family {
                    self.unit.clear();
                }
                metadata.set_help(metric, text);
                metric
            }
            Entry::Unit { metric, unit } => {
                self.unit.clear();
                self.unit.push_str(std::str::from_utf8(unit).unwrap_or_default());
                metadata.set_unit(metric, unit);
                metric
            }
        };
        let family = self.family.get_or_insert_default();
        family.clear();
        family.extend_from_slice(metric);
    }

    pub(super) fn family(&self) -> Option<&str> {
        std::str::from_utf8(self.family.as_deref()?).ok()
    }
}
