//! Aligning the buckets of a chunk with those of a sample.

use ferula_model::Span;

/// Indices of the buckets that spans stand for, ascending.
fn indices(spans: &[Span]) -> impl Iterator<Item = i64> + '_ {
    let mut next = 0i64;
    spans.iter().flat_map(move |span| {
        let first = next + i64::from(span.offset);
        next = first + i64::from(span.length);
        first..next
    })
}

/// How many buckets the spans stand for.
pub(super) fn bucket_count(spans: &[Span]) -> usize {
    spans.iter().map(|span| span.length as usize).fold(0, usize::saturating_add)
}

/// The buckets of a chunk (`old`) and of a sample (`new`), aligned.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Alignment {
    /// For each bucket of the union, the position among the old ones and among the new ones.
    row: Vec<(Option<u32>, Option<u32>)>,
    /// Spans of the union, as short as possible.
    spans: Vec<Span>,
    /// Whether there are buckets that the chunk lacks.
    pub old_grows: bool,
    /// Whether there are buckets that the sample lacks.
    pub new_grows: bool,
}

impl Alignment {
    /// Aligns both.
    pub fn of(old: &[Span], new: &[Span]) -> Self {
        if old == new {
            return Alignment::default();
        }
        let mut alignment = Alignment::default();
        let mut old = indices(old).zip(0u32..).peekable();
        let mut new = indices(new).zip(0u32..).peekable();
        let mut end = 0;
        loop {
            let index = match (old.peek(), new.peek()) {
                (Some((a, _)), Some((b, _))) => *a.min(b),
                (Some((a, _)), None) => *a,
                (None, Some((b, _))) => *b,
                (None, None) => return alignment,
            };
            let from_old = old.next_if(|(a, _)| *a == index).map(|(_, at)| at);
            let from_new = new.next_if(|(b, _)| *b == index).map(|(_, at)| at);
            alignment.old_grows |= from_old.is_none();
            alignment.new_grows |= from_new.is_none();
            alignment.row.push((from_old, from_new));
            alignment.add_to_spans(index, &mut end);
        }
    }

    fn add_to_spans(&mut self, index: i64, end: &mut i64) {
        match self.spans.last_mut() {
            Some(span) if index == *end => span.length += 1,
            // Sums of spans that fit 32 bits each can exceed that range only in a sample that no client produces.
            _ => self.spans.push(Span { offset: (index - *end) as i32, length: 1 }),
        }
        *end = index + 1;
    }

    /// Whether both have the same buckets.
    pub fn is_same(&self) -> bool {
        !self.old_grows && !self.new_grows
    }

    /// Spans of the union.
    pub fn spans(&self) -> &[Span] {
        &self.spans
    }

    /// The counts of the old buckets spread over the union, missing ones 0. Only when not [`is_same`](Self::is_same).
    pub fn spread_old<C: Copy + Default>(&self, counts: &[C]) -> Vec<C> {
        self.row.iter().map(|(old, _)| at(counts, *old)).collect()
    }

    /// The counts of the new buckets spread over the union, missing ones 0. Only when not [`is_same`](Self::is_same).
    pub fn spread_new<C: Copy + Default>(&self, counts: &[C]) -> Vec<C> {
        self.row.iter().map(|(_, new)| at(counts, *new)).collect()
    }

    /// Whether no bucket of the chunk lost counts: each is at least as full in the sample, or empty and gone.
    pub fn no_bucket_shrank<C: Copy + Default + PartialOrd>(&self, old: &[C], new: &[C]) -> bool {
        if self.is_same() {
            // Not "all old <= new": a NaN is never a reset.
            return !old.iter().zip(new).any(|(old, new)| old > new);
        }
        self.row.iter().all(|row| match *row {
            (Some(_), None) => at(old, row.0) == C::default(),
            (Some(_), Some(_)) => {
                let shrank = at(old, row.0) > at(new, row.1);
                !shrank
            }
            _ => true,
        })
    }
}

fn at<C: Copy + Default>(counts: &[C], position: Option<u32>) -> C {
    position.and_then(|at| counts.get(at as usize).copied()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spans(spans: &[(i32, u32)]) -> Vec<Span> {
        spans.iter().map(|(offset, length)| Span { offset: *offset, length: *length }).collect()
    }

    #[test]
    fn spans_stand_for_rising_indices() {
        assert_eq!(indices(&spans(&[(-1, 2), (3, 1), (0, 2)])).collect::<Vec<_>>(), [-1, 0, 4, 5, 6]);
        assert_eq!(indices(&spans(&[(2, 0), (1, 1)])).collect::<Vec<_>>(), [3]);
    }

    #[test]
    fn the_union_has_the_shortest_spans() {
        let both = Alignment::of(&spans(&[(0, 2), (2, 1)]), &spans(&[(1, 3)]));
        assert_eq!(both.spans(), spans(&[(0, 5)]));
        assert_eq!(both.spread_old(&[1, 2, 3]), [1, 2, 0, 0, 3]);
        assert_eq!(both.spread_new(&[4, 5, 6]), [0, 4, 5, 6, 0]);
        assert!(both.old_grows && both.new_grows);
        let apart = Alignment::of(&spans(&[(-5, 1)]), &spans(&[(7, 1)]));
        assert_eq!(apart.spans(), spans(&[(-5, 1), (11, 1)]));
    }

    #[test]
    fn the_same_buckets_in_other_spans_are_the_same() {
        let same = Alignment::of(&spans(&[(0, 1), (0, 1)]), &spans(&[(0, 2)]));
        assert!(same.is_same());
    }

    #[test]
    fn a_bucket_may_vanish_only_when_it_was_empty() {
        let gone = Alignment::of(&spans(&[(0, 2)]), &spans(&[(0, 1)]));
        assert!(gone.no_bucket_shrank(&[3, 0], &[3]));
        assert!(!gone.no_bucket_shrank(&[3, 1], &[3]));
        assert!(!gone.no_bucket_shrank(&[3, 0], &[2]));
    }
}
