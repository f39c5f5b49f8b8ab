//! The services: a shop of two instances, authentication, a machine and a worker on it, and a cluster.

use std::sync::{Mutex, MutexGuard, PoisonError};

use ferula_model::{LabelSet, MetricFamily, Timestamp};

use crate::chance::Chance;
use crate::condition::Condition;

mod auth;
mod cluster;
mod machine;
mod shop;

/// Which of the services; each has a page of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Service {
    Shop(usize),
    Auth,
    Machine,
    Worker,
    Cluster,
}

/// All of them, in the order of their targets.
pub const SERVICES: [Service; 6] =
    [Service::Shop(0), Service::Shop(1), Service::Auth, Service::Machine, Service::Worker, Service::Cluster];

impl Service {
    /// Its `job` label.
    pub fn job(self) -> &'static str {
        match self {
            Service::Shop(_) => "shop",
            Service::Auth => "auth",
            Service::Machine => "node",
            Service::Worker => "worker",
            Service::Cluster => "kubernetes",
        }
    }
}

/// Metrics of all services.
pub struct Services {
    state: Mutex<State>,
    shops: [shop::Shop; 2],
    auth: auth::Auth,
    machine: machine::Machine,
    worker: machine::Worker,
    cluster: cluster::Cluster,
}

struct State {
    condition: Condition,
    chance: Chance,
}

