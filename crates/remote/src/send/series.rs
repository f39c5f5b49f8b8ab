//! The series of the log with the labels that a destination receives: external labels are added, then
//! relabelling applies.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

use ferula_model::relabel::{Rule, process};
use ferula_model::{LabelSet, LabelSetBuilder, MetricMetadata, MetricType};
use ferula_storage::LogRef;

use super::symbols::Symbols;

/// How a destination changes the labels of series.
#[derive(Clone, Debug, Default)]
pub struct LabelRules {
    /// Added to series that do not set them.
    pub external: Vec<(String, String)>,
    /// Applied after the external labels.
    pub relabel: Vec<Rule>,
}

impl LabelRules {
    /// The labels to send; `None` if relabelling drops the series.
    fn apply(&self, labels: &LabelSet) -> Option<LabelSet> {
        if self.external.is_empty() && self.relabel.is_empty() {
            return Some(labels.clone());
        }
        let mut builder: LabelSetBuilder = labels.to_builder();
        for (name, value) in &self.external {
            if builder.value(name).is_empty() {
                builder.set(name, value);
            }
        }
        let kept = process(&self.relabel, &mut builder);
        Some(builder.finish()).filter(|labels| kept && !labels.is_empty())
    }
}

/// A series that is sent.
#[derive(Debug, Default)]
pub struct SentSeries {
    /// Its ref in the log.
    pub number: LogRef,
    /// Symbols of name, value, name, value …, sorted by name.
    pub labels: Box<[u32]>,
    /// Its type and the symbols of help and unit, if the log has them.
    pub metadata: Option<(MetricType, u32, u32)>,
}

/// One series of the log.
#[derive(Debug)]
struct Entry {
    /// `None` if relabelling drops it.
    sent: Option<SentSeries>,
    /// The newest segment that names it.
    segment: u32,
}

/// The state of a series that the log names.
pub enum SeriesState<'t> {
    Sent(&'t SentSeries),
    /// Relabelling drops it.
    Dropped,
    /// The log has no labels for it.
    Unknown,
}

/// A hasher for series refs and symbols: one multiplication spreads them well enough.
#[derive(Default)]
pub struct NumberHasher(u64);

impl Hasher for NumberHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.write_u64(u64::from(*byte));
        }
    }

    fn write_u32(&mut self, number: u32) {
        self.write_u64(u64::from(number));
    }

    fn write_u64(&mut self, number: u64) {
        self.0 = (self.0 ^ number).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        self.0 ^= self.0 >> 32;
    }
}

/// A map keyed by series refs or symbols.
pub type NumberMap<K, V> = HashMap<K, V, BuildHasherDefault<NumberHasher>>;

/// All series of the log.
#[derive(Debug, Default)]
pub struct SeriesTable {
    rules: LabelRules,
    symbols: Symbols,
    entries: NumberMap<LogRef, Entry>,
}

impl SeriesTable {
    /// The largest number of symbols in use so far.
    #[cfg(test)]
    pub fn symbol_slots(&self) -> usize {
        self.symbols.slots()
    }

    /// A table without series.
    pub fn new(rules: LabelRules) -> Self {
        SeriesTable { rules, ..SeriesTable::default() }
    }

    #[cfg(test)]
    fn symbols(&self) -> &Symbols {
        &self.symbols
    }

    /// Adds a series of the log, named in `segment`.
    pub fn insert(&mut self, number: LogRef, labels: &LabelSet, segment: u32) {
        let sent = self.rules.apply(labels).map(|labels| {
            let pairs = labels.iter().flat_map(|(name, value)| [name, value]);
            let labels = pairs.map(|text| self.symbols.take(text)).collect();
            SentSeries { number, labels, metadata: None }
        });
        if let Some(before) = self.entries.insert(number, Entry { sent, segment }) {
            self.release(before);
        }
    }

