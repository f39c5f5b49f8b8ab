//! Quantiles of plain values.

use crate::QueryError;
use crate::exec::context::QueryContext;
use crate::exec::sorting;

/// The quantile `q` of `values`, which are sorted by this call. As [`quantile_of_sorted`].
pub(crate) fn quantile(q: f64, values: &mut [f64], query: &QueryContext<'_>) -> Result<f64, QueryError> {
    if (0.0..=1.0).contains(&q) {
        sort_values(values, query)?;
    }
    Ok(quantile_of_sorted(q, values))
}

/// The quantile `q` of sorted values. Between two values it is their weighted mean. NaN without values or for a NaN
/// `q`, −Inf below 0, +Inf above 1.
pub(crate) fn quantile_of_sorted(q: f64, values: &[f64]) -> f64 {
    if values.is_empty() || q.is_nan() {
        return f64::NAN;
    }
    if q < 0.0 {
        return f64::NEG_INFINITY;
    }
    if q > 1.0 {
        return f64::INFINITY;
    }
    let n = values.len() as f64;
    let rank = q * (n - 1.0);
    let lower = rank.floor().max(0.0);
    let upper = (lower + 1.0).min(n - 1.0);
    let weight = rank - rank.floor();
    values[lower as usize] * (1.0 - weight) + values[upper as usize] * weight
}

/// The order in which [`sort_values`] puts floats: NaN first, zeros of both signs equal.
pub(crate) fn order_of_values(a: &f64, b: &f64) -> std::cmp::Ordering {
    a.partial_cmp(b).unwrap_or_else(|| b.is_nan().cmp(&a.is_nan()))
}

/// Sorts floats; equal ones stay in their order.
pub(crate) fn sort_values(values: &mut [f64], query: &QueryContext<'_>) -> Result<(), QueryError> {
    sorting::sort_by(values, query, order_of_values)
}

#[cfg(test)]
mod tests {
    use crate::exec::context::tests::with_context;

    fn quantile(q: f64, values: &mut [f64]) -> f64 {
        let mut result = 0.0;
        with_context(|query| result = super::quantile(q, values, query).expect("nobody stops it"));
        result
    }

    #[test]
    fn the_order_of_values_is_total() {
        let values = [f64::NAN, -f64::NAN, 0.0, -0.0, 1.0, -1.0, f64::INFINITY, f64::NEG_INFINITY];
        ferula_testkit::assert_total_order(&values, super::order_of_values);
    }

    #[test]
    fn between_two_values_the_quantile_is_weighted() {
        assert_eq!(quantile(0.5, &mut [3.0, 1.0, 2.0]), 2.0);
        assert_eq!(quantile(0.5, &mut [4.0, 1.0]), 2.5);
        assert!(quantile(0.0, &mut [1.0, f64::NAN, 0.0]).is_nan(), "NaN is the smallest");
        assert_eq!(quantile(1.0, &mut [1.0, f64::NAN, 0.0]), 1.0);
        assert_eq!(quantile(-1.0, &mut [1.0]), f64::NEG_INFINITY);
        assert_eq!(quantile(2.0, &mut [1.0]), f64::INFINITY);
        assert!(quantile(0.5, &mut []).is_nan());
    }
}
