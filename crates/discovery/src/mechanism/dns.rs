//! `dns_sd_configs`: targets from A, AAAA, SRV, MX and NS records.
//!
//! Servers and search domains come from `/etc/resolv.conf`, which is read in every round. `hickory` repeats
//! truncated queries over TCP and drops answers that do not belong to the query. A name that provably does
//! not exist has no targets; if its existence is unknown, it keeps those it had.

use std::collections::BTreeMap;
use std::time::Duration;

use ferula_config::discovery::{DiscoveryConfigs, DnsSdConfig};
use ferula_go::unicode;
use ferula_telemetry::{Counter, Registry};
use hickory_resolver::config::{ResolveHosts, ResolverConfig, ResolverOpts, ServerOrderingStrategy};
use hickory_resolver::net::{DnsError, NetError, runtime::TokioRuntimeProvider};
use hickory_resolver::proto::op::ResponseCode;
use hickory_resolver::proto::rr::{Name, RData, Record, RecordType};
use hickory_resolver::system_conf::read_system_conf;
use hickory_resolver::{Resolver, TokioResolver};

use crate::TargetGroup;
use crate::group::{Labels, host_port};
use crate::provider::{Context, ProviderError};
use crate::refresh::{Refresh, RefreshError};

/// Per query and server, as in Go's library.
const QUESTION_TIMEOUT: Duration = Duration::from_secs(2);

pub(crate) struct Dns {
    section: DnsSdConfig,
    record_type: RecordType,
    job: std::sync::Arc<str>,
    /// The servers to query; tests pass their own.
    servers: Box<dyn Fn() -> Result<(ResolverConfig, ResolverOpts), NetError> + Send + Sync>,
    /// The groups of each name from its last successful resolution.
    known: BTreeMap<String, TargetGroup>,
    metrics: DnsMetrics,
}

struct DnsMetrics {
    lookups: Counter,
    failures: Counter,
}

impl DnsMetrics {
    fn new(registry: &Registry) -> Self {
        DnsMetrics {
            lookups: registry.counter(
                "prometheus_sd_dns_lookups_total",
                "DNS lookups, one for each name and round.",
            ),
            failures: registry.counter(
                "prometheus_sd_dns_lookup_failures_total",
                "DNS lookups that failed because no server gave a usable answer. The targets of the name stay in use.",
            ),
        }
    }
}

impl Refresh for Dns {
    type Section = DnsSdConfig;

    const MECHANISM: &'static str = "dns";

    fn sections(configs: &DiscoveryConfigs) -> Vec<DnsSdConfig> {
        configs.dns_sd_configs.clone()
    }

    fn interval(section: &DnsSdConfig) -> Duration {
        section.refresh_interval
    }

    fn register_metrics(registry: &Registry) {
        DnsMetrics::new(registry);
    }

    fn new(section: DnsSdConfig, context: &Context) -> Result<Self, ProviderError> {
        let record_type = match unicode::upper(&section.kind).as_str() {
            "A" => RecordType::A,
            "AAAA" => RecordType::AAAA,
            "MX" => RecordType::MX,
            "NS" => RecordType::NS,
            _ => RecordType::SRV,
        };
        Ok(Dns {
            section,
            record_type,
            job: context.job.clone(),
            servers: Box::new(read_system_conf),
            known: BTreeMap::new(),
            metrics: DnsMetrics::new(&context.registry),
        })
    }

    /// Never fails as a whole: names are independent of each other.
    async fn refresh(&mut self) -> Result<Vec<TargetGroup>, RefreshError> {
        let resolver = self.resolver();
        let names = self.section.names.clone();
        let lookups = names.iter().map(|name| self.look_up(name, resolver.as_ref()));
        let answers = futures_util::future::join_all(lookups).await;
        for (name, answer) in names.iter().zip(answers) {
            self.metrics.lookups.inc();
            match answer {
                Ok(group) => {
                    self.known.insert(name.clone(), group);
                }
                Err(error) => {
                    self.metrics.failures.inc();
                    ferula_telemetry::error!(
                        "Error refreshing DNS targets",
                        discovery = "dns",
                        config = self.job,
                        err = error
                    );
                }
            }
        }
        Ok(self.known.values().cloned().collect())
    }
}

/// A resolver with the search domains of its configuration.
struct Servers {
    resolver: TokioResolver,
    search: Vec<Name>,
    dots_min: usize,
}

