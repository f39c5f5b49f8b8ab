//! "Did you mean": the known word that a mistyped one is closest to.

/// Longer words are not compared: nobody mistypes them, and the comparison takes time in proportion to both lengths.
const WORD_BYTES_MAX: usize = 100;
/// What separates the parts of a name.
const MARKS: [char; 3] = ['.', '_', '-'];

/// The candidate that `word` was most likely meant to be, or none when nothing is close.
///
/// A candidate is close when few letters differ (a third of the word at most), when it begins with the word, when the
/// word is its end (`retention` for `storage.retention`), or when it has all of the word's parts (`storage-path` for
/// `storage.tsdb.path`).
pub fn closest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    if word.is_empty() || word.len() > WORD_BYTES_MAX {
        return None;
    }
    let letters_max = word.chars().count().div_ceil(3).min(4);
    let rank = |candidate: &str| {
        let distance = distance(word, candidate);
        if distance <= letters_max {
            return Some((0, distance));
        }
        let part = MARKS.iter().any(|mark| candidate.ends_with(&format!("{mark}{word}")));
        if candidate.starts_with(word) || part {
            return Some((1, candidate.len()));
        }
        let known: Vec<&str> = candidate.split(MARKS).collect();
        let all_known = word.contains(MARKS) && word.split(MARKS).all(|part| known.contains(&part));
        all_known.then_some((2, candidate.len()))
    };
    let ranked = candidates.into_iter().filter_map(|candidate| Some((rank(candidate)?, candidate)));
    ranked.min_by_key(|(rank, _)| *rank).map(|(_, candidate)| candidate)
}

/// How many letters must be inserted, removed, replaced or swapped with their neighbour to make `b` of `a`.
fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let mut before = vec![0; b.len() + 1];
    let mut last: Vec<usize> = (0..=b.len()).collect();
    for i in 1..=a.len() {
        let mut row = vec![i; b.len() + 1];
        for j in 1..=b.len() {
            let replaced = last[j - 1] + usize::from(a[i - 1] != b[j - 1]);
            row[j] = replaced.min(last[j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                row[j] = row[j].min(before[j - 2] + 1);
            }
        }
        before = std::mem::replace(&mut last, row);
    }
    last[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_closest_word_is_found_and_a_strange_one_is_not() {
        const KNOWN: [&str; 6] = [
            "storage.tsdb.path",
            "storage.tsdb.retention.time",
            "storage.tsdb.retention.size",
            "config.file",
            "query.timeout",
            "scrape_interval",
        ];
        for (word, meant) in [
            ("storage.tsdb.pth", Some("storage.tsdb.path")),
            ("storage.tsbd.path", Some("storage.tsdb.path")),
            ("storage.tsdb.retention", Some("storage.tsdb.retention.time")),
            ("retention.size", Some("storage.tsdb.retention.size")),
            ("config", Some("config.file")),
            ("timeout", Some("query.timeout")),
            ("scrape_interva", Some("scrape_interval")),
            ("interval", Some("scrape_interval")),
            ("frobnicate", None),
            ("", None),
            ("é", None),
        ] {
            assert_eq!(closest(word, KNOWN), meant, "{word}");
        }
        assert_eq!(closest(&"x".repeat(1000), KNOWN), None);
    }

    #[test]
    fn a_swap_of_neighbours_is_one_step() {
        for (a, b, steps) in [("", "abc", 3), ("tsbd", "tsdb", 1), ("kitten", "sitting", 3), ("a", "a", 0)] {
            assert_eq!((distance(a, b), distance(b, a)), (steps, steps), "{a} {b}");
        }
    }
}
