//! How well a name matches a search, with Prometheus 3.14's scores: 1 is a perfect match, 0 is none.
//!
//! Two algorithms: letters in order, where runs count more than gaps cost (`subsequence`), and substrings, or else
//! similarity by Jaro and Winkler (`jarowinkler`). Letters are characters, not bytes.

use ferula_go::unicode;

/// What a request searches for.
pub(super) struct Filter {
    terms: Vec<Term>,
    /// Terms and the names that they are compared with are in lower case.
    folds_case: bool,
}

struct Term {
    text: String,
    letters: Vec<char>,
    way: MatchMethod,
}

#[derive(Clone, Copy)]
enum MatchMethod {
    /// The least score of a match.
    Subsequence(f64),
    /// A substring, or a similarity of at least this score; without a score, only substrings.
    Likeness(Option<f64>),
}

/// The highest score of a name that is not an exact match.
const NOT_EXACT_MAX: f64 = 0.999;
/// What each letter of a common prefix adds, and how many letters count.
const PREFIX_SHARE: f64 = 0.1;
const PREFIX_LETTERS_MAX: usize = 4;
/// How many starting positions are tried between checks whether the client still waits. A long text has many of them.
const STARTS_BETWEEN_LOOKS: usize = 256;

impl Filter {
    /// `None` if there is nothing to search for: then everything matches. `threshold` is from 0 to 100.
    pub(super) fn new(terms: &[&str], likeness: bool, threshold: u32, folds_case: bool) -> Option<Filter> {
        let least = f64::from(threshold) / 100.0;
        let way = match likeness {
            true => MatchMethod::Likeness((threshold > 0).then_some(least)),
            false => MatchMethod::Subsequence(least),
        };
        let term = |text: &&str| {
            let text = if folds_case { unicode::lower(text) } else { (*text).to_owned() };
            Term { letters: text.chars().collect(), text, way }
        };
        let terms: Vec<Term> = terms.iter().filter(|text| !text.is_empty()).map(term).collect();
        (!terms.is_empty()).then_some(Filter { terms, folds_case })
    }

    /// The best score of any matching term. `ended` returns whether nobody waits any more; the score is meaningless then.
    pub(super) fn score(&self, value: &str, ended: &dyn Fn() -> bool) -> Option<f64> {
        let folded;
        let value = if self.folds_case {
            folded = unicode::lower(value);
            &folded
        } else {
            value
        };
        let mut best: Option<f64> = None;
        for term in &self.terms {
            let Some(score) = term.score(value, ended) else { continue };
            best = Some(best.map_or(score, |best| best.max(score)));
            if score >= 1.0 {
                break;
            }
        }
        best
    }
}

impl Term {
    fn score(&self, value: &str, ended: &dyn Fn() -> bool) -> Option<f64> {
        if value.starts_with(&self.text) {
            return Some(1.0);
        }
        match self.way {
            MatchMethod::Subsequence(least) => {
                if self.text.len() > value.len() {
                    return None;
                }
                let score = subsequence(&self.letters, &letters(value), ended)?;
                (score > 0.0 && score >= least).then_some(score)
            }
            MatchMethod::Likeness(least) => {
                if let Some(at) = value.find(&self.text) {
                    return Some(piece(value, at, self.letters.len()));
                }
                let score = jaro_winkler(&self.letters, &letters(value), ended);
                least.filter(|least| score >= *least).map(|_| score)
            }
        }
    }
}

fn letters(text: &str) -> Vec<char> {
    text.chars().collect()
}

/// The score of a substring that begins at byte `at`: the nearer to the beginning, the better.
fn piece(value: &str, at: usize, letters: usize) -> f64 {
    let before = value[..at].chars().count();
    let last_start = value.chars().count() - letters;
    1.0 - 0.9 * before as f64 / last_start as f64
}

/// The score of the best way to find all letters in order, beginning with each occurrence of the first one; `None` if
/// some are missing.
fn subsequence(pattern: &[char], text: &[char], ended: &dyn Fn() -> bool) -> Option<f64> {
    let starts = text.len().checked_sub(pattern.len())? + 1;
    let mut best = None;
    for (start, letter) in text[..starts].iter().enumerate() {
        if *letter != pattern[0] {
            continue;
        }
        if start % STARTS_BETWEEN_LOOKS == STARTS_BETWEEN_LOOKS - 1 && ended() {
            return None;
        }
        // If the rest does not follow from here, it does not follow from any later place.
        let Some(score) = from_start(pattern, text, start) else { break };
        best = Some(best.map_or(score, |best: f64| best.max(score)));
    }
    // If gaps cost more than runs bring, it is not a match.
    let best = best.filter(|best| *best >= 0.0)?;
    Some(best / (pattern.len() * pattern.len()) as f64 * NOT_EXACT_MAX)
}

