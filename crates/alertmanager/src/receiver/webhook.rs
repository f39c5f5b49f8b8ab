//! Webhooks: the whole notification as JSON, or a custom body.

use ferula_config::alertmanager::AnyValue;
use ferula_config::alertmanager::receiver::other::WebhookConfig;

use super::exchange::{Call, Service, inline_or_file};
use super::fields::Fields;
use super::json::{Object, any};
use super::{Attempt, Notification, Notifier, NotifyError, Sent};
use crate::template::Data;

pub(super) struct Webhook {
    pub config: WebhookConfig,
    pub service: Service,
}

/// The default message. A `max_alerts` of 0 means no limit.
pub(super) fn message(data: &Data, version: &str, group_key: &str, truncated: usize) -> String {
    let rest =
        Object::new().text("version", version).text("groupKey", group_key).raw("truncatedAlerts", truncated);
    format!("{{{},{}\n", data.json_fields(), rest.finish().trim_start_matches('{'))
}

/// Number of alerts that are included and that are left out.
pub(super) fn truncated(alerts: usize, max_alerts: u64) -> (usize, usize) {
    match usize::try_from(max_alerts) {
        Ok(max @ 1..) if alerts > max => (max, alerts - max),
        _ => (alerts, 0),
    }
}

impl Webhook {
    async fn attempt(&self, notification: &Notification<'_>) -> Result<Sent, NotifyError> {
        let (config, templates) = (&self.config, &self.service.templates);
        let (shown, left_out) = truncated(notification.alerts.len(), config.max_alerts);
        let data = Data::of(notification, shown, templates.external_url());
        let mut fields = Fields::new(templates, &data, notification);
        let body = match &config.payload {
            AnyValue::Null => message(&data, "4", notification.group_key, left_out),
            payload => {
                let payload = fields.any(payload);
                fields.check("failed to render custom payload: ")?;
                format!("{}\n", any(&payload))
            }
        };
        let url = inline_or_file(notification.record, config.url.reveal(), &config.url_file).await;
        let url = url.map_err(|error| NotifyError::fatal(format!("read url_file: {error}")))?;
        let url = fields.checked(&url, "failed to template webhook URL: ")?;
        if url.is_empty() {
            return Err(NotifyError::fatal("webhook URL is empty after templating"));
        }
        let post = async {
            let answer = self.service.send(notification.record, Call::post(url, body).secret_url()).await?;
            answer.check(&[])?;
            Ok(Sent::default())
        };
        let timed_out = || "Post \"<redacted>\": context deadline exceeded".to_owned();
        self.service.within(config.timeout.0, post, timed_out).await
    }
}

impl Notifier for Webhook {
    fn notify<'a>(&'a self, notification: &'a Notification<'a>) -> Attempt<'a> {
        Box::pin(self.attempt(notification))
    }
}
