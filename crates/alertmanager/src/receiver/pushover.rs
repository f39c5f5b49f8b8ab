//! Pushover: the whole message is in the query of a `POST`.

use ferula_config::alertmanager::receiver::on_call::PushoverConfig;
use ferula_http_client::Method;
use ferula_http_client::header::CONTENT_TYPE;

use super::address::encode;
use super::exchange::{Call, Service, read_file};
use super::fields::Fields;
use super::truncate::to_runes;
use super::{Attempt, Notification, Notifier, NotifyError, Sent};
use crate::template::Data;

const TITLE_RUNES_MAX: usize = 250;
const MESSAGE_RUNES_MAX: usize = 1024;
const URL_RUNES_MAX: usize = 512;
const API: &str = "https://api.pushover.net/1/messages.json";

pub(super) struct Pushover {
    pub config: PushoverConfig,
    pub service: Service,
}

impl Pushover {
    async fn attempt(&self, notification: &Notification<'_>) -> Result<Sent, NotifyError> {
        let (config, templates) = (&self.config, &self.service.templates);
        let data = Data::of(notification, usize::MAX, templates.external_url());
        let mut fields = Fields::new(templates, &data, notification);
        let token =
            secret(notification, config.token.reveal(), &config.token_file, "read token_file: ").await?;
        let user =
            secret(notification, config.user_key.reveal(), &config.user_key_file, "read user_key_file: ")
                .await?;
        let (token, user) = (fields.text(&token), fields.text(&user));
        let mut pairs = Vec::new();
        let mut add = |name: &str, value: String| pairs.push((name.to_owned(), value));
        add("token", token.clone());
        add("user", user.clone());
        add("title", to_runes(fields.text(&config.title), TITLE_RUNES_MAX));
        let message = match config.html {
            true => {
                add("html", "1".to_owned());
                fields.html(&config.message)
            }
            false => fields.text(&config.message),
        };
        if config.monospace {
            add("monospace", "1".to_owned());
        }
        let message = to_runes(message, MESSAGE_RUNES_MAX);
        let message = match message.trim() {
            // The service refuses empty messages.
            "" => "(no details)",
            message => message,
        };
        add("message", message.to_owned());
        add("url", to_runes(fields.text(&config.url), URL_RUNES_MAX));
        add("url_title", fields.text(&config.url_title));
        add("priority", fields.text(&config.priority));
        add("retry", config.retry.0.as_secs().to_string());
        add("expire", config.expire.0.as_secs().to_string());
        add("device", fields.text(&config.device));
        add("sound", fields.text(&config.sound));
        if config.ttl.0.as_secs() > 0 {
            add("ttl", config.ttl.0.as_secs().to_string());
        }
        fields.check("")?;
        let call = Call::new(Method::POST, format!("{API}?{}", encode(&pairs)))
            .header(CONTENT_TYPE, "text/plain")
            .secret(&token)
            .secret(&user)
            .hide_url();
        self.service.send(notification.record, call).await?.check(&[])?;
        Ok(Sent::default())
    }
}

/// The configured secret or the content of its file, including white space.
async fn secret(
    notification: &Notification<'_>,
    inline: &str,
    file: &str,
    prefix: &str,
) -> Result<String, NotifyError> {
    if !inline.is_empty() {
        return Ok(inline.to_owned());
    }
    read_file(notification.record, file).await.map_err(|error| NotifyError::fatal(format!("{prefix}{error}")))
}

impl Notifier for Pushover {
    fn notify<'a>(&'a self, notification: &'a Notification<'a>) -> Attempt<'a> {
        Box::pin(self.attempt(notification))
    }
}
