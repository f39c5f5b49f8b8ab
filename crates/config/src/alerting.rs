//! Section `alerting`: which Alertmanagers receive the alerts, and how alerts are relabelled on the way.

use std::time::Duration;

use ferula_model::relabel::Rule;

use crate::discovery::DiscoveryConfigs;
use crate::error::Problem;
use crate::global::{GlobalConfig, ValidationScheme};
use crate::http_client::HttpClientConfig;
use crate::relabel::{RelabelConfig, check_rules, compiled, no_null_rules};
use crate::scalars::{Secret, choice, secs};
use crate::section::section;

section! {
    /// The Alertmanagers that alerts go to.
    pub struct AlertingConfig as "config.AlertingConfig" read as "config.plain", checked {
        /// Applied once to every alert, before it is queued for any Alertmanager.
        omit alert_relabel_configs: Vec<RelabelConfig>;
        omit alertmanagers: Vec<AlertmanagerConfig>;
    }
}

section! {
    /// A set of Alertmanagers that are discovered and reached in the same way.
    pub struct AlertmanagerConfig as "*config.AlertmanagerConfig" read as "config.AlertmanagerConfig", checked {
        inline http: HttpClientConfig;
        omit sigv4: Option<SigV4Config>;
        omit scheme: String = "http".into();
        omit path_prefix: String;
        omit timeout: Duration = secs(10);
        keep api_version: AlertmanagerApiVersion = AlertmanagerApiVersion::new("v2");
        /// Applied to the discovered Alertmanagers.
        omit relabel_configs: Vec<RelabelConfig>;
        /// Applied to alerts on their way to these Alertmanagers only.
        omit alert_relabel_configs: Vec<RelabelConfig>;
        inline discovery: DiscoveryConfigs;
    }
}

choice! {
    /// The version of Alertmanager's API; only `v2` is left.
    AlertmanagerApiVersion as "config.AlertmanagerAPIVersion", ["v2"],
    |other: &str| format!("expected Alertmanager api version to be one of [v2] but got {other}")
}

section! {
    /// Signing of requests for AWS.
    pub struct SigV4Config as "sigv4.SigV4Config" read as "sigv4.plain", checked {
        omit region: String;
        omit access_key: String;
        omit secret_key: Secret;
        omit profile: String;
        omit role_arn: String;
        omit external_id: String;
        omit use_fips_sts_endpoint: bool;
        omit service_name: String;
    }
}

impl AlertingConfig {
    fn check(&mut self) -> Result<(), Problem> {
        no_null_rules(
            &self.alert_relabel_configs,
            "alert_relabel_configs",
            "empty or null alert relabeling rule",
        )
    }

    /// Checks the relabel rules, which needs the global naming scheme.
    pub(crate) fn check_names(&self, names: &ValidationScheme) -> Result<(), Problem> {
        check_rules(&self.alert_relabel_configs, "alert_relabel_configs", names)?;
        for (index, alertmanager) in self.alertmanagers.iter().enumerate() {
            check_rules(&alertmanager.alert_relabel_configs, "alert_relabel_configs", names)
                .and_then(|()| check_rules(&alertmanager.relabel_configs, "relabel_configs", names))
                .map_err(|problem| problem.at_item("alertmanagers", index))?;
        }
        Ok(())
    }
}

impl AlertmanagerConfig {
    /// Rules for the addresses of these Alertmanagers.
    pub fn target_rules(&self, global: &GlobalConfig) -> Vec<Rule> {
        compiled(&self.relabel_configs, &global.metric_name_validation_scheme)
    }

    fn check(&mut self) -> Result<(), Problem> {
        self.http.check()?;
        let http_auth =
            self.http.basic_auth.is_some() || self.http.authorization.is_some() || self.http.oauth2.is_some();
        if http_auth && self.sigv4.is_some() {
            return Err("at most one of basic_auth, authorization, oauth2, & sigv4 must be configured".into());
        }
        self.discovery.check(!self.relabel_configs.is_empty())?;
        no_null_rules(
            &self.relabel_configs,
            "relabel_configs",
            "empty or null Alertmanager target relabeling rule",
        )?;
        no_null_rules(
            &self.alert_relabel_configs,
            "alert_relabel_configs",
            "empty or null Alertmanager alert relabeling rule",
        )
    }
}

impl SigV4Config {
    fn check(&mut self) -> Result<(), Problem> {
        if self.access_key.is_empty() != self.secret_key.is_empty() {
            return Err(
                "must provide a AWS SigV4 Access key and Secret Key if credentials are specified in the \
                        SigV4 config"
                    .into(),
            );
        }
        Ok(())
    }
}
