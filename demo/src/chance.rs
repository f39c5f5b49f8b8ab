//! Random numbers that a seed repeats.

/// A generator (SplitMix64) with the distributions that traffic has.
#[derive(Clone, Debug)]
pub struct Chance(u64);

impl Chance {
    pub fn new(seed: u64) -> Self {
        Chance(seed)
    }

    /// Any number.
    pub fn number(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// At least 0, below 1.
    pub fn share(&mut self) -> f64 {
        (self.number() >> 11) as f64 / (1u64 << 53) as f64
    }

    /// Whether something with this probability happens.
    pub fn happens(&mut self, probability: f64) -> bool {
        self.share() < probability
    }

    /// How many events happen where `mean` are expected (Poisson).
    pub fn events(&mut self, mean: f64) -> u64 {
        // Sums of Poisson numbers are Poisson numbers, which keeps e^-mean away from zero.
        let (mut left, mut events) = (mean, 0);
        while left > 0.0 {
            let floor = (-left.min(16.0)).exp();
            let mut product = self.share();
            while product > floor {
                events += 1;
                product *= self.share();
            }
            left -= 16.0;
        }
        events
    }

    /// A time with this median, in whose unit it is. One in twenty is 2.7 times as long or longer (log-normal, σ = 0.6).
    pub fn latency(&mut self, median: f64) -> f64 {
        // Twelve uniform numbers minus six are as good as normal here.
        let normal: f64 = (0..12).map(|_| self.share()).sum::<f64>() - 6.0;
        median * (0.6 * normal).exp()
    }

    /// One of these, by weight.
    pub fn pick<'a, T>(&mut self, weighted: &'a [(T, u32)]) -> &'a T {
        let all: u64 = weighted.iter().map(|(_, weight)| u64::from(*weight)).sum();
        let mut at = self.number() % all.max(1);
        for (item, weight) in weighted {
            match at.checked_sub(u64::from(*weight)) {
                Some(left) => at = left,
                None => return item,
            }
        }
        &weighted[weighted.len() - 1].0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_the_distributions_that_they_claim() {
        let mut chance = Chance::new(1);
        for mean in [0.3, 4.0, 70.0] {
            let events: Vec<f64> = (0..20_000).map(|_| chance.events(mean) as f64).collect();
            let average = events.iter().sum::<f64>() / events.len() as f64;
            let variance = events.iter().map(|e| (e - average).powi(2)).sum::<f64>() / events.len() as f64;
            assert!((average / mean - 1.0).abs() < 0.05, "{average} for {mean}");
            assert!(
                (variance / mean - 1.0).abs() < 0.1,
                "Poisson: the variance is the mean: {variance} for {mean}"
            );
        }
        let mut times: Vec<f64> = (0..20_000).map(|_| chance.latency(0.1)).collect();
        times.sort_by(f64::total_cmp);
        assert!((times[10_000] / 0.1 - 1.0).abs() < 0.05);
        assert!((times[19_000] / 0.1 / 2.7 - 1.0).abs() < 0.1);
        let picked = (0..10_000).filter(|_| *chance.pick(&[(true, 3), (false, 1)])).count();
        assert!((7_200..7_800).contains(&picked), "{picked}");
    }
}
