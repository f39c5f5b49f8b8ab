//! `--enable-feature`: the known names, and what each enables.

use ferula_promql::Features;
use ferula_tsdb::FloatEncoding;

/// What the named features enable. Most fields carry the name of their feature.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FeatureSet {
    /// Options of the query engine.
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
    pub otlp_deltas: OtlpDeltas,
    /// `search-api`
    pub search_api: bool,
    /// Names that cause a warning in the log, each with its text.
    pub warnings: Vec<(String, &'static str)>,
    /// Enabled names, each with its log line.
    pub switched_on: Vec<(String, &'static str)>,
    /// All names, as given.
    pub names: Vec<String>,
}

/// How OTLP metrics of delta temporality are treated.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OtlpDeltas {
    #[default]
    Refuse,
    /// `otlp-deltatocumulative`
    AddUp,
    /// `otlp-native-delta-ingestion`
    Store,
}

/// Why the names are refused.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum FeatureError {
    /// A feature that this build does not support.
    #[error("not supported yet: --enable-feature={0}")]
    Unsupported(String),
    /// The text is Prometheus'.
    #[error("cannot enable otlp-deltatocumulative and otlp-native-delta-ingestion features at the same time")]
    BothOtlpDeltas,
}

impl FeatureSet {
    /// Parses the names; empty names are skipped.
    ///
    /// # Errors
    /// The first feature that this build does not support, and features that exclude each other.
    pub fn parse(names: &[&str]) -> Result<Self, FeatureError> {
        let mut set = FeatureSet::default();
        for name in names.iter().filter(|name| !name.is_empty()) {
            set.add(name)?;
            set.names.push((*name).to_owned());
        }
        if ["otlp-deltatocumulative", "otlp-native-delta-ingestion"].iter().all(|name| names.contains(name)) {
            return Err(FeatureError::BothOtlpDeltas);
        }
        Ok(set)
    }

    /// How floats are encoded unless the configuration sets it.
    pub fn floats(&self) -> FloatEncoding {
        if self.xor2 { FloatEncoding::Xor2 } else { FloatEncoding::Xor }
    }

    /// Whether scrapes must parse start timestamps.
    pub fn reads_start_timestamps(&self) -> bool {
        self.start_timestamps || self.start_as_zero_sample
    }

    fn add(&mut self, name: &str) -> Result<(), FeatureError> {
        let effect = FEATURES.iter().find(|(known, _)| *known == name).map(|(_, effect)| effect);
        match effect {
            Some(Effect::On(switch, line)) => {
                switch(self);
                self.switched_on.push((name.to_owned(), line));
            }
            Some(Effect::OnWithWarning(switch, warning)) => {
                switch(self);
                self.warnings.push((name.to_owned(), warning));
            }
            Some(Effect::None(warning)) => self.warnings.push((name.to_owned(), warning)),
            Some(Effect::Unsupported) => return Err(FeatureError::Unsupported(name.to_owned())),
            None => self.warnings.push((name.to_owned(), "Unknown option for --enable-feature")),
        }
        Ok(())
    }
}

/// The feature that an unknown name was probably meant to be.
pub fn meant_by(name: &str) -> Option<&'static str> {
    let is_known = FEATURES.iter().any(|(known, _)| *known == name);
    if is_known { None } else { ferula_config::closest(name, FEATURES.iter().map(|(known, _)| *known)) }
}

