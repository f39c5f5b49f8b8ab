//! A whole life of a database on a simulated disk, with a crash at any call, compared with a plain model.
//!
//! A life is a list of steps: scrapes, out-of-order samples, syncs, maintenance (which cuts blocks, spills and merges
//! out-of-order samples, checkpoints, compacts, and lets retention work), deletions, cleaning, backups, savepoints, clean
//! restarts, failing syncs, full disks. The disk dies at some call; what is found afterwards is compared with what the
//! model says must, may and must not be there:
//!
//! - It opens, and `tsdb verify` finds nothing wrong with what a killed process left.
//! - After a kill, every sample that was acknowledged is there; after a power loss, every one that had been synced.
//! - Nothing is there that nobody wrote, and nothing twice. Of a scrape all is there, or nothing.
//! - What was deleted stays deleted.
//! - Cut anywhere, the log is a valid state of the past.
//! - What was acknowledged before a kill, Prometheus finds too (`common/as_prometheus.rs`).
//!
//! `FERULA_LIVES=100000 cargo test -p ferula-tsdb --test simulated_life` tries so many lives; a failure names its seed, and
//! `FERULA_LIFE_SEED` repeats one.

mod common;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use common::{DIR, Floats, RANGE, as_prometheus, commit, floats, series, small_options, try_open};
use ferula_model::{Matcher, TimeRange, Timestamp};
use ferula_tsdb::disk::{Disk, FaultDisk, Faults, Survives};
use ferula_tsdb::tools::verify_directory;
use ferula_tsdb::{Db, Options, Retention};

const SCRAPE_MS: i64 = 10_000;
const SERIES: usize = 3;

fn options() -> Options {
    Options { savepoints: true, ..small_options() }
}

/// Numbers from a seed.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % bound
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Scrape,
    /// Samples so many milliseconds back.
    OutOfOrder(i64),
    /// A series that comes and goes.
    Short,
    Sync,
    Maintain,
    /// Of one series, or, with the number behind the last one, of all.
    Delete {
        of: usize,
        from_back: i64,
        length: i64,
    },
    Clean,
    /// Keeps so many ranges from now on.
    Retain(i64),
    Backup,
    Savepoint,
    Restart,
    /// Syncs fail from now on, or work again.
    FailSyncs(bool),
    Full(bool),
}

/// The life that a crash is put into at every single call.
fn scripted() -> Vec<Step> {
    let mut steps = Vec::new();
    for round in 0..44 {
        steps.push(Step::Scrape);
        match round {
            3 | 9 | 15 | 16 | 17 | 27 | 33 => steps.push(Step::OutOfOrder(25_000)),
            4 => steps.push(Step::Short),
            5 | 11 | 25 | 31 | 39 => steps.push(Step::Sync),
            7 | 19 | 36 => steps.push(Step::Savepoint),
            8 | 13 | 18 | 23 | 28 | 34 | 38 | 43 => steps.push(Step::Maintain),
            10 => steps.push(Step::Delete { of: 1, from_back: 30_000, length: 15_000 }),
            24 => steps.push(Step::Delete { of: 0, from_back: 150_000, length: 60_000 }),
            26 => steps.push(Step::Clean),
            21 => steps.push(Step::Restart),
            30 => steps.push(Step::Backup),
            37 => steps.push(Step::Retain(3)),
            40 => steps.push(Step::Restart),
            _ => {}
        }
    }
    steps
}

fn random_steps(random: &mut Random) -> Vec<Step> {
    let count = 20 + random.below(50);
    (0..count)
        .map(|_| match random.below(40) {
            0..=17 => Step::Scrape,
            18..=20 => Step::OutOfOrder(1_000 + random.below(150_000) as i64),
            21 => Step::Short,
            22..=24 => Step::Sync,
            25..=29 => Step::Maintain,
            30 | 31 => Step::Delete {
                of: random.below(SERIES as u64 + 1) as usize,
                from_back: random.below(200_000) as i64,
                length: random.below(60_000) as i64,
            },
            32 => Step::Clean,
            33 => Step::Retain(2 + random.below(4) as i64),
            34 => Step::Backup,
            35 | 36 => Step::Savepoint,
            37 => Step::Restart,
            38 => Step::FailSyncs(random.below(2) == 0),
            _ => Step::Full(random.below(2) == 0),
        })
        .collect()
}

/// Samples by series number and time.
type Samples = BTreeMap<(usize, i64), u64>;

