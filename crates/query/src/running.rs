//! The running queries, so that users can list and stop them.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use ferula_go::sync::MutexExt;
use ferula_model::UnixNanos;
use ferula_promql::{QueryControl, StopReason};

use crate::request::{Origin, QueryRequest};

/// A running query.
#[derive(Clone, Debug)]
pub struct RunningQuery {
    /// Unique within this process.
    pub id: u64,
    pub request: Arc<QueryRequest>,
    pub began_at: UnixNanos,
    pub age: Duration,
}

#[derive(Default)]
pub(crate) struct RunningQueries(Mutex<State>);

#[derive(Default)]
struct State {
    last_id: u64,
    queries: BTreeMap<u64, Entry>,
    /// Set once rules may start no more queries.
    rules_stopped: bool,
}

struct Entry {
    request: Arc<QueryRequest>,
    began_at: UnixNanos,
    /// On the monotonic clock.
    began: Duration,
    control: QueryControl,
}

/// Removes the query from the list when dropped.
pub(crate) struct Listed {
    list: Arc<RunningQueries>,
    id: u64,
}

impl RunningQueries {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.locked()
    }

    pub(crate) fn insert(
        self: &Arc<Self>,
        request: Arc<QueryRequest>,
        began_at: UnixNanos,
        began: Duration,
        control: QueryControl,
    ) -> Listed {
        let mut state = self.lock();
        state.last_id += 1;
        let id = state.last_id;
        if state.rules_stopped && is_of_rule(&request) {
            control.stop(StopReason::Shutdown);
        }
        state.queries.insert(id, Entry { request, began_at, began, control });
        Listed { list: self.clone(), id }
    }

    /// Longest running first.
    pub(crate) fn list(&self, elapsed: Duration) -> Vec<RunningQuery> {
        let state = self.lock();
        let running = |(id, entry): (&u64, &Entry)| RunningQuery {
            id: *id,
            request: entry.request.clone(),
            began_at: entry.began_at,
            age: elapsed.saturating_sub(entry.began),
        };
        state.queries.iter().map(running).collect()
    }

    pub(crate) fn stop(&self, id: u64) -> bool {
        let state = self.lock();
        let entry = state.queries.get(&id);
        entry.map(|entry| entry.control.stop(StopReason::Canceled)).is_some()
    }

    pub(crate) fn stop_rules(&self) {
        let mut state = self.lock();
        state.rules_stopped = true;
        for entry in state.queries.values().filter(|entry| is_of_rule(&entry.request)) {
            entry.control.stop(StopReason::Shutdown);
        }
    }
}

impl Drop for Listed {
    fn drop(&mut self) {
        self.list.lock().queries.remove(&self.id);
    }
}

pub(crate) fn is_of_rule(request: &QueryRequest) -> bool {
    matches!(request.origin, Some(Origin::RuleGroup { .. }))
}
