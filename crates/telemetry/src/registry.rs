//! Where instruments are made and read.

use std::any::Any;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use ferula_model::{LabelSet, Metric, MetricFamily, MetricType, MetricValue};

use crate::family::{Family, Instrument};
use crate::{Counter, CounterVec, Gauge, GaugeVec, Histogram, HistogramVec, Summary, SummaryVec};

/// All instruments of the process. Cloning gives another handle to the same registry.
///
/// Asking twice for the same name gives the same instrument, so that parts which come and go with a reload keep
/// counting where they stopped.
#[derive(Clone, Default)]
pub struct Registry(Arc<Inner>);

#[derive(Default)]
struct Inner {
    families: Mutex<BTreeMap<String, Registered>>,
    collectors: Mutex<Vec<Collector>>,
}

type Collector = Arc<dyn Fn(&mut Vec<MetricFamily>) + Send + Sync>;

struct Registered {
    help: String,
    kind: MetricType,
    /// The `Family<M>`, to hand it out again.
    family: Box<dyn Any + Send + Sync>,
    read: Arc<dyn Fn() -> Vec<Metric> + Send + Sync>,
}

impl Registry {
    /// A registry without instruments.
    pub fn new() -> Self {
        Self::default()
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

    /// A summary with these quantiles.
    pub fn summary(&self, name: &str, help: &str, quantiles: &[f64]) -> Summary {
        self.summary_vec(name, help, quantiles, &[]).with(&[])
    }

    /// Summaries by label values.
    pub fn summary_vec(&self, name: &str, help: &str, quantiles: &[f64], labels: &[&str]) -> SummaryVec {
        let quantiles = quantiles.to_vec();
        self.family(name, help, labels, move || Summary::new(&quantiles))
    }

    /// A gauge whose value is asked for at every gathering.
    pub fn gauge_func(&self, name: &str, help: &str, value: impl Fn() -> f64 + Send + Sync + 'static) {
        self.func(name, help, MetricType::Gauge, value);
    }

    /// A counter whose value is asked for at every gathering.
    pub fn counter_func(&self, name: &str, help: &str, value: impl Fn() -> f64 + Send + Sync + 'static) {
        self.func(name, help, MetricType::Counter, value);
    }

    /// Whole families that are made at every gathering.
    pub fn collector(&self, collect: impl Fn(&mut Vec<MetricFamily>) + Send + Sync + 'static) {
        self.0.collectors.lock().unwrap_or_else(PoisonError::into_inner).push(Arc::new(collect));
    }

    /// Reads everything: families in order of their names, those without a metric left out.
    pub fn gather(&self) -> Vec<MetricFamily> {
        let mut families: Vec<MetricFamily> = self
            .readers()
            .into_iter()
            .map(|(name, help, kind, read)| MetricFamily { name, help, kind, metrics: read() })
            .collect();
        let collectors = self.0.collectors.lock().unwrap_or_else(PoisonError::into_inner).clone();
        for collect in collectors {
            collect(&mut families);
        }
        families.retain(|family| !family.metrics.is_empty());
        families.sort_by(|a, b| a.name.cmp(&b.name));
        families
    }

    /// What to read, copied out so that no lock is held while reading.
    fn readers(&self) -> Vec<(String, String, MetricType, Arc<dyn Fn() -> Vec<Metric> + Send + Sync>)> {
        let families = self.0.families.lock().unwrap_or_else(PoisonError::into_inner);
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
        let mut families = self.0.families.lock().unwrap_or_else(PoisonError::into_inner);
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

    /// A later registration of the same name takes the place of the earlier.
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
        self.0.families.lock().unwrap_or_else(PoisonError::into_inner).insert(name.to_owned(), entry);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn families_come_sorted_with_their_members_and_empty_ones_are_left_out() {
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
}
