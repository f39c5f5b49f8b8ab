//! The link between the two members of a pair: changes are sent to the other member over HTTP.
//!
//! ```text
//! engine ─ messages ─▶ outbox ─▶ POST PEER/api/v2/pair ─▶ the other engine        (and the same the other way round)
//! ```
//!
//! A request has the name of the sender and what is new; an empty one, twice a second, shows that the sender is alive. After a failure,
//! the next request has the whole state, so nothing is missed. How the engines use messages is in `engine::pair`.

use std::sync::Arc;
use std::time::Duration;

use ferula_go::sync::MutexExt;
use ferula_http_client::header::CONTENT_TYPE;
use ferula_http_client::{Bytes, HeaderValue, HttpClient, Method, Request};
use ferula_model::UnixNanos;
use ferula_runtime::{SharedClock, Shutdown};
use ferula_telemetry::{info, warn};

use crate::engine::{PairMessage, Record};
use crate::frame;
use crate::notification_log::LogReceiver;
use crate::run::Alertmanager;
use crate::wire::{Message, WireError, fields};

/// Below the other member's address.
pub const PATH: &str = "api/v2/pair";

/// How often a member without news sends an empty request.
const BEAT: Duration = Duration::from_millis(500);
/// How long the other member may take to answer.
const ANSWER_TIME_MAX: Duration = Duration::from_secs(2);
/// Bytes of one request.
const REQUEST_BYTES_MAX: usize = 4 << 20;

/// The other member.
pub struct Link {
    /// Without a final slash.
    pub url: String,
    pub client: HttpClient,
    /// Of this member.
    pub name: String,
    pub clock: SharedClock,
}

/// Why a request of a member cannot be read.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum PairError {
    #[error("the request is damaged at byte {0}")]
    Damaged(usize),
    #[error("the request does not say who sends it")]
    Nameless,
    #[error(transparent)]
    Wire(#[from] WireError),
}

impl Alertmanager {
    /// Sends all changes to the other member, until shutdown.
    pub async fn keep_pair_informed(self: Arc<Self>, link: Link, shutdown: Shutdown) {
        let mut knows_all = false;
        loop {
            tokio::select! {
                () = shutdown.requested() => return,
                () = self.pair_changed.notified(), if knows_all => {}
                () = link.clock.sleep(BEAT) => {}
            }
            let mut messages = std::mem::take(&mut *self.pair_outbox.locked());
            if !knows_all {
                messages = self.read(|engine, _| engine.pair_state());
            }
            let told = link.tell(&messages).await;
            match (&told, knows_all) {
                (Ok(()), false) => {
                    info!("The other member of the pair can be reached", component = "pair", url = link.url);
                }
                (Err(err), true) => {
                    warn!(
                        "The other member of the pair does not answer; both send until it does",
                        component = "pair",
                        url = link.url,
                        err = err
                    );
                }
                _ => {}
            }
            knows_all = told.is_ok();
        }
    }
}

impl Link {
    async fn tell(&self, messages: &[PairMessage]) -> Result<(), String> {
        for body in requests(&self.name, messages) {
            let request = Request::new(Method::POST, &format!("{}/{PATH}", self.url));
            let request = request.map_err(|error| error.to_string())?.body(Bytes::from(body));
            let request =
                request.header(CONTENT_TYPE, HeaderValue::from_static("application/vnd.ferula.pair"));
            let answering = async {
                let response = self.client.send(request).await.map_err(|error| error.to_string())?;
                match response.status().as_u16() {
                    200 => Ok(()),
                    _ => Err(response.status_text().to_owned()),
                }
            };
            tokio::select! {
                answered = answering => answered?,
                () = self.clock.sleep(ANSWER_TIME_MAX) => return Err("no answer in time".to_owned()),
            }
        }
        Ok(())
    }
}

/// The bodies of the requests with these messages; at least one.
fn requests(name: &str, messages: &[PairMessage]) -> Vec<Vec<u8>> {
    let head = || {
        let mut body = Vec::new();
        frame::push(&mut body, name.as_bytes());
        body
    };
    let mut bodies = vec![head()];
    for message in messages {
        let bytes = encode(message);
        if bodies.last().is_some_and(|body| body.len() + bytes.len() > REQUEST_BYTES_MAX) {
            bodies.push(head());
        }
        if let Some(body) = bodies.last_mut() {
            frame::push(body, &bytes);
        }
    }
    bodies
}

