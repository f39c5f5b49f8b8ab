//! Limits, and how a minute's room is divided.
//!
//! At the beginning of a minute there is room for as many new series as a limit allows in a minute, and for no more than are
//! missing to the largest number of series. The room of a job or a target is its own. That of the head, or of one metric,
//! is for all jobs: half of it goes to those that come first, the other half has an equal part for each job, and some parts
//! for jobs that are not there yet. So a job that explodes takes half and its own part, and the others still get theirs.

use std::collections::HashMap;

use ferula_go::quote::go_quote;

/// How many series each value of a label has, in the store.
pub type SeriesByValue = Box<dyn Fn(&str) -> Vec<(String, u64)> + Send + Sync>;

/// Limits on one thing; 0 is none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Bound {
    /// How many series it may have.
    pub series_max: u64,
    /// How many new series it may get in a minute.
    pub new_per_minute_max: u64,
}

impl Bound {
    fn is_set(&self) -> bool {
        *self != Bound::default()
    }

    /// How many series a thing with so many may get in this minute.
    fn room(&self, series: u64) -> SeriesAllowance {
        let left = match self.series_max {
            0 => u64::MAX,
            max => max.saturating_sub(series),
        };
        match self.new_per_minute_max {
            0 => SeriesAllowance { left, by_rate: false },
            rate => SeriesAllowance { left: left.min(rate), by_rate: rate < left },
        }
    }
}

/// Limits on the head, and on each job, target and metric.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SeriesLimits {
    pub head: Bound,
    pub job: Bound,
    pub target: Bound,
    pub metric: Bound,
}

impl SeriesLimits {
    /// Whether any limit is set.
    pub fn is_set(&self) -> bool {
        [self.head, self.job, self.target, self.metric].iter().any(Bound::is_set)
    }
}

/// Why a series is refused.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Refused {
    /// `head`, `job`, `target` or `metric`
    pub limit: &'static str,
    pub text: String,
}

/// Room for new series until the end of a minute.
#[derive(Clone, Copy, Debug)]
struct SeriesAllowance {
    left: u64,
    /// Whether it ends because of the limit on new series, and not of that on all.
    by_rate: bool,
}

/// Room that jobs share.
#[derive(Debug)]
struct SharedAllowance {
    room: SeriesAllowance,
    /// What each job gets whatever the others do.
    part: u64,
    /// Left of what goes to those that come first.
    common: u64,
    taken: HashMap<Box<str>, u64>,
}

impl SharedAllowance {
    fn new(room: SeriesAllowance, jobs: u64) -> Self {
        let part = room.left / 2 / jobs.max(1);
        let common = room.left - part * jobs;
        SharedAllowance { room, part, common, taken: HashMap::new() }
    }

    fn has_room_for(&self, job: &str) -> bool {
        self.room.left > 0 && (self.common > 0 || self.taken.get(job).copied().unwrap_or(0) < self.part)
    }

    fn take(&mut self, job: &str) {
        let taken = entry(&mut self.taken, job, || 0);
        if *taken >= self.part {
            self.common -= 1;
        }
        *taken += 1;
        self.room.left -= 1;
    }
}

/// The room that is left in a minute.
#[derive(Debug, Default)]
pub(super) struct Minute {
    /// Series of each job, target and metric at the beginning.
    series: [HashMap<Box<str>, u64>; 3],
    /// Parts that shared room has.
    parts: u64,
    head: Option<SharedAllowance>,
    jobs: HashMap<Box<str>, SeriesAllowance>,
    targets: HashMap<Box<str>, SeriesAllowance>,
    metrics: HashMap<Box<str>, SharedAllowance>,
}

const JOB: usize = 0;
const TARGET: usize = 1;
const METRIC: usize = 2;

fn entry<'m, V>(map: &'m mut HashMap<Box<str>, V>, key: &str, new: impl FnOnce() -> V) -> &'m mut V {
    if !map.contains_key(key) {
        map.insert(key.into(), new());
    }
    map.get_mut(key).expect("it was inserted")
}

fn refused(limit: &'static str, name: &str, bound: &Bound, room: SeriesAllowance) -> Refused {
    let what = if name.is_empty() && limit == "head" {
        limit.to_owned()
    } else {
        format!("{limit} {}", go_quote(name))
    };
    let text = match room.by_rate {
        true => format!("{what} is at its limit of {} new series a minute", bound.new_per_minute_max),
        false => format!("{what} is at its limit of {} series", bound.series_max),
    };
    Refused { limit, text }
}

impl Minute {
    /// A minute that begins with as many series as `counts` returns.
    pub fn new(limits: &SeriesLimits, counts: &SeriesByValue) -> Self {
        let by = |label| -> HashMap<Box<str>, u64> {
            counts(label).into_iter().map(|(value, series)| (value.into(), series)).collect()
        };
        // Jobs are always needed: they share.
        let jobs = by("job");
        let targets = if limits.target.is_set() { by("instance") } else { HashMap::new() };
        let metrics = by("__name__");
        let parts = jobs.len() as u64 + 1 + jobs.len() as u64 / 4;
        let series: u64 = metrics.values().sum();
        let head = limits.head.is_set().then(|| SharedAllowance::new(limits.head.room(series), parts));
        Minute { series: [jobs, targets, metrics], parts, head, ..Minute::default() }
    }

    /// How many series the job had at the beginning.
    pub fn series_of_job(&self, job: &str) -> u64 {
        self.series[JOB].get(job).copied().unwrap_or(0)
    }

    /// How many series the metric had at the beginning.
    pub fn series_of_metric(&self, metric: &str) -> u64 {
        self.series[METRIC].get(metric).copied().unwrap_or(0)
    }

    /// Takes room for a new series everywhere, or nowhere.
    ///
    /// # Errors
    /// The narrowest limit that has no room: target, job, metric, head.
    pub fn admit(
        &mut self,
        limits: &SeriesLimits,
        job: &str,
        target: &str,
        metric: &str,
    ) -> Result<(), Refused> {
        let series = |of: usize, name: &str| self.series[of].get(name).copied().unwrap_or(0);
        let (of_target, of_job, of_metric) =
            (series(TARGET, target), series(JOB, job), series(METRIC, metric));
        let mut own = [None, None];
        for (place, (limit, name, bound, rooms, now)) in [
            ("target", target, &limits.target, &mut self.targets, of_target),
            ("job", job, &limits.job, &mut self.jobs, of_job),
        ]
        .into_iter()
        .enumerate()
        {
            if bound.is_set() {
                let room = entry(rooms, name, || bound.room(now));
                if room.left == 0 {
                    return Err(refused(limit, name, bound, *room));
                }
                own[place] = Some(room);
            }
        }
        let parts = self.parts;
        let mut of_this_metric = limits.metric.is_set().then(|| {
            entry(&mut self.metrics, metric, || SharedAllowance::new(limits.metric.room(of_metric), parts))
        });
        for (limit, name, bound, shared) in [
            ("metric", metric, &limits.metric, of_this_metric.as_deref()),
            ("head", "", &limits.head, self.head.as_ref()),
        ] {
            if let Some(shared) = shared
                && !shared.has_room_for(job)
            {
                return Err(refused(limit, name, bound, shared.room));
            }
        }
        own.into_iter().flatten().for_each(|room| room.left -= 1);
        of_this_metric.iter_mut().for_each(|shared| shared.take(job));
        self.head.iter_mut().for_each(|shared| shared.take(job));
        Ok(())
    }
}