/// What is known outside of the database.
#[derive(Clone, Default)]
struct Model {
    /// Asked to be written, whether that was acknowledged or not.
    asked: Samples,
    acknowledged: Samples,
    /// What was acknowledged when a sync succeeded last.
    synced: Samples,
    /// Deleted, and the deletion was acknowledged.
    deleted: BTreeSet<(usize, i64)>,
    /// A deletion that was synced since.
    deleted_synced: BTreeSet<(usize, i64)>,
    /// Ranges of series that were deleted, perhaps. What is written into them later may be hidden, as in Prometheus.
    deleted_ranges: Vec<(usize, i64, i64)>,
    /// Deleted by a call that may not have come through, or written into a deleted range: there or not.
    in_doubt: BTreeSet<(usize, i64)>,
    /// Retention may have taken what is older.
    kept_from: i64,
    /// Times of scrapes whose commit was in order.
    scrapes: BTreeSet<i64>,
}

struct Life {
    disk: FaultDisk,
    db: Option<Db>,
    model: Model,
    now: i64,
    shorts: usize,
    backups: usize,
    faults: Faults,
    /// What the open database was told to keep.
    retention_ms: Option<i64>,
}

/// The disk has died.
struct Dead;

const BEGIN: i64 = 1_000_000;

impl Life {
    fn new(faults: Faults) -> Self {
        let disk = FaultDisk::default();
        disk.create_dir_all(Path::new(DIR)).expect("room");
        disk.sync_dir(Path::new("/")).expect("synced");
        disk.set_faults(faults);
        let model = Model { kept_from: i64::MIN, ..Model::default() };
        Life { disk, db: None, model, now: BEGIN, shorts: SERIES, backups: 0, faults, retention_ms: None }
    }

    fn alive(&self) -> Result<&Db, Dead> {
        if self.disk.crashed() { Err(Dead) } else { Ok(self.db.as_ref().expect("open between steps")) }
    }

    fn open(&mut self) -> Result<(), Dead> {
        self.db = None;
        self.retention_ms = None;
        match try_open(&self.disk, options()) {
            Ok(db) => self.db = Some(db),
            // With syncs that fail, or without room, there is no start; that is another test.
            Err(_) if self.disk.crashed() => return Err(Dead),
            Err(error) => panic!("it does not open: {error}"),
        }
        Ok(())
    }

    fn live(&mut self, steps: &[Step]) -> Result<(), Dead> {
        self.open()?;
        for step in steps {
            self.step(*step)?;
            self.alive()?;
        }
        Ok(())
    }

    /// Commits one sample of each series; a series of -1 is new.
    fn commit(&mut self, which: &[usize], at: i64) -> Result<bool, Dead> {
        let value = |n: usize| (at + n as i64) as f64;
        let samples: Vec<_> = which.iter().map(|n| (series(*n), at, value(*n))).collect();
        for n in which {
            self.model.asked.insert((*n, at), value(*n).to_bits());
        }
        let done = commit(self.alive()?, &samples);
        if self.disk.crashed() {
            return Err(Dead);
        }
        let Ok(refused) = done else { return Ok(false) };
        // Too old for the window, or the same sample once more.
        if refused.is_empty() {
            for n in which {
                let key = (*n, at);
                if self
                    .model
                    .deleted_ranges
                    .iter()
                    .any(|(of, from, to)| of == n && (*from..=*to).contains(&at))
                {
                    self.model.in_doubt.insert(key);
                }
                self.model.acknowledged.insert(key, value(*n).to_bits());
            }
        }
        Ok(refused.is_empty())
    }