impl Services {
    /// New services, as if they had just been started.
    pub fn start(seed: u64, now: Timestamp) -> Self {
        Services {
            state: Mutex::new(State { condition: Condition::default(), chance: Chance::new(seed) }),
            shops: [shop::Shop::start(now), shop::Shop::start(now)],
            auth: auth::Auth::start(now),
            machine: machine::Machine::start(now),
            worker: machine::Worker::start(now),
            cluster: cluster::Cluster::start(),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn condition(&self) -> Condition {
        self.state().condition
    }

    pub fn set_condition(&self, condition: Condition) {
        self.state().condition = condition;
    }

    /// Lets `seconds` of traffic pass, which end at `now`.
    pub fn advance(&self, seconds: f64, now: Timestamp) {
        let mut state = self.state();
        let State { condition, chance } = &mut *state;
        // A load balancer sends everything to the instances that live.
        let living = if condition.instance_is_dead { &self.shops[..1] } else { &self.shops[..] };
        for shop in living {
            shop.advance(seconds, condition.requests / living.len() as f64, condition, chance, now);
        }
        self.auth.advance(seconds, condition, chance, now);
        self.machine.advance(seconds, condition);
        self.worker.advance(seconds, condition, now);
        self.cluster.advance(seconds, condition, chance);
    }

    /// The metrics of one service; `None` if it does not answer.
    pub fn page(&self, service: Service) -> Option<Vec<MetricFamily>> {
        match service {
            Service::Shop(1) if self.condition().instance_is_dead => None,
            Service::Shop(instance) => Some(self.shops[instance].registry.gather()),
            Service::Auth => Some(self.auth.registry.gather()),
            Service::Machine => Some(self.machine.registry.gather()),
            Service::Worker => Some(self.worker.registry.gather()),
            Service::Cluster => Some(self.cluster.registry.gather()),
        }
    }
}

/// Labels of an exemplar: the trace that the observation belongs to.
fn trace(chance: &mut Chance) -> LabelSet {
    LabelSet::from_pairs([("trace_id", format!("{:016x}{:016x}", chance.number(), chance.number()).as_str())])
}

/// What every process tells about itself.
struct Process {
    cpu_seconds: ferula_telemetry::Counter,
    resident_bytes: ferula_telemetry::Gauge,
    start_time: ferula_telemetry::Gauge,
}

impl Process {
    fn start(registry: &ferula_telemetry::Registry, now: Timestamp) -> Self {
        let process = Process {
            cpu_seconds: registry
                .counter("process_cpu_seconds_total", "Processor time used, user and system."),
            resident_bytes: registry.gauge("process_resident_memory_bytes", "Memory that is resident now."),
            start_time: registry
                .gauge("process_start_time_seconds", "When the process started, since the epoch."),
        };
        process.start_time.set(now.seconds());
        process.resident_bytes.set(96e6);
        process
    }
}

#[cfg(test)]
mod tests {
    use ferula_model::MetricValue;

    use super::*;

    /// The sum over all series of a family whose labels contain these.
    fn sum(families: &[MetricFamily], name: &str, labels: &[(&str, &str)]) -> f64 {
        let family =
            families.iter().find(|family| family.name == name).unwrap_or_else(|| panic!("{name} exists"));
        let wanted = family
            .metrics
            .iter()
            .filter(|metric| labels.iter().all(|(name, value)| metric.labels.get(name) == Some(value)));
        wanted
            .map(|metric| match &metric.value {
                MetricValue::Single(value) => *value,
                MetricValue::Histogram { count, .. } | MetricValue::Summary { count, .. } => *count as f64,
            })
            .sum()
    }

    /// An hour under a condition, at once.
    fn hour(condition: Condition) -> Services {
        let services = Services::start(7, Timestamp::from_millis(0));
        services.set_condition(condition);
        for tick in 1..=3600 {
            services.advance(1.0, Timestamp::from_millis(tick * 1000));
        }
        services
    }

    #[test]
    fn an_hour_shows_the_condition_that_it_had() {
        let services = hour(Condition { errors: 0.05, failed_logins: 8.0, ..Condition::default() });
        let pages: Vec<_> = [0, 1].map(|n| services.page(Service::Shop(n)).expect("it lives")).into();
        let all: f64 = pages.iter().map(|page| sum(page, "http_requests_total", &[])).sum();
        assert!((all / 3600.0 / 60.0 - 1.0).abs() < 0.02, "{all} requests");
        let failed: f64 = ["500", "502", "503"]
            .iter()
            .flat_map(|status| {
                pages.iter().map(move |page| sum(page, "http_requests_total", &[("status", status)]))
            })
            .sum();
        assert!((failed / all / 0.05 - 1.0).abs() < 0.1, "{failed} of {all}");
        let timed: f64 = pages.iter().map(|page| sum(page, "http_request_duration_seconds", &[])).sum();
        assert_eq!(timed, all, "every request is timed");
        let auth = services.page(Service::Auth).expect("it lives");
        let failures = sum(&auth, "auth_login_failure_total", &[]);
        assert!((failures / 3600.0 / 8.0 - 1.0).abs() < 0.05, "{failures} failed logins");
    }

    #[test]
    fn the_dead_answer_nothing_and_their_traffic_moves() {
        let services = hour(Condition { instance_is_dead: true, ..Condition::default() });
        assert!(services.page(Service::Shop(1)).is_none());
        let living = services.page(Service::Shop(0)).expect("it lives");
        let requests = sum(&living, "http_requests_total", &[]);
        assert!((requests / 3600.0 / 60.0 - 1.0).abs() < 0.02, "{requests}");
    }

    #[test]
    fn a_leak_grows_and_a_sick_machine_shows_it() {
        let services = hour(Condition { leaked_series: 2.0, machine_is_sick: true, ..Condition::default() });
        let carts = services.page(Service::Shop(0)).expect("it lives");
        let carts = carts.iter().find(|family| family.name == "shop_cart_items").expect("carts");
        assert!(carts.metrics.len() > 3000, "{} carts", carts.metrics.len());
        let node = services.page(Service::Machine).expect("it lives");
        let available = sum(&node, "node_memory_MemAvailable_bytes", &[]);
        assert!(available / sum(&node, "node_memory_MemTotal_bytes", &[]) < 0.1);
        let idle = sum(&node, "node_cpu_seconds_total", &[("mode", "idle")]);
        assert!(idle / sum(&node, "node_cpu_seconds_total", &[]) < 0.1);
    }

    #[test]
    fn requests_carry_exemplars_with_trace_ids() {
        let services = hour(Condition::default());
        let page = services.page(Service::Shop(0)).expect("it lives");
        let family =
            page.iter().find(|family| family.name == "http_request_duration_seconds").expect("latencies");
        let (mut native_count, mut ids) = (0, Vec::new());
        for metric in &family.metrics {
            let MetricValue::Histogram { exemplars, native, .. } = &metric.value else {
                panic!("a histogram")
            };
            native_count += usize::from(native.is_some());
            ids.extend(exemplars.iter().filter_map(|(_, one)| one.labels.get("trace_id")));
        }
        assert_eq!(native_count, family.metrics.len(), "all have native buckets");
        assert!(ids.len() > 20 && ids.iter().all(|id| id.len() == 32), "{ids:?}");
    }
}
