//! Waiting for a future where no task may be made to wait.

/// Waits for a future in a thread of its own: the caller may be a task already.
pub(crate) fn blocking<T: Default + Send>(future: impl Future<Output = T> + Send) -> T {
    let waiting = move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        runtime.map(|runtime| runtime.block_on(future)).unwrap_or_default()
    };
    std::thread::scope(|scope| scope.spawn(waiting).join()).unwrap_or_default()
}
