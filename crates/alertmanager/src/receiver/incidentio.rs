//! incident.io: a webhook's message with a token.

use ferula_config::alertmanager::receiver::on_call::IncidentioConfig;

use super::exchange::{Call, Service, inline_or_file};
use super::webhook::{message, truncated};
use super::{Attempt, Notification, Notifier, NotifyError, Sent};
use crate::template::Data;

/// Larger messages are reduced to their first alert.
const MESSAGE_BYTES_MAX: usize = 512 << 10;

pub(super) struct Incidentio {
    pub config: IncidentioConfig,
    /// Its client sends the token.
    pub service: Service,
}

impl Incidentio {
    async fn attempt(&self, notification: &Notification<'_>) -> Result<Sent, NotifyError> {
        let (config, templates) = (&self.config, &self.service.templates);
        let (shown, left_out) = truncated(notification.alerts.len(), config.max_alerts);
        let mut data = Data::of(notification, shown, templates.external_url());
        let mut body = message(&data, "1", notification.group_key, left_out);
        if body.len() > MESSAGE_BYTES_MAX {
            data.alerts.truncate(1);
            body = message(&data, "1", notification.group_key, left_out);
        }
        let inline = config.url.as_ref().map_or("", |url| url.as_str());
        let url = inline_or_file(notification.record, inline, &config.url_file).await;
        let url = url.map_err(|error| NotifyError::fatal(format!("read url_file: {error}")))?;
        let post = async {
            let answer = self.service.send(notification.record, Call::post(url, body).secret_url()).await?;
            answer.check_with(&[429], &details(&answer.body))?;
            Ok(Sent::default())
        };
        let timed_out = || "Post \"<redacted>\": context deadline exceeded".to_owned();
        self.service.within(config.timeout.0, post, timed_out).await
    }
}

/// The explanation in the service's answer.
fn details(body: &str) -> String {
    #[derive(serde::Deserialize)]
    struct ErrorBody {
        #[serde(default)]
        message: String,
        #[serde(default)]
        errors: Vec<String>,
        #[serde(default)]
        error: String,
    }
    let Ok(ErrorBody { message, errors, error }) = serde_json::from_str(body) else { return String::new() };
    let parts = [message, error, errors.join(", ")];
    parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(": ")
}

impl Notifier for Incidentio {
    fn notify<'a>(&'a self, notification: &'a Notification<'a>) -> Attempt<'a> {
        Box::pin(self.attempt(notification))
    }
}
