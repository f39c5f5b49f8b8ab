//! Sums and quantiles, written down plainly.

/// Neumaier's sum: the sum and what rounding lost.
pub fn add(sum: &mut f64, lost: &mut f64, value: f64) {
    let total = *sum + value;
    if total.is_infinite() {
        *lost = 0.0;
    } else if sum.abs() >= value.abs() {
        *lost += (*sum - total) + value;
    } else {
        *lost += (value - total) + *sum;
    }
    *sum = total;
}

pub fn sum(values: &[f64]) -> f64 {
    let (mut sum, mut lost) = (values[0], 0.0);
    for &value in &values[1..] {
        add(&mut sum, &mut lost, value);
    }
    sum + lost
}

pub fn mean(values: &[f64]) -> f64 {
    let (mut sum, mut lost) = (values[0], 0.0);
    let mut incremental = false;
    let mut count = 1.0;
    for &value in &values[1..] {
        count += 1.0;
        if !incremental {
            let (mut next, mut next_lost) = (sum, lost);
            add(&mut next, &mut next_lost, value);
            if !next.is_infinite() {
                (sum, lost) = (next, next_lost);
                continue;
            }
            incremental = true;
            sum /= count - 1.0;
            lost /= count - 1.0;
        }
        let share = (count - 1.0) / count;
        (sum, lost) = (share * sum, share * lost);
        add(&mut sum, &mut lost, value / count);
    }
    if incremental { sum + lost } else { sum / count + lost / count }
}

pub fn quantile(q: f64, values: &[f64]) -> f64 {
    if values.is_empty() || q.is_nan() {
        return f64::NAN;
    }
    if q < 0.0 {
        return f64::NEG_INFINITY;
    }
    if q > 1.0 {
        return f64::INFINITY;
    }
    let mut sorted = values.to_vec();
    sorted.sort_by(|a, b| match (a.is_nan(), b.is_nan()) {
        (false, false) => a.partial_cmp(b).expect("neither is NaN"),
        (a, b) => b.cmp(&a),
    });
    let rank = q * (sorted.len() as f64 - 1.0);
    let lower = rank.floor();
    let upper = (lower + 1.0).min(sorted.len() as f64 - 1.0);
    let weight = rank - lower;
    sorted[lower as usize] * (1.0 - weight) + sorted[upper as usize] * weight
}
