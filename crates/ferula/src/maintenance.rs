//! The store's chores, at their times: the store itself starts no task and reads no clock.

use std::sync::Arc;
use std::time::Duration;

use ferula_runtime::{SharedClock, Shutdown, TaskGroup};
use ferula_telemetry::error;
use ferula_tsdb::Db;

/// How often the log is asked whether a sync is due.
const SYNC_TICK: Duration = Duration::from_millis(250);

/// Starts the chores; they end with the group.
pub fn start(tasks: &mut TaskGroup, db: &Arc<Db>, clock: &SharedClock) {
    let (db, clock, shutdown) = (db.clone(), clock.clone(), tasks.shutdown().clone());
    tasks.spawn("log sync", async move {
        sync_log(db, clock, shutdown).await;
        Ok(())
    });
}

async fn sync_log(db: Arc<Db>, clock: SharedClock, shutdown: Shutdown) {
    let mut failing = false;
    loop {
        tokio::select! {
            () = clock.sleep(SYNC_TICK) => {}
            () = shutdown.requested() => return,
        }
        let (db, now) = (db.clone(), clock.now().millis());
        match tokio::task::spawn_blocking(move || db.sync_if_due(now)).await {
            Ok(Ok(_)) => failing = false,
            // Said once, not four times a second.
            Ok(Err(err)) if !failing => {
                failing = true;
                error!("The write-ahead log could not be synced", component = "tsdb", err = err);
            }
            Ok(Err(_)) => {}
            Err(err) => error!("The sync of the write-ahead log panicked", component = "tsdb", err = err),
        }
    }
}
