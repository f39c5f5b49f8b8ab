//! `dns` against a simulated server: its labels, and its behaviour on errors of the server.

use std::net::SocketAddr;
use std::sync::Arc;

use ferula_model::Timestamp;
use ferula_runtime::SimClock;
use hickory_resolver::config::NameServerConfig;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, UdpSocket};

use super::*;
use crate::played::shown;
use crate::provider::SharedState;

const A: u16 = 1;
const NS: u16 = 2;
const CNAME: u16 = 5;
const MX: u16 = 15;
const AAAA: u16 = 28;
const SRV: u16 = 33;

/// The reaction of the simulated server to a query.
enum Reply {
    Records(Vec<(&'static str, u16, Vec<u8>)>),
    /// An error code, such as 3 for "no such name".
    Code(u8),
    /// Over UDP: truncated. Over TCP: these records.
    Truncated(Vec<(&'static str, u16, Vec<u8>)>),
    /// An answer to a different query, and then none.
    Spoofed,
    Garbage,
    Silence,
}

fn name(text: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    for label in text.split('.').filter(|label| !label.is_empty()) {
        bytes.push(u8::try_from(label.len()).expect("a label"));
        bytes.extend_from_slice(label.as_bytes());
    }
    bytes.push(0);
    bytes
}

fn service(port: u16, target: &str) -> Vec<u8> {
    [&[0, 1, 0, 1][..], &port.to_be_bytes(), &name(target)].concat()
}

fn mail(target: &str) -> Vec<u8> {
    [&[0, 10][..], &name(target)].concat()
}

fn reply(question: &[u8], script: fn(&str, u16) -> Reply, is_tcp: bool) -> Option<Vec<u8>> {
    let mut at = 12;
    let mut asked = String::new();
    while question[at] > 0 {
        let end = at + 1 + usize::from(question[at]);
        asked.push_str(std::str::from_utf8(&question[at + 1..end]).expect("a label"));
        asked.push('.');
        at = end;
    }
    let record_type = u16::from_be_bytes([question[at + 1], question[at + 2]]);
    let asked_bytes = &question[12..at + 5];
    let message = |id: &[u8], flags: [u8; 2], records: &[(&str, u16, Vec<u8>)]| {
        let count = u16::try_from(records.len()).expect("few records").to_be_bytes();
        let mut out = [id, &flags, &[0, 1], &count, &[0, 0, 0, 0], asked_bytes].concat();
        for (owner, kind, data) in records {
            out.extend(name(owner));
            out.extend(kind.to_be_bytes());
            out.extend([0, 1, 0, 0, 0, 60]);
            out.extend(u16::try_from(data.len()).expect("short data").to_be_bytes());
            out.extend(data);
        }
        out
    };
    let id = &question[..2];
    match script(&asked, record_type) {
        Reply::Records(records) => Some(message(id, [0x81, 0x80], &records)),
        Reply::Code(code) => Some(message(id, [0x81, 0x80 | code], &[])),
        Reply::Truncated(records) if is_tcp => Some(message(id, [0x81, 0x80], &records)),
        Reply::Truncated(_) => Some(message(id, [0x83, 0x80], &[])),
        Reply::Spoofed => {
            let records = [("victim.", A, vec![6, 6, 6, 6])];
            Some(message(&[!id[0], id[1]], [0x81, 0x80], &records))
        }
        Reply::Garbage => Some(vec![id[0], id[1], 0xff, 0xff, 0xff]),
        Reply::Silence => None,
    }
}

/// A server on the same port for UDP and TCP.
async fn serve(script: fn(&str, u16) -> Reply) -> SocketAddr {
    let (udp, tcp) = loop {
        let udp = UdpSocket::bind("127.0.0.1:0").await.expect("a port");
        // Another program may have the port for TCP.
        if let Ok(tcp) = TcpListener::bind(udp.local_addr().expect("bound")).await {
            break (udp, tcp);
        }
    };
    let address = udp.local_addr().expect("bound");
    tokio::spawn(async move {
        let mut bytes = [0; 4096];
        while let Ok((read, from)) = udp.recv_from(&mut bytes).await {
            if let Some(answer) = reply(&bytes[..read], script, false) {
                udp.send_to(&answer, from).await.expect("sent");
            }
        }
    });
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = tcp.accept().await {
            tokio::spawn(async move {
                while let Ok(length) = stream.read_u16().await {
                    let mut question = vec![0; usize::from(length)];
                    stream.read_exact(&mut question).await.expect("a question");
                    let Some(answer) = reply(&question, script, true) else { return };
                    let length = u16::try_from(answer.len()).expect("a short answer").to_be_bytes();
                    stream.write_all(&[&length[..], &answer].concat()).await.expect("sent");
                }
            });
        }
    });
    address
}

async fn discovery(yaml: &str, script: fn(&str, u16) -> Reply) -> Dns {
    let address = serve(script).await;
    let text = format!("scrape_configs: [{{job_name: a, dns_sd_configs: [{yaml}]}}]");
    let config = ferula_config::Config::parse(&text).expect("a good configuration");
    let context = Context {
        clock: Arc::new(SimClock::at(Timestamp::from_millis(0))),
        registry: Registry::new(),
        job: "a".into(),
        shared: SharedState::default(),
    };
    let section = config.scrape_configs[0].discovery.dns_sd_configs[0].clone();
    let mut dns = Dns::new(section, &context).expect("a provider");
    dns.servers = Box::new(move || {
        let mut server = NameServerConfig::udp_and_tcp(address.ip());
        for connection in &mut server.connections {
            connection.port = address.port();
        }
        let search = vec![Name::from_ascii("sub.example.").expect("a name")];
        Ok((ResolverConfig::from_parts(None, search, vec![server]), ResolverOpts::default()))
    });
    dns
}

async fn targets(dns: &mut Dns) -> Vec<String> {
    let groups = dns.refresh().await.expect("a round never fails");
    shown(&groups.into_iter().map(Arc::new).collect::<Vec<_>>())
}

#[tokio::test]
async fn each_type_has_its_address_and_labels() {
    fn script(asked: &str, record_type: u16) -> Reply {
        Reply::Records(match (asked, record_type) {
            ("_p._tcp.example.", SRV) => vec![
                ("_p._tcp.example.", SRV, service(9100, "a.example.")),
                ("_p._tcp.example.", SRV, service(9101, "b.example.")),
            ],
            ("x.example.", A) => {
                vec![("x.example.", CNAME, name("y.example.")), ("y.example.", A, vec![10, 0, 0, 1])]
            }
            ("x.example.", AAAA) => {
                vec![("x.example.", AAAA, vec![0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1])]
            }
            ("x.example.", MX) => vec![("x.example.", MX, mail("mx.example."))],
            ("x.example.", NS) => vec![("x.example.", NS, name("ns.example."))],
            _ => return Reply::Code(3),
        })
    }
    for (yaml, expected) in [
        (
            "{names: [_p._tcp.example.]}",
            vec![
                "a.example:9100 __meta_dns_name=_p._tcp.example. __meta_dns_srv_record_port=9100 __meta_dns_srv_record_target=a.example.",
                "b.example:9101 __meta_dns_name=_p._tcp.example. __meta_dns_srv_record_port=9101 __meta_dns_srv_record_target=b.example.",
            ],
        ),
        ("{names: [x.example], type: A, port: 1}", vec!["10.0.0.1:1 __meta_dns_name=x.example"]),
        ("{names: [x.example], type: aaaa, port: 1}", vec!["[fd00::1]:1 __meta_dns_name=x.example"]),
        (
            "{names: [x.example], type: MX, port: 1}",
            vec!["mx.example:1 __meta_dns_mx_record_target=mx.example. __meta_dns_name=x.example"],
        ),
        (
            "{names: [x.example], type: NS, port: 1}",
            vec!["ns.example:1 __meta_dns_name=x.example __meta_dns_ns_record_target=ns.example."],
        ),
    ] {
        let mut dns = discovery(yaml, script).await;
        assert_eq!(targets(&mut dns).await, expected, "{yaml}");
    }
}

#[tokio::test]
async fn search_domains_are_tried_and_nonexistent_names_have_no_targets() {
    fn script(asked: &str, _: u16) -> Reply {
        match asked {
            "host.sub.example." => Reply::Records(vec![("host.sub.example.", A, vec![10, 0, 0, 2])]),
            _ => Reply::Code(3),
        }
    }
    let mut dns = discovery("{names: [host, none, host.sub.example.], type: A, port: 5}", script).await;
    assert_eq!(
        targets(&mut dns).await,
        ["10.0.0.2:5 __meta_dns_name=host", "10.0.0.2:5 __meta_dns_name=host.sub.example."]
    );
    assert_eq!((dns.metrics.lookups.get(), dns.metrics.failures.get()), (3.0, 0.0));
}

#[tokio::test]
async fn a_truncated_query_is_repeated_over_tcp() {
    fn script(_: &str, _: u16) -> Reply {
        Reply::Truncated((0..=255).map(|number| ("big.example.", A, vec![10, 0, 1, number])).collect())
    }
    let mut dns = discovery("{names: [big.example.], type: A, port: 1}", script).await;
    assert_eq!(targets(&mut dns).await.len(), 256);
}

/// First a good answer, then each kind of bad one: the targets stay.
#[tokio::test]
async fn bad_answers_keep_what_was_known() {
    fn bad(asked: &str, _: u16) -> Reply {
        match asked {
            "servfail.example." => Reply::Code(2),
            "loop.example." => Reply::Records(vec![
                ("loop.example.", CNAME, name("pool.example.")),
                ("pool.example.", CNAME, name("loop.example.")),
            ]),
            "pool.example." => Reply::Records(vec![("pool.example.", CNAME, name("loop.example."))]),
            "spoofed.example." => Reply::Spoofed,
            "garbage.example." => Reply::Garbage,
            _ => Reply::Silence,
        }
    }
    for host in ["servfail", "loop", "spoofed", "garbage", "silent"] {
        let yaml = format!("{{names: [{host}.example.], type: A, port: 1}}");
        let mut dns = discovery(&yaml, bad).await;
        let full = format!("{host}.example.");
        let known = TargetGroup::new(full.clone(), &["10.9.9.9:1".to_owned()], &BTreeMap::new());
        dns.known.insert(full, known);
        let start = std::time::Instant::now();
        let found = targets(&mut dns).await;
        assert!(!found.iter().any(|target| target.starts_with("6.6.6.6")), "{host}: {found:?}");
        if host != "loop" {
            assert_eq!(found, ["10.9.9.9:1"], "{host}");
            assert_eq!(dns.metrics.failures.get(), 1.0, "{host}");
        }
        assert!(start.elapsed() < Duration::from_secs(60), "{host} is bounded");
    }
}
