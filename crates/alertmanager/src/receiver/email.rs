//! Email: the message is built completely before the mail server is contacted.
//!
//! Here: what is sent to whom. Below: the dialogue with the server (`smtp`), message formatting (`mime`),
//! address lists (`mailbox`). Why no mail library is used: `docs/decisions/alertmanager-receivers.md`.

mod mailbox;
mod mime;
mod smtp;

use std::sync::Arc;

use ferula_config::alertmanager::receiver::mail::EmailConfig;
use ferula_go::quote::go_quote;
use ferula_http_client::{Cause, TlsClient};
use ferula_runtime::SharedClock;
use jiff::tz::TimeZone;
use tokio::net::TcpStream;

use self::mailbox::addresses;
use self::mime::{Multipart, encoded_header, random_hex, random_u64};
use self::smtp::{AuthError, Secrets, Smtp};
use super::environment::{BuildError, Environment};
use super::exchange::{FileError, read_file, read_trimmed};
use super::fields::Fields;
use super::group_key::hashed;
use super::record::{Exchange, Record};
use super::{Attempt, Notification, Notifier, NotifyError, Sent};
use crate::template::{Data, Templates, TimeValue};
use crate::time::Time;

pub(super) struct Email {
    config: EmailConfig,
    templates: Arc<Templates>,
    clock: SharedClock,
    tls: Arc<TlsClient>,
    /// The name of this machine, for message identifiers.
    host_name: String,
}

/// A complete message.
struct Letter {
    from: String,
    to: Vec<String>,
    text: String,
}

impl Email {
    pub fn new(config: EmailConfig, environment: &Environment) -> Result<Self, BuildError> {
        let host_name = std::fs::read_to_string("/proc/sys/kernel/hostname");
        let host_name = host_name.map(|name| name.trim().to_owned()).unwrap_or_default();
        Ok(Email {
            tls: Arc::new(TlsClient::new(&config.tls_config.clone().unwrap_or_default())?),
            templates: environment.templates.clone(),
            clock: environment.clock.clone(),
            host_name: if host_name.is_empty() { "localhost.localdomain".to_owned() } else { host_name },
            config,
        })
    }

    async fn attempt(&self, notification: &Notification<'_>) -> Result<Sent, NotifyError> {
        // Everything is rendered first, so that no partial mail is sent.
        let letter = self.letter(notification)?;
        let exchange = |answer: Option<String>| {
            let envelope = letter.to.iter().map(|to| ("RCPT TO".to_owned(), to.clone()));
            Exchange {
                method: "SMTP".to_owned(),
                url: format!("smtp://{}", self.config.smarthost),
                headers: std::iter::once(("MAIL FROM".to_owned(), letter.from.clone()))
                    .chain(envelope)
                    .collect(),
                body: letter.text.clone(),
                answer,
            }
        };
        if notification.record.is_dry() {
            notification.record.note(|| exchange(None));
            return Ok(Sent::default());
        }
        let result = self.deliver(&letter).await;
        notification.record.note(|| {
            exchange(Some(
                result.as_ref().err().map_or_else(|| "accepted".to_owned(), |error| error.text.clone()),
            ))
        });
        result.map(|()| Sent::default())
    }

    fn letter(&self, notification: &Notification<'_>) -> Result<Letter, NotifyError> {
        let config = &self.config;
        let data = Data::of(notification, usize::MAX, self.templates.external_url());
        let mut fields = Fields::new(&self.templates, &data, notification);
        let from = fields.checked(&config.from, "execute 'from' template: ")?;
        let to = fields.checked(&config.to, "execute 'to' template: ")?;
        let from = addresses(&from)
            .map_err(|error| NotifyError::fatal(format!("parse 'from' addresses: {error}")))?;
        let [from] = from.as_slice() else {
            let count = from.len();
            return Err(NotifyError::fatal(format!("must be exactly one 'from' address (got: {count})")));
        };
        let to =
            addresses(&to).map_err(|error| NotifyError::fatal(format!("parse 'to' addresses: {error}")))?;
        let mut text = String::new();
        for (name, template) in &config.headers {
            let prefix = format!("execute {} header template: ", go_quote(name));
            let value = fields.checked(template, &prefix)?;
            text.push_str(&format!("{name}: {}\r\n", encoded_header(&value)));
        }
        let now = Time::from_unix_nanos(self.clock.unix_nanos());
        if !config.headers.contains_key("Message-Id") {
            let (nanos, random) = (now.unix_nanos(), random_u64());
            text.push_str(&format!("Message-Id: <{nanos}.{random}@{}>\r\n", self.host_name));
        }
        let local = TimeValue::new(now).in_zone(&TimeZone::system());
        if config.threading.enabled {
            // All mails of a group, or of a group and day, refer to a message that does not exist, so that
            // clients show them as one thread.
            let day = match config.threading.thread_by_date.as_str() {
                "none" => String::new(),
                _ => local.format("2006-01-02"),
            };
            let root = format!("<alert-{}-{day}@alertmanager>", &hashed(notification.group_key)[..16]);
            text.push_str(&format!("References: {root}\r\nIn-Reply-To: {root}\r\n"));
        }
        let boundary = random_hex::<30>();
        text.push_str(&format!("Date: {}\r\n", local.format(RFC1123_WITH_OFFSET)));
        text.push_str(&format!("Content-Type: multipart/alternative;  boundary={boundary}\r\n"));
        text.push_str("MIME-Version: 1.0\r\n\r\n");
        let mut parts = Multipart::new(&boundary);
        if !config.text.is_empty() {
            parts.add("text/plain; charset=UTF-8", &fields.checked(&config.text, "execute text template: ")?);
        }
        if !config.html.is_empty() {
            let html = fields.html(&config.html);
            fields.check_field("execute html template: ")?;
            // The preferred alternative comes last.
            parts.add("text/html; charset=UTF-8", &html);
        }
        fields.check("")?;
        text.push_str(&parts.finish());
        Ok(Letter { from: from.clone(), to, text })
    }

