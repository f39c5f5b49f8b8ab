//! "Stop now" as a value: passed to everything that runs, polled or awaited, never lost.

use std::sync::Arc;

use tokio::sync::watch;

/// A request to stop. A clone is another handle to the same request; children can be stopped alone.
#[derive(Clone, Debug)]
pub struct Shutdown {
    own: Arc<watch::Sender<bool>>,
    parent: Option<Box<Shutdown>>,
}

impl Shutdown {
    /// Not requested yet.
    pub fn new() -> Self {
        Shutdown { own: Arc::new(watch::Sender::new(false)), parent: None }
    }

    /// A request that is made together with this one, or on its own.
    pub fn child(&self) -> Self {
        Shutdown { parent: Some(Box::new(self.clone())), ..Self::new() }
    }

    /// Asks all holders of this value, or of a child of it, to stop. A second call changes nothing.
    pub fn request(&self) {
        self.own.send_replace(true);
    }

    /// Whether to stop.
    pub fn is_requested(&self) -> bool {
        *self.own.borrow() || self.parent.as_ref().is_some_and(|parent| parent.is_requested())
    }

    /// Ends once it is time to stop; at once when it already is.
    pub async fn requested(&self) {
        match &self.parent {
            None => self.own_requested().await,
            Some(parent) => {
                tokio::select! {
                    () = self.own_requested() => {}
                    () = Box::pin(parent.requested()) => {}
                }
            }
        }
    }

    async fn own_requested(&self) {
        let mut receiver = self.own.subscribe();
        receiver.wait_for(|asked| *asked).await.expect("self keeps the sender");
    }
}

impl Default for Shutdown {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_request_reaches_children_and_not_parents() {
        let root = Shutdown::new();
        let (first, second) = (root.child(), root.child());
        let waiting = tokio::spawn({
            let second = second.child();
            async move { second.requested().await }
        });
        first.request();
        first.requested().await;
        assert!(first.is_requested() && !root.is_requested() && !second.is_requested());
        root.request();
        waiting.await.expect("the waiter does not panic");
        assert!(second.is_requested());
    }
}
