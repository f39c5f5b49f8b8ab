//! Telegram: messages of a bot.

use ferula_config::alertmanager::receiver::chat::TelegramConfig;
use ferula_go::number::atoi;

use super::exchange::{Answer, Call, FileError, Service, read_trimmed};
use super::fields::Fields;
use super::json::Object;
use super::truncate::to_runes;
use super::{Attempt, Notification, Notifier, NotifyError, Sent};
use crate::template::Data;

const MESSAGE_RUNES_MAX: usize = 4096;
/// Sent in place of HTML that is too long, because cutting it could leave a tag open. The line break is
/// intentional.
const TOO_LONG: &str = "Alertmanager notification could not be sent: message length exceeds Telegram limits.\n\
                        \t\t\tPlease check the template used for producing the message content.";

/// Known error descriptions of the service.
const KNOWN_DESCRIPTIONS: [&str; 8] = [
    "Bad Request: chat not found",
    "Bad Request: chat_id is empty",
    "Bad Request: message is too long",
    "Bad Request: message must be non-empty",
    "Bad Request: have no rights to send a message",
    "Forbidden: bot was blocked by the user",
    "Forbidden: bot was kicked from the group chat",
    "Forbidden: bot was kicked from the supergroup chat",
];

pub(super) struct Telegram {
    pub config: TelegramConfig,
    pub service: Service,
}

impl Telegram {
    async fn attempt(&self, notification: &Notification<'_>) -> Result<Sent, NotifyError> {
        let (config, templates) = (&self.config, &self.service.templates);
        let data = Data::of(notification, usize::MAX, templates.external_url());
        let mut fields = Fields::new(templates, &data, notification);
        let is_html = config.parse_mode == "HTML";
        let text = match is_html {
            true => fields.html(&config.message),
            false => to_runes(fields.text(&config.message), MESSAGE_RUNES_MAX),
        };
        fields.check("")?;
        let is_long = is_html && text.chars().count() > MESSAGE_RUNES_MAX;
        let text = if is_long { TOO_LONG } else { &text };
        let unreadable =
            |file: &str, error: FileError| NotifyError::passing(format!("could not read {file}: {error}"));
        let token = match config.bot_token_file.as_str() {
            "" => config.bot_token.reveal().to_owned(),
            file => read_trimmed(notification.record, file).await.map_err(|error| unreadable(file, error))?,
        };
        let chat = match config.chat_id_file.as_str() {
            "" => config.chat_id,
            file => {
                let text =
                    read_trimmed(notification.record, file).await.map_err(|error| unreadable(file, error))?;
                atoi(&text).map_err(|error| {
                    NotifyError::passing(format!("could not parse chat_id from {file}: {error}"))
                })?
            }
        };
        // All values are strings, even booleans.
        let mut message = Object::new().text("chat_id", &chat.to_string());
        if config.disable_notifications {
            message = message.text("disable_notification", "true");
        }
        message = message.text("disable_web_page_preview", "true");
        if config.message_thread_id != 0 {
            message = message.text("message_thread_id", &config.message_thread_id.to_string());
        }
        let message = message.filled("parse_mode", &config.parse_mode).text("text", text).message();
        let base = config.api_url.as_ref().map_or("", |url| url.as_str());
        let call = Call::post(format!("{base}/bot{token}/sendMessage"), message)
            .secret(&token)
            .dry_answer("{\"ok\":true,\"result\":{}}");
        accepted(&self.service.send(notification.record, call).await?)
    }
}

/// As in Alertmanager, every failure is retried.
fn accepted(answer: &Answer) -> Result<Sent, NotifyError> {
    if answer.status.as_u16() == 500 {
        return Err(NotifyError::passing("telegram: internal server error (500)"));
    }
    #[derive(serde::Deserialize)]
    struct ResponseBody {
        #[serde(default)]
        ok: bool,
        #[serde(default)]
        error_code: i64,
        #[serde(default)]
        description: String,
    }
    let written: ResponseBody = serde_json::from_str(&answer.body)
        .map_err(|error| NotifyError::passing(format!("telebot: {error}")))?;
    if written.ok {
        return Ok(Sent::default());
    }
    // Known descriptions are shown without the status in front.
    let known = KNOWN_DESCRIPTIONS.contains(&written.description.as_str());
    let short = written.description.split_once(": ").filter(|_| known).map(|(_, short)| short);
    let shown = short.unwrap_or(&written.description);
    Err(NotifyError::passing(format!("telegram: {shown} ({})", written.error_code)))
}

impl Notifier for Telegram {
    fn notify<'a>(&'a self, notification: &'a Notification<'a>) -> Attempt<'a> {
        Box::pin(self.attempt(notification))
    }
}
