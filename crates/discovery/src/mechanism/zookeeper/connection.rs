//! The part of ZooKeeper's protocol that a reader needs.
//!
//! ```text
//! frame    length i32, then as many bytes                          (all numbers big-endian)
//! hello    version i32, last zxid i64, timeout i32, session i64, password buffer
//! request  xid i32, operation i32, path string, watch u8           4 getData, 12 getChildren2, 11 ping
//! answer   xid i32, zxid i64, error i32, then                      data buffer and stat, or strings and stat
//! event    xid -1, zxid, error, type i32, state i32, path string
//! ```
//!
//! Strings and buffers are preceded by their length; -1 means null.

use std::collections::HashMap;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Larger frames are refused: nodes hold at most 1 MiB, but a list of children may be larger.
const FRAME_BYTES_MAX: usize = 16 << 20;
const PORT: u16 = 2181;
const PASSWORD_BYTES: usize = 16;

const GET_DATA: i32 = 4;
const PING: i32 = 11;
const GET_CHILDREN: i32 = 12;

const EVENT_XID: i32 = -1;
const PING_XID: i32 = -2;
const NO_NODE: i32 = -101;

/// Why a session ended.
#[derive(Debug, thiserror::Error)]
pub(super) enum ZooKeeperError {
    #[error("{}", ferula_http_client::error::io_text(.0))]
    Io(#[from] std::io::Error),
    #[error("zk: connection closed")]
    Closed,
    #[error("zk: session has been expired by the server")]
    Expired,
    #[error("no answer in time")]
    Timeout,
    #[error("a frame is {0} bytes long")]
    FrameSize(i64),
    #[error("a frame ends too early")]
    Truncated,
    #[error("an answer without a request: {0}")]
    Xid(i32),
    #[error("zk: error {0}")]
    Server(i32),
    #[error("more than {0} nodes below the paths")]
    TooManyNodes(usize),
    #[error("more than {0} bytes below the paths")]
    TooManyBytes(usize),
    #[error("a path of more than {0} segments")]
    TooDeep(usize),
}

/// A request about a node; both kinds leave a watch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Request {
    Data(String),
    Children(String),
}

/// A message from the server.
#[derive(Debug)]
pub(super) enum Message {
    Data(String, Vec<u8>),
    Children(String, Vec<String>),
    NoNode(String),
    /// A watch was triggered.
    Changed(String),
    Pong,
}

/// A session with one server.
pub(super) struct Connection {
    stream: TcpStream,
    /// Received bytes; the first `taken` bytes are frames that have been returned.
    buffer: Vec<u8>,
    taken: usize,
    requests: HashMap<i32, Request>,
    next_xid: i32,
    timeout: Duration,
}

impl Connection {
    /// Connects and starts a session with this timeout.
    pub(super) async fn open(server: &str, timeout: Duration) -> Result<Self, ZooKeeperError> {
        let stream = match server.rsplit_once(':') {
            Some((_, port)) if port.parse::<u16>().is_ok() => TcpStream::connect(server).await?,
            _ => TcpStream::connect((server, PORT)).await?,
        };
        stream.set_nodelay(true)?;
        let mut connection = Connection {
            stream,
            buffer: Vec::new(),
            taken: 0,
            requests: HashMap::new(),
            next_xid: 1,
            timeout,
        };
        let mut hello = Vec::new();
        hello.extend(0_i32.to_be_bytes());
        hello.extend(0_i64.to_be_bytes());
        hello.extend(i32::try_from(timeout.as_millis()).unwrap_or(i32::MAX).to_be_bytes());
        hello.extend(0_i64.to_be_bytes());
        put_bytes(&mut hello, &[0; PASSWORD_BYTES]);
        connection.send(&hello).await?;
        let answer = connection.frame().await?;
        let mut fields = Fields(&answer);
        let (_version, granted) = (fields.int()?, fields.int()?);
        // A refused session has neither an id nor a timeout.
        connection.timeout = match u64::try_from(granted) {
            Ok(millis) if millis > 0 => Duration::from_millis(millis),
            _ => return Err(ZooKeeperError::Expired),
        };
        Ok(connection)
    }

    /// The session timeout that the server granted.
    pub(super) fn timeout(&self) -> Duration {
        self.timeout
    }

    /// Number of requests without an answer.
    pub(super) fn requests(&self) -> usize {
        self.requests.len()
    }

    pub(super) async fn request(&mut self, request: Request) -> Result<(), ZooKeeperError> {
        let xid = self.next_xid;
        self.next_xid = if xid == i32::MAX { 1 } else { xid + 1 };
        let (operation, path) = match &request {
            Request::Data(path) => (GET_DATA, path),
            Request::Children(path) => (GET_CHILDREN, path),
        };
        let mut bytes = Vec::with_capacity(path.len() + 13);
        bytes.extend(xid.to_be_bytes());
        bytes.extend(operation.to_be_bytes());
        put_bytes(&mut bytes, path.as_bytes());
        bytes.push(1);
        self.requests.insert(xid, request);
        self.send(&bytes).await
    }

