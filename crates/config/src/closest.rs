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
    let letters: Vec<char> = word.chars().collect();
    let letters_max = letters.len().div_ceil(3).min(4);
    let mut rows = Rows::default();
    let mut rank = |candidate: &str| {
        if let Some(distance) = rows.distance(&letters, candidate, letters_max) {
            return Some((0, distance));
        }
        let part = candidate.strip_suffix(word).is_some_and(|before| before.ends_with(MARKS));
        if part || candidate.starts_with(word) {
            return Some((1, candidate.len()));
        }
        let is_known = |part: &str| candidate.split(MARKS).any(|known| known == part);
        let all_known = word.contains(MARKS) && word.split(MARKS).all(is_known);
        all_known.then_some((2, candidate.len()))
    };
    let ranked = candidates.into_iter().filter_map(|candidate| Some((rank(candidate)?, candidate)));
    ranked.min_by_key(|(rank, _)| *rank).map(|(_, candidate)| candidate)
}

/// Rows of the table of distances, kept between candidates: there may be a hundred thousand.
#[derive(Default)]
struct Rows {
    before: Vec<usize>,
    last: Vec<usize>,
    row: Vec<usize>,
    letters: Vec<char>,
}

impl Rows {
    /// How many letters must be inserted, removed, replaced or swapped with their neighbour to make `b` of `a`; `None`
    /// beyond `max`.
    fn distance(&mut self, a: &[char], b: &str, max: usize) -> Option<usize> {
        // A letter has at most four bytes, so most candidates need no look at their letters.
        if b.len() + max < a.len() || b.len().div_ceil(4) > a.len() + max {
            return None;
        }
        self.letters.clear();
        self.letters.extend(b.chars());
        let b = &self.letters;
        if a.len().abs_diff(b.len()) > max {
            return None;
        }
        self.last.clear();
        self.last.extend(0..=b.len());
        self.before.clear();
        self.before.resize(b.len() + 1, 0);
        for i in 1..=a.len() {
            self.row.clear();
            self.row.resize(b.len() + 1, i);
            let mut least = i;
            for j in 1..=b.len() {
                let replaced = self.last[j - 1] + usize::from(a[i - 1] != b[j - 1]);
                let mut here = replaced.min(self.last[j] + 1).min(self.row[j - 1] + 1);
                if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                    here = here.min(self.before[j - 2] + 1);
                }
                self.row[j] = here;
                least = least.min(here);
            }
            // A swap reaches two rows back, and costs one.
            if least > max + 1 {
                return None;
            }
            std::mem::swap(&mut self.before, &mut self.last);
            std::mem::swap(&mut self.last, &mut self.row);
        }
        Some(self.last[b.len()]).filter(|distance| *distance <= max)
    }
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
        let mut rows = Rows::default();
        let mut distance = |a: &str, b: &str, max| rows.distance(&a.chars().collect::<Vec<char>>(), b, max);
        for (a, b, steps) in [("", "abc", 3), ("tsbd", "tsdb", 1), ("kitten", "sitting", 3), ("é", "ü", 1)]
        {
            for max in 0..6 {
                let within = (steps <= max).then_some(steps);
                assert_eq!((distance(a, b, max), distance(b, a, max)), (within, within), "{a} {b} {max}");
            }
        }
    }
}
