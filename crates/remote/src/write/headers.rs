//! The headers of a request: which message the body contains, and how it is compressed.

use ferula_storage::{Lease, OutOfMemory};

use crate::snappy::{self, SnappyError};
use crate::zstd::{self, ZstdError};

const MEDIA_TYPE: &str = "application/x-protobuf";

/// The protobuf message of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Message {
    /// Remote write 1.0.
    V1,
    /// Remote write 2.0.
    V2,
}

impl Message {
    const ALL: [Message; 2] = [Message::V1, Message::V2];

    /// Its full name.
    pub const fn name(self) -> &'static str {
        match self {
            Message::V1 => "prometheus.WriteRequest",
            Message::V2 => "io.prometheus.write.v2.Request",
        }
    }

    fn named(name: &str) -> Option<Message> {
        Message::ALL.into_iter().find(|message| message.name() == name)
    }
}

/// How a body is compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoding {
    /// A snappy block; also if no encoding is stated.
    Snappy,
    /// A zstd frame, which Prometheus does not accept.
    Zstd,
}

impl Encoding {
    /// Decompresses the message in a body.
    pub fn unpack(self, body: &[u8], memory: &Lease) -> Result<Vec<u8>, UnpackError> {
        match self {
            Encoding::Snappy => {
                memory.grow(snappy::decoded_bytes(body)?)?;
                Ok(snappy::decode(body)?)
            }
            Encoding::Zstd => zstd::decode(body, memory).map_err(|error| match error {
                ZstdError::NoRoom(refused) => UnpackError::NoRoom(refused),
                other => UnpackError::Zstd(other),
            }),
        }
    }
}

/// Why a body cannot be decompressed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UnpackError {
    /// Not a snappy block, or too large.
    #[error(transparent)]
    Snappy(#[from] SnappyError),
    /// Not a zstd frame, or too large.
    #[error(transparent)]
    Zstd(ZstdError),
    /// Not enough memory for the decompressed message.
    #[error("decompressing would use too much memory: {0}")]
    NoRoom(#[from] OutOfMemory),
}

/// The accepted messages: `--web.remote-write-receiver.accepted-protobuf-messages`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AcceptedMessages {
    v1: bool,
    v2: bool,
}

impl Default for AcceptedMessages {
    fn default() -> Self {
        AcceptedMessages { v1: true, v2: true }
    }
}

/// A name that is not a message of remote write.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "unknown type for remote write protobuf message {0}, supported: prometheus.WriteRequest, io.prometheus.write.v2.Request"
)]
pub struct UnknownMessage(pub String);

/// Why the headers of a request are refused. The texts are Prometheus'.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HeadersError {
    /// Another media type.
    #[error("expected {MEDIA_TYPE} as the first (media) part, got {0} content-type")]
    MediaType(String),
    /// A parameter without a value.
    #[error(
        "as per https://www.rfc-editor.org/rfc/rfc9110#parameter expected parameters to be key-values, got {part} in {content_type} content-type"
    )]
    Parameter { part: String, content_type: String },
    #[error("got {content_type} content type; {unknown}")]
    UnknownMessage { content_type: String, unknown: UnknownMessage },
    /// A message that this receiver is configured not to accept.
    #[error("{} protobuf message is not accepted by this server; only accepts {accepted}", .message.name())]
    NotAccepted {
        message: Message,
        /// Names of the accepted messages.
        accepted: String,
    },
    /// An unknown compression.
    #[error("{0} encoding (compression) is not accepted by this server; only snappy is acceptable")]
    Encoding(String),
}

impl AcceptedMessages {
    /// The messages with the given full names.
    pub fn of<'n>(names: impl IntoIterator<Item = &'n str>) -> Result<Self, UnknownMessage> {
        let mut accepted = AcceptedMessages { v1: false, v2: false };
        for name in names {
            match Message::named(name).ok_or_else(|| UnknownMessage(name.to_owned()))? {
                Message::V1 => accepted.v1 = true,
                Message::V2 => accepted.v2 = true,
            }
        }
        Ok(accepted)
    }

    /// Returns the announced message and compression, if they are accepted.
    pub fn check(
        self,
        content_type: &str,
        content_encoding: &str,
    ) -> Result<(Message, Encoding), HeadersError> {
        let message = message_of(content_type.trim())?;
        let accepts = |message: &Message| match message {
            Message::V1 => self.v1,
            Message::V2 => self.v2,
        };
        if !accepts(&message) {
            let names: Vec<&str> = Message::ALL.iter().filter(|m| accepts(m)).map(|m| m.name()).collect();
            return Err(HeadersError::NotAccepted { message, accepted: names.join(", ") });
        }
        let encoding = match content_encoding {
            "" | "snappy" => Encoding::Snappy,
            "zstd" => Encoding::Zstd,
            other => return Err(HeadersError::Encoding(other.to_owned())),
        };
        Ok((message, encoding))
    }
}

/// The message that a content type announces. Without one, it is that of 1.0, which predates the choice.
fn message_of(content_type: &str) -> Result<Message, HeadersError> {
    if content_type.is_empty() {
        return Ok(Message::V1);
    }
    let mut parts = content_type.split(';');
    if parts.next() != Some(MEDIA_TYPE) {
        return Err(HeadersError::MediaType(content_type.to_owned()));
    }
    for part in parts {
        let Some((name, value)) = part.split_once('=').filter(|(_, value)| !value.contains('=')) else {
            return Err(HeadersError::Parameter {
                part: part.to_owned(),
                content_type: content_type.to_owned(),
            });
        };
        if name == "proto" {
            return Message::named(value).ok_or_else(|| HeadersError::UnknownMessage {
                content_type: content_type.to_owned(),
                unknown: UnknownMessage(value.to_owned()),
            });
        }
    }
    Ok(Message::V1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn content_types_name_the_message_and_refusals_are_explained() {
        let both = AcceptedMessages::default();
        for (content_type, want) in [
            ("", Ok(Message::V1)),
            ("application/x-protobuf", Ok(Message::V1)),
            ("application/x-protobuf;proto=prometheus.WriteRequest", Ok(Message::V1)),
            ("application/x-protobuf;proto=io.prometheus.write.v2.Request", Ok(Message::V2)),
            (
                "text/plain",
                Err("expected application/x-protobuf as the first (media) part, got text/plain content-type"),
            ),
        ] {
            let got = both.check(content_type, "snappy").map(|(message, _)| message);
            assert_eq!(got.map_err(|error| error.to_string()), want.map_err(str::to_owned));
        }
        assert!(both.check("application/x-protobuf;proto=x", "").is_err());
        assert!(both.check("application/x-protobuf;charset", "").is_err());
        assert_eq!(both.check("", "zstd"), Ok((Message::V1, Encoding::Zstd)));
        assert_eq!(both.check("", "gzip"), Err(HeadersError::Encoding("gzip".to_owned())));
    }

    #[test]
    fn only_the_messages_of_the_flag_are_accepted() {
        let newer = AcceptedMessages::of(["io.prometheus.write.v2.Request"]).expect("a known name");
        let refused = newer.check("application/x-protobuf", "snappy").expect_err("not taken");
        assert_eq!(
            refused.to_string(),
            "prometheus.WriteRequest protobuf message is not accepted by this server; only accepts io.prometheus.write.v2.Request"
        );
        assert!(newer.check("application/x-protobuf;proto=io.prometheus.write.v2.Request", "").is_ok());
        assert_eq!(AcceptedMessages::of(["x"]), Err(UnknownMessage("x".to_owned())));
    }
}
