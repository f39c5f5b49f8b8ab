//! Tasks with names that stop together: when one fails, the others are asked to stop.

use std::collections::HashMap;
use std::future::Future;

use tokio::task::{Id, JoinError, JoinSet};

use crate::Shutdown;

/// What a task fails with.
pub type TaskError = Box<dyn std::error::Error + Send + Sync>;

/// A task that failed.
#[derive(Debug)]
pub struct TaskFailure {
    /// Its name.
    pub task: &'static str,
    /// Why, or the text of its panic.
    pub error: TaskError,
    /// Whether it panicked rather than returned an error.
    pub panicked: bool,
}

impl std::fmt::Display for TaskFailure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let how = if self.panicked { "panicked" } else { "failed" };
        write!(f, "{} {how}: {}", self.task, self.error)
    }
}

impl std::error::Error for TaskFailure {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&*self.error)
    }
}

/// Tasks that belong together. Dropping the group aborts them.
#[derive(Debug)]
pub struct TaskGroup {
    shutdown: Shutdown,
    tasks: JoinSet<Result<(), TaskError>>,
    names: HashMap<Id, &'static str>,
}

impl TaskGroup {
    /// A group whose tasks stop at this request.
    pub fn new(shutdown: Shutdown) -> Self {
        TaskGroup { shutdown, tasks: JoinSet::new(), names: HashMap::new() }
    }

    /// The request at which the tasks stop.
    pub fn shutdown(&self) -> &Shutdown {
        &self.shutdown
    }

    /// Starts a task that ends when the group's shutdown is requested, or earlier.
    pub fn spawn(
        &mut self,
        name: &'static str,
        task: impl Future<Output = Result<(), TaskError>> + Send + 'static,
    ) {
        let handle = self.tasks.spawn(task);
        self.names.insert(handle.id(), name);
    }

    /// Ends when all tasks have. The first failure asks the others to stop and is returned when they have.
    pub async fn finished(&mut self) -> Result<(), TaskFailure> {
        let mut first = Ok(());
        while let Some(ended) = self.tasks.join_next_with_id().await {
            if let Err(failure) = self.judge(ended) {
                self.shutdown.request();
                if first.is_ok() {
                    first = Err(failure);
                }
            }
        }
        first
    }

    fn judge(&mut self, ended: Result<(Id, Result<(), TaskError>), JoinError>) -> Result<(), TaskFailure> {
        let (id, error, panicked) = match ended {
            Ok((id, Ok(()))) => {
                self.names.remove(&id);
                return Ok(());
            }
            Ok((id, Err(error))) => (id, error, false),
            Err(join) => {
                let (id, panicked) = (join.id(), join.is_panic());
                (id, panic_text(join).into(), panicked)
            }
        };
        Err(TaskFailure { task: self.names.remove(&id).unwrap_or("task"), error, panicked })
    }
}

fn panic_text(error: JoinError) -> String {
    let text = error.to_string();
    match error.try_into_panic() {
        Ok(payload) => payload
            .downcast_ref::<&str>()
            .map(|text| (*text).to_owned())
            .or_else(|| payload.downcast_ref::<String>().cloned())
            .unwrap_or(text),
        Err(_) => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_first_failure_stops_the_others_and_is_reported_with_its_name() {
        let mut group = TaskGroup::new(Shutdown::new());
        let shutdown = group.shutdown().clone();
        group.spawn("waits", async move {
            shutdown.requested().await;
            Err("too late to matter".into())
        });
        group.spawn("breaks", async { Err("disk on fire".into()) });
        let failure = group.finished().await.expect_err("one task failed");
        assert_eq!(failure.to_string(), "breaks failed: disk on fire");
    }

    #[tokio::test]
    async fn a_panic_is_a_failure_like_any_other() {
        let mut group = TaskGroup::new(Shutdown::new());
        group.spawn("careless", async { panic!("index {} out of range", 7) });
        let failure = group.finished().await.expect_err("the task panicked");
        assert_eq!(
            (failure.panicked, failure.to_string().as_str()),
            (true, "careless panicked: index 7 out of range")
        );
        assert!(group.shutdown().is_requested());
    }

    #[tokio::test]
    async fn tasks_that_end_well_end_the_group_well() {
        let mut group = TaskGroup::new(Shutdown::new());
        group.spawn("quick", async { Ok(()) });
        assert!(group.finished().await.is_ok() && !group.shutdown().is_requested());
    }
}
