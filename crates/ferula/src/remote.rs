//! Remote storage: destinations that receive copies of the stored samples, and sources that queries also read.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use ferula_api::TargetSource;
use ferula_config::Config;
use ferula_go::sync::MutexExt;
use ferula_model::{MetricMetadata, Timestamp};
use ferula_remote::send::{ApplyError, Foundation, MetadataSource, WriteManager};
use ferula_remote::source::{ReadSources, SourcesError};
use ferula_runtime::SharedClock;
use ferula_storage::Fanout;
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
            let cache = cache.locked();
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

/// Times from the flags.
#[derive(Clone, Copy)]
pub struct Times {
    pub flush_deadline: Duration,
    /// Of the shortest blocks.
    pub block: Duration,
}

/// The remote storage of a server.
pub struct RemoteStorage {
    writes: WriteManager,
    sources: ReadSources,
    fanout: Arc<Fanout>,
}

/// Why a destination or source is not in use.
#[derive(Debug, thiserror::Error)]
pub enum RemoteError {
    #[error(transparent)]
    Writes(ApplyError),
    #[error(transparent)]
    Reads(SourcesError),
}

impl RemoteError {
    /// Whether only another configuration helps: two sections are equal.
    pub fn lasts(&self) -> bool {
        matches!(
            self,
            RemoteError::Writes(ApplyError::Duplicate(_)) | RemoteError::Reads(SourcesError::Duplicate(_))
        )
    }
}

impl RemoteStorage {
    /// Creates it without destinations. Must be called within the runtime.
    pub fn new(
        store: &LocalStore,
        fanout: &Arc<Fanout>,
        site: &ferula_api::Site,
        targets: Arc<dyn TargetSource>,
        times: Times,
    ) -> Self {
        let writes = WriteManager::new(Foundation {
            feed: store.feed(),
            metadata: Arc::new(TargetMetadata(targets)),
            clock: site.clock.clone(),
            registry: site.registry.clone(),
            dir: store.dir().to_owned(),
            flush_deadline: times.flush_deadline,
        });
        let (store, clock) = (store.clone(), site.clock.clone());
        let local_start = Arc::new(move || local_start(&store, &clock, times.block));
        let sources = ReadSources::new(&site.registry, site.clock.clone(), local_start);
        RemoteStorage { writes, sources, fanout: fanout.clone() }
    }

    /// Applies the destinations and sources of a configuration. Returns why some of them could not be used; the others are
    /// in use then. Must be called within the runtime, on a thread that may block.
    pub fn apply(&self, config: &Config) -> Vec<RemoteError> {
        let apply = self.writes.apply_config(config);
        let writes = tokio::task::block_in_place(|| Handle::current().block_on(apply));
        let (sources, reads) = self.sources.of(config);
        self.fanout.set_sources(sources);
        let writes = writes.into_iter().map(RemoteError::Writes);
        writes.chain(reads.into_iter().map(RemoteError::Reads)).collect()
    }

    /// The time of the newest sample that every destination has received; the epoch if one has none.
    pub fn lowest_sent(&self) -> Option<Timestamp> {
        self.writes.lowest_sent()
    }

    /// Sends the remaining samples. Call it after everything that writes has stopped.
    pub async fn stop(&self) {
        self.writes.stop().await;
    }
}

/// The time from which the store has everything itself: the beginning of its oldest block, or now, plus two
/// blocks as in Prometheus, since a young store may lack samples.
fn local_start(store: &LocalStore, clock: &SharedClock, block: Duration) -> Timestamp {
    let oldest = match store {
        LocalStore::Server(db) => db.blocks().iter().map(|block| block.meta().min_time).min(),
        LocalStore::Agent(_) => None,
    };
    let margin_ms = i64::try_from(block.as_millis()).unwrap_or(i64::MAX).saturating_mul(2);
    let oldest_ms = oldest.unwrap_or_else(|| clock.now().millis() / 1000 * 1000);
    Timestamp::from_millis(oldest_ms.saturating_add(margin_ms))
}
