//! Scrape targets as the API shows them: a snapshot, read through a trait so that tests need no scraper.

use ferula_model::{LabelSet, MetricMetadata};
use time::OffsetDateTime;

/// Where the API learns about targets.
pub trait TargetSource: Send + Sync {
    /// Names of all pools, sorted.
    fn pools(&self) -> Vec<String>;

    /// Targets that are scraped, pool by pool in order of their names.
    fn active(&self) -> Vec<ActiveTarget>;

    /// Targets that relabelling dropped, pool by pool, as far as they are kept.
    fn dropped(&self) -> Vec<DroppedTarget>;

    /// How many targets each pool dropped.
    fn dropped_counts(&self) -> Vec<(String, u64)>;

    /// Metadata of one metric, or of all, of every active target.
    fn metadata(&self, metric: Option<&str>) -> Vec<TargetMetadata>;
}

/// What the last scrape came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Health {
    /// It worked.
    Up,
    /// It failed.
    Down,
    /// There was none yet.
    Unknown,
}

impl Health {
    /// The word in the answer.
    pub const fn as_str(self) -> &'static str {
        match self {
            Health::Up => "up",
            Health::Down => "down",
            Health::Unknown => "unknown",
        }
    }
}

/// A target that is scraped.
#[derive(Clone, Debug)]
pub struct ActiveTarget {
    /// Name of its pool.
    pub pool: String,
    /// Labels before relabelling, in order of their names.
    pub discovered_labels: LabelSet,
    /// Labels of its series.
    pub labels: LabelSet,
    /// What is fetched.
    pub url: String,
    /// Why the last scrape failed or was not stored whole, or "".
    pub last_error: String,
    /// When the last scrape began.
    pub last_scrape: Option<OffsetDateTime>,
    /// How long it took.
    pub last_duration_seconds: f64,
    /// What it came to.
    pub health: Health,
    /// Time between scrapes, as the configuration writes it.
    pub interval: String,
    /// Bound on one scrape, as the configuration writes it.
    pub timeout: String,
}

/// A target that relabelling dropped.
#[derive(Clone, Debug)]
pub struct DroppedTarget {
    /// Name of its pool.
    pub pool: String,
    /// Labels before relabelling.
    pub discovered_labels: LabelSet,
}

/// Metadata of one metric family of one target.
#[derive(Clone, Debug)]
pub struct TargetMetadata {
    /// Labels of the target.
    pub target: LabelSet,
    /// Name of the family.
    pub family: String,
    /// Type, unit, help.
    pub metadata: MetricMetadata,
}

/// The address of a target as others reach it: the server's own is replaced by its external address, other local ones
/// by the external host.
pub fn global_url(url: &str, listen_address: &str, scheme: &str, external_host: &str) -> String {
    let Some((own_scheme, rest)) = url.split_once("://") else { return url.to_owned() };
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at(end);
    let (host, port) = split_host_port(authority);
    if !["127.0.0.1", "localhost", "::1"].contains(&host) {
        return url.to_owned();
    }
    let (_, own_port) = split_host_port(listen_address);
    if port == own_port {
        return format!("{scheme}://{external_host}{path}");
    }
    let (external_name, _) = split_host_port(external_host);
    let external_name =
        if external_name.contains(':') { format!("[{external_name}]") } else { external_name.to_owned() };
    match port {
        "" => format!("{own_scheme}://{external_name}{path}"),
        port => format!("{own_scheme}://{external_name}:{port}{path}"),
    }
}

/// Host without brackets, and port or "".
pub fn split_host_port(authority: &str) -> (&str, &str) {
    if let Some((host, after)) = authority.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        return (host, after.strip_prefix(':').unwrap_or(""));
    }
    authority.rsplit_once(':').unwrap_or((authority, ""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn local_addresses_are_shown_as_others_reach_them() {
        let global = |url| global_url(url, "0.0.0.0:9090", "https", "prom.example:443");
        for (url, want) in [
            ("http://localhost:9090/metrics", "https://prom.example:443/metrics"),
            ("http://127.0.0.1:9100/metrics?a=b", "http://prom.example:9100/metrics?a=b"),
            ("http://[::1]:9100/metrics", "http://prom.example:9100/metrics"),
            ("http://localhost/metrics", "http://prom.example/metrics"),
            ("http://other:9090/metrics", "http://other:9090/metrics"),
        ] {
            assert_eq!(global(url), want);
        }
    }
}
