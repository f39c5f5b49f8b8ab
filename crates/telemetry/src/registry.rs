//! Creates instruments and reads them all.

use std::any::Any;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use ferula_go::sync::MutexExt;
use ferula_model::{LabelSet, Metric, MetricFamily, MetricType, MetricValue};

use crate::counter::{Counter, Gauge};
use crate::family::{Family, Instrument};
use crate::histogram::Histogram;
use crate::summary::{Summary, Uptime};

/// Counters that differ in their label values.
pub type CounterVec = Family<Counter>;
/// Gauges that differ in their label values.
pub type GaugeVec = Family<Gauge>;
/// Histograms that differ in their label values.
pub type HistogramVec = Family<Histogram>;
/// Summaries that differ in their label values.
pub type SummaryVec = Family<Summary>;

/// All instruments of the process. Clones are handles to the same registry.
///
/// Registering a name again returns the same instrument, so parts that come and go with a reload continue their
/// counts.
#[derive(Clone)]
pub struct Registry(Arc<Inner>);

struct Inner {
    families: Mutex<BTreeMap<String, Registered>>,
    collectors: Mutex<Vec<Collector>>,
    uptime: Uptime,
}

type Collector = Arc<dyn Fn(&mut Vec<MetricFamily>) + Send + Sync>;

struct Registered {
    help: String,
    kind: MetricType,
    /// The `Family<M>`, to hand it out again.
    family: Box<dyn Any + Send + Sync>,
    read: Arc<dyn Fn() -> Vec<Metric> + Send + Sync>,
}

impl Default for Registry {
    fn default() -> Self {
        Self::new()
    }
}

impl std::fmt::Debug for Registry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Registry")
    }
}

impl Registry {
    /// A registry without instruments. Its summaries age by the system's clock.
    pub fn new() -> Self {
        let start = Instant::now();
        Self::with_uptime(move || start.elapsed())
    }

    /// A registry whose summaries age by this clock: the time since some moment, which never decreases.
    pub fn with_uptime(uptime: impl Fn() -> Duration + Send + Sync + 'static) -> Self {
        let (families, collectors) = (Mutex::default(), Mutex::default());
        Registry(Arc::new(Inner { families, collectors, uptime: Arc::new(uptime) }))
    }

    /// A counter.
    pub fn counter(&self, name: &str, help: &str) -> Counter {
        self.counter_vec(name, help, &[]).with(&[])
    }

    /// Counters by label values.
    pub fn counter_vec(&self, name: &str, help: &str, labels: &[&str]) -> CounterVec {
        self.family(name, help, labels, Counter::default)
    }

    /// A gauge.
    pub fn gauge(&self, name: &str, help: &str) -> Gauge {
        self.gauge_vec(name, help, &[]).with(&[])
    }

    /// Gauges by label values.
    pub fn gauge_vec(&self, name: &str, help: &str, labels: &[&str]) -> GaugeVec {
        self.family(name, help, labels, Gauge::default)
    }

    /// A histogram with these upper bounds; `+Inf` is implied.
    pub fn histogram(&self, name: &str, help: &str, bounds: &[f64]) -> Histogram {
        self.histogram_vec(name, help, bounds, &[]).with(&[])
    }

    /// Histograms by label values.
    pub fn histogram_vec(&self, name: &str, help: &str, bounds: &[f64], labels: &[&str]) -> HistogramVec {
        let bounds = bounds.to_vec();
        self.family(name, help, labels, move || Histogram::new(&bounds))
    }

    /// Histograms by label values that also keep native buckets, for readers of the protobuf format.
    pub fn native_histogram_vec(
        &self,
        name: &str,
        help: &str,
        bounds: &[f64],
        labels: &[&str],
    ) -> HistogramVec {
        let bounds = bounds.to_vec();
        self.family(name, help, labels, move || Histogram::with_native(&bounds))
    }

    /// A summary with these quantiles.
    pub fn summary(&self, name: &str, help: &str, quantiles: &[f64]) -> Summary {
        self.summary_vec(name, help, quantiles, &[]).with(&[])
    }

    /// Summaries by label values.
    pub fn summary_vec(&self, name: &str, help: &str, quantiles: &[f64], labels: &[&str]) -> SummaryVec {
        let (quantiles, uptime) = (quantiles.to_vec(), self.0.uptime.clone());
        self.family(name, help, labels, move || Summary::new(&quantiles, uptime.clone()))
    }

    /// A gauge whose value is computed whenever metrics are gathered.
    pub fn gauge_func(&self, name: &str, help: &str, value: impl Fn() -> f64 + Send + Sync + 'static) {
        self.func(name, help, MetricType::Gauge, value);
    }

    /// A counter whose value is computed whenever metrics are gathered.
    pub fn counter_func(&self, name: &str, help: &str, value: impl Fn() -> f64 + Send + Sync + 'static) {
        self.func(name, help, MetricType::Counter, value);
    }

    /// Whole families that are created whenever metrics are gathered.
    pub fn collector(&self, collect: impl Fn(&mut Vec<MetricFamily>) + Send + Sync + 'static) {
        self.0.collectors.locked().push(Arc::new(collect));
    }

