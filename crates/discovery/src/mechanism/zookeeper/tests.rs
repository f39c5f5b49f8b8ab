//! `serverset` and `nerve` against a simulated ZooKeeper: changing trees, paths that appear later, servers
//! that die or send garbage.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::broadcast;

use crate::played::TestBed;

/// A server with a tree of nodes.
#[derive(Clone)]
pub(crate) struct PlayedZooKeeper {
    pub address: String,
    nodes: Arc<Mutex<BTreeMap<String, Vec<u8>>>>,
    /// Paths whose data or children have changed; "" ends all connections.
    changes: broadcast::Sender<String>,
}

impl PlayedZooKeeper {
    pub(crate) async fn start(nodes: &[(&str, &str)]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("bound").to_string();
        let nodes = nodes.iter().map(|(path, data)| ((*path).to_owned(), data.as_bytes().to_vec())).collect();
        let server = PlayedZooKeeper {
            address,
            nodes: Arc::new(Mutex::new(nodes)),
            changes: broadcast::Sender::new(1024),
        };
        let played = server.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let played = played.clone();
                tokio::spawn(async move { played.serve(stream).await });
            }
        });
        server
    }

    fn set(&self, path: &str, data: Option<&str>) {
        let mut nodes = self.nodes.lock().expect("a test");
        match data {
            Some(data) => nodes.insert(path.to_owned(), data.as_bytes().to_vec()),
            None => nodes.remove(path),
        };
        drop(nodes);
        let parent = path.rsplit_once('/').map_or("", |(parent, _)| parent);
        for changed in [path, parent] {
            let _ = self.changes.send(changed.to_owned());
        }
    }

    fn end_sessions(&self) {
        let _ = self.changes.send(String::new());
    }

    async fn serve(&self, mut stream: TcpStream) -> Option<()> {
        let mut changes = self.changes.subscribe();
        let mut watches: BTreeSet<String> = BTreeSet::new();
        read_frame(&mut stream).await?;
        let mut hello = [0_i32.to_be_bytes(), 10_000_i32.to_be_bytes()].concat();
        hello.extend(1_i64.to_be_bytes());
        hello.extend(16_i32.to_be_bytes());
        hello.extend([0; 16]);
        hello.push(0);
        write_frame(&mut stream, &hello).await?;
        loop {
            let mut length = [0; 4];
            tokio::select! {
                read = stream.read_exact(&mut length) => { read.ok()?; }
                changed = changes.recv() => {
                    let changed = changed.ok().filter(|path| !path.is_empty())?;
                    if watches.remove(&changed) {
                        let mut event = header(-1, 0);
                        event.extend([3_i32.to_be_bytes(), 3_i32.to_be_bytes()].concat());
                        put(&mut event, changed.as_bytes());
                        write_frame(&mut stream, &event).await?;
                    }
                    continue;
                }
            }
            let mut frame = vec![0; i32::from_be_bytes(length) as usize];
            stream.read_exact(&mut frame).await.ok()?;
            let int = |at: usize| i32::from_be_bytes(frame[at..at + 4].try_into().expect("four bytes"));
            let (xid, operation) = (int(0), int(4));
            let answer = match operation {
                4 | 12 => {
                    let path = String::from_utf8_lossy(&frame[12..12 + int(8) as usize]).into_owned();
                    watches.insert(path.clone());
                    self.answer(xid, operation, &path)
                }
                -11 => return None,
                _ => header(xid, 0),
            };
            write_frame(&mut stream, &answer).await?;
        }
    }

    fn answer(&self, xid: i32, operation: i32, path: &str) -> Vec<u8> {
        let nodes = self.nodes.lock().expect("a test");
        let Some(data) = nodes.get(path) else { return header(xid, -101) };
        let mut answer = header(xid, 0);
        if operation == 4 {
            put(&mut answer, data);
        } else {
            let below = format!("{path}/");
            let children = nodes.keys().filter_map(|node| node.strip_prefix(&below));
            let children: Vec<&str> = children.filter(|name| !name.contains('/')).collect();
            answer.extend((children.len() as i32).to_be_bytes());
            children.iter().for_each(|name| put(&mut answer, name.as_bytes()));
        }
        answer.extend([0; 68]);
        answer
    }
}

fn header(xid: i32, error: i32) -> Vec<u8> {
    let mut bytes = xid.to_be_bytes().to_vec();
    bytes.extend(1_i64.to_be_bytes());
    bytes.extend(error.to_be_bytes());
    bytes
}

fn put(out: &mut Vec<u8>, bytes: &[u8]) {
    out.extend((bytes.len() as i32).to_be_bytes());
    out.extend(bytes);
}

async fn read_frame(stream: &mut TcpStream) -> Option<Vec<u8>> {
    let size = stream.read_i32().await.ok()?;
    let mut frame = vec![0; size as usize];
    stream.read_exact(&mut frame).await.ok()?;
    Some(frame)
}

async fn write_frame(stream: &mut TcpStream, payload: &[u8]) -> Option<()> {
    let mut frame = Vec::new();
    put(&mut frame, payload);
    stream.write_all(&frame).await.ok()
}

