//! `docker` against a simulated server: its labels, and its behaviour on errors of the server.

use std::sync::Arc;

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::played::{Play, PlayedServer, ReceivedRequest, TestBed};

const CONTAINERS: &str = r#"[
 {"Id": "c1", "Names": ["/web"], "Image": "nginx", "ImageID": "sha256:1", "Labels": {"com.x/y": "z"},
  "Ports": [{"IP": "0.0.0.0", "PrivatePort": 80, "PublicPort": 8080, "Type": "tcp"},
            {"PrivatePort": 90, "Type": "tcp"}, {"PrivatePort": 53, "Type": "udp"}],
  "HostConfig": {"NetworkMode": "a"},
  "NetworkSettings": {"Networks": {"a": {"NetworkID": "n1", "IPAddress": "172.17.0.2"},
                                   "b": {"NetworkID": "n2", "IPAddress": "172.18.0.2"}}}},
 {"Id": "c2", "Names": ["/side"], "Image": "s", "Labels": null, "Ports": null,
  "HostConfig": {"NetworkMode": "container:c1"}, "NetworkSettings": {"Networks": {}}},
 {"Id": "c3", "Names": ["/host"], "Image": "h", "Ports": [], "HostConfig": {"NetworkMode": "host"},
  "NetworkSettings": {"Networks": {"host": {"NetworkID": "n3", "IPAddress": ""}}}},
 {"Id": "c4", "Names": ["/six"], "Ports": [], "HostConfig": {"NetworkMode": "a"},
  "NetworkSettings": {"Networks": {"a": {"NetworkID": "n1", "IPAddress": "", "GlobalIPv6Address": "fd00::4"}}}},
 {"Id": "c6", "Names": [], "HostConfig": {"NetworkMode": "a"}, "NetworkSettings": {"Networks": {}}}
]"#;

const NETWORKS: &str = r#"[
 {"Id": "n1", "Name": "a", "Scope": "local", "Internal": false, "Ingress": false, "Labels": {"l-1": "v"}},
 {"Id": "n2", "Name": "b", "Scope": "local", "Internal": true, "Ingress": false, "Labels": {}},
 {"Id": "n3", "Name": "host", "Scope": "local", "Internal": false, "Ingress": false, "Labels": null}
]"#;

