//! Selects the series of an index that match matchers, in the same way for the head and for blocks.
//!
//! A series without a label has the value "" for it. If a matcher does not match "", it can be answered from
//! the values in the index, and its series are intersected. If it matches "", that is impossible: the series
//! whose value does not match are subtracted instead.
//!
//! 1. Equality matchers are intersected first, beginning with the rarest: they are cheap and leave the fewest
//!    series.
//! 2. The other intersecting matchers follow, then the subtracting ones. Once few series are left, an index
//!    that knows the values of a series checks each of them instead of each value.

use ferula_model::{MatchOp, Matcher};

use super::{intersect, subtract};

/// Compares a label value with a matcher.
pub type Compare<'a> = dyn Fn(&Matcher, &str) -> bool + 'a;

/// The index operations that a selection uses. Lists of series are in ascending order.
pub trait PostingsSource {
    /// Why the index cannot be read.
    type Error;

    /// Every series.
    fn all(&self) -> Result<Vec<u32>, Self::Error>;

    /// The series with this label.
    fn equal(&self, name: &str, value: &str) -> Result<Vec<u32>, Self::Error>;

    /// Number of these series; `None` if the index would have to read them.
    fn count(&self, _name: &str, _value: &str) -> Option<usize> {
        None
    }

    /// Keeps the series that have this label, or, without `keep`, those that do not.
    fn filter(&self, ids: &mut Vec<u32>, name: &str, value: &str, keep: bool) -> Result<(), Self::Error> {
        let list = self.equal(name, value)?;
        if keep {
            *ids = intersect(ids, &list);
        } else {
            subtract(ids, &list);
        }
        Ok(())
    }

    /// The series whose value of the label is wanted.
    fn having(&self, name: &str, wanted: &mut dyn FnMut(&str) -> bool) -> Result<Vec<u32>, Self::Error>;

    /// Keeps the series whose value ("" for none) is wanted, by checking every series. Returns `false`
    /// without any effect if checking every value is cheaper, or the only possibility.
    fn filter_each(&self, _ids: &mut Vec<u32>, _name: &str, _wanted: &mut dyn FnMut(&str) -> bool) -> bool {
        false
    }
}

/// The series that match all matchers, in ascending order. Without matchers, all series match.
pub fn select<S: PostingsSource>(
    source: &S,
    matchers: &[Matcher],
    matches: &Compare<'_>,
) -> Result<Vec<u32>, S::Error> {
    let (subtracting, mut intersecting): (Vec<&Matcher>, Vec<&Matcher>) =
        matchers.iter().partition(|matcher| matcher.matches_empty());
    intersecting.sort_by_cached_key(|matcher| {
        let equal = matcher.op == MatchOp::Equal;
        (!equal, if equal { source.count(&matcher.name, &matcher.value) } else { None })
    });
    let mut selected: Option<Vec<u32>> = None;
    for matcher in intersecting {
        let ids = match selected.take() {
            None if matcher.op == MatchOp::Equal => source.equal(&matcher.name, &matcher.value)?,
            None => source.having(&matcher.name, &mut |value| matches(matcher, value))?,
            Some(ids) => narrow(source, ids, matcher, matches)?,
        };
        if ids.is_empty() {
            return Ok(ids);
        }
        selected = Some(ids);
    }
    let mut ids = match selected {
        Some(ids) => ids,
        None => source.all()?,
    };
    for matcher in subtracting {
        if matcher.op == MatchOp::NotEqual {
            source.filter(&mut ids, &matcher.name, &matcher.value, false)?;
        } else if !source.filter_each(&mut ids, &matcher.name, &mut |value| matches(matcher, value)) {
            subtract(&mut ids, &source.having(&matcher.name, &mut |value| !matches(matcher, value))?);
        }
    }
    Ok(ids)
}

