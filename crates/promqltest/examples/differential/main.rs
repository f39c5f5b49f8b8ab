//! Random queries to the engine and to a real Prometheus with the same data: every answer must be the same.
//!
//! `cargo run -p ferula-promqltest --example differential -- --peers DIR [--queries N] [--seed N] [--show N] [--show-explained N]`, where
//! DIR holds the program `prometheus`. Queries are sound, ill-typed and broken; each is asked at one
//! moment and over a grid. Compared are status, error, labels, values to the last digit, the order of instant vectors
//! where it is defined, and annotations. What differs is reduced to a smaller query and shown, unless a reason is
//! listed in `explained`; what an older Prometheus did otherwise is a reason only when the program is older. Exit code
//! 1 when something is left unexplained.

mod answer;
mod explained;
mod peer;
mod remote_write;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::ExitCode;

use ferula_model::Timestamp;
use ferula_promql::{Engine, EngineOptions, Features, Grid, QueryControl, QueryOptions};
use ferula_promql_syntax::ParserOptions;
use ferula_promql_syntax::generate::{Generator, Soundness, Vocabulary, shrink};
use ferula_testkit::MemStorage;
use ferula_testkit::query_data::{self, LENGTH_MS, START_MS};

use self::answer::{Answer, Difference};
use self::explained::Case;
use self::peer::{Peer, Version};

struct Arguments {
    peers: PathBuf,
    queries: u64,
    seed: u64,
    show: usize,
    show_explained: usize,
}

fn arguments() -> Result<Arguments, String> {
    let mut found = Arguments { peers: PathBuf::new(), queries: 1000, seed: 1, show: 20, show_explained: 0 };
    let mut args = std::env::args().skip(1);
    while let Some(name) = args.next() {
        let value = args.next().ok_or_else(|| format!("{name} wants a value"))?;
        let number = || value.parse::<u64>().map_err(|error| format!("{name} {value}: {error}"));
        match name.as_str() {
            "--peers" => found.peers = value.into(),
            "--queries" => found.queries = number()?,
            "--seed" => found.seed = number()?,
            "--show" => found.show = number()? as usize,
            "--show-explained" => found.show_explained = number()? as usize,
            _ => return Err(format!("{name} is not an argument")),
        }
    }
    if found.peers.as_os_str().is_empty() {
        return Err("--peers DIR is missing".to_owned());
    }
    Ok(found)
}

/// When a query is asked.
#[derive(Clone, Copy, Debug)]
pub enum QueryTimes {
    /// At one moment.
    Instant(i64),
    /// Over a grid.
    Range(Grid),
}

/// The result of one question.
enum Verdict {
    Same,
    /// They differ, for these reasons.
    Explained(Vec<&'static str>, Difference),
    Differs(Difference),
}

struct Bench {
    engine: Engine,
    storage: MemStorage,
    peer: Peer,
}

impl Bench {
    fn ours(&self, query: &str, when: QueryTimes) -> Answer {
        let (options, control) = (QueryOptions::default(), QueryControl::new());
        let outcome = match when {
            QueryTimes::Instant(at) => {
                self.engine.instant(&self.storage, query, Timestamp::from_millis(at), &options, &control)
            }
            QueryTimes::Range(grid) => self.engine.range(&self.storage, query, grid, &options, &control),
        };
        Answer::ours(query, outcome)
    }

    /// How the two differ without a known reason. Prometheus keeps the series of an intermediate range in a map and
    /// walks it in an order that changes, so it is asked again: what it answers in several ways, or at last as the
    /// engine does, is no difference.
    fn compare(&self, query: &str, when: QueryTimes) -> Verdict {
        // Of two series in a map the second comes first in one walk of eight.
        const ASKED_AGAIN: usize = 80;
        let ours = self.ours(query, when);
        let theirs = self.peer.ask(query, when);
        let Some(difference) = Difference::between(query, &ours, &theirs) else { return Verdict::Same };
        let case = Case::new(query, when, &ours, &theirs, &difference);
        if let Some(reasons) = case.reasons(self.peer.version, &|query, when| self.agree(query, when)) {
            return Verdict::Explained(reasons, difference);
        }
        for _ in 0..ASKED_AGAIN {
            let again = self.peer.ask(query, when);
            if Difference::between(query, &again, &theirs).is_some() {
                return Verdict::Explained(vec![explained::UNSETTLED], difference);
            }
        }
        Verdict::Differs(difference)
    }

