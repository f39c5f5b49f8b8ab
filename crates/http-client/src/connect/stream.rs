//! A stream to a server, to a proxy, or through one.

use tokio::io::{AsyncRead, AsyncWrite};

/// A bidirectional stream of bytes.
pub(crate) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

/// A stream, and the name of its connection in errors.
pub(crate) struct Dialled {
    pub stream: Box<dyn Stream>,
    pub connection: String,
}
