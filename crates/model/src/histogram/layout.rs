//! Spans built bucket by bucket, and plans that map old buckets to new ones.

use super::Span;
use super::buckets::indices;

/// Builds spans from ascending bucket indices; neighbouring buckets share a span.
#[derive(Debug, Default)]
pub(super) struct SpanBuilder {
    spans: Vec<Span>,
    next: i32,
}

impl SpanBuilder {
    /// Adds one bucket.
    pub(super) fn push(&mut self, index: i32) {
        match self.spans.last_mut() {
            Some(last) if index == self.next => last.length += 1,
            Some(_) => self.spans.push(Span { offset: index.wrapping_sub(self.next), length: 1 }),
            None => self.spans.push(Span { offset: index, length: 1 }),
        }
        self.next = index.wrapping_add(1);
    }

    /// The spans of all added buckets.
    pub(super) fn finish(self) -> Vec<Span> {
        self.spans
    }
}

/// Walks two sides in order of bucket index. `visit` receives the position of the bucket in `a`, in `b`, or in both.
/// The first `skip_b` buckets of `b` are skipped. Returns the spans of the visited buckets.
pub(super) fn merge(
    a: (&[Span], usize),
    b: (&[Span], usize),
    skip_b: usize,
    mut visit: impl FnMut(Option<usize>, Option<usize>),
) -> Vec<Span> {
    let mut built = SpanBuilder::default();
    let mut left = indices(a.0).take(a.1).enumerate().peekable();
    let mut right = indices(b.0).take(b.1).enumerate().skip(skip_b).peekable();
    loop {
        let (from_left, from_right) = match (left.peek(), right.peek()) {
            (None, None) => return built.finish(),
            (Some(_), None) => (true, false),
            (None, Some(_)) => (false, true),
            (Some((_, l)), Some((_, r))) => (l <= r, r <= l),
        };
        let l = if from_left { left.next() } else { None };
        let r = if from_right { right.next() } else { None };
        if let Some((_, index)) = l.or(r) {
            built.push(index);
        }
        visit(l.map(|(i, _)| i), r.map(|(i, _)| i));
    }
}

/// Whether two lists of spans describe the same buckets. Empty spans are ignored.
pub(super) fn same_layout(a: &[Span], b: &[Span]) -> bool {
    a == b || normalized(a) == normalized(b)
}

/// The spans, with empty ones merged into the next; empty spans at the end are dropped.
fn normalized(spans: &[Span]) -> Vec<Span> {
    let mut gap = 0i32;
    let mut out = Vec::with_capacity(spans.len());
    for span in spans {
        gap = gap.wrapping_add(span.offset);
        if span.length > 0 {
            out.push(Span { offset: gap, length: span.length });
            gap = 0;
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::super::testing::spans_of;
    use super::*;

    #[test]
    fn empty_spans_do_not_make_a_layout_different() {
        for (a, b, same) in [
            (&[(1, 2), (3, 1)][..], &[(1, 2), (2, 0), (1, 1)][..], true),
            (&[(1, 2)], &[(1, 2), (5, 0)], true),
            (&[], &[(5, 0)], true),
            (&[(0, 1), (0, 1)], &[(0, 2)], false),
            (&[(0, 1)], &[(1, 1)], false),
        ] {
            assert_eq!(same_layout(&spans_of(a), &spans_of(b)), same, "{a:?} {b:?}");
        }
    }
}