    fn step(&mut self, step: Step) -> Result<(), Dead> {
        if number("FERULA_LIFE_SEED").is_some() {
            eprintln!("call {}, {}: {step:?}", self.disk.operations(), self.now);
        }
        match step {
            Step::Scrape => {
                self.now += SCRAPE_MS;
                if self.commit(&[0, 1, 2], self.now)? {
                    self.model.scrapes.insert(self.now);
                }
            }
            Step::OutOfOrder(back) => {
                let at = (self.now - back) / SCRAPE_MS * SCRAPE_MS + 1_000 + back % 7_000;
                self.commit(&[0, 2], at)?;
            }
            Step::Short => {
                self.shorts += 1;
                self.commit(&[self.shorts], self.now)?;
            }
            Step::Sync => {
                // Taken before: a commit may come in between on a real machine.
                let (acknowledged, deleted) = (self.model.acknowledged.clone(), self.model.deleted.clone());
                if self.alive()?.sync().is_ok() && !self.disk.crashed() {
                    (self.model.synced, self.model.deleted_synced) = (acknowledged, deleted);
                }
            }
            Step::Maintain => self.maintain()?,
            Step::Delete { of, from_back, length } => self.delete(of, from_back, length)?,
            Step::Clean => drop(self.alive()?.clean_tombstones(Timestamp::from_millis(self.now))),
            Step::Retain(ranges) => {
                let duration_ms = ranges * RANGE;
                self.retention_ms = Some(duration_ms);
                self.alive()?.set_retention(Retention { duration_ms, ..Retention::default() });
                self.maintain()?;
            }
            Step::Backup => {
                self.backups += 1;
                let dir = Path::new("/backups").join(self.backups.to_string());
                let _ = self.alive()?.snapshot_to(&dir, true, self.now);
            }
            Step::Savepoint => drop(self.alive()?.savepoint()),
            Step::Restart => {
                self.faults = Faults {
                    crash_at: self.faults.crash_at,
                    torn_bytes: self.faults.torn_bytes,
                    ..Faults::default()
                };
                self.disk.set_faults(self.faults);
                let _ = self.alive()?.close();
                self.alive()?;
                self.open()?;
            }
            Step::FailSyncs(fail_syncs) => {
                self.faults.fail_syncs = fail_syncs;
                self.disk.set_faults(self.faults);
            }
            Step::Full(full) => {
                self.faults.capacity_bytes = full.then_some(1);
                self.disk.set_faults(self.faults);
            }
        }
        Ok(())
    }

    fn maintain(&mut self) -> Result<(), Dead> {
        if let Some(retention) = self.retention_ms {
            // Ages are counted from the end of the newest block.
            let end = (self.now / RANGE + 1) * RANGE;
            self.model.kept_from = self.model.kept_from.max(end - retention);
        }
        drop(self.alive()?.maintain(Timestamp::from_millis(self.now)));
        Ok(())
    }

    fn delete(&mut self, of: usize, from_back: i64, length: i64) -> Result<(), Dead> {
        let (from, to) = (self.now - from_back, (self.now - from_back + length).min(self.now));
        let of_all = of == SERIES;
        let asked =
            self.model.asked.keys().filter(|(n, at)| (of_all || *n == of) && (from..=to).contains(at));
        let keys: Vec<(usize, i64)> = asked.copied().collect();
        self.model.in_doubt.extend(&keys);
        let series: BTreeSet<usize> = self.model.asked.keys().map(|(n, _)| *n).collect();
        let series = series.into_iter().filter(|n| of_all || *n == of);
        self.model.deleted_ranges.extend(series.map(|n| (n, from, to)));
        let one = || vec![Matcher::equal("n", &format!("{of:03}"))];
        let matchers = if of_all { Vec::new() } else { one() };
        let done = self.alive()?.delete(TimeRange::from_millis(from, to), &[matchers]);
        if self.disk.crashed() {
            return Err(Dead);
        }
        if done.is_ok() {
            for key in keys {
                self.model.in_doubt.remove(&key);
                self.model.deleted.insert(key);
                self.model.acknowledged.remove(&key);
                self.model.synced.remove(&key);
            }
        }
        Ok(())
    }

    /// What must be there after the machine kept running, or lost power.
    fn must(&self, survives: Survives) -> &Samples {
        if survives == Survives::Written { &self.model.acknowledged } else { &self.model.synced }
    }

    fn check(&self, found: &Floats, survives: Survives, what: &str) {
        let model = &self.model;
        let mut by_number = Samples::new();
        for (labels, samples) in found {
            let n: usize = labels.value("n").parse().expect("a number");
            by_number.extend(samples.iter().map(|(at, bits)| ((n, *at), *bits)));
        }
        for (key, bits) in self.must(survives) {
            if key.1 < model.kept_from || model.in_doubt.contains(key) {
                continue;
            }
            assert_eq!(by_number.get(key), Some(bits), "{what}: {key:?} is gone");
        }
        for (key, bits) in &by_number {
            assert_eq!(model.asked.get(key), Some(bits), "{what}: {key:?} came from nowhere");
        }
        let deleted = if survives == Survives::Written { &model.deleted } else { &model.deleted_synced };
        for key in deleted.iter().filter(|key| !model.in_doubt.contains(*key)) {
            assert_eq!(by_number.get(key), None, "{what}: {key:?} was deleted");
        }
        // After a power loss a chunk may have more than what is left of the log.
        for at in model.scrapes.iter().filter(|_| survives == Survives::Written) {
            let whole = (0..SERIES)
                .filter(|n| !model.deleted.contains(&(*n, *at)) && !model.in_doubt.contains(&(*n, *at)));
            let there = whole.map(|n| by_number.contains_key(&(n, *at))).collect::<BTreeSet<bool>>();
            assert!(there.len() < 2, "{what}: half of the scrape at {at} is there");
        }
    }

