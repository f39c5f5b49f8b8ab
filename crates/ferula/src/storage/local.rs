//! The open store: a database, or the log of an agent.

use std::io;
use std::path::Path;
use std::sync::Arc;

use ferula_api::{AgentAdmin, DbAdmin, Site, Store, StoreAdmin};
use ferula_scraper::growth::{GrowthGuard, SeriesLimits};
use ferula_storage::{Appendable, LogFeed, Queryable};
use ferula_tsdb::{AgentDb, Db};

/// The store of this process.
#[derive(Clone)]
pub enum LocalStore {
    Server(Arc<Db>),
    Agent(Arc<AgentDb>),
}

impl LocalStore {
    /// Where samples go.
    pub fn appendable(&self) -> Arc<dyn Appendable> {
        match self {
            LocalStore::Server(db) => db.clone(),
            LocalStore::Agent(db) => db.clone(),
        }
    }

    /// What is queried.
    pub fn queryable(&self) -> Arc<dyn Queryable> {
        match self {
            LocalStore::Server(db) => db.clone(),
            LocalStore::Agent(db) => db.clone(),
        }
    }

    /// What remote write reads.
    pub fn feed(&self) -> Arc<dyn LogFeed> {
        match self {
            LocalStore::Server(db) => db.clone(),
            LocalStore::Agent(db) => db.clone(),
        }
    }

    /// The data directory.
    pub fn dir(&self) -> &Path {
        match self {
            LocalStore::Server(db) => db.dir(),
            LocalStore::Agent(db) => db.dir(),
        }
    }

    /// How many series each value of a label has.
    pub fn series_by_value(&self, label: &str) -> Vec<(String, u64)> {
        match self {
            LocalStore::Server(db) => db.head().series_by_value(label),
            LocalStore::Agent(db) => db.series_by_value(label),
        }
    }

    /// What bounds new series, if any limit is set.
    pub fn guard(&self, limits: SeriesLimits, site: &Site) -> Option<Arc<GrowthGuard>> {
        limits.is_set().then(|| {
            let counted = self.clone();
            let counts = Box::new(move |label: &str| counted.series_by_value(label));
            Arc::new(GrowthGuard::new(self.appendable(), counts, limits, site.clock.clone(), &site.registry))
        })
    }

    /// Where samples of others go: the guard, or else the store.
    pub fn intake(&self, guard: Option<&Arc<GrowthGuard>>) -> Arc<dyn Appendable> {
        match guard {
            Some(guard) => guard.clone(),
            None => self.appendable(),
        }
    }

    /// For the API: `queryable` is the store with the sources that are read in addition to it.
    pub fn for_api(
        &self,
        queryable: Arc<dyn Queryable>,
        site: &Site,
        growth: Option<Arc<GrowthGuard>>,
    ) -> Store {
        let admin: Arc<dyn StoreAdmin> = match self {
            LocalStore::Server(db) => {
                Arc::new(DbAdmin::new(db.clone(), site.registry.clone(), site.clock.clone()))
            }
            LocalStore::Agent(db) => Arc::new(AgentAdmin::new(db.clone())),
        };
        let appendable = self.intake(growth.as_ref());
        Store { queryable, local: self.queryable(), appendable, admin, growth }
    }

    /// Makes what was committed survive a power loss.
    pub fn sync(&self) -> io::Result<bool> {
        match self {
            LocalStore::Server(db) => db.sync(),
            LocalStore::Agent(db) => db.sync(),
        }
    }

    /// Writes what is in memory only, and gives the directory back.
    pub fn close(&self) -> io::Result<()> {
        match self {
            LocalStore::Server(db) => db.close(),
            LocalStore::Agent(db) => db.close(),
        }
    }
}
