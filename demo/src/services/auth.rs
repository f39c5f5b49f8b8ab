//! An authentication service behind gRPC.

use ferula_model::Timestamp;
use ferula_telemetry::{Counter, CounterVec, HistogramVec, Registry};

use super::{Process, trace};
use crate::chance::Chance;
use crate::condition::Condition;

/// Calls per second for each request of the shop, method by method, and their median latency in seconds.
const METHODS: [(&str, f64, f64); 3] =
    [("Login", 0.05, 0.04), ("Validate", 0.5, 0.008), ("Refresh", 0.02, 0.015)];

const BOUNDS: [f64; 10] = [0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5];

pub(super) struct Auth {
    pub(super) registry: Registry,
    handled: CounterVec,
    handling: HistogramVec,
    successes: Counter,
    failures: CounterVec,
    validation: HistogramVec,
    process: Process,
}

impl Auth {
    pub(super) fn start(now: Timestamp) -> Self {
        let registry = Registry::new();
        let of_call = ["grpc_service", "grpc_method", "grpc_type"];
        Auth {
            handled: registry.counter_vec(
                "grpc_server_handled_total",
                "Calls that ended, by status.",
                &["grpc_service", "grpc_method", "grpc_type", "grpc_code"],
            ),
            handling: registry.histogram_vec(
                "grpc_server_handling_seconds",
                "How long calls took.",
                &BOUNDS,
                &of_call,
            ),
            successes: registry.counter("auth_login_success_total", "Logins with the right password."),
            failures: registry.counter_vec(
                "auth_login_failure_total",
                "Logins that were refused.",
                &["reason"],
            ),
            validation: registry.histogram_vec(
                "auth_token_validation_latency_seconds",
                "How long it took to check a token.",
                &BOUNDS,
                &[],
            ),
            process: Process::start(&registry, now),
            registry,
        }
    }

    pub(super) fn advance(&self, seconds: f64, condition: &Condition, chance: &mut Chance, now: Timestamp) {
        for (method, per_request, median) in METHODS {
            for _ in 0..chance.events(condition.requests * per_request * seconds) {
                let took = self.call(method, median * condition.slowness, "OK", chance, now);
                match method {
                    "Login" => self.successes.inc(),
                    "Validate" => self.validation.with(&[]).observe(took),
                    _ => {}
                }
            }
        }
        for _ in 0..chance.events(condition.failed_logins * seconds) {
            let reason = *chance.pick(&[("password", 9), ("locked", 1)]);
            self.failures.with(&[reason]).inc();
            self.call("Login", 0.03 * condition.slowness, "Unauthenticated", chance, now);
        }
    }

    /// One call; returns the seconds that it took.
    fn call(&self, method: &str, median: f64, code: &str, chance: &mut Chance, now: Timestamp) -> f64 {
        let took = chance.latency(median);
        self.handled.with(&["auth.Auth", method, "unary", code]).inc();
        let handling = self.handling.with(&["auth.Auth", method, "unary"]);
        if chance.happens(0.05) {
            handling.observe_with_exemplar(took, trace(chance), now);
        } else {
            handling.observe(took);
        }
        self.process.cpu_seconds.add_f64(0.0005);
        took
    }
}
