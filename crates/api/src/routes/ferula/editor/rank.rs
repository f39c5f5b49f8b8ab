//! Ranks candidates by how the typed text matches: at their beginning, at the beginning of a word, inside, or
//! as letters in order.

use ferula_go::unicode;

/// The matching candidates, best first; equal ones are sorted by length, then by name.
pub(in crate::routes::ferula) fn ranked<'a>(
    word: &str,
    candidates: impl Iterator<Item = &'a str> + Clone,
    count_max: usize,
) -> Vec<&'a str> {
    let lower = unicode::lower(word);
    let fitting_by = |fit: fn(&str, &str) -> Option<u32>| -> Vec<(u32, &'a str)> {
        candidates.clone().filter_map(|candidate| Some((fit(&lower, candidate)?, candidate))).collect()
    };
    // Those that begin with the word are better than all others, and mostly enough.
    let mut fitting = fitting_by(fit_start);
    if fitting.len() < count_max || count_max == 0 {
        fitting = fitting_by(fit);
    }
    let order = |a: &(u32, &str), b: &(u32, &str)| {
        b.0.cmp(&a.0).then(a.1.len().cmp(&b.1.len())).then_with(|| a.1.cmp(b.1))
    };
    if fitting.len() > count_max && count_max > 0 {
        fitting.select_nth_unstable_by(count_max - 1, order);
        fitting.truncate(count_max);
    }
    fitting.sort_unstable_by(order);
    fitting.into_iter().map(|(_, candidate)| candidate).collect()
}

/// [`fit`] of candidates that begin with the word.
fn fit_start(lower: &str, candidate: &str) -> Option<u32> {
    if candidate.is_ascii() && lower.is_ascii() {
        return fit_bytes_start(lower.as_bytes(), candidate.as_bytes());
    }
    fit_bytes_start(lower.as_bytes(), unicode::lower(candidate).as_bytes())
}

/// How well a lower-case word matches; `None` if it does not.
pub(in crate::routes::ferula) fn fit(lower: &str, candidate: &str) -> Option<u32> {
    if lower.is_empty() {
        return Some(0);
    }
    // Names are almost always ASCII, and then no copy is needed.
    if candidate.is_ascii() && lower.is_ascii() {
        return fit_bytes(lower.as_bytes(), candidate.as_bytes());
    }
    fit_bytes(lower.as_bytes(), unicode::lower(candidate).as_bytes())
}

fn fit_bytes(word: &[u8], candidate: &[u8]) -> Option<u32> {
    let same = |a: &[u8], b: &[u8]| a.eq_ignore_ascii_case(b);
    if let Some(start) = fit_bytes_start(word, candidate) {
        return Some(start);
    }
    let first = word[0];
    let starts = candidate.windows(word.len()).enumerate();
    let mut inside = false;
    for (at, window) in starts {
        if window[0].to_ascii_lowercase() == first && same(word, window) {
            if at > 0 && matches!(candidate[at - 1], b'_' | b':' | b'.' | b'-' | b'/') {
                return Some(3);
            }
            inside = true;
        }
    }
    if inside {
        return Some(2);
    }
    let mut rest = candidate.iter();
    word.iter().all(|letter| rest.any(|other| other.to_ascii_lowercase() == *letter)).then_some(1)
}

fn fit_bytes_start(word: &[u8], candidate: &[u8]) -> Option<u32> {
    let start = candidate.get(..word.len())?;
    match word.len() {
        0 => Some(0),
        len => start.eq_ignore_ascii_case(word).then_some(if len == candidate.len() { 5 } else { 4 }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::name_cache::MetricNames;

    #[test]
    fn beginnings_come_first_then_words_then_insides_then_letters() {
        let names = ["xhttpx", "h_t_t_p", "my_http_total", "http_requests_total", "http", "HTTP_x", "other"];
        assert_eq!(
            ranked("http", names.into_iter(), 9),
            ["http", "HTTP_x", "http_requests_total", "my_http_total", "xhttpx", "h_t_t_p"]
        );
        assert_eq!(ranked("http", names.into_iter(), 2), ["http", "HTTP_x"]);
        assert_eq!(ranked("", ["b", "a"].into_iter(), 9), ["a", "b"]);
        assert_eq!(ranked("ÄÖ", ["xäöx", "äö", "ao"].into_iter(), 9), ["äö", "xäöx"]);
    }

    #[test]
    fn letters_leave_out_only_names_that_do_not_match() {
        let names: Vec<String> = ["http_requests_total", "HTTP_x", "node:cpu", "über", "a1", "0", "a.b-c"]
            .map(str::to_owned)
            .to_vec();
        let known = MetricNames::new(names.clone());
        for word in ["", "h", "HTTP", "http_x", "ns", "Ü", "über", ":", "-", ".", "01", "a1", "zzz", "é"] {
            let all = ranked(word, names.iter().map(String::as_str), 9);
            assert_eq!(ranked(word, known.with_letters_of(word), 9), all, "{word}");
        }
        assert_eq!(known.with_letters_of("x_").collect::<Vec<_>>(), ["HTTP_x", "über"]);
    }

    #[test]
    fn many_that_begin_with_the_word_are_ranked_as_among_all() {
        let names: Vec<String> = (0..200).flat_map(|n| [format!("x{n}_up"), format!("up_{n}")]).collect();
        let few = ranked("up", names.iter().map(String::as_str), 20);
        let all = ranked("up", names.iter().map(String::as_str), 400);
        assert_eq!((all.len(), &few[..]), (400, &all[..20]));
    }
}
