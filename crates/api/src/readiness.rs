//! Whether the server answers yet, or no more.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use axum::body::Body;
use axum::http::{HeaderValue, Response, StatusCode};
use ferula_telemetry::{Gauge, Registry};

use crate::answer::text;

/// Where the server is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Opening the store and loading the configuration.
    Starting,
    /// Answering.
    Ready,
    /// Asked to stop.
    Stopping,
}

/// The stage, shared. Cloning gives another handle to it.
#[derive(Clone)]
pub struct Readiness {
    stage: Arc<AtomicU8>,
    gauge: Gauge,
}

impl Readiness {
    /// At the start.
    pub fn new(registry: &Registry) -> Self {
        let gauge = registry.gauge(
            "prometheus_ready",
            "Whether Prometheus startup was fully completed and the server is ready for normal operation.",
        );
        Readiness { stage: Arc::new(AtomicU8::new(0)), gauge }
    }

    /// Goes on to a stage.
    pub fn set(&self, stage: Stage) {
        self.stage.store(stage as u8, Ordering::Release);
        self.gauge.set(f64::from(u8::from(stage == Stage::Ready)));
    }

    /// Where the server is.
    pub fn stage(&self) -> Stage {
        match self.stage.load(Ordering::Acquire) {
            0 => Stage::Starting,
            1 => Stage::Ready,
            _ => Stage::Stopping,
        }
    }

    /// The answer to whoever comes too early or too late.
    pub fn refusal(&self) -> Option<Response<Body>> {
        let stopping = match self.stage() {
            Stage::Ready => return None,
            Stage::Starting => "false",
            Stage::Stopping => "true",
        };
        let mut response = text(StatusCode::SERVICE_UNAVAILABLE, "Service Unavailable");
        response.headers_mut().insert("x-prometheus-stopping", HeaderValue::from_static(stopping));
        Some(response)
    }
}