fn narrow<S: PostingsSource>(
    source: &S,
    mut ids: Vec<u32>,
    matcher: &Matcher,
    matches: &Compare<'_>,
) -> Result<Vec<u32>, S::Error> {
    if matcher.op == MatchOp::Equal {
        source.filter(&mut ids, &matcher.name, &matcher.value, true)?;
        return Ok(ids);
    }
    let mut wanted = |value: &str| matches(matcher, value);
    if source.filter_each(&mut ids, &matcher.name, &mut wanted) {
        return Ok(ids);
    }
    Ok(intersect(&ids, &source.having(&matcher.name, &mut wanted)?))
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use proptest::prelude::*;

    use super::*;

    /// Series as lists of their labels: the simplest possible index.
    struct Plain {
        series: Vec<Vec<(&'static str, &'static str)>>,
        looks_at_each: bool,
    }

    fn value<'a>(labels: &[(&'a str, &'a str)], name: &str) -> &'a str {
        labels.iter().find(|(other, _)| *other == name).map_or("", |(_, value)| value)
    }

    impl Plain {
        fn where_value(&self, name: &str, mut wanted: impl FnMut(&str) -> bool) -> Vec<u32> {
            let mut ids = Vec::new();
            for (id, labels) in (0..).zip(&self.series) {
                // Values without series are not in an index.
                if !value(labels, name).is_empty() && wanted(value(labels, name)) {
                    ids.push(id);
                }
            }
            ids
        }
    }

    impl PostingsSource for Plain {
        type Error = Infallible;

        fn all(&self) -> Result<Vec<u32>, Infallible> {
            Ok((0..self.series.len() as u32).collect())
        }

        fn equal(&self, name: &str, value: &str) -> Result<Vec<u32>, Infallible> {
            Ok(self.where_value(name, |other| other == value))
        }

        fn having(&self, name: &str, wanted: &mut dyn FnMut(&str) -> bool) -> Result<Vec<u32>, Infallible> {
            Ok(self.where_value(name, wanted))
        }

        fn filter_each(&self, ids: &mut Vec<u32>, name: &str, wanted: &mut dyn FnMut(&str) -> bool) -> bool {
            if self.looks_at_each {
                ids.retain(|id| wanted(value(&self.series[*id as usize], name)));
            }
            self.looks_at_each
        }
    }

    fn matcher() -> impl Strategy<Value = Matcher> {
        let op = prop_oneof![
            Just(MatchOp::Equal),
            Just(MatchOp::NotEqual),
            Just(MatchOp::Regex),
            Just(MatchOp::NotRegex)
        ];
        let name = prop_oneof![Just("a"), Just("b"), Just("none")];
        let text =
            prop_oneof![Just(""), Just("1"), Just("2"), Just("1|"), Just("1|2"), Just(".*"), Just(".+")];
        (op, name, text).prop_map(|(op, name, text)| Matcher::new(op, name, text).expect("a matcher"))
    }

    fn label(name: &'static str) -> impl Strategy<Value = Option<(&'static str, &'static str)>> {
        prop_oneof![Just(None), Just(Some((name, "1"))), Just(Some((name, "2"))), Just(Some((name, "3")))]
    }

    proptest! {
        #[test]
        fn a_selection_is_what_all_matchers_match(
            series in prop::collection::vec((label("a"), label("b")), 0..12),
            matchers in prop::collection::vec(matcher(), 0..4),
            looks_at_each: bool,
        ) {
            let series: Vec<Vec<_>> = series.into_iter().map(|(a, b)| a.into_iter().chain(b).collect()).collect();
            let expected: Vec<u32> = (0..)
                .zip(&series)
                .filter(|(_, labels)| matchers.iter().all(|m| m.matches(value(labels, &m.name))))
                .map(|(id, _)| id)
                .collect();
            let Ok(found) = select(&Plain { series, looks_at_each }, &matchers, &Matcher::matches);
            prop_assert_eq!(found, expected);
        }
    }
}