/// Reads the body of a request: its sender and messages.
///
/// # Errors
/// The body is not one.
pub fn read_request(body: &[u8]) -> Result<(String, Vec<PairMessage>), PairError> {
    let (frames, damages) = frame::read(body);
    if let Some(damage) = damages.first() {
        return Err(PairError::Damaged(damage.at));
    }
    let Some((name, rest)) = frames.split_first() else { return Err(PairError::Nameless) };
    let name = std::str::from_utf8(name).ok().filter(|name| !name.is_empty() && name.len() <= 512);
    let name = name.ok_or(PairError::Nameless)?.to_owned();
    let mut messages = Vec::with_capacity(rest.len());
    for frame in rest {
        messages.extend(decode(frame)?);
    }
    Ok((name, messages))
}

fn encode(message: &PairMessage) -> Vec<u8> {
    let mut out = Message::default();
    let write = |message: &mut Message, group_key: &str, receiver: &LogReceiver, until: UnixNanos| {
        message.bytes(1, group_key.as_bytes());
        message.bytes(2, receiver.group_name.as_bytes());
        message.bytes(3, receiver.integration.as_bytes());
        message.uint(4, receiver.index.into());
        message.uint(5, until.0 as u64);
    };
    match message {
        PairMessage::Record(record) => out.bytes_always(1, &record.encode()),
        PairMessage::Trying { group_key, receiver, until } => {
            out.message(2, |message| write(message, group_key, receiver, *until));
        }
        PairMessage::GaveUp { group_key, receiver } => {
            out.message(3, |message| write(message, group_key, receiver, UnixNanos(0)));
        }
    }
    out.into_bytes()
}

/// A message; `None` if it is unknown, because a later version sent it.
fn decode(bytes: &[u8]) -> Result<Option<PairMessage>, WireError> {
    let field = fields(bytes).next().ok_or(WireError::Incomplete)??;
    let content = field.bytes()?;
    if field.number == 1 {
        return Ok(Record::decode(content)?.map(PairMessage::Record));
    }
    let (mut group_key, mut receiver, mut until) = (String::new(), LogReceiver::default(), UnixNanos(0));
    for part in fields(content) {
        let part = part?;
        match part.number {
            1 => group_key = part.text()?,
            2 => receiver.group_name = part.text()?,
            3 => receiver.integration = part.text()?,
            4 => receiver.index = u32::try_from(part.uint()?).unwrap_or(u32::MAX),
            5 => until = UnixNanos(part.uint()? as i64),
            _ => {}
        }
    }
    Ok(match field.number {
        2 => Some(PairMessage::Trying { group_key, receiver, until }),
        3 => Some(PairMessage::GaveUp { group_key, receiver }),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_read_back_and_bounded() {
        let receiver = LogReceiver { group_name: "a".into(), integration: "webhook".into(), index: 1 };
        let group_key = "{}:{a=\"b\"}".to_owned();
        let messages = vec![
            PairMessage::Record(Record::Forgotten { fingerprint: 3 }),
            PairMessage::Trying {
                group_key: group_key.clone(),
                receiver: receiver.clone(),
                until: UnixNanos(5),
            },
            PairMessage::GaveUp { group_key, receiver },
        ];
        let bodies = requests("me", &messages);
        assert_eq!(bodies.len(), 1);
        assert_eq!(read_request(&bodies[0]), Ok(("me".to_owned(), messages.clone())));
        assert_eq!(read_request(&requests("me", &[])[0]), Ok(("me".to_owned(), Vec::new())));
        for cut in 1..bodies[0].len() {
            let read = read_request(&bodies[0][..cut]);
            assert!(read.is_err() || read.is_ok_and(|(_, read)| read.len() < messages.len()), "{cut}");
        }
        assert_eq!(read_request(b""), Err(PairError::Nameless));
        let many: Vec<PairMessage> = std::iter::repeat_n(messages, 60_000).flatten().collect();
        let bodies = requests("me", &many);
        assert!(bodies.len() > 1 && bodies.iter().all(|body| body.len() <= REQUEST_BYTES_MAX + 1024));
        let read: usize = bodies.iter().map(|body| read_request(body).expect("whole").1.len()).sum();
        assert_eq!(read, many.len());
    }
}
