//! The open store: a database, or the log of an agent.

use std::io;
use std::path::Path;
use std::sync::Arc;

use ferula_api::{AgentAdmin, DbAdmin, Site, Store, StoreAdmin};
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

    /// For the API: `queryable` is the store with the sources that are read in addition to it.
    pub fn for_api(&self, queryable: Arc<dyn Queryable>, site: &Site) -> Store {
        let admin: Arc<dyn StoreAdmin> = match self {
            LocalStore::Server(db) => {
                Arc::new(DbAdmin::new(db.clone(), site.registry.clone(), site.clock.clone()))
            }
            LocalStore::Agent(db) => Arc::new(AgentAdmin::new(db.clone())),
        };
        Store { queryable, local: self.queryable(), appendable: self.appendable(), admin }
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
