//! From discovered targets to the addresses of Alertmanagers.

use ferula_config::alerting::AlertmanagerConfig;
use ferula_discovery::TargetGroup;
use ferula_model::LabelSet;
use ferula_model::relabel::{Rule, process};
use ferula_telemetry::error;

const ADDRESS: &str = "__address__";
const SCHEME: &str = "__scheme__";
const PATH: &str = "__alerts_path__";

/// An address with a path or a scheme, which no host has.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{} is not a valid hostname", ferula_go::quote::go_quote(_0))]
pub struct AddressError(pub String);

/// Checks that every target of a section is a usable Alertmanager address. Used by `check config`.
///
/// # Errors
/// The first address that is not usable.
pub fn check_targets<'g>(
    config: &AlertmanagerConfig,
    rules: &[Rule],
    groups: impl IntoIterator<Item = &'g TargetGroup>,
) -> Result<(), AddressError> {
    for group in groups {
        for target in &group.targets {
            labels_of(config, rules, group, target)?;
        }
    }
    Ok(())
}

/// Addresses that receive alerts and addresses that relabelling dropped, each once, in discovery order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Addresses {
    pub active: Vec<String>,
    pub dropped: Vec<String>,
}

impl Addresses {
    /// Collects the addresses from the groups of one section.
    pub fn of_groups<'g>(
        config: &AlertmanagerConfig,
        rules: &[Rule],
        groups: impl IntoIterator<Item = &'g TargetGroup>,
    ) -> Self {
        let mut addresses = Addresses::default();
        for group in groups {
            for target in &group.targets {
                addresses.add(config, rules, group, target);
            }
        }
        addresses
    }

    fn add(&mut self, config: &AlertmanagerConfig, rules: &[Rule], group: &TargetGroup, target: &LabelSet) {
        let (list, address) = match labels_of(config, rules, group, target) {
            Ok(Relabelled::Active(labels)) => (&mut self.active, address_of(&labels)),
            Ok(Relabelled::Dropped(labels)) => (&mut self.dropped, address_of(&labels)),
            Err(err) => {
                error!("Creating discovered Alertmanagers failed", err = err);
                return;
            }
        };
        if !list.contains(&address) {
            list.push(address);
        }
    }
}

/// The outcome of relabelling one Alertmanager.
enum Relabelled {
    /// Its labels after relabelling.
    Active(LabelSet),
    /// Its labels before relabelling.
    Dropped(LabelSet),
}

/// Relabels one target.
fn labels_of(
    config: &AlertmanagerConfig,
    rules: &[Rule],
    group: &TargetGroup,
    target: &LabelSet,
) -> Result<Relabelled, AddressError> {
    let mut labels = target.to_builder();
    labels.set(SCHEME, &config.scheme);
    labels.set(PATH, &push_path(&config.path_prefix, config.api_version.as_str()));
    for (name, value) in group.labels.iter().filter(|(name, _)| target.get(name).is_none()) {
        labels.set(name, value);
    }
    let before = labels.finish();
    if !process(rules, &mut labels) {
        return Ok(Relabelled::Dropped(before));
    }
    let address = labels.value(ADDRESS);
    if address.contains('/') {
        return Err(AddressError(address.to_owned()));
    }
    Ok(Relabelled::Active(labels.finish()))
}

fn address_of(labels: &LabelSet) -> String {
    format!("{}://{}{}", labels.value(SCHEME), labels.value(ADDRESS), labels.value(PATH))
}

/// `/prefix/api/v2/alerts`, without double slashes.
fn push_path(prefix: &str, version: &str) -> String {
    let mut path = String::new();
    for part in prefix.split('/').filter(|part| !part.is_empty()) {
        path.push('/');
        path.push_str(part);
    }
    format!("{path}/api/{version}/alerts")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use ferula_config::Config;

    use super::*;

    #[test]
    fn targets_become_addresses_and_are_relabelled_and_deduplicated() {
        let text = "alerting: {alertmanagers: [{path_prefix: /am/, scheme: https, relabel_configs: [
            {source_labels: [__address__], regex: 'old:.*', action: drop},
            {source_labels: [zone], regex: '(.+)', target_label: __address__, replacement: '$1:9'}]}]}";
        let config = Config::parse(text).unwrap();
        let section = &config.alerting.alertmanagers[0];
        let rules = section.target_rules(&config.global);
        let group = |addresses: &[&str], labels: &[(&str, &str)]| {
            let addresses: Vec<String> = addresses.iter().map(|a| (*a).to_owned()).collect();
            let labels: BTreeMap<String, String> =
                labels.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
            TargetGroup::new("0".into(), &addresses, &labels)
        };
        let groups = [group(&["a:1", "a:1", "old:1", "http://x"], &[]), group(&["b:1"], &[("zone", "z")])];
        let found = Addresses::of_groups(section, &rules, &groups);
        assert_eq!(found.active, ["https://a:1/am/api/v2/alerts", "https://z:9/am/api/v2/alerts"]);
        assert_eq!(found.dropped, ["https://old:1/am/api/v2/alerts"]);
    }
}
