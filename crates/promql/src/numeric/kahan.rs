//! Compensated summation after Kahan and Neumaier, step by step as Prometheus' `kahansum` does it.

/// A running sum and what rounding took from it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Kahan {
    /// The sum so far.
    pub sum: f64,
    /// What to add to it at the end.
    pub compensation: f64,
}

impl Kahan {
    /// The sum of nothing; −0 so that a sum of −0 alone stays −0.
    pub(crate) const EMPTY: Kahan = Kahan { sum: -0.0, compensation: 0.0 };

    /// A sum that starts with 0, as loops that do not take their first value apart do.
    pub(crate) const ZERO: Kahan = Kahan { sum: 0.0, compensation: 0.0 };

    /// The sum with `value` added. When the sum becomes infinite the compensation is dropped.
    #[inline]
    #[must_use]
    pub(crate) fn plus(self, value: f64) -> Kahan {
        let (sum, compensation) = add(value, self.sum, self.compensation);
        Kahan { sum, compensation }
    }

    /// The compensated sum.
    #[inline]
    pub(crate) fn value(self) -> f64 {
        self.sum + self.compensation
    }
}

/// `sum + value` and the new compensation. Selects instead of branches, so that loops over steps become vector code.
#[inline]
pub(crate) fn add(value: f64, sum: f64, compensation: f64) -> (f64, f64) {
    let total = sum + value;
    let lost = if sum.abs() >= value.abs() { (sum - total) + value } else { (value - total) + sum };
    let compensation = if total.is_infinite() { 0.0 } else { compensation + lost };
    (total, compensation)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_values_survive_large_ones() {
        let sum = [1e100, 1.0, -1e100].into_iter().fold(Kahan::ZERO, Kahan::plus);
        assert_eq!(sum.value(), 1.0);
    }

    #[test]
    fn an_infinite_sum_stays_infinite() {
        let sum = [f64::MAX, f64::MAX, -1.0].into_iter().fold(Kahan::ZERO, Kahan::plus);
        assert_eq!(sum.value(), f64::INFINITY);
    }

    #[test]
    fn minus_zero_alone_stays_minus_zero() {
        assert!(Kahan::EMPTY.plus(-0.0).sum.is_sign_negative());
        assert_eq!(Kahan::EMPTY.plus(3.5), Kahan { sum: 3.5, compensation: 0.0 });
    }
}
