//! In which state the services are.

/// What load there is and what is broken. The default is a quiet afternoon.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Condition {
    /// Requests per second to the shop, over all its instances.
    pub requests: f64,
    /// Share of requests that end in 500, 502 or 503.
    pub errors: f64,
    /// What every latency is multiplied with.
    pub slowness: f64,
    /// Failed logins per second.
    pub failed_logins: f64,
    /// The second instance of the shop does not answer.
    pub instance_is_dead: bool,
    /// New label values per second in a metric that nobody meant to grow.
    pub leaked_series: f64,
    /// The machine has little memory, disk and idle time left, and its worker process restarts all the time.
    pub machine_is_sick: bool,
}

impl Default for Condition {
    fn default() -> Self {
        Condition {
            requests: 60.0,
            errors: 0.000_2,
            slowness: 1.0,
            failed_logins: 0.2,
            instance_is_dead: false,
            leaked_series: 0.0,
            machine_is_sick: false,
        }
    }
}