impl Dns {
    fn resolver(&self) -> Result<Servers, RefreshError> {
        let made = (self.servers)().and_then(|(config, mut options)| {
            // Nothing is cached: every round queries the servers one after another.
            options.cache_size = 0;
            options.num_concurrent_reqs = 1;
            options.server_ordering_strategy = ServerOrderingStrategy::UserProvidedOrder;
            options.use_hosts_file = ResolveHosts::Never;
            options.timeout = QUESTION_TIMEOUT;
            options.attempts = 1;
            options.edns0 = true;
            let (search, dots_min) = (config.search().to_vec(), options.ndots);
            let mut builder = Resolver::builder_with_config(config, TokioRuntimeProvider::default());
            *builder.options_mut() = options;
            Ok(Servers { resolver: builder.build()?, search, dots_min })
        });
        made.map_err(|error| RefreshError::Answer(format!("could not load resolv.conf: {error}")))
    }

    async fn look_up(
        &self,
        name: &str,
        servers: Result<&Servers, &RefreshError>,
    ) -> Result<TargetGroup, RefreshError> {
        let servers = servers.map_err(|error| RefreshError::Answer(error.to_string()))?;
        let mut all_answered = true;
        for candidate in candidates(name, servers)? {
            match servers.resolver.lookup(candidate, self.record_type).await {
                Ok(lookup) => return Ok(self.group(name, lookup.answers())),
                Err(NetError::Dns(DnsError::NoRecordsFound(none))) => match none.response_code {
                    // The name exists, but has no records of this type.
                    ResponseCode::NoError => return Ok(self.group(name, &[])),
                    ResponseCode::NXDomain => {}
                    _ => all_answered = false,
                },
                Err(error) => {
                    all_answered = false;
                    ferula_telemetry::warn!(
                        "DNS resolution failed",
                        discovery = "dns",
                        config = self.job,
                        name = name,
                        err = error
                    );
                }
            }
        }
        if all_answered {
            return Ok(self.group(name, &[]));
        }
        Err(RefreshError::Answer(format!(
            "could not resolve {name:?}: all servers responded with errors to at least one search domain"
        )))
    }

    fn group(&self, name: &str, records: &[Record]) -> TargetGroup {
        let port = self.section.port;
        let mut targets = Vec::new();
        for record in records {
            let mut labels = Labels::of([("__meta_dns_name", name)]);
            let address = match &record.data {
                RData::A(address) => host_port(&address.0.to_string(), port),
                RData::AAAA(address) => host_port(&address.0.to_string(), port),
                RData::SRV(service) => {
                    let target = service.target.to_ascii();
                    labels.set("__meta_dns_srv_record_port", service.port.to_string());
                    let address = host_port(target.trim_end_matches('.'), service.port);
                    labels.set("__meta_dns_srv_record_target", target);
                    address
                }
                RData::MX(mail) => {
                    let target = mail.exchange.to_ascii();
                    let address = host_port(target.trim_end_matches('.'), port);
                    labels.set("__meta_dns_mx_record_target", target);
                    address
                }
                RData::NS(server) => {
                    let target = server.0.to_ascii();
                    let address = host_port(target.trim_end_matches('.'), port);
                    labels.set("__meta_dns_ns_record_target", target);
                    address
                }
                // An alias on the way to an address in the same answer.
                RData::CNAME(_) => continue,
                _ => {
                    ferula_telemetry::warn!(
                        "Invalid record",
                        discovery = "dns",
                        config = self.job,
                        record = record
                    );
                    continue;
                }
            };
            labels.set("__address__", address);
            targets.push(labels.to_set());
        }
        TargetGroup::of_targets(name, targets)
    }
}

/// The full names to which a name may refer, in the order in which they are queried.
fn candidates(name: &str, servers: &Servers) -> Result<Vec<Name>, RefreshError> {
    let invalid = |error| RefreshError::Answer(format!("{name:?} is not a domain name: {error}"));
    let mut own = Name::from_str_relaxed(name).map_err(invalid)?;
    if own.is_fqdn() {
        return Ok(vec![own]);
    }
    // As in the library that Prometheus uses, labels are counted, not dots.
    let own_first = usize::from(own.num_labels()) > servers.dots_min;
    let mut all: Vec<Name> =
        servers.search.iter().filter_map(|domain| own.clone().append_domain(domain).ok()).collect();
    own.set_fqdn(true);
    all.insert(if own_first { 0 } else { all.len() }, own);
    for full in &mut all {
        full.set_fqdn(true);
    }
    Ok(all)
}

#[cfg(test)]
mod tests;
