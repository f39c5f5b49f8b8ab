//! What is available at every stage of the server's life, even before the store is open.

use std::sync::Arc;

use ferula_runtime::SharedClock;
use ferula_telemetry::Registry;
use tokio::sync::{Semaphore, mpsc, oneshot, watch};

use crate::http_metrics::HttpMetrics;
use crate::notification_metrics::NotificationMetrics;
use crate::readiness::Readiness;
use crate::settings::Settings;
use crate::web_ui::WebUi;

/// A request to the program as a whole.
pub enum Lifecycle {
    /// Load the configuration again and report the result.
    Reload(oneshot::Sender<Result<(), ReloadFailure>>),
    Quit,
}

/// Why a reload failed, for the answer.
pub type ReloadFailure = Box<dyn std::error::Error + Send + Sync>;

/// Progress of the WAL replay at start, in segments.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WalReplay {
    pub min: u64,
    pub max: u64,
    pub current: u64,
}

/// State shared by the handlers of every stage.
pub struct Site {
    pub settings: Settings,
    pub registry: Registry,
    pub clock: SharedClock,
    pub readiness: Readiness,
    /// The pages; without them a plain page is served.
    pub ui: Option<Arc<dyn WebUi>>,
    pub(crate) http: HttpMetrics,
    /// Limits the clients that follow live notifications.
    pub(crate) followers: Arc<Semaphore>,
    pub(crate) notifications: NotificationMetrics,
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
            notifications: NotificationMetrics::new(&registry),
            settings,
            registry,
            clock,
            ui,
            wal_replay,
            lifecycle,
        }
    }

    /// The progress of the WAL replay.
    pub(crate) fn wal_replay(&self) -> WalReplay {
        *self.wal_replay.borrow()
    }

    /// Forwards a request to the program. Returns `false` if it no longer accepts any.
    pub(crate) async fn request(&self, request: Lifecycle) -> bool {
        self.lifecycle.send(request).await.is_ok()
    }

    /// The path of a page or endpoint as clients see it.
    pub(crate) fn external_path(&self, path: &str) -> String {
        format!("{}{path}", self.settings.external_url.path)
    }
}
