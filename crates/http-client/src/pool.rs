//! Idle connections, kept for the next request.
//!
//! Always true: a connection made with certificates that have since been replaced is not reused.

use std::collections::HashMap;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, Weak};
use std::time::Duration;

use bytes::Bytes;
use ferula_go::sync::MutexExt;
use http_body_util::Full;
use hyper::client::conn::{http1, http2};
use tokio::time::Instant;

use crate::connect::{Connection, HeaderRoom, Route, Sender};
use crate::proxy::ProxyProtocol;
use crate::url::port_or_default;
use crate::wire::Wire;

/// Idle connections are closed after this time, as in Prometheus.
const IDLE_TIME_MAX: Duration = Duration::from_secs(300);
/// Idle connections to one server, as in Prometheus.
const IDLE_PER_SERVER_MAX: usize = 1000;

/// The properties that interchangeable connections share.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Key {
    https: bool,
    address: String,
    proxy: Option<(ProxyProtocol, String)>,
    unix_socket: Option<Arc<Path>>,
}

impl Key {
    pub fn of(route: &Route<'_>) -> Self {
        let url = route.url;
        // A proxy that receives the requests themselves serves all of them over one connection.
        let address = match route.asks_proxy() {
            true => String::new(),
            false => format!("{}:{}", url.hostname().to_ascii_lowercase(), port_or_default(url)),
        };
        Key {
            https: url.scheme() == "https",
            address,
            proxy: route.proxy.map(|proxy| (proxy.kind, proxy.url.host())),
            unix_socket: route.unix_socket.map(Arc::from),
        }
    }
}

/// The connections of one client.
#[derive(Debug, Default)]
pub(crate) struct Pool(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    /// Increases when certificates change.
    generation: u64,
    idle: HashMap<(Key, HeaderRoom), Vec<Idle>>,
    /// HTTP/2: one connection serves any number of requests.
    shared: HashMap<Key, SharedConnection>,
    /// Servers whose headers exceeded the usual room, with the time of the last request.
    wordy: HashMap<Key, Instant>,
    sweeping: bool,
}

#[derive(Debug)]
struct Idle {
    sender: http1::SendRequest<Full<Bytes>>,
    wire: Arc<Wire>,
    since: Instant,
}

#[derive(Debug)]
struct SharedConnection {
    sender: http2::SendRequest<Full<Bytes>>,
    wire: Arc<Wire>,
    used: Instant,
}

impl SharedConnection {
    fn usable(&self) -> bool {
        !self.sender.is_closed() && self.used.elapsed() < IDLE_TIME_MAX
    }
}

impl Idle {
    fn usable(&self) -> bool {
        !self.sender.is_closed() && self.since.elapsed() < IDLE_TIME_MAX
    }
}

impl Pool {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.locked()
    }

    /// Drops all connections; those in use are closed after their answer.
    pub fn renew(&self) {
        let mut state = self.lock();
        state.generation += 1;
        state.idle.clear();
        state.shared.clear();
    }

    pub fn generation(&self) -> u64 {
        self.lock().generation
    }

    /// Records that a server's headers need the full room.
    pub fn note_wordy(self: &Arc<Self>, key: &Key) {
        let mut state = self.lock();
        state.wordy.insert(key.clone(), Instant::now());
        self.start_sweeping(&mut state);
    }

    pub fn is_wordy(&self, key: &Key) -> bool {
        match self.lock().wordy.get_mut(key) {
            Some(asked) => {
                *asked = Instant::now();
                true
            }
            None => false,
        }
    }

    /// The most recently used idle connection, if there is one.
    pub fn take(&self, key: &Key, room: HeaderRoom) -> Option<Connection> {
        let mut state = self.lock();
        if let Some(shared) = state.shared.get_mut(key) {
            if shared.usable() {
                shared.used = Instant::now();
                let sender = Sender::Http2(shared.sender.clone());
                return Some(Connection { sender, wire: shared.wire.clone() });
            }
            state.shared.remove(key);
        }
        let idle = state.idle.get_mut(&(key.clone(), room))?;
        while let Some(found) = idle.pop() {
            if found.usable() {
                return Some(Connection { sender: Sender::Http1(found.sender), wire: found.wire });
            }
        }
        None
    }

    /// Shares an HTTP/2 connection with later requests.
    pub fn share(
        self: &Arc<Self>,
        key: &Key,
        generation: u64,
        sender: &http2::SendRequest<Full<Bytes>>,
        wire: &Arc<Wire>,
    ) {
        let mut state = self.lock();
        if state.generation == generation {
            let shared =
                SharedConnection { sender: sender.clone(), wire: wire.clone(), used: Instant::now() };
            state.shared.insert(key.clone(), shared);
            self.start_sweeping(&mut state);
        }
    }

    fn put(self: &Arc<Self>, lease: Lease) {
        let mut state = self.lock();
        if state.generation != lease.generation || lease.sender.is_closed() {
            return;
        }
        let idle = state.idle.entry((lease.key, lease.room)).or_default();
        if idle.len() < IDLE_PER_SERVER_MAX {
            idle.push(Idle { sender: lease.sender, wire: lease.wire, since: Instant::now() });
        }
        self.start_sweeping(&mut state);
    }

    fn start_sweeping(self: &Arc<Self>, state: &mut State) {
        if !std::mem::replace(&mut state.sweeping, true) {
            tokio::spawn(sweep(Arc::downgrade(self)));
        }
    }
}

/// Closes connections that have been idle too long, and drops servers without requests. Returns when nothing
/// is left.
async fn sweep(pool: Weak<Pool>) {
    loop {
        tokio::time::sleep(IDLE_TIME_MAX / 4).await;
        let Some(pool) = pool.upgrade() else { return };
        let mut state = pool.lock();
        state.idle.retain(|_, idle| {
            idle.retain(Idle::usable);
            !idle.is_empty()
        });
        state.shared.retain(|_, shared| shared.usable());
        state.wordy.retain(|_, asked| asked.elapsed() < IDLE_TIME_MAX);
        if state.idle.is_empty() && state.shared.is_empty() && state.wordy.is_empty() {
            state.sweeping = false;
            return;
        }
    }
}

/// The right to return a connection to the pool once its answer has been read.
#[derive(Debug)]
pub(crate) struct Lease {
    pub pool: Arc<Pool>,
    pub key: Key,
    pub room: HeaderRoom,
    pub generation: u64,
    pub sender: http1::SendRequest<Full<Bytes>>,
    pub wire: Arc<Wire>,
}

impl Lease {
    pub fn give_back(self) {
        let pool = self.pool.clone();
        pool.put(self);
    }
}
