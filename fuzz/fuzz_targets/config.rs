//! Configurations and rule files: any text is read or refused; what was read prints to something that loads.

use ferula_config::Config;
use ferula_config::discovery::parse_target_groups;
use ferula_config::rules::{RuleFileOptions, parse_rules};
use ferula_config::unit_test::UnitTestFile;
use ferula_model::labels::NameScheme;

const SEEDS: [&[u8]; 3] = [
    b"global: &g {scrape_interval: 1m, external_labels: {a: 'b', c: !!binary aGk=}}\nscrape_configs:\n- &j {job_name: a, params: {x: [y]}}\n- <<: *j\n  job_name: b\n  basic_auth: {username: u, password: p}\n  relabel_configs: [{action: keep, regex: x}]\n",
    b"groups:\n- name: g\n  interval: 30s\n  rules:\n  - &r {alert: A, expr: up == 0, for: 5m, labels: {x: y}}\n  - {<<: [*r], alert: B, annotations: {d: |\n     text}}\n",
    b"- targets: ['a:1', b]\n  labels: {x: y}\n-\n",
];

fn main() {
    ferula_fuzz::drive("config", &SEEDS, |input| {
        let Ok(text) = std::str::from_utf8(input) else { return };
        if let Ok(config) = Config::parse(text) {
            let printed = config.to_yaml();
            Config::parse(&printed).expect("what is shown is a configuration");
        }
        let options = RuleFileOptions {
            names: NameScheme::Utf8,
            ignore_unknown_fields: false,
            parser: Default::default(),
            check_template: &|_, _| Ok(()),
        };
        let _ = parse_rules(text, &options);
        let _ = parse_target_groups(text);
        let _ = UnitTestFile::parse(text);
    });
}
