//! VictorOps.

use std::collections::BTreeMap;

use ferula_config::alertmanager::receiver::on_call::VictoropsConfig;

use super::address::append_path;
use super::exchange::{Call, Service, inline_or_file};
use super::fields::Fields;
use super::group_key::hashed;
use super::json::Object;
use super::truncate::to_runes;
use super::{Attempt, Notification, Notifier, NotifyError, Sent};
use crate::template::Data;

const MESSAGE_RUNES_MAX: usize = 20_480;

pub(super) struct Victorops {
    pub config: VictoropsConfig,
    pub service: Service,
}

impl Victorops {
    async fn attempt(&self, notification: &Notification<'_>) -> Result<Sent, NotifyError> {
        let (config, templates) = (&self.config, &self.service.templates);
        let data = Data::of(notification, usize::MAX, templates.external_url());
        let mut fields = Fields::new(templates, &data, notification);
        let key = inline_or_file(notification.record, config.api_key.reveal(), &config.api_key_file).await;
        let key =
            key.map_err(|error| NotifyError::fatal(format!("failed to read API key from file: {error}")))?;
        let routing_key = fields.checked(&config.routing_key, "templating error: ")?;
        let base = config.api_url.as_ref().map_or("", |url| url.as_str());
        let url = append_path(base, &format!("{key}/{routing_key}"));
        let body = self.body(notification, &data, &mut fields);
        // As in Alertmanager, a template error here is retried.
        fields.check("templating error: ").map_err(|error| NotifyError { retry: true, ..error })?;
        let call = Call::post(url, body).secret(&key).hide_url();
        self.service.send(notification.record, call).await?.check(&[])?;
        Ok(Sent::default())
    }

    fn body(&self, notification: &Notification<'_>, data: &Data, fields: &mut Fields<'_>) -> String {
        let config = &self.config;
        let mut kind = fields.text(&config.message_type);
        if !data.is_firing() {
            "RECOVERY".clone_into(&mut kind);
        } else if !matches!(kind.as_str(), "INFO" | "WARNING" | "CRITICAL") {
            "CRITICAL".clone_into(&mut kind);
        }
        let state = to_runes(fields.text(&config.state_message), MESSAGE_RUNES_MAX);
        let mut message = BTreeMap::from([
            ("message_type", kind),
            ("entity_id", hashed(notification.group_key)),
            ("entity_display_name", fields.text(&config.entity_display_name)),
            ("state_message", state),
            ("monitoring_tool", fields.text(&config.monitoring_tool)),
        ]);
        for (key, template) in &config.custom_fields {
            message.insert(key, fields.text(template));
        }
        message.iter().fold(Object::new(), |object, (key, value)| object.text(key, value)).message()
    }
}

impl Notifier for Victorops {
    fn notify<'a>(&'a self, notification: &'a Notification<'a>) -> Attempt<'a> {
        Box::pin(self.attempt(notification))
    }
}
