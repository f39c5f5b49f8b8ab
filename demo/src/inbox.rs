//! What people would have received, by channel.

use std::sync::{Condvar, Mutex, PoisonError};
use std::time::Duration;

use serde_json::Value;

use crate::http::{Request, Response};
use crate::mail::Mail;

/// Where a message came in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Channel {
    Slack,
    Discord,
    PagerDuty,
    Mail,
}

impl Channel {
    pub fn name(self) -> &'static str {
        match self {
            Channel::Slack => "Slack",
            Channel::Discord => "Discord",
            Channel::PagerDuty => "PagerDuty",
            Channel::Mail => "mail",
        }
    }
}

/// One message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    pub channel: Channel,
    pub title: String,
    pub text: String,
    pub is_resolved: bool,
}

impl Message {
    /// Whether it is about this alert.
    pub fn is_about(&self, alert: &str) -> bool {
        let is_word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
        self.title.match_indices(alert).any(|(at, _)| {
            let bytes = self.title.as_bytes();
            let (before, after) = (at.checked_sub(1), at + alert.len());
            !before.is_some_and(|at| is_word(bytes[at]))
                && !bytes.get(after).is_some_and(|byte| is_word(*byte))
        })
    }

    /// Reads what was posted to a channel's path; `None` if it is nothing that this channel would show.
    pub fn read(request: &Request) -> Option<Message> {
        let body: Value = serde_json::from_slice(&request.body).ok()?;
        let text = |path: &str| body.pointer(path).and_then(Value::as_str).unwrap_or("").to_owned();
        let (channel, title, text, action) = match request.path.as_str() {
            "/slack" => {
                (Channel::Slack, text("/attachments/0/title"), text("/attachments/0/text"), String::new())
            }
            "/discord" => {
                (Channel::Discord, text("/embeds/0/title"), text("/embeds/0/description"), String::new())
            }
            "/pagerduty" => (
                Channel::PagerDuty,
                text("/payload/summary"),
                body.pointer("/payload/custom_details").map(Value::to_string).unwrap_or_default(),
                text("/event_action"),
            ),
            _ => return None,
        };
        let is_resolved = action == "resolve" || title.contains("RESOLVED");
        Some(Message { channel, title, text, is_resolved })
    }
}

impl From<Mail> for Message {
    fn from(mail: Mail) -> Self {
        let is_resolved = mail.subject.contains("RESOLVED");
        Message { channel: Channel::Mail, title: mail.subject, text: mail.text, is_resolved }
    }
}

/// Messages are dropped from here on, the oldest first.
const MESSAGES_MAX: usize = 1000;

/// All messages, in the order of their arrival.
#[derive(Default)]
pub struct Inbox {
    messages: Mutex<Vec<Message>>,
    arrived: Condvar,
}

impl Inbox {
    pub fn add(&self, message: Message) {
        let mut messages = self.messages.lock().unwrap_or_else(PoisonError::into_inner);
        if messages.len() == MESSAGES_MAX {
            messages.remove(0);
        }
        messages.push(message);
        self.arrived.notify_all();
    }

    pub fn messages(&self) -> Vec<Message> {
        self.messages.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Waits until `is_enough` says so of the messages, or until the time is over; whether it is.
    pub fn await_messages(&self, at_most: Duration, mut is_enough: impl FnMut(&[Message]) -> bool) -> bool {
        let messages = self.messages.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self.arrived.wait_timeout_while(messages, at_most, |messages| !is_enough(messages));
        !waited.unwrap_or_else(PoisonError::into_inner).1.timed_out()
    }

    /// The page of the inbox, or the acknowledgement of a message.
    pub fn answer(&self, request: &Request) -> Response {
        if request.path == "/" {
            return Response::new("text/html; charset=utf-8", self.page());
        }
        let Some(message) = Message::read(request) else { return Response::not_found() };
        self.add(message);
        // What Slack says, and what PagerDuty's clients are content with.
        match request.path.as_str() {
            "/slack" => Response::new("text/plain", "ok"),
            _ => Response::new("application/json", "{\"status\":\"success\"}"),
        }
    }

    fn page(&self) -> String {
        let mut page = String::from(
            "<!doctype html><meta charset=utf-8><meta http-equiv=refresh content=2><title>Inbox</title>\
             <style>body{font:13px system-ui;max-width:70em;margin:2em auto}article{border-top:1px solid #ccc;padding:.5em 0}\
             b{display:inline-block;width:7em}pre{white-space:pre-wrap;color:#555;max-height:8em;overflow:auto}</style>\
             <h1>What people would receive</h1>",
        );
        for message in self.messages().iter().rev() {
            page.push_str("<article><b>");
            page.push_str(message.channel.name());
            page.push_str("</b>");
            push_text(&mut page, &message.title);
            page.push_str("<pre>");
            push_text(&mut page, &message.text);
            page.push_str("</pre></article>");
        }
        page
    }
}

/// Appends text as HTML.
fn push_text(page: &mut String, text: &str) {
    for letter in text.chars() {
        match letter {
            '<' => page.push_str("&lt;"),
            '>' => page.push_str("&gt;"),
            '&' => page.push_str("&amp;"),
            letter => page.push(letter),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn post(path: &str, body: &str) -> Request {
        Request { path: path.to_owned(), body: body.as_bytes().to_vec(), ..Request::default() }
    }

    #[test]
    fn messages_are_read_as_their_channels_show_them() {
        let cases = [
            ("/slack", r#"{"attachments":[{"title":"FIRING HighErrorRatio (shop)","text":"9 %"}]}"#, false),
            ("/slack", r#"{"attachments":[{"title":"RESOLVED HighErrorRatio (shop)"}]}"#, true),
            ("/discord", r#"{"embeds":[{"title":"[FIRING:1] HighErrorRatio","description":"x"}]}"#, false),
            (
                "/pagerduty",
                r#"{"event_action":"resolve","payload":{"summary":"[FIRING:1] HighErrorRatio"}}"#,
                true,
            ),
        ];
        for (path, body, is_resolved) in cases {
            let message = Message::read(&post(path, body)).expect("a message");
            assert!(message.is_about("HighErrorRatio"), "{message:?}");
            assert!(
                !message.is_about("ErrorRatio") && !message.is_about("HighError"),
                "names are whole words"
            );
            assert_eq!(message.is_resolved, is_resolved, "{body}");
        }
        assert_eq!(Message::read(&post("/slack", "nonsense")), None);
        assert_eq!(Message::read(&post("/elsewhere", "{}")), None);
    }

    #[test]
    fn the_page_shows_texts_as_text() {
        let inbox = Inbox::default();
        let body = r#"{"attachments":[{"title":"<script>alert(1)</script>","text":"a & b"}]}"#;
        assert_eq!(inbox.answer(&post("/slack", body)).body, b"ok");
        let page = String::from_utf8(inbox.answer(&post("/", "")).body).expect("UTF-8");
        assert!(
            page.contains("&lt;script&gt;alert(1)&lt;/script&gt;") && page.contains("a &amp; b"),
            "{page}"
        );
        assert!(!page.contains("<script"), "{page}");
    }
}