    /// Whether the two agree about a query, but for annotations.
    fn agree(&self, query: &str, when: QueryTimes) -> bool {
        let (ours, theirs) = (self.ours(query, when), self.peer.ask(query, when));
        matches!(Difference::between(query, &ours, &theirs), None | Some(Difference::Annotations(..)))
    }

    fn difference(&self, query: &str, when: QueryTimes) -> Option<Difference> {
        match self.compare(query, when) {
            Verdict::Differs(difference) => Some(difference),
            Verdict::Same | Verdict::Explained(..) => None,
        }
    }
}

fn vocabulary(version: Version) -> Vocabulary {
    let owned = |list: &[&str]| list.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>();
    let left_out = if version >= Version::WANTED { &[] } else { explained::FUNCTIONS_LEFT_OUT };
    Vocabulary {
        metrics: owned(&query_data::METRICS),
        labels: query_data::LABELS.iter().map(|(name, values)| ((*name).to_owned(), owned(values))).collect(),
        durations: owned(&["15s", "1m", "90s", "5m", "7m", "30m"]),
        functions_left_out: owned(left_out),
        options: parser_options(version),
    }
}

/// What the peer knows as well.
fn parser_options(version: Version) -> ParserOptions {
    let wanted = version >= Version::WANTED;
    ParserOptions {
        experimental_functions: true,
        duration_expressions: wanted,
        extended_range_selectors: wanted,
        binop_fill_modifiers: wanted,
    }
}

fn moments(random: u64) -> [QueryTimes; 2] {
    let at = START_MS + (random % LENGTH_MS as u64) as i64;
    let aligned = random & 1 == 0;
    let start_ms = if aligned { START_MS + 600_000 } else { START_MS + 600_123 };
    let step_ms = [15_000, 60_000, 137_000, 300_000][(random >> 8) as usize % 4];
    let end_ms = start_ms + step_ms * (1 + (random >> 16) % 30) as i64;
    [QueryTimes::Instant(at), QueryTimes::Range(Grid { start_ms, end_ms, step_ms })]
}

fn run(arguments: &Arguments) -> Result<bool, String> {
    let data = query_data::series(arguments.seed);
    let peer = Peer::start(&arguments.peers, &data)?;
    let options = parser_options(peer.version);
    let features = Features {
        experimental_functions: true,
        extended_range_selectors: options.extended_range_selectors,
        fill_modifiers: options.binop_fill_modifiers,
        ..Features::default()
    };
    let engine = Engine::new(EngineOptions { features, ..EngineOptions::default() });
    let bench = Bench { engine, storage: query_data::store(arguments.seed), peer };
    let vocabulary = vocabulary(bench.peer.version);
    let mut generator = Generator::new(&vocabulary, arguments.seed);
    let mut kinds: BTreeMap<String, usize> = BTreeMap::new();
    let (mut asked, mut same, mut different) = (0, 0, 0);
    let mut reasons: BTreeMap<&str, usize> = BTreeMap::new();
    for number in 0..arguments.queries {
        let soundness = match number % 10 {
            8 => Soundness::IllTyped,
            9 => Soundness::Broken,
            _ => Soundness::WellTyped,
        };
        let query = generator.query(soundness);
        for when in moments(generator.random()) {
            asked += 1;
            let first = match bench.compare(&query, when) {
                Verdict::Same => {
                    same += 1;
                    continue;
                }
                Verdict::Explained(found, difference) => {
                    for reason in found {
                        let count = reasons.entry(reason).or_default();
                        *count += 1;
                        if *count <= arguments.show_explained {
                            println!("{query}\n  {when:?}\n  because: {reason}\n{difference}\n");
                        }
                    }
                    continue;
                }
                Verdict::Differs(difference) => difference,
            };
            different += 1;
            *kinds.entry(first.kind().to_owned()).or_default() += 1;
            if different <= arguments.show {
                let small = shrink(&query, &options, |query| {
                    bench.difference(query, when).is_some_and(|other| other.kind() == first.kind())
                });
                let shown = bench.difference(&small, when).unwrap_or(first);
                println!("{small}\n  {when:?}\n{shown}\n  reduced from {query}\n");
            }
        }
    }
    for (reason, count) in &reasons {
        println!("{count:>7}  {reason}");
    }
    let explained = asked - same - different;
    println!(
        "{asked} questions to {} (seed {}): {same} same answers, {explained} differences with a reason, \
         {different} without {kinds:?}",
        bench.peer.version, arguments.seed
    );
    Ok(different == 0)
}

fn main() -> ExitCode {
    match arguments().and_then(|arguments| run(&arguments)) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("differential: {error}");
            ExitCode::from(2)
        }
    }
}