pub(crate) const SERVERSET: &[(&str, &str)] = &[
    ("/discovery", ""),
    ("/discovery/web", "no member"),
    (
        "/discovery/web/member_0",
        r#"{"serviceEndpoint": {"host": "h1", "port": 31000}, "additionalEndpoints": {"http-x": {"host": "h2", "port": 31001}}, "status": "ALIVE", "shard": 3}"#,
    ),
    ("/discovery/web/member_1", r#"{"serviceEndpoint": {"host": "fd00::1", "port": 1}, "status": "DEAD"}"#),
];
pub(crate) const NERVE: &[(&str, &str)] = &[
    ("/nerve", ""),
    ("/nerve/a", ""),
    ("/nerve/a/i-1", r#"{"host": "10.0.0.1", "port": 9100, "name": "i-1", "weight": 10}"#),
];

pub(crate) fn section(kind: &str, address: &str, path: &str) -> String {
    format!("{kind}_sd_configs: [{{servers: ['{address}'], paths: [{path}]}}]")
}

#[tokio::test]
async fn members_are_followed_as_they_are_added_changed_and_removed() {
    let server = PlayedZooKeeper::start(SERVERSET).await;
    let bed = TestBed::new(&section("serverset", &server.address, "/discovery"));
    let first = "h1:31000 __meta_serverset_endpoint_host=h1 __meta_serverset_endpoint_host_http_x=h2 \
        __meta_serverset_endpoint_port=31000 __meta_serverset_endpoint_port_http_x=31001 \
        __meta_serverset_path=/discovery/web/member_0 __meta_serverset_shard=3 __meta_serverset_status=ALIVE";
    let second = "[fd00::1]:1 __meta_serverset_endpoint_host=fd00::1 __meta_serverset_endpoint_port=1 \
        __meta_serverset_path=/discovery/web/member_1 __meta_serverset_shard=0 __meta_serverset_status=DEAD";
    assert_eq!(bed.targets(2).await, [second, first]);
    server.set("/discovery/api", Some(""));
    server.set("/discovery/api/member_2", Some(r#"{"serviceEndpoint": {"host": "h3", "port": 3}}"#));
    bed.wait_for(|targets| targets.iter().any(|target| target.starts_with("h3:3 "))).await;
    server.set("/discovery/web/member_1", Some(r#"{"serviceEndpoint": {"host": "h4", "port": 4}}"#));
    bed.wait_for(|targets| targets.iter().any(|target| target.starts_with("h4:4 "))).await;
    // Members that become unreadable or disappear.
    server.set("/discovery/web/member_1", Some("{"));
    bed.targets(2).await;
    server.set("/discovery/api/member_2", None);
    assert_eq!(bed.targets(1).await, [first]);
    // A new session notices changes that were made in between.
    server.end_sessions();
    server.set("/discovery/web/member_5", Some(r#"{"serviceEndpoint": {"host": "h5", "port": 5}}"#));
    bed.targets(2).await;
    assert!(bed.metric("prometheus_treecache_zookeeper_failures_total") >= 1.0);
    bed.apply("static_configs: []");
}

#[tokio::test]
async fn a_path_may_appear_later() {
    let server = PlayedZooKeeper::start(&[("/other", "")]).await;
    let bed = TestBed::new(&section("nerve", &server.address, "/nerve"));
    bed.wait_for_metric("prometheus_treecache_zookeeper_failures_total", 1.0).await;
    for (path, data) in NERVE {
        server.set(path, Some(data));
    }
    assert_eq!(
        bed.targets(1).await,
        ["10.0.0.1:9100 __meta_nerve_endpoint_host=10.0.0.1 __meta_nerve_endpoint_name=i-1 \
          __meta_nerve_endpoint_port=9100 __meta_nerve_path=/nerve/a/i-1"]
    );
}

/// Frames of four bytes that answer nothing.
const ENDLESS: &[u8] = &[0, 0, 0, 4, 1, 2, 3, 4];

#[tokio::test]
async fn garbage_ends_the_session_and_keeps_the_members() {
    let server = PlayedZooKeeper::start(NERVE).await;
    for garbage in [
        &b"HTTP/1.1 400 Bad Request\r\n\r\n"[..],
        &[0xff; 64],
        &[0, 0, 0, 4, 0, 0, 0, 0],
        &[0, 0, 0, 0, 0, 0],
        &[],
        ENDLESS,
    ] {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let bad = listener.local_addr().expect("bound").to_string();
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                // The last one never stops.
                while stream.write_all(garbage).await.is_ok() && garbage == ENDLESS {}
            }
        });
        // The good and the bad server alternate.
        let both = format!("{}', '{bad}", server.address);
        let bed = TestBed::new(&section("nerve", &both, "/nerve"));
        bed.targets(1).await;
        server.end_sessions();
        bed.wait_for_metric("prometheus_treecache_zookeeper_failures_total", 2.0).await;
        assert_eq!(bed.targets(1).await.len(), 1, "{garbage:?}");
    }
}
