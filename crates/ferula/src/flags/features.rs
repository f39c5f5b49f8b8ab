//! `--enable-feature`: which names are known, and what each switches on.

use ferula_promql::Features;
use ferula_tsdb::FloatEncoding;

/// What the named features switch on. Fields carry the name of their feature where it says enough.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FeatureSet {
    /// Switches of the query engine.
    pub promql: Features,
    pub exemplars: bool,
    pub concurrent_rules: bool,
    pub auto_reload: bool,
    /// `metadata-wal-records`
    pub metadata: bool,
    /// `st-storage`
    pub start_timestamps: bool,
    /// `created-timestamp-zero-ingestion`
    pub start_as_zero_sample: bool,
    /// `xor2-encoding`: the default of `storage.tsdb.chunk_encoding.floats`.
    pub xor2: bool,
    /// `histograms-st-encoding`
    pub histogram_start_timestamps: bool,
    /// Names that deserve a warning in the log, each with its text.
    pub warnings: Vec<(String, &'static str)>,
    /// Names that were switched on, each with its line for the log.
    pub switched_on: Vec<(String, &'static str)>,
    /// All names, as given.
    pub names: Vec<String>,
}

/// A feature that this build does not have.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("not supported yet: --enable-feature={0}")]
pub struct UnsupportedFeature(String);

impl FeatureSet {
    /// The features of these names; empty names are skipped.
    ///
    /// # Errors
    /// The first name of a feature that this build does not have.
    pub fn parse(names: &[&str]) -> Result<Self, UnsupportedFeature> {
        let mut set = FeatureSet::default();
        for name in names.iter().filter(|name| !name.is_empty()) {
            set.add(name)?;
            set.names.push((*name).to_owned());
        }
        Ok(set)
    }

    /// How floats are encoded where the configuration does not say.
    pub fn floats(&self) -> FloatEncoding {
        if self.xor2 { FloatEncoding::Xor2 } else { FloatEncoding::Xor }
    }

    /// Whether scraping must read start timestamps.
    pub fn reads_start_timestamps(&self) -> bool {
        self.start_timestamps || self.start_as_zero_sample
    }

    fn add(&mut self, name: &str) -> Result<(), UnsupportedFeature> {
        let on = match name {
            "exemplar-storage" => {
                self.exemplars = true;
                "Experimental in-memory exemplar storage enabled"
            }
            "promql-per-step-stats" => {
                self.promql.per_step_stats = true;
                "Experimental per-step statistics reporting"
            }
            "promql-experimental-functions" => {
                self.promql.experimental_functions = true;
                "Experimental PromQL functions enabled."
            }
            "promql-delayed-name-removal" => {
                self.promql.delayed_name_removal = true;
                "Experimental PromQL delayed name removal enabled."
            }
            "promql-extended-range-selectors" => {
                self.promql.extended_range_selectors = true;
                "Experimental PromQL extended range selectors enabled."
            }
            "promql-binop-fill-modifiers" => {
                self.promql.fill_modifiers = true;
                "Experimental PromQL binary operator fill modifiers enabled."
            }
            "type-and-unit-labels" => {
                self.promql.type_and_unit_labels = true;
                "Experimental type and unit labels enabled"
            }
            "use-start-timestamps" => {
                self.promql.use_start_timestamps = true;
                "Experimental usage of start timestamps in PromQL engine is enabled."
            }
            "auto-reload-config" => {
                self.auto_reload = true;
                return self.warn(
                    name,
                    "This option for --enable-feature is deprecated. Use --config.auto-reload instead.",
                );
            }
            "promql-duration-expr" | "ooo-native-histograms" => {
                return self.warn(
                    name,
                    "This option for --enable-feature is now permanently enabled and therefore a no-op.",
                );
            }
            "native-histograms" => {
                return self.warn(
                    name,
                    "This option for --enable-feature is a no-op. To scrape native histograms, set the \
                     scrape_native_histograms scrape config setting to true.",
                );
            }
            "concurrent-rule-eval" => {
                self.concurrent_rules = true;
                "Experimental concurrent rule evaluation enabled."
            }
            "memory-snapshot-on-shutdown"
            | "delayed-compaction"
            | "fast-startup"
            | "use-uncached-io"
            | "old-ui" => {
                return self.warn(name, "This option for --enable-feature has no effect in this build.");
            }
            "metadata-wal-records" => {
                self.metadata = true;
                "Experimental metadata records in WAL enabled"
            }
            "created-timestamp-zero-ingestion" => {
                self.start_as_zero_sample = true;
                "Experimental start timestamp zero ingestion enabled. OpenMetrics 1.0 parsing will parse \
                 <metric>_created metrics as ST instead of normal sample."
            }
            "st-storage" => {
                self.start_timestamps = true;
                "Experimental start timestamp storage enabled. OpenMetrics 1.0 parsing will parse \
                 <metric>_created metrics as ST instead of normal sample."
            }
            "histograms-st-encoding" => {
                self.histogram_start_timestamps = true;
                "Experimental ST-capable histogram chunk encoding enabled."
            }
            "xor2-encoding" => {
                self.xor2 = true;
                return self.warn(
                    name,
                    "This option for --enable-feature is being phased out. It currently changes the default for the \
                     storage.tsdb.chunk_encoding.floats config setting to xor2, but will become a no-op in a future \
                     major version. Stop using this option and set storage.tsdb.chunk_encoding.floats in the config \
                     instead.",
                );
            }
            "st-synthesis"
            | "extra-scrape-metrics"
            | "search-api"
            | "otlp-deltatocumulative"
            | "otlp-native-delta-ingestion" => {
                return Err(UnsupportedFeature(name.to_owned()));
            }
            _ => return self.warn(name, "Unknown option for --enable-feature"),
        };
        self.switched_on.push((name.to_owned(), on));
        Ok(())
    }

    fn warn(&mut self, name: &str, text: &'static str) -> Result<(), UnsupportedFeature> {
        self.warnings.push((name.to_owned(), text));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn features_are_switched_on_and_unknown_names_are_warned_about() {
        let names =
            ["exemplar-storage", "promql-experimental-functions", "nonsense", "", "native-histograms"];
        let set = FeatureSet::parse(&names);
        let set = set.expect("nothing in it is refused");
        assert!(set.exemplars && set.promql.experimental_functions && !set.promql.fill_modifiers);
        let warned: Vec<&str> = set.warnings.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(warned, ["nonsense", "native-histograms"]);
    }
}
