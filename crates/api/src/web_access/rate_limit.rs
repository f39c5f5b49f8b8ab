//! `rate_limit`: how many requests all clients together may make.

use std::sync::Mutex;
use std::time::{Duration, Instant};

use ferula_config::web::RateLimitConfig;
use ferula_go::sync::MutexExt;

/// A token bucket: `burst` requests, and one more each `interval`.
pub struct RateLimit {
    burst: f64,
    interval: Duration,
    state: Mutex<Bucket>,
}

struct Bucket {
    tokens: f64,
    /// `None` before the first request.
    filled_at: Option<Instant>,
}

impl RateLimit {
    /// The limit of a section, if it sets one.
    pub fn of(section: &RateLimitConfig) -> Option<Self> {
        let burst = section.burst.max(0) as f64;
        let state = Mutex::new(Bucket { tokens: burst, filled_at: None });
        let interval = section.interval.0;
        (!interval.is_zero()).then_some(RateLimit { burst, interval, state })
    }

    /// Takes a request from the bucket, if there is one.
    pub fn allows(&self, now: Instant) -> bool {
        let mut bucket = self.state.locked();
        let passed = bucket.filled_at.map_or(Duration::ZERO, |then| now.saturating_duration_since(then));
        let tokens = bucket.tokens + passed.as_secs_f64() / self.interval.as_secs_f64();
        bucket.filled_at = Some(now);
        bucket.tokens = tokens.min(self.burst);
        let allowed = bucket.tokens >= 1.0;
        if allowed {
            bucket.tokens -= 1.0;
        }
        allowed
    }
}

#[cfg(test)]
mod tests {
    use ferula_config::alertmanager::GoDuration;

    use super::*;

    fn seconds(seconds: u64) -> GoDuration {
        GoDuration(Duration::from_secs(seconds))
    }

    #[test]
    fn a_burst_is_let_through_and_then_one_each_interval() {
        let section = RateLimitConfig { burst: 2, interval: seconds(10) };
        let limit = RateLimit::of(&section).expect("a limit");
        let begin = Instant::now();
        let at = |seconds| limit.allows(begin + Duration::from_secs(seconds));
        assert_eq!([at(0), at(0), at(0), at(9), at(11), at(12)], [true, true, false, false, true, false]);
        assert_eq!([at(1000), at(1000), at(1000)], [true, true, false], "no more than the burst is saved up");
        assert!(RateLimit::of(&RateLimitConfig::default()).is_none());
        let none = RateLimitConfig { burst: 0, interval: seconds(1) };
        assert!(!RateLimit::of(&none).expect("a limit").allows(begin));
    }
}
