//! Work on many items at once, by all cores.

/// Less work than this is not worth a thread.
const PART_WORK_MIN: usize = 5000;

/// Calls `of_part` with consecutive parts of the items, each in a thread of its own, and returns the results in order. `work` is how
/// much there is to do for all items together: little work is one part.
pub(crate) fn in_parallel<T: Sync, R: Send>(
    items: &[T],
    work: usize,
    of_part: impl Fn(&[T]) -> R + Sync,
) -> Vec<R> {
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let parts = (work / PART_WORK_MIN).clamp(1, cores);
    if parts == 1 || items.len() < parts {
        return vec![of_part(items)];
    }
    let of_part = &of_part;
    std::thread::scope(|scope| {
        let mut chunks = items.chunks(items.len().div_ceil(parts));
        let first = chunks.next().unwrap_or_default();
        let start = |part| std::thread::Builder::new().spawn_scoped(scope, move || of_part(part)).ok();
        let others: Vec<_> = chunks.map(|part| (part, start(part))).collect();
        let first = of_part(first);
        // Without a thread, the work is done here; what failed there fails here in the same way.
        let others = others.into_iter().map(|(part, thread)| {
            thread.and_then(|thread| thread.join().ok()).unwrap_or_else(|| of_part(part))
        });
        std::iter::once(first).chain(others).collect()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_in_order_and_together_everything() {
        for len in [0, 1, 2, 3, 9_999, 30_001] {
            for work in [len, len * 1000] {
                let items: Vec<usize> = (0..len).collect();
                let parts = in_parallel(&items, work, <[usize]>::to_vec);
                assert_eq!(parts.concat(), items, "{len} {work}");
            }
        }
    }
}
