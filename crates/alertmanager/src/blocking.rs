//! Waiting for a future in code that is not async.

/// Waits for a future in its own thread, since the caller may already be in a task.
pub(crate) fn blocking<T: Default + Send>(future: impl Future<Output = T> + Send) -> T {
    let waiting = move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        runtime.map(|runtime| runtime.block_on(future)).unwrap_or_default()
    };
    std::thread::scope(|scope| scope.spawn(waiting).join()).unwrap_or_default()
}
