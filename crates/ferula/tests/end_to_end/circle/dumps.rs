//! The output of `promtool tsdb …` and `ferula tsdb …` for the same directory.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

/// Compares the output of `list`, `analyze` and `dump`. Returns our dump.
pub fn assert_tools_agree(what: &str, promtool: &Path, dir: &Path, sandbox: &Path) -> String {
    let dir_text = dir.to_str().expect("UTF-8");
    let both = |arguments: &[&str]| (run(promtool, arguments), ferula(arguments));
    let (theirs, ours) = both(&["tsdb", "list", dir_text]);
    assert_eq!(ours, theirs, "{what}: list");
    for block in ours.lines().skip(1).filter_map(|line| line.split_whitespace().next()) {
        let (theirs, ours) = both(&["tsdb", "analyze", "--limit=1000", "--extended", dir_text, block]);
        assert_eq!(analysis(&ours), analysis(&theirs), "{what}: analyze {block}");
        let verified = ferula(&["tsdb", "verify", dir_text, block]);
        assert!(verified.contains(" ok: "), "{what}: {verified}");
    }
    std::fs::create_dir_all(sandbox).expect("a directory");
    let root = format!("--sandbox-dir-root={}", sandbox.display());
    let (theirs, ours) = both(&["tsdb", "dump", &root, dir_text]);
    let prints = Prints::of(promtool);
    let (printed, wanted) = (prints.lines(&theirs), prints.lines(&prints.of_ours(&ours)));
    let only =
        |a: &BTreeSet<String>, b: &BTreeSet<String>| a.difference(b).take(3).cloned().collect::<Vec<_>>();
    assert!(
        printed == wanted,
        "{what}: dump: {} and {} lines; only theirs {:?}; only ours {:?}",
        printed.len(),
        wanted.len(),
        only(&printed, &wanted),
        only(&wanted, &printed)
    );
    assert!(wanted.len() > 10_000, "{what}: only {} samples", wanted.len());
    ours
}

/// The output of our binary.
pub fn ferula(arguments: &[&str]) -> String {
    run(Path::new(env!("CARGO_BIN_EXE_ferula")), arguments)
}

/// The output of a program, which must succeed.
pub fn run(program: &Path, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output().expect("the program runs");
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{} {arguments:?}: {stderr}", program.display());
    String::from_utf8(output.stdout).expect("UTF-8")
}

/// The lines of an analysis as a set: promtool's order of equal numbers is arbitrary.
fn analysis(text: &str) -> Vec<&str> {
    let mut lines: Vec<&str> = text.lines().collect();
    lines.sort_unstable();
    lines
}

/// What `promtool tsdb dump` prints of a directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Prints {
    /// promtool 3.14: all samples.
    All,
    /// promtool 3.5 reads the floats, then the float histograms, then the histograms of a series, and each of
    /// these loops swallows the sample that ends it: the first float histogram and the first two histograms
    /// are not printed. Of a series that changes its type, it prints almost nothing; those are compared only
    /// by queries.
    NotTheFirstHistograms,
}

impl Prints {
    /// Determined by the version of the program.
    pub fn of(promtool: &Path) -> Self {
        let text = run(promtool, &["--version"]);
        let version = text.split_once("version ").map_or("", |(_, rest)| rest);
        let mut numbers = version.split(['.', ' ']).map(|number| number.parse::<u32>().unwrap_or(0));
        match (numbers.next(), numbers.next()) {
            (Some(3), Some(..14)) => Prints::NotTheFirstHistograms,
            (Some(3..), _) => Prints::All,
            _ => panic!("not a version: {text}"),
        }
    }

    /// A set, because the order of series is undefined.
    pub fn lines(self, dump: &str) -> BTreeSet<String> {
        let kept = |line: &&str| self == Prints::All || !line.starts_with("{__name__=\"mixed\"}");
        dump.lines().filter(kept).map(str::to_owned).collect()
    }

    /// The part of the output of `ferula tsdb dump` that promtool prints too.
    pub fn of_ours(self, dump: &str) -> String {
        match self {
            Prints::All => dump.to_owned(),
            Prints::NotTheFirstHistograms => without_first_histograms(dump),
        }
    }
}

fn without_first_histograms(dump: &str) -> String {
    let mut out = String::new();
    let (mut last, mut seen) = ("", 0);
    for line in dump.lines() {
        let series = line.split_once("} ").map_or(line, |(series, _)| series);
        seen = if series == last { seen + 1 } else { 0 };
        last = series;
        let swallowed = match series {
            _ if series.contains("__name__=\"h_float\"")
                || series.contains("__name__=\"h_custom_float\"") =>
            {
                1
            }
            _ if series.contains("__name__=\"h_") => 2,
            _ => 0,
        };
        if seen >= swallowed {
            out.push_str(line);
            out.push('\n');
        }
    }
    out
}