    /// Sets the metadata of a series.
    pub fn set_metadata(&mut self, number: LogRef, metadata: &MetricMetadata) {
        let Some(sent) = self.entries.get_mut(&number).and_then(|entry| entry.sent.as_mut()) else { return };
        let before = sent.metadata;
        let (help, unit) = (self.symbols.take(&metadata.help), self.symbols.take(&metadata.unit));
        sent.metadata = Some((metadata.kind, help, unit));
        if let Some((_, help, unit)) = before {
            self.symbols.release(help);
            self.symbols.release(unit);
        }
    }

    /// The series with this ref, which `segment` names.
    pub fn get(&mut self, number: LogRef, segment: u32) -> (SeriesState<'_>, &Symbols) {
        let known = match self.entries.get_mut(&number) {
            None => SeriesState::Unknown,
            Some(entry) => {
                entry.segment = segment;
                entry.sent.as_ref().map_or(SeriesState::Dropped, SeriesState::Sent)
            }
        };
        (known, &self.symbols)
    }

    /// Drops series that no segment from `first` on has named so far, unless they are `living`.
    pub fn forget(&mut self, first: u32, living: &dyn Fn(LogRef) -> bool) {
        let ended: Vec<LogRef> = self
            .entries
            .iter()
            .filter(|(number, entry)| entry.segment < first && !living(**number))
            .map(|(number, _)| *number)
            .collect();
        for number in ended {
            if let Some(entry) = self.entries.remove(&number) {
                self.release(entry);
            }
        }
    }

    /// Lets symbols of dropped series be reused. No message under construction may contain such a symbol.
    pub fn recycle(&mut self) {
        self.symbols.recycle();
    }

    /// Number of series.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    fn release(&mut self, entry: Entry) {
        let Some(sent) = entry.sent else { return };
        let metadata = sent.metadata.into_iter().flat_map(|(_, help, unit)| [help, unit]);
        sent.labels.iter().copied().chain(metadata).for_each(|symbol| self.symbols.release(symbol));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(table: &mut SeriesTable, number: u64) -> Option<String> {
        let (known, symbols) = table.get(LogRef::new(number), 7);
        match known {
            SeriesState::Sent(series) => {
                let texts: Vec<&str> = series.labels.iter().map(|symbol| symbols.text(*symbol)).collect();
                Some(texts.join(" "))
            }
            SeriesState::Dropped => Some("dropped".into()),
            SeriesState::Unknown => None,
        }
    }

    #[test]
    fn external_labels_come_before_relabelling_and_texts_of_ended_series_are_freed() {
        let rule = |text: &str| {
            let config = ferula_config::Config::parse(&format!(
                "remote_write: [{{url: 'http://a', write_relabel_configs: [{text}]}}]"
            ));
            let config = config.expect("a good rule");
            let rules = &config.remote_write[0].write_relabel_configs;
            ferula_config::relabel::compiled(rules, &config.global.metric_name_validation_scheme)
        };
        let external = vec![("dc".to_owned(), "b".to_owned()), ("job".to_owned(), "external".to_owned())];
        let drop = rule("{source_labels: [dc, __name__], regex: 'b;go_.*', action: drop}");
        let mut table = SeriesTable::new(LabelRules { external, relabel: drop });
        table.insert(LogRef::new(1), &LabelSet::from_pairs([("__name__", "up"), ("job", "a")]), 3);
        table.insert(LogRef::new(2), &LabelSet::from_pairs([("__name__", "go_gc")]), 3);
        assert_eq!(shown(&mut table, 1).as_deref(), Some("__name__ up dc b job a"));
        assert_eq!(shown(&mut table, 2).as_deref(), Some("dropped"));
        assert_eq!(shown(&mut table, 3), None);
        table.set_metadata(
            LogRef::new(1),
            &MetricMetadata { help: "Up.".into(), ..MetricMetadata::default() },
        );
        table.forget(7, &|_| false);
        assert_eq!(table.len(), 2, "segment 7 names them");
        table.forget(8, &|series| series == LogRef::new(2));
        assert_eq!((table.len(), table.symbols().len()), (1, 0));
    }
}
