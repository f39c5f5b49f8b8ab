//! Compensated addition (Kahan, with Neumaier's swap), in the order of operations that Prometheus uses.

/// Adds `increment` to `sum` and collects the lost low-order bits in `compensation`.
///
/// A sum that has become infinite needs no compensation.
#[inline]
pub fn kahan_add(increment: f64, sum: &mut f64, compensation: &mut f64) {
    let total = *sum + increment;
    if total.is_infinite() {
        *compensation = 0.0;
    } else if sum.abs() >= increment.abs() {
        *compensation += (*sum - total) + increment;
    } else {
        *compensation += (increment - total) + *sum;
    }
    *sum = total;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn low_bits_survive_a_large_detour() {
        let (mut sum, mut compensation) = (0.0, 0.0);
        for v in [1e100, 1.0, -1e100] {
            kahan_add(v, &mut sum, &mut compensation);
        }
        assert_eq!(sum + compensation, 1.0);
    }

    #[test]
    fn an_infinite_sum_drops_its_compensation() {
        let (mut sum, mut compensation) = (f64::MAX, 0.5);
        kahan_add(f64::MAX, &mut sum, &mut compensation);
        assert_eq!((sum, compensation), (f64::INFINITY, 0.0));
    }
}
