//! The driver of every fuzz target: mutates seeds and passes them to the target until the time is up.
//!
//! Runs on the stable toolchain, so that everyone and CI can run it: `cargo xtask fuzz duration 60`.
//! A target is a function over bytes that must not panic. An input that causes a panic is kept under
//! `fuzz/crashes/<target>/` and printed with the random seed. Coverage-guided fuzzers can call the
//! same functions.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// The size limit of inputs.
const INPUT_BYTES_MAX: usize = 64 * 1024;

/// A small, seedable random number generator (splitmix64): good enough to mutate bytes, and reproducible.
pub struct Random(u64);

impl Random {
    /// A generator that returns the same numbers for the same seed.
    pub fn new(seed: u64) -> Self {
        Random(seed)
    }

    /// The next number.
    pub fn number(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `bound`, which must not be 0.
    pub fn below(&mut self, bound: usize) -> usize {
        (self.number() % bound as u64) as usize
    }
}

/// Runs `target` over mutated seeds. Arguments of the process: seconds (default 5), random seed (default 1).
///
/// `seeds` are good inputs to start from; the files below `fuzz/seeds/<name>/` are added.
pub fn drive(name: &str, seeds: &[&[u8]], target: impl Fn(&[u8])) {
    let mut args = std::env::args().skip(1);
    let seconds: u64 = args.next().and_then(|a| a.parse().ok()).unwrap_or(5);
    let random_seed: u64 = args.next().and_then(|a| a.parse().ok()).unwrap_or(1);
    let mut corpus: Vec<Vec<u8>> = seeds.iter().map(|s| s.to_vec()).collect();
    corpus.extend(files_in(&fuzz_dir().join("seeds").join(name)));
    corpus.push(Vec::new());
    let mut random = Random::new(random_seed);
    let end = Instant::now() + Duration::from_secs(seconds);
    let mut runs = 0u64;
    for input in &corpus {
        run_one(name, random_seed, input, &target);
    }
    while Instant::now() < end {
        for _ in 0..64 {
            let mut input = corpus[random.below(corpus.len())].clone();
            for _ in 0..=random.below(8) {
                mutate(&mut input, &corpus, &mut random);
            }
            input.truncate(INPUT_BYTES_MAX);
            run_one(name, random_seed, &input, &target);
            runs += 1;
        }
    }
    println!(
        "{name}: {runs} inputs in {seconds} s from {} seeds, no panic (random seed {random_seed})",
        corpus.len()
    );
}

fn run_one(name: &str, random_seed: u64, input: &[u8], target: &impl Fn(&[u8])) {
    if let Err(panic) = catch_unwind(AssertUnwindSafe(|| target(input))) {
        let dir = fuzz_dir().join("crashes").join(name);
        let file = dir.join(format!("{:08x}", crc(input)));
        if std::fs::create_dir_all(&dir).and_then(|()| std::fs::write(&file, input)).is_ok() {
            eprintln!("{name}: panic; input kept in {} (random seed {random_seed})", file.display());
        }
        std::panic::resume_unwind(panic);
    }
}

fn mutate(input: &mut Vec<u8>, corpus: &[Vec<u8>], random: &mut Random) {
    let at = random.below(input.len() + 1);
    match random.below(7) {
        0 if at < input.len() => input[at] ^= 1 << random.below(8),
        1 if at < input.len() => input[at] = random.number() as u8,
        2 => input.insert(at, *b"\0\n\"\\{}[](),=~!#0-+.e \xff\x7f".get(random.below(24)).unwrap_or(&b'a')),
        3 if at < input.len() => {
            input.drain(at..(at + 1 + random.below(16)).min(input.len()));
        }
        4 => input.truncate(at),
        5 => {
            let other = &corpus[random.below(corpus.len())];
            let from = random.below(other.len() + 1);
            let to = (from + random.below(64)).min(other.len());
            input.splice(at..at, other[from..to].iter().copied());
        }
        _ => {
            let to = (at + random.below(32)).min(input.len());
            let copy = input[at..to].to_vec();
            input.splice(at..at, copy);
        }
    }
}

fn fuzz_dir() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).to_path_buf()
}

fn files_in(dir: &Path) -> Vec<Vec<u8>> {
    let Ok(entries) = std::fs::read_dir(dir) else { return Vec::new() };
    let mut paths: Vec<PathBuf> = entries.filter_map(|e| e.ok().map(|e| e.path())).collect();
    paths.sort();
    paths.iter().filter_map(|p| std::fs::read(p).ok()).collect()
}

/// A name for an input; any hash works.
fn crc(input: &[u8]) -> u32 {
    input.iter().fold(0x811c_9dc5, |hash, byte| (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193))
}