    async fn deliver(&self, letter: &Letter) -> Result<(), NotifyError> {
        let config = &self.config;
        let host = &config.smarthost.host;
        let implicit = config.force_implicit_tls.unwrap_or(config.smarthost.port == "465");
        let tls = self.tls.clone();
        let refreshed = tokio::task::spawn_blocking(move || tls.refresh()).await;
        if let Ok(Err(error)) = refreshed {
            return Err(NotifyError::fatal(format!("parse TLS configuration: {error}")));
        }
        let again =
            |what: &str, error: &dyn std::fmt::Display| NotifyError::passing(format!("{what}: {error}"));
        let address = config.smarthost.to_string();
        let dialled = TcpStream::connect(&address).await.map_err(|error| {
            let cause = Cause::Connect { network: "tcp", address: address.clone(), error };
            let what = if implicit {
                "establish TLS connection to server"
            } else {
                "establish connection to server"
            };
            again(what, &cause)
        })?;
        let mut smtp = if implicit {
            let stream = self.tls.connect(dialled, host).await;
            Smtp::over_tls(stream.map_err(|error| again("establish TLS connection to server", &error))?)
        } else {
            Smtp::over(dialled)
        };
        smtp.greeting().await.map_err(|error| again("create SMTP client", &error))?;
        let result = self.converse(&mut smtp, letter, implicit).await;
        smtp.quit().await;
        result
    }

    async fn converse(&self, smtp: &mut Smtp, letter: &Letter, implicit: bool) -> Result<(), NotifyError> {
        let config = &self.config;
        let again =
            |what: &str, error: &dyn std::fmt::Display| NotifyError::passing(format!("{what}: {error}"));
        let hello = if config.hello.is_empty() { "localhost" } else { &config.hello };
        smtp.hello(hello).await.map_err(|error| again("send EHLO command", &error))?;
        if config.require_tls.unwrap_or(true) && !implicit {
            if smtp.extension("STARTTLS").is_none() {
                let server = go_quote(&config.smarthost.to_string());
                return Err(NotifyError::passing(format!(
                    "'require_tls' is true (default) but {server} does not advertise the STARTTLS extension"
                )));
            }
            let started = smtp.start_tls(&self.tls, &config.smarthost.host, hello).await;
            started.map_err(|error| again("send STARTTLS command", &error))?;
        }
        if !config.auth_username.is_empty()
            && let Some(mechanisms) = smtp.extension("AUTH")
        {
            let secrets = self.secrets().await;
            smtp.authenticate(&mechanisms, &secrets).await.map_err(|error| match error {
                AuthError::NoMechanism(text) => again("find auth mechanism", &text),
                AuthError::Failed { mechanism, error } => again(&format!("{mechanism} auth"), &error),
            })?;
        }
        smtp.mail(&letter.from).await.map_err(|error| again("send MAIL command", &error))?;
        for to in &letter.to {
            smtp.recipient(to).await.map_err(|error| again("send RCPT command", &error))?;
        }
        smtp.data().await.map_err(|error| again("send DATA command", &error))?;
        smtp.message(&letter.text).await.map_err(|error| again("delivery failure", &error))
    }

    async fn secrets(&self) -> Secrets {
        let config = &self.config;
        let unreadable = |file: &str, error: FileError| format!("could not read {file}: {error}");
        let password = match config.auth_password_file.as_str() {
            "" => Ok(config.auth_password.reveal().to_owned()),
            file => read_trimmed(&Record::off(), file).await.map_err(|error| unreadable(file, error)),
        };
        let secret = match config.auth_secret_file.as_str() {
            "" => Ok(config.auth_secret.reveal().to_owned()),
            file => read_file(&Record::off(), file).await.map_err(|error| unreadable(file, error)),
        };
        Secrets {
            identity: config.auth_identity.clone(),
            user: config.auth_username.clone(),
            host: config.smarthost.host.clone(),
            password,
            secret,
        }
    }
}

/// `time.RFC1123Z`
const RFC1123_WITH_OFFSET: &str = "Mon, 02 Jan 2006 15:04:05 -0700";

impl Notifier for Email {
    fn notify<'a>(&'a self, notification: &'a Notification<'a>) -> Attempt<'a> {
        Box::pin(self.attempt(notification))
    }
}
