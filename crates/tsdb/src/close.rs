//! Closing a database.

use std::io;

use crate::db::Db;

/// Name of the lock file.
pub(crate) const LOCK_FILE: &str = "lock";

impl Db {
    /// Writes everything that is still only in memory, and accepts no more commits. Dropping the database
    /// without calling this loses nothing that was committed, but the next start has to read more.
    pub fn close(&self) -> io::Result<()> {
        if !self.head.close() {
            return Ok(());
        }
        let flushed = self.head.flush();
        if let Err(error) = self.take_savepoint(&mut self.pending.lock()) {
            ferula_telemetry::warn!(
                "Writing the savepoint failed; the next start reads the whole log",
                component = "tsdb",
                err = error
            );
        }
        let released = self.lock.lock().take();
        if released.is_some() {
            self.disk.remove_file(&self.dir.join(LOCK_FILE))?;
        }
        flushed
    }
}
