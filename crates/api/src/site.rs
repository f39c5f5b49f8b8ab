//! What can be answered at every stage of the server's life, also before the store is open.

use std::sync::Arc;

use ferula_runtime::SharedClock;
use ferula_telemetry::Registry;
use tokio::sync::{Semaphore, mpsc, oneshot, watch};

use crate::http_metrics::HttpMetrics;
use crate::readiness::Readiness;
use crate::settings::Settings;
use crate::web_ui::WebUi;

/// A request to the program as a whole.
pub enum Lifecycle {
    /// Load the configuration again and report how that went.
    Reload(oneshot::Sender<Result<(), ReloadFailure>>),
    Quit,
}

/// Why a reload failed, for the answer.
pub type ReloadFailure = Box<dyn std::error::Error + Send + Sync>;

/// Progress of reading the log at start, in segments.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WalReplay {
    pub min: u64,
    pub max: u64,
    pub current: u64,
}

/// What handlers of every stage share.
pub struct Site {
    pub settings: Settings,
    pub registry: Registry,
    pub clock: SharedClock,
    pub readiness: Readiness,
    /// The pages; without them a plain page stands in.
    pub ui: Option<Arc<dyn WebUi>>,
    pub(crate) http: HttpMetrics,
    /// Places of clients that follow the live notifications.
    pub(crate) followers: Arc<Semaphore>,
    wal_replay: watch::Receiver<WalReplay>,
    lifecycle: mpsc::Sender<Lifecycle>,
}

impl Site {
    pub fn new(
        settings: Settings,
        registry: Registry,
        clock: SharedClock,
        ui: Option<Arc<dyn WebUi>>,
        wal_replay: watch::Receiver<WalReplay>,
        lifecycle: mpsc::Sender<Lifecycle>,
    ) -> Self {
        Site {
            readiness: Readiness::new(&registry),
            http: HttpMetrics::new(&registry),
            followers: Arc::new(Semaphore::new(settings.notification_subscribers_max)),
            settings,
            registry,
            clock,
            ui,
            wal_replay,
            lifecycle,
        }
    }

    /// How far reading the log has come.
    pub(crate) fn wal_replay(&self) -> WalReplay {
        *self.wal_replay.borrow()
    }

    /// Passes a request on to the program; returns `false` when nobody takes it any more.
    pub(crate) async fn request(&self, request: Lifecycle) -> bool {
        self.lifecycle.send(request).await.is_ok()
    }

    /// Path of a page or endpoint as others see it.
    pub(crate) fn external_path(&self, path: &str) -> String {
        format!("{}{path}", self.settings.external_url.path)
    }
}