/// The real client first asks for the daemon's API version.
pub(crate) fn daemon(request: &ReceivedRequest) -> Play {
    let path = request.target.split('?').next().unwrap_or_default();
    let path =
        path.split_once("/v1.").and_then(|(_, rest)| rest.split_once('/')).map_or(path, |(_, rest)| rest);
    match path.trim_start_matches('/') {
        "containers/json" => Play::Json(CONTAINERS.to_owned()),
        "networks" => Play::Json(NETWORKS.to_owned()),
        "_ping" => Play::Raw("200 OK", "API-Version: 1.44\r\n".to_owned(), b"OK".to_vec()),
        _ => Play::Raw("404 Not Found", String::new(), br#"{"message":"page not found"}"#.to_vec()),
    }
}

pub(crate) fn section(address: &str) -> String {
    format!("docker_sd_configs: [{{host: 'http://{address}', refresh_interval: 5s}}]")
}

#[tokio::test]
async fn containers_have_a_target_for_each_port_of_their_first_network() {
    let server = PlayedServer::start(daemon).await;
    let bed = TestBed::new(&section(&server.address));
    let network = "__meta_docker_network_id=n1 __meta_docker_network_ingress=false \
                   __meta_docker_network_internal=false __meta_docker_network_ip=172.17.0.2 \
                   __meta_docker_network_label_l_1=v __meta_docker_network_name=a __meta_docker_network_scope=local";
    let web = "__meta_docker_container_id=c1 __meta_docker_container_image=nginx \
               __meta_docker_container_image_id=sha256:1 __meta_docker_container_label_com_x_y=z \
               __meta_docker_container_name=/web __meta_docker_container_network_mode=a";
    let targets = bed.targets(5).await;
    assert_eq!(
        targets[0],
        format!(
            "172.17.0.2:80 {web} {network} __meta_docker_port_private=80 __meta_docker_port_public=8080 __meta_docker_port_public_ip=0.0.0.0"
        )
    );
    assert_eq!(
        targets[1],
        format!(
            "172.17.0.2:80 __meta_docker_container_id=c2 __meta_docker_container_image=s \
             __meta_docker_container_name=/side __meta_docker_container_network_mode=container:c1 {network}"
        )
    );
    assert_eq!(targets[2], format!("172.17.0.2:90 {web} {network} __meta_docker_port_private=90"));
    assert!(targets[3].starts_with("[fd00::4]:80 "), "{}", targets[3]);
    assert!(targets[4].starts_with("localhost __meta_docker_container_id=c3"), "{}", targets[4]);
}

#[tokio::test]
async fn filters_are_sent_and_targets_in_all_networks_can_be_requested() {
    let server = PlayedServer::start(daemon).await;
    let bed = TestBed::new(&format!(
        "docker_sd_configs: [{{host: 'tcp://{}', match_first_network: false, filters: [{{name: label, values: [a=b, c]}}]}}]",
        server.address
    ));
    // Two networks for c1 with two ports each, and the same for c2, which shares them.
    bed.targets(8).await;
    let request = server.targets();
    assert_eq!(
        request[0],
        "/v1.44/containers/json?filters=%7B%22label%22%3A%7B%22a%3Db%22%3Atrue%2C%22c%22%3Atrue%7D%7D"
    );
}

#[tokio::test]
async fn a_daemon_is_reached_over_its_socket() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("docker.sock");
    let listener = tokio::net::UnixListener::bind(&path).expect("a socket");
    let served = tokio::spawn(async move {
        let mut connections = tokio::task::JoinSet::new();
        while let Ok((mut stream, _)) = listener.accept().await {
            connections.spawn(async move {
                let mut bytes = vec![0; 65_536];
                while let Ok(read @ 1..) = stream.read(&mut bytes).await {
                    let request = String::from_utf8_lossy(&bytes[..read]).into_owned();
                    let body = if request.contains("/networks") { NETWORKS } else { CONTAINERS };
                    let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len());
                    if stream.write_all(answer.as_bytes()).await.is_err() {
                        return;
                    }
                }
            });
        }
    });
    let bed = TestBed::new(&format!("docker_sd_configs: [{{host: 'unix://{}'}}]", path.display()));
    bed.targets(5).await;
    served.abort();
}

#[tokio::test]
async fn an_old_daemon_gets_requests_without_a_version_and_its_errors_are_reported() {
    let answered = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let flag = answered.clone();
    let server = PlayedServer::start(move |request| {
        if request.target.starts_with("/v1.") {
            let text = r#"{"message":"client version 1.44 is too new"}"#;
            return Play::Raw("400 Bad Request", String::new(), text.as_bytes().to_vec());
        }
        flag.store(true, std::sync::atomic::Ordering::SeqCst);
        daemon(request)
    })
    .await;
    let bed = TestBed::new(&section(&server.address));
    bed.targets(5).await;
    assert!(answered.load(std::sync::atomic::Ordering::SeqCst));
}

/// Prometheus loops forever on these.
#[tokio::test]
async fn containers_that_share_each_others_network_have_no_targets() {
    let server = PlayedServer::of_paths(&[
        (
            "/v1.44/containers/json",
            r#"[{"Id": "a", "Names": ["/a"], "HostConfig": {"NetworkMode": "container:b"}},
                {"Id": "b", "Names": ["/b"], "HostConfig": {"NetworkMode": "container:a"}},
                {"Id": "c", "Names": ["/c"], "HostConfig": {"NetworkMode": "container:c"}},
                {"Id": "d", "Names": ["/d"], "NetworkSettings": {"Networks": {"n": {"NetworkID": "n", "IPAddress": "10.0.0.4"}}}}]"#,
        ),
        ("/v1.44/networks", "[]"),
    ])
    .await;
    let bed = TestBed::new(&section(&server.address));
    assert!(bed.targets(1).await[0].starts_with("10.0.0.4:80 "));
}