/// Each run of letters counts its length squared; letters before, between and, by half, after them cost.
fn from_start(pattern: &[char], text: &[char], start: usize) -> Option<f64> {
    let share = 1.0 / text.len() as f64;
    let mut score = 0.0;
    let mut matched = 0;
    let (mut at, mut end) = (start, 0);
    while matched < pattern.len() {
        let from = at + text[at..].iter().position(|letter| *letter == pattern[matched])?;
        let run = text[from..].iter().zip(&pattern[matched..]).take_while(|(a, b)| a == b).count();
        if from > end {
            score -= (from - end) as f64 * share;
        }
        score += (run * run) as f64;
        matched += run;
        end = from + run;
        at = end;
    }
    if text.len() > end {
        score -= (text.len() - end) as f64 * share * 0.5;
    }
    Some(score)
}

/// The similarity of two texts: common letters that are not too far apart, and a common prefix.
fn jaro_winkler(a: &[char], b: &[char], ended: &dyn Fn() -> bool) -> f64 {
    let (short, long) = if a.len() > b.len() { (b, a) } else { (a, b) };
    if short.is_empty() {
        return 0.0;
    }
    let reach = (long.len() / 2).saturating_sub(1);
    let (mut in_short, mut in_long) = (vec![false; short.len()], vec![false; long.len()]);
    let mut common = 0.0;
    for (i, letter) in short.iter().enumerate() {
        if i % STARTS_BETWEEN_LOOKS == STARTS_BETWEEN_LOOKS - 1 && ended() {
            return 0.0;
        }
        let near = i.saturating_sub(reach)..(i + reach + 1).min(long.len());
        if let Some(j) = near.clone().find(|j| !in_long[*j] && long[*j] == *letter) {
            (in_short[i], in_long[j]) = (true, true);
            common += 1.0;
        }
    }
    if common == 0.0 {
        return 0.0;
    }
    let chosen = |text: &[char], taken: &[bool]| -> Vec<char> {
        text.iter().zip(taken).filter(|(_, taken)| **taken).map(|(letter, _)| *letter).collect()
    };
    let (in_order, other) = (chosen(short, &in_short), chosen(long, &in_long));
    let displaced = in_order.iter().zip(&other).filter(|(a, b)| a != b).count() as f64;
    let (share_short, share_long) = (1.0 / short.len() as f64, 1.0 / long.len() as f64);
    let jaro = (common * share_short + common * share_long + (common - displaced * 0.5) / common) / 3.0;
    let prefix = short.iter().zip(long).take(PREFIX_LETTERS_MAX).take_while(|(a, b)| a == b).count();
    jaro + prefix as f64 * PREFIX_SHARE * (1.0 - jaro)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scores from Prometheus' own functions: algorithm, term, value, score as bits.
    const RECORDED: &str = include_str!("../../../../../testdata/search/scores.tsv");

    #[test]
    fn scores_are_those_of_prometheus_to_the_bit() {
        let mut count = 0;
        for line in RECORDED.lines().filter(|line| !line.starts_with('#')) {
            let [way, term, value, bits] = line.split('\t').collect::<Vec<_>>()[..] else {
                panic!("four columns: {line}")
            };
            let (term, value) = (letters(term), letters(value));
            let score = match way {
                "subsequence" if term == value => 1.0,
                "subsequence" => subsequence(&term, &value, &|| false).unwrap_or(0.0),
                _ if term == value => 1.0,
                _ => jaro_winkler(&term, &value, &|| false),
            };
            let want = f64::from_bits(u64::from_str_radix(bits, 16).expect("hexadecimal"));
            assert_eq!(score.to_bits(), want.to_bits(), "{line}: {score} is not {want}");
            count += 1;
        }
        assert!(count > 2_000, "{count} rows");
    }

    #[test]
    fn a_piece_scores_by_its_place_in_letters() {
        let score = |term: &str, value: &str| {
            Filter::new(&[term], true, 0, false).expect("a term").score(value, &|| false)
        };
        assert_eq!(score("prom", "prometheus"), Some(1.0));
        assert_eq!(score("meth", "prometheus"), Some(1.0 - 0.9 * 3.0 / 6.0));
        assert_eq!(score("heus", "prometheus"), Some(1.0 - 0.9 * 6.0 / 6.0));
        assert_eq!(score("本", "東京日本京都"), Some(1.0 - 0.9 * 3.0 / 5.0));
        assert_eq!((score("x", "prometheus"), score("Prom", "prometheus")), (None, None));
    }

    #[test]
    fn any_term_is_enough_and_the_best_one_counts() {
        let filter = Filter::new(&["", "gc", "go"], false, 0, true).expect("terms");
        assert_eq!(filter.score("GO_GC", &|| false), Some(1.0));
        assert_eq!(filter.score("up", &|| false), None);
        assert!(Filter::new(&["", ""], false, 0, true).is_none(), "nothing to search for");
    }

    #[test]
    fn a_value_of_a_megabyte_is_given_up_when_nobody_waits() {
        let value = "a".repeat(1 << 20) + "b";
        let asked = std::cell::Cell::new(0);
        let ended = || {
            asked.set(asked.get() + 1);
            asked.get() > 3
        };
        for likeness in [false, true] {
            asked.set(0);
            let filter = Filter::new(&["aab", &"ab".repeat(4_000)], likeness, 1, false).expect("terms");
            let _ = filter.score(&value, &ended);
            assert!(asked.get() < 20);
        }
    }
}
