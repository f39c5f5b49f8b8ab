//! Webex; the section's authorization is the bot's token.

use ferula_config::alertmanager::receiver::chat::WebexConfig;

use super::exchange::{Call, Service};
use super::fields::Fields;
use super::json::Object;
use super::truncate::to_bytes;
use super::{Attempt, Notification, Notifier, NotifyError, Sent};
use crate::template::Data;

const MESSAGE_BYTES_MAX: usize = 7439;

pub(super) struct Webex {
    pub config: WebexConfig,
    pub service: Service,
}

impl Webex {
    async fn attempt(&self, notification: &Notification<'_>) -> Result<Sent, NotifyError> {
        let (config, templates) = (&self.config, &self.service.templates);
        let data = Data::of(notification, usize::MAX, templates.external_url());
        let mut fields = Fields::new(templates, &data, notification);
        let message = to_bytes(fields.text(&config.message), MESSAGE_BYTES_MAX);
        let message = Object::new()
            .text("markdown", &message)
            .filled("roomId", &fields.text(&config.room_id))
            .message();
        fields.check("")?;
        let url = config.api_url.as_ref().map_or("", |url| url.as_str());
        let answer = self.service.send(notification.record, Call::post(url, message).hide_url()).await?;
        answer.check(&[]).map_err(|error| error.because(Default::default()))?;
        Ok(Sent::default())
    }
}

impl Notifier for Webex {
    fn notify<'a>(&'a self, notification: &'a Notification<'a>) -> Attempt<'a> {
        Box::pin(self.attempt(notification))
    }
}