    /// The next process, on the disk as it is found.
    fn restart(&mut self, survives: Survives, what: &str) {
        self.db = None;
        let next = self.disk.restart(survives);
        next.set_faults(Faults::default());
        self.faults = Faults::default();
        if survives == Survives::Written {
            let disk: Arc<dyn Disk> = Arc::new(next.clone());
            let parts = verify_directory(&disk, Path::new(DIR));
            for part in parts.unwrap_or_else(|error| panic!("{what}: {error}")) {
                assert_eq!(part.verified.problems, Vec::<String>::new(), "{what}: {}", part.name);
            }
        }
        if survives == Survives::Written {
            self.check_as_prometheus(&next, what);
        }
        self.disk = next;
        self.retention_ms = None;
        match try_open(&self.disk, options()) {
            Ok(db) => self.db = Some(db),
            Err(error) => panic!("{what}: it does not open: {error}"),
        }
        if number("FERULA_LIFE_SEED").is_some() {
            eprintln!("{what}, now {}: {:?}", self.now, self.db.as_ref().map(Db::damages));
        }
        let found = floats(self.db.as_ref().expect("just opened"));
        self.check(&found, survives, what);
        // What exists now is what later crashes are compared with; after a power loss some of it was never synced.
        if survives != Survives::Written {
            let mut left = Samples::new();
            for (labels, samples) in &found {
                let n: usize = labels.value("n").parse().expect("a number");
                left.extend(samples.iter().map(|(at, bits)| ((n, *at), *bits)));
            }
            let model = &mut self.model;
            // Deleted, and the deletion was not synced: such a sample may be there for a while.
            model.in_doubt.extend(model.deleted.iter().filter(|key| left.contains_key(*key)).copied());
            model.deleted.retain(|key| !left.contains_key(key));
            model.in_doubt.extend(model.asked.keys().filter(|key| !left.contains_key(*key)).copied());
            (model.acknowledged, model.synced) = (left, Samples::new());
            model.deleted_synced.clear();
            model.scrapes.clear();
        }
        let newest = found.values().filter_map(|samples| samples.last_key_value()).map(|(at, _)| *at).max();
        self.now = self.now.max(newest.unwrap_or(BEGIN));
    }

    /// What was acknowledged, Prometheus finds too in what a kill left.
    fn check_as_prometheus(&self, left: &FaultDisk, what: &str) {
        let found = as_prometheus::found(left, Path::new(DIR));
        for (n, at) in self.model.acknowledged.keys() {
            if *at >= self.model.kept_from && !self.model.in_doubt.contains(&(*n, *at)) {
                let there = found.get(&series(*n)).is_some_and(|times| times.contains(at));
                assert!(there, "{what}: Prometheus does not find {n} at {at}");
            }
        }
    }

    /// Cuts the last segment of the log somewhere: what is left is a state of the past.
    fn check_prefix(&self, random: &mut Random, what: &str) {
        let wal = Path::new(DIR).join("wal");
        let copy = self.disk.restart(Survives::Written);
        // With a savepoint the cut log would be made whole again.
        let _ = copy.remove_dir_all(&Path::new(DIR).join("ferula_savepoint"));
        let segments = copy.list(&wal).expect("listed");
        let last = segments.iter().rfind(|entry| entry.stat.is_file && entry.stat.bytes > 0);
        let Some(last) = last else { return };
        let to = random.below(last.stat.bytes) as usize;
        copy.damage(&wal.join(&last.name), |bytes| bytes.truncate(to)).expect("cut");
        let db =
            try_open(&copy, options()).unwrap_or_else(|error| panic!("{what}, log cut to {to}: {error}"));
        let found = floats(&db);
        for (labels, samples) in &found {
            let n: usize = labels.value("n").parse().expect("a number");
            for (at, bits) in samples {
                assert_eq!(
                    self.model.asked.get(&(n, *at)),
                    Some(bits),
                    "{what}, log cut to {to}: {n} at {at}"
                );
            }
        }
    }
}

