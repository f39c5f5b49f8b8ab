//! Creates the integrations of a configuration: each item of a receiver with its client and templates.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use ferula_config::Secret;
use ferula_config::alertmanager::receiver::on_call::IncidentioConfig;
use ferula_config::alertmanager::receiver::other::SnsConfig;
use ferula_config::alertmanager::{AlertmanagerConfig, HttpConfig, Receiver};
use ferula_config::http_client::{Authorization, HttpClientConfig};
use ferula_http_client::HttpClients;
use ferula_runtime::SharedClock;

use super::discord::Discord;
use super::email::Email;
use super::environment::{BuildError, Environment, must_be_readable};
use super::exchange::Service;
use super::incidentio::Incidentio;
use super::jira::Jira;
use super::mattermost::Mattermost;
use super::msteams::{MsTeams, MsTeamsV2};
use super::opsgenie::Opsgenie;
use super::pagerduty::Pagerduty;
use super::pushover::Pushover;
use super::rendering::Catalog;
use super::rocketchat::Rocketchat;
use super::slack::Slack;
use super::sns::Sns;
use super::telegram::Telegram;
use super::victorops::Victorops;
use super::webex::Webex;
use super::webhook::Webhook;
use super::wechat::Wechat;
use super::{Integration, Notifier};
use crate::template::Templates;

/// The `User-Agent` of requests.
const USER_AGENT: &str = "Alertmanager/0.33.1";
/// The clients of two services use Go's default instead.
const GO_USER_AGENT: &str = "Go-http-client/1.1";

/// The integrations of every receiver that a route names, by the receiver's name.
///
/// # Errors
/// The first error.
pub fn build(
    config: &AlertmanagerConfig,
    external_url: &str,
    clock: &SharedClock,
) -> Result<BTreeMap<String, Vec<Integration>>, BuildError> {
    let environment = Environment {
        templates: Arc::new(Templates::load(&config.templates.0, external_url, clock)?),
        clients: HttpClients::default(),
        clock: clock.clone(),
    };
    let mut used = std::collections::BTreeSet::new();
    let mut routes = vec![config.root_route()];
    while let Some(route) = routes.pop() {
        used.insert(route.receiver.as_str());
        routes.extend(route.children());
    }
    let receivers = config.receivers.iter().filter(|receiver| used.contains(receiver.name.as_str()));
    receivers.map(|receiver| Ok((receiver.name.clone(), integrations(receiver, &environment)?))).collect()
}

