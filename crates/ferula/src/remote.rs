//! Remote storage: destinations that receive copies of the stored samples.

use std::collections::BTreeSet;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use ferula_api::TargetSource;
use ferula_config::Config;
use ferula_model::{MetricMetadata, Timestamp};
use ferula_remote::send::{ApplyError, Foundation, MetadataSource, WriteManager};
use tokio::runtime::Handle;

use crate::storage::LocalStore;

/// Types and help texts from the targets.
struct TargetMetadata(Arc<dyn TargetSource>);

impl MetadataSource for TargetMetadata {
    fn metadata(&self) -> Vec<(String, MetricMetadata)> {
        let pools = self.0.targets().pools;
        let mut all = Vec::new();
        let mut seen = BTreeSet::new();
        for target in pools.iter().flat_map(|pool| &pool.active) {
            let Some(cache) = target.metadata() else { continue };
            let cache = cache.lock().unwrap_or_else(PoisonError::into_inner);
            for (family, metadata) in cache.list() {
                if seen.insert((
                    family.clone(),
                    metadata.kind.as_str(),
                    metadata.help.clone(),
                    metadata.unit.clone(),
                )) {
                    all.push((family, metadata));
                }
            }
        }
        all
    }
}

/// The remote storage of a server.
pub struct RemoteStorage {
    writes: WriteManager,
}

impl RemoteStorage {
    /// Creates it without destinations. Must be called within the runtime.
    pub fn new(
        store: &LocalStore,
        site: &ferula_api::Site,
        targets: Arc<dyn TargetSource>,
        flush_deadline: Duration,
    ) -> Self {
        let writes = WriteManager::new(Foundation {
            feed: store.feed(),
            metadata: Arc::new(TargetMetadata(targets)),
            clock: site.clock.clone(),
            registry: site.registry.clone(),
            dir: store.dir().to_owned(),
            flush_deadline,
        });
        RemoteStorage { writes }
    }

    /// Applies the destinations of a configuration. Must be called within the runtime, on a thread that may block.
    ///
    /// # Errors
    /// A destination that cannot be used.
    pub fn apply(&self, config: &Config) -> Result<(), ApplyError> {
        tokio::task::block_in_place(|| Handle::current().block_on(self.writes.apply_config(config)))
    }

    /// Time of the newest sample that every destination has; the epoch while one has none.
    pub fn lowest_sent(&self) -> Option<Timestamp> {
        self.writes.lowest_sent()
    }

    /// Sends the remaining samples. Call it after everything that writes has stopped.
    pub async fn stop(&self) {
        self.writes.stop().await;
    }
}
