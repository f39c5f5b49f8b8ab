//! What the script tests share.
#![allow(dead_code, reason = "not every test uses every helper")]

pub mod layouts;
pub mod recorder;

use std::path::Path;
use std::sync::Arc;

use ferula_promqltest::{Store, StoreFactory, StoreFault};
use ferula_telemetry::Registry;
use ferula_testkit::MemStorage;
use ferula_tsdb::disk::FaultDisk;
use ferula_tsdb::{Db, Options};

/// Makes stores in memory.
pub fn memory_stores() -> impl FnMut() -> Result<Box<dyn Store>, StoreFault> {
    || Ok(Box::new(MemStorage::new()))
}

/// Makes databases on a disk in memory.
pub struct Databases {
    disk: FaultDisk,
    restart: bool,
}

impl Databases {
    /// With `restart`, the database is dropped without being closed after every load and opened again, so that queries
    /// see what comes back from the log.
    pub fn new(restart: bool) -> Databases {
        Databases { disk: FaultDisk::default(), restart }
    }

    fn database(&self) -> Result<Box<dyn Store>, StoreFault> {
        // Scripts load series after series, so what may be appended must reach back far enough.
        let day_ms = 24 * 3_600_000;
        let options = Options {
            min_block_duration_ms: day_ms,
            max_block_duration_ms: day_ms,
            exemplars_max: 100,
            ..Options::with_start_timestamps()
        };
        let dir = Path::new("/db");
        let disk = Arc::new(self.disk.clone());
        Db::open(dir, options, disk, &Registry::new(), &mut |_| {})
            .map(|db| Box::new(db) as Box<dyn Store>)
            .map_err(Into::into)
    }
}

impl StoreFactory for Databases {
    fn open(&mut self) -> Result<Box<dyn Store>, StoreFault> {
        self.disk = FaultDisk::default();
        self.database()
    }

    fn loaded(&mut self, store: Box<dyn Store>) -> Result<Box<dyn Store>, StoreFault> {
        if !self.restart {
            return Ok(store);
        }
        drop(store);
        self.database()
    }
}

/// Names and texts of the scripts in a directory, by name.
pub fn scripts_in(directory: &Path) -> Vec<(String, String)> {
    let entries = std::fs::read_dir(directory).unwrap_or_else(|e| panic!("{}: {e}", directory.display()));
    let mut scripts: Vec<(String, String)> = entries
        .map(|entry| entry.expect("the directory can be read").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "test"))
        .map(|path| {
            let text = std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
            (path.file_name().unwrap_or_default().to_string_lossy().into_owned(), text)
        })
        .collect();
    scripts.sort();
    scripts
}