/// The integrations of one receiver, in Alertmanager's order.
///
/// # Errors
/// Files of the configuration cannot be read or have invalid contents.
pub fn integrations(receiver: &Receiver, environment: &Environment) -> Result<Vec<Integration>, BuildError> {
    let mut all = Vec::new();
    let http = |config: &Option<HttpConfig>, user_agent| -> Result<Service, BuildError> {
        let section = config.as_ref().map_or_else(HttpClientConfig::default, |http| http.0.clone());
        environment.service(&section, user_agent)
    };
    /// Adds an integration for each item; `$config` and `$service` name the inputs of `$notifier`.
    macro_rules! add {
        ($name:literal, $items:ident, $user_agent:ident, |$config:ident, $service:ident| $notifier:expr) => {
            for (index, $config) in receiver.$items.iter().enumerate() {
                let catalog = Arc::new(Catalog::of(receiver, $name, index));
                let Some($config) = $config else { continue };
                let send_resolved = $config.send_resolved;
                let $service = http(&$config.http_config, $user_agent)?;
                let $config = $config.clone();
                let notifier: Arc<dyn Notifier> = Arc::new($notifier);
                all.push(Integration { name: $name, index, send_resolved, notifier, catalog });
            }
        };
    }
    add!("webhook", webhook_configs, USER_AGENT, |config, service| Webhook { config, service });
    for (index, config) in receiver.email_configs.iter().enumerate() {
        let Some(config) = config else { continue };
        let notifier = Arc::new(Email::new(config.clone(), environment)?);
        let catalog = Arc::new(Catalog::of(receiver, "email", index));
        let send_resolved = config.send_resolved;
        all.push(Integration { name: "email", index, send_resolved, notifier, catalog });
    }
    add!("pagerduty", pagerduty_configs, USER_AGENT, |config, service| Pagerduty { config, service });
    add!("opsgenie", opsgenie_configs, USER_AGENT, |config, service| Opsgenie { config, service });
    add!("wechat", wechat_configs, USER_AGENT, |config, service| Wechat {
        config,
        service,
        token: Mutex::default()
    });
    add!("slack", slack_configs, USER_AGENT, |config, service| Slack { config, service });
    add!("victorops", victorops_configs, USER_AGENT, |config, service| Victorops { config, service });
    add!("pushover", pushover_configs, USER_AGENT, |config, service| Pushover { config, service });
    for (index, config) in receiver.sns_configs.iter().enumerate() {
        let Some(config) = config else { continue };
        let notifier = Arc::new(sns(config, environment)?);
        let catalog = Arc::new(Catalog::of(receiver, "sns", index));
        let send_resolved = config.send_resolved;
        all.push(Integration { name: "sns", index, send_resolved, notifier, catalog });
    }
    add!("telegram", telegram_configs, GO_USER_AGENT, |config, service| Telegram { config, service });
    add!("discord", discord_configs, USER_AGENT, |config, service| Discord { config, service });
    add!("webex", webex_configs, USER_AGENT, |config, service| Webex { config, service });
    add!("msteams", msteams_configs, USER_AGENT, |config, service| MsTeams { config, service });
    add!("msteamsv2", msteamsv2_configs, USER_AGENT, |config, service| MsTeamsV2 { config, service });
    add!("jira", jira_configs, GO_USER_AGENT, |config, service| Jira { config, service });
    for (index, config) in receiver.incidentio_configs.iter().enumerate() {
        let Some(config) = config else { continue };
        let notifier = Arc::new(incidentio(config, environment)?);
        let catalog = Arc::new(Catalog::of(receiver, "incidentio", index));
        let send_resolved = config.send_resolved;
        all.push(Integration { name: "incidentio", index, send_resolved, notifier, catalog });
    }
    add!("rocketchat", rocketchat_configs, USER_AGENT, |config, service| {
        for file in [&config.token_file, &config.token_id_file].into_iter().filter(|file| !file.is_empty()) {
            must_be_readable(file, &format!("could not read {file}"))?;
        }
        Rocketchat { config, service }
    });
    add!("mattermost", mattermost_configs, USER_AGENT, |config, service| Mattermost { config, service });
    Ok(all)
}

/// The signature authenticates the request. The section's own credentials apply only where its client is used
/// without it.
fn sns(config: &SnsConfig, environment: &Environment) -> Result<Sns, BuildError> {
    let section = config.http_config.as_ref();
    let mut section = section.map_or_else(HttpClientConfig::default, |http| http.0.clone());
    if config.use_aws_http_client {
        let HttpClientConfig { tls_config, proxy, .. } = section;
        section = HttpClientConfig { tls_config, proxy, ..HttpClientConfig::default() };
    }
    let service = environment.service(&section, USER_AGENT)?;
    let client = service.client.clone();
    Ok(Sns::new(config.clone(), service, client))
}

/// The token takes precedence over the authorization in the section.
fn incidentio(config: &IncidentioConfig, environment: &Environment) -> Result<Incidentio, BuildError> {
    let section = config.http_config.as_ref();
    let mut section = section.map_or_else(HttpClientConfig::default, |http| http.0.clone());
    let (token, file) = (&config.alert_source_token, &config.alert_source_token_file);
    if !file.is_empty() {
        must_be_readable(file, "failed to read alert_source_token_file")?;
    }
    if !file.is_empty() || !token.reveal().is_empty() {
        section.authorization = Some(Authorization {
            kind: "Bearer".to_owned(),
            credentials: if file.is_empty() { token.clone() } else { Secret::default() },
            credentials_file: file.clone(),
            ..Authorization::default()
        });
    }
    Ok(Incidentio { config: config.clone(), service: environment.service(&section, USER_AGENT)? })
}
