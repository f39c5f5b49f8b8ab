//! One instance of a web shop: a FastAPI service with a Redis cache in front of its database.

use ferula_model::Timestamp;
use ferula_telemetry::{Counter, CounterVec, GaugeVec, HistogramVec, Registry};

use super::{Process, trace};
use crate::chance::Chance;
use crate::condition::Condition;

/// Routes: method, path, median latency in seconds; then how often each is called.
const ROUTES: [((&str, &str, f64), u32); 5] = [
    (("GET", "/", 0.02), 30),
    (("GET", "/api/items", 0.06), 40),
    (("GET", "/api/items/{id}", 0.04), 60),
    (("POST", "/api/cart", 0.08), 15),
    (("POST", "/api/checkout", 0.15), 5),
];

/// Bounds in seconds, with 0.8 among them, the objective.
const BOUNDS: [f64; 12] = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 0.8, 1.0, 2.5, 5.0, 10.0];

const STATUSES: [(&str, u32); 3] = [("500", 6), ("503", 3), ("502", 1)];

/// One in so many requests is traced.
const TRACED: f64 = 0.05;

pub(super) struct Shop {
    pub(super) registry: Registry,
    requests: CounterVec,
    fastapi_requests: CounterVec,
    durations: HistogramVec,
    hits: Counter,
    misses: Counter,
    carts: GaugeVec,
    process: Process,
}

impl Shop {
    pub(super) fn start(now: Timestamp) -> Self {
        let registry = Registry::new();
        Shop {
            requests: registry.counter_vec(
                "http_requests_total",
                "Answered requests.",
                &["method", "route", "status"],
            ),
            fastapi_requests: registry.counter_vec(
                "fastapi_request_count_total",
                "Answered requests, as the FastAPI instrumentation counts them.",
                &["app_name", "method", "path"],
            ),
            durations: registry.native_histogram_vec(
                "http_request_duration_seconds",
                "From the first byte of a request to the last byte of its answer.",
                &BOUNDS,
                &["method", "route", "status_code"],
            ),
            hits: registry.counter("redis_cache_hits_total", "Look-ups that the cache answered."),
            misses: registry.counter("redis_cache_misses_total", "Look-ups that went on to the database."),
            carts: registry.gauge_vec(
                "shop_cart_items",
                "Items in open carts, by a label that should not be one.",
                &["session"],
            ),
            process: Process::start(&registry, now),
            registry,
        }
    }

    pub(super) fn advance(
        &self,
        seconds: f64,
        requests_per_second: f64,
        condition: &Condition,
        chance: &mut Chance,
        now: Timestamp,
    ) {
        for _ in 0..chance.events(requests_per_second * seconds) {
            self.request(condition, chance, now);
        }
        for _ in 0..chance.events(condition.leaked_series * seconds) {
            self.carts.with(&[&format!("{:08x}", chance.number() as u32)]).set(1.0);
        }
        if condition.leaked_series == 0.0 {
            self.carts.clear();
        }
    }

    fn request(&self, condition: &Condition, chance: &mut Chance, now: Timestamp) {
        let (method, route, median) = *chance.pick(&ROUTES);
        let status = match () {
            () if chance.happens(condition.errors) => *chance.pick(&STATUSES),
            () if route == "/api/items/{id}" && chance.happens(0.02) => "404",
            () => "200",
        };
        let mut median = median;
        if method == "GET" && route != "/" {
            if chance.happens(0.9) {
                self.hits.inc();
                median /= 2.0;
            } else {
                self.misses.inc();
                median *= 2.0;
            }
        }
        let took = chance.latency(median) * condition.slowness;
        self.requests.with(&[method, route, status]).inc();
        self.fastapi_requests.with(&["shop", method, route]).inc();
        let durations = self.durations.with(&[method, route, status]);
        if chance.happens(TRACED) {
            durations.observe_with_exemplar(took, trace(chance), now);
        } else {
            durations.observe(took);
        }
        self.process.cpu_seconds.add_f64(0.002);
        self.process.resident_bytes.set(96e6 + 400.0 * self.process.cpu_seconds.get());
    }
}