    /// Reads everything. Families are sorted by name; those without a metric are omitted.
    pub fn gather(&self) -> Vec<MetricFamily> {
        let mut families: Vec<MetricFamily> = self
            .readers()
            .into_iter()
            .map(|(name, help, kind, read)| MetricFamily { name, help, kind, metrics: read() })
            .collect();
        let collectors = self.0.collectors.locked().clone();
        for collect in collectors {
            collect(&mut families);
        }
        families.retain(|family| !family.metrics.is_empty());
        families.sort_by(|a, b| a.name.cmp(&b.name));
        families
    }

    /// Reads one family, without those of collectors.
    pub fn gather_one(&self, name: &str) -> Option<MetricFamily> {
        let (help, kind, read) = {
            let families = self.0.families.locked();
            let entry = families.get(name)?;
            (entry.help.clone(), entry.kind, entry.read.clone())
        };
        Some(MetricFamily { name: name.to_owned(), help, kind, metrics: read() })
    }

    /// The readers of all families, copied so that no lock is held while they run.
    fn readers(&self) -> Vec<(String, String, MetricType, Arc<dyn Fn() -> Vec<Metric> + Send + Sync>)> {
        let families = self.0.families.locked();
        families
            .iter()
            .map(|(name, entry)| (name.clone(), entry.help.clone(), entry.kind, entry.read.clone()))
            .collect()
    }

    fn family<M: Instrument>(
        &self,
        name: &str,
        help: &str,
        labels: &[&str],
        make: impl Fn() -> M + Send + Sync + 'static,
    ) -> Family<M> {
        let mut families = self.0.families.locked();
        if let Some(entry) = families.get(name) {
            let family = entry.family.downcast_ref::<Family<M>>().filter(|f| f.label_names() == labels);
            return family.unwrap_or_else(|| panic!("{name} is registered with another shape")).clone();
        }
        let family = Family::new(labels, make);
        let reader = family.clone();
        families.insert(
            name.to_owned(),
            Registered {
                help: help.to_owned(),
                kind: M::KIND,
                family: Box::new(family.clone()),
                read: Arc::new(move || reader.read()),
            },
        );
        family
    }

    /// A later registration with the same name replaces the earlier one.
    fn func(
        &self,
        name: &str,
        help: &str,
        kind: MetricType,
        value: impl Fn() -> f64 + Send + Sync + 'static,
    ) {
        let read = move || {
            let value = MetricValue::Single(value());
            vec![Metric { labels: LabelSet::empty(), value, timestamp: None }]
        };
        let entry = Registered { help: help.to_owned(), kind, family: Box::new(()), read: Arc::new(read) };
        self.0.families.locked().insert(name.to_owned(), entry);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

    use super::*;

    #[test]
    fn families_are_sorted_and_empty_ones_are_omitted() {
        let registry = Registry::new();
        let requests = registry.counter_vec("requests_total", "Requests.", &["code"]);
        registry.gauge("busy", "Busy.").set(2.0);
        registry.counter_vec("never_used_total", "Nothing.", &["x"]);
        registry.gauge_func("asked", "Asked for.", || 7.0);
        requests.with(&["500"]).inc();
        requests.with(&["200"]).add(3);
        let families = registry.gather();
        let names: Vec<&str> = families.iter().map(|f| f.name.as_str()).collect();
        assert_eq!(names, ["asked", "busy", "requests_total"]);
        let codes: Vec<String> =
            families[2].metrics.iter().map(|m| format!("{} {:?}", m.labels, m.value)).collect();
        assert_eq!(codes, [r#"{code="200"} Single(3.0)"#, r#"{code="500"} Single(1.0)"#]);
        requests.remove(&["500"]);
        assert_eq!(registry.gather()[2].metrics.len(), 1);
    }

    #[test]
    fn summaries_age_by_the_clock_of_the_registry() {
        let seconds = Arc::new(AtomicU64::new(0));
        let clock = seconds.clone();
        let registry = Registry::with_uptime(move || Duration::from_secs(clock.load(Relaxed)));
        registry.summary("took_seconds", "Took.", &[0.5]).observe(2.0);
        let median = || match &registry.gather()[0].metrics[0].value {
            MetricValue::Summary { quantiles, count: 1, .. } => quantiles[0].1,
            other => panic!("{other:?}"),
        };
        assert!((median() - 2.0).abs() < 0.02);
        seconds.store(599, Relaxed);
        assert!((median() - 2.0).abs() < 0.02);
        seconds.store(1200, Relaxed);
        assert!(median().is_nan());
    }

    #[test]
    fn the_same_name_is_the_same_instrument() {
        let registry = Registry::new();
        registry.counter("n_total", "N.").inc();
        registry.clone().counter("n_total", "N.").inc();
        assert_eq!(registry.counter("n_total", "N.").get(), 2.0);
    }

    #[test]
    #[should_panic(expected = "another shape")]
    fn the_same_name_with_another_type_is_a_mistake() {
        let registry = Registry::new();
        registry.counter("n_total", "N.");
        registry.gauge("n_total", "N.");
    }

    #[test]
    fn one_family_is_read_without_the_others() {
        let registry = Registry::new();
        registry.gauge("a", "A.").set(2.0);
        registry.gauge_func("b", "B.", || unreachable!("nobody asked for it"));
        registry.collector(|_| unreachable!("nor for these"));
        let family = registry.gather_one("a").expect("it is there");
        assert_eq!((family.help.as_str(), &family.metrics[0].value), ("A.", &MetricValue::Single(2.0)));
        assert!(registry.gather_one("c").is_none());
    }
}
