//! Whether the server can answer: not yet, now, or no longer.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use ferula_telemetry::{Gauge, Registry};

use crate::error::Refusal;

/// The stage of the server's life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Opening the store and loading the configuration.
    Starting,
    Ready,
    Stopping,
}

/// The current stage. Clones are handles to the same stage.
#[derive(Clone)]
pub struct Readiness {
    stage: Arc<AtomicU8>,
    gauge: Gauge,
}

impl Readiness {
    /// Begins in the stage `Starting`.
    pub fn new(registry: &Registry) -> Self {
        let gauge = registry.gauge(
            "prometheus_ready",
            "1 while the server answers queries and takes samples, 0 while it starts or stops.",
        );
        Readiness { stage: Arc::new(AtomicU8::new(0)), gauge }
    }

    /// Moves to a stage.
    pub fn set(&self, stage: Stage) {
        self.stage.store(stage as u8, Ordering::Release);
        self.gauge.set(f64::from(u8::from(stage == Stage::Ready)));
    }

    /// The current stage.
    pub fn stage(&self) -> Stage {
        match self.stage.load(Ordering::Acquire) {
            0 => Stage::Starting,
            1 => Stage::Ready,
            _ => Stage::Stopping,
        }
    }

    /// Refuses clients while the server starts or stops.
    pub fn check(&self) -> Result<(), Refusal> {
        match self.stage() {
            Stage::Ready => Ok(()),
            Stage::Starting => Err(Refusal::unavailable(false)),
            Stage::Stopping => Err(Refusal::unavailable(true)),
        }
    }
}