    pub(super) async fn ping(&mut self) -> Result<(), ZooKeeperError> {
        let bytes = [PING_XID.to_be_bytes(), PING.to_be_bytes()].concat();
        self.send(&bytes).await
    }

    /// Returns the next message. Dropping the future loses nothing.
    pub(super) async fn message(&mut self) -> Result<Message, ZooKeeperError> {
        let frame = self.frame().await?;
        let mut fields = Fields(&frame);
        let (xid, _zxid, error) = (fields.int()?, fields.long()?, fields.int()?);
        match xid {
            PING_XID => return Ok(Message::Pong),
            EVENT_XID => {
                let (_kind, _state) = (fields.int()?, fields.int()?);
                return Ok(Message::Changed(fields.text()?));
            }
            _ => {}
        }
        let request = self.requests.remove(&xid).ok_or(ZooKeeperError::Xid(xid))?;
        match (error, request) {
            (NO_NODE, Request::Data(path) | Request::Children(path)) => Ok(Message::NoNode(path)),
            (0, Request::Data(path)) => Ok(Message::Data(path, fields.bytes()?.to_vec())),
            (0, Request::Children(path)) => {
                let count = fields.int()?;
                // Not preallocated by the count: each child takes up bytes of the frame.
                let children = (0..count).map(|_| fields.text()).collect::<Result<_, _>>()?;
                Ok(Message::Children(path, children))
            }
            (error, _) => Err(ZooKeeperError::Server(error)),
        }
    }

    async fn send(&mut self, payload: &[u8]) -> Result<(), ZooKeeperError> {
        let mut frame = Vec::with_capacity(payload.len() + 4);
        put_bytes(&mut frame, payload);
        Ok(self.stream.write_all(&frame).await?)
    }

    async fn frame(&mut self) -> Result<Vec<u8>, ZooKeeperError> {
        loop {
            if let Some((length, rest)) = self.buffer[self.taken..].split_first_chunk() {
                let length = i32::from_be_bytes(*length);
                let size = usize::try_from(length).ok().filter(|size| *size <= FRAME_BYTES_MAX);
                let size = size.ok_or(ZooKeeperError::FrameSize(length.into()))?;
                if let Some(frame) = rest.get(..size) {
                    let frame = frame.to_vec();
                    self.taken += size + 4;
                    return Ok(frame);
                }
            }
            // Moved once for all frames that arrived together, not for each of them.
            self.buffer.drain(..std::mem::take(&mut self.taken));
            if self.stream.read_buf(&mut self.buffer).await? == 0 {
                return Err(ZooKeeperError::Closed);
            }
        }
    }
}

fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    out.extend((bytes.len() as i32).to_be_bytes());
    out.extend(bytes);
}

/// The unread fields of a frame.
struct Fields<'f>(&'f [u8]);

impl<'f> Fields<'f> {
    fn chunk<const N: usize>(&mut self) -> Result<[u8; N], ZooKeeperError> {
        let (chunk, rest) = self.0.split_first_chunk().ok_or(ZooKeeperError::Truncated)?;
        self.0 = rest;
        Ok(*chunk)
    }

    fn int(&mut self) -> Result<i32, ZooKeeperError> {
        self.chunk().map(i32::from_be_bytes)
    }

    fn long(&mut self) -> Result<i64, ZooKeeperError> {
        self.chunk().map(i64::from_be_bytes)
    }

    fn bytes(&mut self) -> Result<&'f [u8], ZooKeeperError> {
        let size = usize::try_from(self.int()?.max(0)).unwrap_or(0);
        let (bytes, rest) = self.0.split_at_checked(size).ok_or(ZooKeeperError::Truncated)?;
        self.0 = rest;
        Ok(bytes)
    }

    fn text(&mut self) -> Result<String, ZooKeeperError> {
        Ok(String::from_utf8_lossy(self.bytes()?).into_owned())
    }
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;

    /// After a large frame, the buffer can hold many small ones at once.
    #[tokio::test]
    async fn frames_that_arrive_together_are_returned_one_by_one() {
        const LARGE: usize = 4 << 20;
        const SMALL: u32 = 50_000;
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let server = listener.local_addr().expect("bound").to_string();
        tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.expect("a client");
            let mut frames = Vec::new();
            put_bytes(&mut frames, &[0_i32.to_be_bytes(), 10_000_i32.to_be_bytes()].concat());
            put_bytes(&mut frames, &vec![7; LARGE]);
            (0..SMALL).for_each(|number| put_bytes(&mut frames, &number.to_be_bytes()));
            stream.write_all(&frames).await.expect("the client reads");
            // Until the client disconnects: its messages are not read.
            let mut rest = Vec::new();
            let _ = stream.read_to_end(&mut rest).await;
        });
        let mut connection = Connection::open(&server, Duration::from_secs(10)).await.expect("a session");
        assert_eq!(connection.frame().await.expect("the large one"), vec![7; LARGE]);
        for number in 0..SMALL {
            assert_eq!(connection.frame().await.expect("a small one"), number.to_be_bytes());
        }
        assert!(connection.buffer.len() <= connection.taken, "nothing is left");
    }
}
