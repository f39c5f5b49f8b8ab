//! The windows of all steps over a list of sample times. Series of one target have the same times, so what follows from
//! the times alone is worked out once for all of them: where each window begins and ends, and how many samples that is.

use std::collections::HashMap;

use super::index::FloatWindows;
use crate::QueryError;
use crate::exec::context::{PIECE, QueryContext};

/// Bytes of axes that one operator keeps. What is beyond is worked out again for every series.
const KEPT_BYTES_MAX: usize = 8 << 20;

/// Fewer windows than one in so many samples are found faster than the times are compared.
const SAMPLES_PER_WINDOW_MAX: usize = 16;

/// Windows over one list of times.
#[derive(Debug, Default)]
pub(crate) struct Axis {
    /// Under which number functions may keep what they work out for these times. Without one, the axis belongs to the
    /// series at hand alone.
    pub number: Option<usize>,
    times: Vec<i64>,
    /// For each step, the first sample of its window and the one after its last.
    pub bounds: Vec<(u32, u32)>,
    /// Samples of all windows, and how many of them were in no window before.
    pub total: u64,
    pub read: u64,
}

impl Axis {
    /// The window of a step as indices.
    #[inline]
    pub(crate) fn window(&self, step: usize) -> std::ops::Range<usize> {
        let (from, to) = self.bounds[step];
        from as usize..to as usize
    }

    /// For each step, the samples of its window and how many of them were in no window before.
    pub(super) fn counts(&self) -> impl Iterator<Item = (u64, u64)> {
        let mut reached = 0;
        self.bounds.iter().map(move |&(from, to)| {
            let new = to - from.max(reached);
            reached = to;
            (u64::from(to - from), u64::from(new))
        })
    }

    fn work_out(
        &mut self,
        mut walk: FloatWindows<'_>,
        steps: usize,
        query: &QueryContext<'_>,
    ) -> Result<(), QueryError> {
        self.bounds.clear();
        if steps > self.bounds.capacity() {
            query.account.charge((steps - self.bounds.capacity()).saturating_mul(BOUNDS_BYTES))?;
            self.bounds.reserve_exact(steps);
        }
        while self.bounds.len() < steps {
            let piece = (steps - self.bounds.len()).min(PIECE);
            query.work(piece)?;
            self.bounds.extend((0..piece).map(|_| {
                let window = walk.next();
                (window.from as u32, window.to as u32)
            }));
        }
        (self.total, self.read) = (walk.total, walk.read);
        Ok(())
    }
}

const BOUNDS_BYTES: usize = size_of::<(u32, u32)>();

/// The axes of the series so far.
#[derive(Debug, Default)]
pub(super) struct Axes {
    /// The newest axis with so many times, this first and this last one. Others with the same three are rare, and only
    /// worked out again.
    numbers: HashMap<(usize, i64, i64), usize>,
    kept: Vec<Axis>,
    kept_bytes: usize,
    /// For times that are not kept.
    passing: Axis,
}

/// Which axis.
#[derive(Clone, Copy, Debug)]
pub(super) enum Which {
    Kept(usize),
    Passing,
}

impl Axes {
    /// The axis of the times over which `walk` goes.
    pub(super) fn find(
        &mut self,
        times: &[i64],
        walk: FloatWindows<'_>,
        steps: usize,
        query: &QueryContext<'_>,
    ) -> Result<Which, QueryError> {
        if u32::try_from(times.len()).is_err() {
            return Err(QueryError::TooManySamples);
        }
        let (Some(&first), Some(&last)) = (times.first(), times.last()) else {
            self.passing.work_out(walk, steps, query)?;
            return Ok(Which::Passing);
        };
        let worth_it = steps >= times.len() / SAMPLES_PER_WINDOW_MAX;
        let key = (times.len(), first, last);
        if worth_it
            && let Some(&number) = self.numbers.get(&key)
            && same(&self.kept[number].times, times, query)?
        {
            return Ok(Which::Kept(number));
        }
        // What functions keep for each of the steps counts as well.
        let bytes = size_of_val(times) + steps.saturating_mul(4 * BOUNDS_BYTES);
        if !worth_it || steps == 1 || self.kept_bytes.saturating_add(bytes) > KEPT_BYTES_MAX {
            self.passing.work_out(walk, steps, query)?;
            return Ok(Which::Passing);
        }
        query.account.charge(size_of_val(times))?;
        let number = self.kept.len();
        let mut axis = Axis { number: Some(number), times: times.to_vec(), ..Axis::default() };
        axis.work_out(walk, steps, query)?;
        self.kept.push(axis);
        self.numbers.insert(key, number);
        self.kept_bytes += bytes;
        Ok(Which::Kept(number))
    }

    /// Bytes of the axes that are kept, with what functions keep for them.
    pub(super) fn kept_bytes(&self) -> usize {
        self.kept_bytes
    }

    pub(super) fn get(&self, which: Which) -> &Axis {
        match which {
            Which::Kept(number) => &self.kept[number],
            Which::Passing => &self.passing,
        }
    }
}

fn same(kept: &[i64], times: &[i64], query: &QueryContext<'_>) -> Result<bool, QueryError> {
    for (kept, times) in kept.chunks(PIECE).zip(times.chunks(PIECE)) {
        query.work(times.len() / 8)?;
        if kept != times {
            return Ok(false);
        }
    }
    Ok(true)
}
