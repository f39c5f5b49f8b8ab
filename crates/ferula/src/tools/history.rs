//! A data directory opened for reading, ours or Prometheus', even while a server is using it: no lock is taken and no
//! file is changed. What recovery repairs and what a command adds stays in memory.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result};
use ferula_telemetry::Registry;
use ferula_tsdb::Progress;
use ferula_tsdb::disk::{Disk, OverlayDisk, RealDisk};
use ferula_tsdb::{Db, Options};

/// The blocks, log, chunks and out-of-order log of a directory as one database.
pub struct History {
    dir: PathBuf,
    disk: Arc<dyn Disk>,
    /// The database. Nothing may be appended to it.
    pub db: Arc<Db>,
    /// Descriptions of damage found. The unfinished end of an active log counts as damage.
    pub damage: Vec<String>,
}

/// How often to retry when a compacting server removes files between listing and opening them.
const TRIES: usize = 3;

impl History {
    /// Reads a directory.
    ///
    /// # Errors
    /// The directory is missing or cannot be read.
    pub fn open(dir: &Path) -> Result<Self> {
        std::fs::metadata(dir).with_context(|| format!("opening the db dir: stat {}", dir.display()))?;
        let mut tries = 0;
        loop {
            tries += 1;
            let disk: Arc<dyn Disk> = Arc::new(OverlayDisk::new(Arc::new(RealDisk)));
            match Self::over(dir, disk) {
                Ok(history) if history.damage.is_empty() || tries == TRIES => return Ok(history),
                Err(error) if tries == TRIES => return Err(error),
                Ok(_) | Err(_) => {}
            }
        }
    }

    fn over(dir: &Path, disk: Arc<dyn Disk>) -> Result<Self> {
        let mut damage = Vec::new();
        let mut report = |progress: Progress| {
            if let Progress::Damaged(what) = progress {
                damage.push(what.to_string());
            }
        };
        let options = Options {
            lock_file: false,
            opened_at: Some(super::moment::now().timestamp()),
            ..Options::default()
        };
        let db = Db::open(dir, options, disk.clone(), &Registry::new(), &mut report)
            .with_context(|| format!("reading {}", dir.display()))?;
        Ok(History { dir: dir.to_path_buf(), disk, db: Arc::new(db), damage })
    }

    /// The directory, as it was given.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The disk on which blocks can be added that stay in memory.
    pub fn disk(&self) -> &Arc<dyn Disk> {
        &self.disk
    }

    /// Reopens the database, with the added blocks.
    pub fn reopened(self) -> Result<Self> {
        let History { dir, disk, db, damage } = self;
        drop(db);
        Ok(History { damage, ..Self::over(&dir, disk)? })
    }
}
