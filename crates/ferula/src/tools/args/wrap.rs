//! Wraps text as Go's documentation printer does.
//!
//! Paragraphs stay separate. Within a paragraph the breaks with the lowest cost are chosen: a line costs the square of
//! its unused width, and a break that does not follow punctuation costs as much as eight unused columns. The last line
//! is free. A line that is too long costs more than anything else.

/// The cost of a break that does not follow punctuation.
const BREAK_COST: i64 = 64;

/// Breaks text into lines of at most `width` characters; paragraphs are separated by an empty line.
pub fn wrap(text: &str, width: usize) -> Vec<String> {
    let mut lines = Vec::new();
    for paragraph in text.split("\n\n") {
        if !lines.is_empty() {
            lines.push(String::new());
        }
        let words: Vec<&str> = paragraph.split_whitespace().collect();
        let mut start = 0;
        for end in breaks(&words, i64::try_from(width).unwrap_or(i64::MAX)) {
            lines.push(words[start..end].join(" "));
            start = end;
        }
    }
    lines
}

/// Where lines end, as word indices.
fn breaks(words: &[&str], width: i64) -> Vec<usize> {
    let mut before = vec![0i64];
    for word in words {
        before.push(before[before.len() - 1] + word.chars().count() as i64 + 1);
    }
    let cost = |start: usize, end: usize| {
        let room = width - (before[end] - 1 - before[start]);
        if end == words.len() && room >= 0 {
            return (0, 0);
        }
        let inside = if words[end - 1].ends_with(['.', ',', ':', ';']) { 0 } else { BREAK_COST };
        if room < 0 { (room * room, inside) } else { (0, room * room + inside) }
    };
    // The lowest cost of the words before each position, and where the last line then begins.
    let mut best: Vec<((i64, i64), usize)> = vec![((0, 0), 0)];
    for end in 1..=words.len() {
        let candidates = (0..end).map(|start| {
            let (so_far, line) = (best[start].0, cost(start, end));
            ((so_far.0 + line.0, so_far.1 + line.1), start)
        });
        best.push(
            candidates.min_by_key(|(cost, start)| (*cost, std::cmp::Reverse(*start))).unwrap_or_default(),
        );
    }
    let mut ends = Vec::new();
    let mut at = words.len();
    while at > 0 {
        ends.push(at);
        at = best[at].1;
    }
    ends.reverse();
    ends
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_end_after_punctuation_where_that_is_cheap() {
        let text = "Comma separated feature names to enable. Valid options: promql-experimental-functions, \
                    promql-delayed-name-removal. See https://prometheus.io/docs/prometheus/latest/feature_flags/ \
                    for more details";
        assert_eq!(
            wrap(text, 47),
            [
                "Comma separated feature names to enable.",
                "Valid options: promql-experimental-functions,",
                "promql-delayed-name-removal. See",
                "https://prometheus.io/docs/prometheus/latest/feature_flags/",
                "for more details"
            ]
        );
        assert_eq!(wrap("a\n\nb c", 1), ["a", "", "b", "c"]);
        assert_eq!(wrap("", 10), Vec::<String>::new());
    }
}