fn survival(random: &mut Random) -> Survives {
    match random.below(6) {
        0..=2 => Survives::Written,
        3 => Survives::Synced,
        4 => Survives::SyncedWithNames,
        _ => Survives::Scattered(random.below(1 << 32)),
    }
}

/// One life of a seed: it dies somewhere, lives on, and dies again.
fn random_life(seed: u64) {
    let mut random = Random(seed);
    let steps = random_steps(&mut random);
    if number("FERULA_LIFE_SEED").is_some() {
        eprintln!("{steps:?}");
    }
    let crash_at = random.below(700);
    let faults =
        Faults { crash_at: Some(crash_at), torn_bytes: random.below(200) as usize, ..Faults::default() };
    let mut life = Life::new(faults);
    let _ = life.live(&steps);
    let survives = survival(&mut random);
    let what = format!("FERULA_LIFE_SEED={seed}, crash at {crash_at}, {survives:?}");
    life.restart(survives, &what);
    if random.below(4) == 0 {
        life.check_prefix(&mut random, &what);
    }
    let again = life.disk.operations() + random.below(150);
    life.faults =
        Faults { crash_at: Some(again), torn_bytes: random.below(50) as usize, ..Faults::default() };
    life.disk.set_faults(life.faults);
    let more = random_steps(&mut random);
    let _ = more.iter().take(25).try_for_each(|step| {
        life.step(*step)?;
        life.alive().map(|_| ())
    });
    let then = survival(&mut random);
    life.restart(then, &format!("{what}, then at {again}, {then:?}"));
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

#[test]
fn random_lives_lose_nothing_invent_nothing_and_undelete_nothing() {
    if let Some(seed) = number("FERULA_LIFE_SEED") {
        return random_life(seed);
    }
    let lives = number("FERULA_LIVES").unwrap_or(2_000);
    let first = number("FERULA_LIVES_FROM").unwrap_or(0);
    let threads = std::thread::available_parallelism().map_or(1, usize::from) as u64;
    let failed = std::sync::Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for thread in 0..threads {
            let failed = &failed;
            scope.spawn(move || {
                for seed in (first..first + lives).filter(|seed| seed % threads == thread) {
                    if std::panic::catch_unwind(|| random_life(seed)).is_err() {
                        let mut failed = failed.lock().expect("no panic while held");
                        failed.push(seed);
                        if failed.len() >= 5 {
                            return;
                        }
                    }
                }
            });
        }
    });
    let failed = failed.into_inner().expect("no panic while held");
    assert!(failed.is_empty(), "lives of these seeds failed: {failed:?}");
}

/// The scripted life, with a crash at every call: the machine keeps running, or loses power in three ways.
#[test]
fn a_crash_at_every_call_of_a_whole_life_is_survived() {
    let steps = scripted();
    let mut whole = Life::new(Faults::default());
    assert!(whole.live(&steps).is_ok(), "nothing fails without a fault");
    let calls = whole.disk.operations();
    assert!(calls > 500, "{calls} calls");
    whole.check(&floats(whole.db.as_ref().expect("open")), Survives::Written, "without a crash");
    // In many threads, each with its share of the calls.
    let threads = std::thread::available_parallelism().map_or(1, usize::from) as u64;
    std::thread::scope(|scope| {
        for thread in 0..threads {
            let steps = &steps;
            scope.spawn(move || {
                for crash_at in (2..calls).filter(|call| call % threads == thread) {
                    for (number, survives) in [
                        Survives::Written,
                        Survives::Synced,
                        Survives::SyncedWithNames,
                        Survives::Scattered(crash_at),
                    ]
                    .into_iter()
                    .enumerate()
                    {
                        let torn_bytes = [0, 1, 50][(crash_at as usize + number) % 3];
                        let faults = Faults { crash_at: Some(crash_at), torn_bytes, ..Faults::default() };
                        let mut life = Life::new(faults);
                        assert!(life.live(steps).is_err(), "call {crash_at} was never reached");
                        let what = format!("crash at {crash_at} with {torn_bytes} bytes, {survives:?}");
                        life.restart(survives, &what);
                        // It lives on, and its next start finds all of it.
                        for step in
                            [Step::Scrape, Step::OutOfOrder(15_000), Step::Maintain, Step::Sync, Step::Scrape]
                        {
                            assert!(life.step(step).is_ok(), "{what}");
                        }
                        life.restart(Survives::Written, &format!("{what}, and once more"));
                    }
                }
            });
        }
    });
}
