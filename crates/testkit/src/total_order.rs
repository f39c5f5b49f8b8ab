//! Checks that a comparison is a total order: a sort panics, or loses its meaning, with one that is not.

use std::cmp::Ordering;
use std::fmt::Debug;

/// Compares every pair and every triple of `items`.
///
/// # Panics
/// The comparison contradicts itself.
pub fn assert_total_order<T: Debug>(items: &[T], compare: impl Fn(&T, &T) -> Ordering) {
    for a in items {
        assert_eq!(compare(a, a), Ordering::Equal, "{a:?} with itself");
        for b in items {
            assert_eq!(compare(a, b), compare(b, a).reverse(), "{a:?} and {b:?}");
            for c in items {
                if compare(a, b).is_le() && compare(b, c).is_le() {
                    assert!(compare(a, c).is_le(), "{a:?} ≤ {b:?} ≤ {c:?}");
                    let is_strict = compare(a, b).is_lt() || compare(b, c).is_lt();
                    assert_eq!(compare(a, c).is_lt(), is_strict, "{a:?}, {b:?}, {c:?}");
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_order_passes() {
        assert_total_order(&[3, 1, 2, 1], i32::cmp);
        assert_total_order(&[f64::NAN, 0.0, -0.0, 1.0, f64::NEG_INFINITY], f64::total_cmp);
    }

    #[test]
    #[should_panic(expected = "NaN")]
    fn a_comparison_that_finds_nan_equal_to_all_does_not() {
        assert_total_order(&[f64::NAN, 0.0, 1.0], |a, b| a.partial_cmp(b).unwrap_or(Ordering::Equal));
    }
}
