//! Opsgenie: creates, updates and closes alerts.

use ferula_config::alertmanager::receiver::on_call::{OpsgenieConfig, OpsgenieResponder};
use ferula_http_client::Method;
use ferula_http_client::header::{AUTHORIZATION, CONTENT_TYPE};

use super::address::{append_path, with_parameter};
use super::exchange::{Call, Service, read_file};
use super::fields::Fields;
use super::group_key::hashed;
use super::json::{Object, quoted};
use super::truncate::to_runes;
use super::{Attempt, Notification, Notifier, NotifyError, Sent};
use crate::route::Labels;
use crate::template::Data;

const MESSAGE_RUNES_MAX: usize = 130;

pub(super) struct Opsgenie {
    pub config: OpsgenieConfig,
    pub service: Service,
}

impl Opsgenie {
    async fn attempt(&self, notification: &Notification<'_>) -> Result<Sent, NotifyError> {
        let (config, templates) = (&self.config, &self.service.templates);
        let data = Data::of(notification, usize::MAX, templates.external_url());
        let mut fields = Fields::new(templates, &data, notification);
        let alias = hashed(notification.group_key);
        let mut details = data.common_labels.clone();
        for (key, value) in &config.details {
            details.insert(key.clone(), fields.text(value));
        }
        let requests = match data.is_firing() {
            true => self.create(&alias, &details, &mut fields),
            false => {
                let message = Object::new().text("source", &fields.text(&config.source)).message();
                vec![(Method::POST, self.of_alert(&alias, "close"), message)]
            }
        };
        let key = match config.api_key.is_empty() {
            false => fields.text(config.api_key.reveal()),
            true => {
                let key = read_file(notification.record, &config.api_key_file).await;
                let key = key.map_err(|error| NotifyError::fatal(format!("read key_file error: {error}")))?;
                fields.text(&key).trim().to_owned()
            }
        };
        fields.check("templating error: ")?;
        for (method, url, body) in requests {
            let call = Call::new(method, url)
                .header(CONTENT_TYPE, "application/json")
                .header(AUTHORIZATION, format!("GenieKey {key}"))
                .body(body)
                .secret(&key);
            self.service.send(notification.record, call).await?.check(&[429])?;
        }
        Ok(Sent::default())
    }

    fn url(&self, path: &str) -> String {
        append_path(self.config.api_url.as_ref().map_or("", |url| url.as_str()), path)
    }

    fn of_alert(&self, alias: &str, action: &str) -> String {
        with_parameter(&self.url(&format!("v2/alerts/{alias}/{action}")), "identifierType", "alias")
    }

    fn create(
        &self,
        alias: &str,
        details: &Labels,
        fields: &mut Fields<'_>,
    ) -> Vec<(Method, String, String)> {
        let config = &self.config;
        let message = to_runes(fields.text(&config.message), MESSAGE_RUNES_MAX);
        let responders: Vec<String> =
            config.responders.iter().flat_map(|responder| self::responders(responder, fields)).collect();
        let description = fields.text(&config.description);
        let details = details.iter().fold(Object::new(), |object, (key, value)| object.text(key, value));
        let created = Object::new()
            .text("alias", alias)
            .text("message", &message)
            .filled("description", &description)
            .raw("details", details.finish())
            .text("source", &fields.text(&config.source))
            .list("responders", &responders)
            .list("tags", &listed(&fields.text(&config.tags)))
            .filled("note", &fields.text(&config.note))
            .filled("priority", &fields.text(&config.priority))
            .filled("entity", &fields.text(&config.entity))
            .list("actions", &listed(&fields.text(&config.actions)))
            .message();
        let mut requests = vec![(Method::POST, self.url("v2/alerts"), created)];
        if config.update_alerts {
            for (key, text) in [("message", &message), ("description", &description)] {
                let body = Object::new().filled(key, text).message();
                requests.push((Method::PUT, self.of_alert(alias, key), body));
            }
        }
        requests
    }
}

/// One responder, or one for each team of a list; empty if nothing is set.
fn responders(responder: &OpsgenieResponder, fields: &mut Fields<'_>) -> Vec<String> {
    let [id, name, username, kind] = [&responder.id, &responder.name, &responder.username, &responder.kind]
        .map(|field| fields.text(field));
    if [&id, &name, &username, &kind].iter().all(|text| text.is_empty()) {
        return Vec::new();
    }
    if kind == "teams" {
        let team =
            |name: &str| Object::new().filled("name", &fields.text(name)).text("type", "team").finish();
        return name.trim().split(',').filter(|name| !name.is_empty()).map(team).collect();
    }
    let object = Object::new().filled("id", &id).filled("name", &name).filled("username", &username);
    vec![object.text("type", &kind).finish()]
}

/// Splits at commas.
fn listed(text: &str) -> Vec<String> {
    text.trim().split(',').filter(|part| !part.is_empty()).map(quoted).collect()
}

impl Notifier for Opsgenie {
    fn notify<'a>(&'a self, notification: &'a Notification<'a>) -> Attempt<'a> {
        Box::pin(self.attempt(notification))
    }
}