/// The effect of a name.
enum Effect {
    /// Enables something, with this line in the log.
    On(fn(&mut FeatureSet), &'static str),
    /// Enables something that has a better way to be enabled.
    OnWithWarning(fn(&mut FeatureSet), &'static str),
    /// Has no effect; the log explains why.
    None(&'static str),
    Unsupported,
}

const ALWAYS_ON: Effect =
    Effect::None("This option for --enable-feature is now permanently enabled and therefore a no-op.");
const WITHOUT_EFFECT: Effect = Effect::None("This option for --enable-feature has no effect in this build.");

/// Every name that Prometheus knows. The log lines are Prometheus'.
const FEATURES: [(&str, Effect); 28] = [
    (
        "auto-reload-config",
        Effect::OnWithWarning(
            |set| set.auto_reload = true,
            "This option for --enable-feature is deprecated. Use --config.auto-reload instead.",
        ),
    ),
    (
        "concurrent-rule-eval",
        Effect::On(|set| set.concurrent_rules = true, "Experimental concurrent rule evaluation enabled."),
    ),
    (
        "created-timestamp-zero-ingestion",
        Effect::On(
            |set| set.start_as_zero_sample = true,
            "Experimental start timestamp zero ingestion enabled. OpenMetrics 1.0 parsing will parse \
             <metric>_created metrics as ST instead of normal sample.",
        ),
    ),
    ("delayed-compaction", WITHOUT_EFFECT),
    (
        "exemplar-storage",
        Effect::On(|set| set.exemplars = true, "Experimental in-memory exemplar storage enabled"),
    ),
    ("extra-scrape-metrics", Effect::Unsupported),
    ("fast-startup", WITHOUT_EFFECT),
    (
        "histograms-st-encoding",
        Effect::On(
            |set| set.histogram_start_timestamps = true,
            "Experimental ST-capable histogram chunk encoding enabled.",
        ),
    ),
    ("memory-snapshot-on-shutdown", WITHOUT_EFFECT),
    (
        "metadata-wal-records",
        Effect::On(|set| set.metadata = true, "Experimental metadata records in WAL enabled"),
    ),
    (
        "native-histograms",
        Effect::None(
            "This option for --enable-feature is a no-op. To scrape native histograms, set the \
             scrape_native_histograms scrape config setting to true.",
        ),
    ),
    ("old-ui", WITHOUT_EFFECT),
    ("ooo-native-histograms", ALWAYS_ON),
    (
        "otlp-deltatocumulative",
        Effect::On(|set| set.otlp_deltas = OtlpDeltas::AddUp, "Converting delta OTLP metrics to cumulative"),
    ),
    (
        "otlp-native-delta-ingestion",
        Effect::On(
            |set| set.otlp_deltas = OtlpDeltas::Store,
            "Enabling native ingestion of delta OTLP metrics, storing the raw sample values without \
             conversion. WARNING: Delta support is in an early stage of development. The ingestion and \
             querying process is likely to change over time.",
        ),
    ),
    (
        "promql-binop-fill-modifiers",
        Effect::On(
            |set| set.promql.fill_modifiers = true,
            "Experimental PromQL binary operator fill modifiers enabled.",
        ),
    ),
    (
        "promql-delayed-name-removal",
        Effect::On(
            |set| set.promql.delayed_name_removal = true,
            "Experimental PromQL delayed name removal enabled.",
        ),
    ),
    ("promql-duration-expr", ALWAYS_ON),
    (
        "promql-experimental-functions",
        Effect::On(|set| set.promql.experimental_functions = true, "Experimental PromQL functions enabled."),
    ),
    (
        "promql-extended-range-selectors",
        Effect::On(
            |set| set.promql.extended_range_selectors = true,
            "Experimental PromQL extended range selectors enabled.",
        ),
    ),
    (
        "promql-per-step-stats",
        Effect::On(|set| set.promql.per_step_stats = true, "Experimental per-step statistics reporting"),
    ),
    ("search-api", Effect::On(|set| set.search_api = true, "Experimental search API enabled.")),
    (
        "st-storage",
        Effect::On(
            |set| set.start_timestamps = true,
            "Experimental start timestamp storage enabled. OpenMetrics 1.0 parsing will parse \
             <metric>_created metrics as ST instead of normal sample.",
        ),
    ),
    ("st-synthesis", Effect::Unsupported),
    (
        "type-and-unit-labels",
        Effect::On(|set| set.promql.type_and_unit_labels = true, "Experimental type and unit labels enabled"),
    ),
    (
        "use-start-timestamps",
        Effect::On(
            |set| set.promql.use_start_timestamps = true,
            "Experimental usage of start timestamps in PromQL engine is enabled.",
        ),
    ),
    ("use-uncached-io", WITHOUT_EFFECT),
    (
        "xor2-encoding",
        Effect::OnWithWarning(
            |set| set.xor2 = true,
            "This option for --enable-feature is being phased out. It currently changes the default for the \
             storage.tsdb.chunk_encoding.floats config setting to xor2, but will become a no-op in a future \
             major version. Stop using this option and set storage.tsdb.chunk_encoding.floats in the config \
             instead.",
        ),
    ),
];

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
        assert_eq!(meant_by("exemplars-storage"), Some("exemplar-storage"));
        assert_eq!(["nonsense", "exemplar-storage"].map(meant_by), [None, None]);
    }

    #[test]
    fn every_name_is_listed_once_and_has_an_effect_or_an_explanation() {
        assert!(FEATURES.windows(2).all(|pair| pair[0].0 < pair[1].0), "sorted, each once");
        for (name, effect) in &FEATURES {
            let Ok(set) = FeatureSet::parse(&[name]) else {
                assert!(matches!(effect, Effect::Unsupported), "{name}");
                continue;
            };
            let logged = FeatureSet { warnings: set.warnings.clone(), ..FeatureSet::default() };
            let logged =
                FeatureSet { switched_on: set.switched_on.clone(), names: set.names.clone(), ..logged };
            assert_eq!(set.warnings.len() + set.switched_on.len(), 1, "{name}");
            assert_eq!(
                set == logged,
                matches!(effect, Effect::None(_)),
                "{name} changes nothing, or something unrelated"
            );
        }
    }
}
