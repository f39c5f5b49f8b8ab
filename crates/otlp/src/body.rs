//! The body of a request: its format and compression.

use std::io::Read;

use ferula_go::protobuf::ProtobufError;
use ferula_storage::{Lease, OutOfMemory};

use crate::json;

/// The maximum size of a decompressed body, as for remote write.
const DECODED_BYTES_MAX: usize = 32 << 20;
/// The smallest step in which memory is requested.
const STEP_BYTES_MIN: usize = 64 << 10;

const PROTOBUF: &str = "application/x-protobuf";
const JSON: &str = "application/json";

/// The format of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    Protobuf,
    Json,
}

/// Why a body is not a valid request.
#[derive(Debug, thiserror::Error)]
pub enum BodyError {
    /// The text is Prometheus'.
    #[error("unsupported content type: {0}, supported: [{JSON}, {PROTOBUF}]")]
    ContentType(String),
    /// The text is Prometheus'.
    #[error("unsupported compression: {0}. Only \"gzip\" or no compression supported")]
    Compression(String),
    #[error("gzip: {0}")]
    Gzip(std::io::Error),
    #[error("gzip: decoded length exceeds the limit of {DECODED_BYTES_MAX} bytes")]
    TooLarge,
    #[error("unpacking would use too much memory: {0}")]
    NoRoom(#[from] OutOfMemory),
    #[error("{0}")]
    Json(serde_json::Error),
    #[error(transparent)]
    Protobuf(#[from] ProtobufError),
}

impl Format {
    /// The format of a content type.
    ///
    /// # Errors
    /// It is a different content type.
    pub fn of(content_type: &str) -> Result<Self, BodyError> {
        match content_type {
            PROTOBUF => Ok(Format::Protobuf),
            JSON => Ok(Format::Json),
            other => Err(BodyError::ContentType(other.to_owned())),
        }
    }

    /// The message of a body, as protobuf.
    ///
    /// # Errors
    /// See [`BodyError`].
    pub fn message(self, body: &[u8], encoding: &str, memory: &Lease) -> Result<Vec<u8>, BodyError> {
        let body = match encoding {
            "gzip" => gunzip(body, memory)?,
            "" => {
                memory.grow(body.len())?;
                body.to_vec()
            }
            other => return Err(BodyError::Compression(other.to_owned())),
        };
        match self {
            Format::Protobuf => Ok(body),
            Format::Json => {
                // Numbers are at most four times as long as their digits.
                memory.grow(body.len().saturating_mul(4))?;
                json::to_protobuf(&body).map_err(BodyError::Json)
            }
        }
    }
}

/// Decompresses; memory is accounted for as it is used.
fn gunzip(packed: &[u8], memory: &Lease) -> Result<Vec<u8>, BodyError> {
    let mut decoder = flate2::bufread::MultiGzDecoder::new(packed);
    let mut bytes = Vec::new();
    loop {
        let room = bytes.len().clamp(STEP_BYTES_MIN, DECODED_BYTES_MAX);
        memory.grow(room)?;
        let read = decoder.by_ref().take(room as u64).read_to_end(&mut bytes).map_err(BodyError::Gzip)?;
        if bytes.len() > DECODED_BYTES_MAX {
            return Err(BodyError::TooLarge);
        }
        if read < room {
            return Ok(bytes);
        }
    }
}
