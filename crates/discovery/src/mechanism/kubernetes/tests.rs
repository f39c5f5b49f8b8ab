//! `kubernetes` against a simulated server: its labels, and its behaviour on errors of the server.

mod bad_answers;
mod exec;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use serde_json::{Value as Json, json};
use tokio::sync::broadcast;

use crate::played::{Play, PlayedServer, ReceivedRequest, TestBed};

/// A simulated cluster: collections by path, with a history that can be lost.
#[derive(Clone)]
pub(crate) struct Cluster(Arc<Mutex<State>>);

struct State {
    version: u64,
    /// Objects by collection and key.
    objects: BTreeMap<String, BTreeMap<String, Json>>,
    watches: Vec<(String, broadcast::Sender<String>)>,
    /// All events: their collections, versions and texts.
    history: Vec<(String, u64, String)>,
    /// Watches cannot start at versions before this one.
    oldest: u64,
    is_down: bool,
    lists: usize,
}

impl Cluster {
    pub(crate) fn new() -> Self {
        Cluster(Arc::new(Mutex::new(State {
            version: 10,
            objects: BTreeMap::new(),
            watches: Vec::new(),
            history: Vec::new(),
            oldest: 0,
            is_down: false,
            lists: 0,
        })))
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.0.lock().expect("a test")
    }

    /// Adds or changes an object; watches are notified.
    pub(crate) fn put(&self, collection: &str, mut object: Json) {
        let mut state = self.state();
        state.version += 1;
        object["metadata"]["resourceVersion"] = json!(state.version.to_string());
        let key = format!("{}/{}", object["metadata"]["namespace"], object["metadata"]["name"]);
        let objects = state.objects.entry(collection.to_owned()).or_default();
        let kind = if objects.insert(key, object.clone()).is_some() { "MODIFIED" } else { "ADDED" };
        state.tell(collection, kind, &object);
    }

    pub(crate) fn delete(&self, collection: &str, namespace: &str, name: &str) {
        let mut state = self.state();
        state.version += 1;
        let key = format!("{}/{}", json!(namespace), json!(name));
        let object = state.objects.get_mut(collection).and_then(|objects| objects.remove(&key));
        let mut object = object.expect("an object");
        object["metadata"]["resourceVersion"] = json!(state.version.to_string());
        state.tell(collection, "DELETED", &object);
    }

    /// Ends all watches.
    pub(crate) fn end_watches(&self) {
        self.state().watches.clear();
    }

    pub(crate) fn play(&self, request: &ReceivedRequest) -> Play {
        let mut state = self.state();
        let (path, query) = request.target.split_once('?').unwrap_or((&request.target, ""));
        let query: BTreeMap<&str, &str> = query.split('&').filter_map(|pair| pair.split_once('=')).collect();
        if state.is_down {
            return Play::Raw("503 Service Unavailable", String::new(), b"not json".to_vec());
        }
        if query.contains_key("sendInitialEvents") {
            // A newer way of listing, which this cluster does not support.
            let status = json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": "Invalid", "code": 422});
            let headers = "Content-Type: application/json\r\n".to_owned();
            return Play::Raw("422 Unprocessable Entity", headers, status.to_string().into_bytes());
        }
        if query.contains_key("watch") {
            let from: u64 = query["resourceVersion"].parse().unwrap_or(0);
            if from < state.oldest {
                let status = json!({"kind": "Status", "code": 410, "message": "too old resource version"});
                return Play::Raw("410 Gone", String::new(), status.to_string().into_bytes());
            }
            let (sender, receiver) = broadcast::channel(10_000);
            // Past events come first.
            for (_, _, event) in state.history.iter().filter(|(of, version, _)| of == path && *version > from)
            {
                sender.send(event.clone()).expect("a receiver");
            }
            state.watches.push((path.to_owned(), sender));
            return Play::Live(receiver);
        }
        state.lists += 1;
        // Small pages, so that every list has several.
        let start: usize = query.get("continue").and_then(|text| text.parse().ok()).unwrap_or(0);
        let size = if query.contains_key("limit") { 3 } else { usize::MAX };
        let none = BTreeMap::new();
        let all = state.objects.get(path).unwrap_or(&none);
        let items: Vec<&Json> = all.values().skip(start).take(size).collect();
        let next =
            if start.saturating_add(size) < all.len() { (start + size).to_string() } else { String::new() };
        let (group, kind) = kind_of(path);
        Play::Json(
            json!({
                "kind": format!("{kind}List"), "apiVersion": group,
                "metadata": {"resourceVersion": state.version.to_string(), "continue": next},
                "items": if items.is_empty() { Json::Null } else { json!(items) },
            })
            .to_string(),
        )
    }
}

fn kind_of(path: &str) -> (&'static str, &'static str) {
    match path.rsplit('/').next().unwrap_or_default() {
        "pods" => ("v1", "Pod"),
        "nodes" => ("v1", "Node"),
        "services" => ("v1", "Service"),
        "endpoints" => ("v1", "Endpoints"),
        "namespaces" => ("v1", "Namespace"),
        "endpointslices" => ("discovery.k8s.io/v1", "EndpointSlice"),
        "ingresses" => ("networking.k8s.io/v1", "Ingress"),
        "replicasets" => ("apps/v1", "ReplicaSet"),
        _ => ("batch/v1", "Job"),
    }
}

impl State {
    fn tell(&mut self, collection: &str, kind: &str, object: &Json) {
        let mut object = object.clone();
        let (group, name) = kind_of(collection);
        object["apiVersion"] = json!(group);
        object["kind"] = json!(name);
        let event = format!("{}\n", json!({"type": kind, "object": object}));
        self.history.push((collection.to_owned(), self.version, event.clone()));
        self.watches.retain(|(path, sender)| path != collection || sender.send(event.clone()).is_ok());
    }
}

fn pod(name: &str, ip: &str) -> Json {
    json!({
        "metadata": {"name": name, "namespace": "ns", "uid": format!("u-{name}"), "labels": {"app.io/x": "y"},
            "annotations": {"a": "b"},
            "ownerReferences": [{"apiVersion": "apps/v1", "uid": "r", "kind": "ReplicaSet", "name": "rs", "controller": true}]},
        "spec": {"nodeName": "n1",
            "containers": [{"name": "c", "image": "i:1", "ports": [{"name": "http", "containerPort": 80, "protocol": "TCP"}, {"containerPort": 81, "protocol": "TCP"}]}],
            "initContainers": [{"name": "init", "image": "j"}]},
        "status": {"phase": "Running", "podIP": ip, "hostIP": "10.0.0.1", "conditions": [{"type": "Ready", "status": "True"}],
            "containerStatuses": [{"name": "c", "image": "i:1", "imageID": "", "containerID": "docker://1", "ready": true, "restartCount": 0}]}
    })
}

/// One of everything.
pub(crate) fn fill(cluster: &Cluster) {
    cluster.put(
        "/api/v1/nodes",
        json!({
            "metadata": {"name": "n1", "labels": {"zone": "z"}, "annotations": {"k": "v"}},
            "spec": {"providerID": "p://1"},
            "status": {"conditions": [{"type": "Ready", "status": "True"}],
                "addresses": [{"type": "Hostname", "address": "h1"}, {"type": "InternalIP", "address": "10.0.0.1"}],
                "daemonEndpoints": {"kubeletEndpoint": {"Port": 10250}}}
        }),
    );
    cluster.put("/api/v1/namespaces", json!({"metadata": {"name": "ns", "labels": {"team": "t"}}}));
    cluster.put(
        "/apis/apps/v1/replicasets",
        json!({"metadata": {"name": "rs", "namespace": "ns",
            "ownerReferences": [{"apiVersion": "apps/v1", "uid": "d", "kind": "Deployment", "name": "dep", "controller": true}]}}),
    );
    cluster.put("/api/v1/pods", pod("p1", "10.1.0.1"));
    cluster.put("/api/v1/pods", pod("waiting", ""));
    cluster.put(
        "/api/v1/services",
        json!({
            "metadata": {"name": "web", "namespace": "ns", "labels": {"l": "m"}},
            "spec": {"type": "LoadBalancer", "clusterIP": "10.2.0.1", "loadBalancerIP": "1.2.3.4",
                "ports": [{"name": "http", "port": 80, "protocol": "TCP"}]}
        }),
    );
    cluster.put(
        "/api/v1/services",
        json!({
            "metadata": {"name": "out", "namespace": "ns"},
            "spec": {"type": "ExternalName", "externalName": "x.example", "ports": [{"port": 443, "protocol": "TCP"}]}
        }),
    );
    let reference = json!({"kind": "Pod", "namespace": "ns", "name": "p1"});
    cluster.put(
        "/api/v1/endpoints",
        json!({
            "metadata": {"name": "web", "namespace": "ns", "labels": {"e": "f"}},
            "subsets": [{"ports": [{"name": "http", "port": 80, "protocol": "TCP"}],
                "addresses": [{"ip": "10.1.0.1", "nodeName": "n1", "targetRef": reference}],
                "notReadyAddresses": [{"ip": "10.1.0.9", "hostname": "late"}]}]
        }),
    );
    cluster.put(
        "/apis/discovery.k8s.io/v1/endpointslices",
        json!({
            "metadata": {"name": "web-x", "namespace": "ns", "labels": {"kubernetes.io/service-name": "web"}},
            "addressType": "IPv4",
            "ports": [{"name": "http", "port": 80, "protocol": "TCP", "appProtocol": "h2c"}],
            "endpoints": [
                {"addresses": ["10.1.0.1"], "conditions": {"ready": true, "serving": true, "terminating": false},
                 "hostname": "h", "nodeName": "n1", "zone": "z1", "targetRef": reference,
                 "deprecatedTopology": {"kubernetes.io/hostname": "n1"}},
                {"addresses": ["10.1.0.9"], "conditions": {"ready": false}}]
        }),
    );
    cluster.put(
        "/apis/networking.k8s.io/v1/ingresses",
        json!({
            "metadata": {"name": "in", "namespace": "ns", "annotations": {"x/y": "z"}},
            "spec": {"ingressClassName": "nginx", "tls": [{"hosts": ["*.example.com"]}],
                "rules": [
                    {"host": "a.example.com", "http": {"paths": [{"path": "/p", "pathType": "Prefix", "backend": {}}, {"path": "", "pathType": "Prefix", "backend": {}}]}},
                    {"host": "plain.org"}]}
        }),
    );
}

/// Each role with its number of targets.
pub(crate) const ROLES: [(&str, usize); 6] =
    [("node", 1), ("service", 2), ("pod", 3), ("endpoints", 3), ("endpointslice", 3), ("ingress", 3)];

pub(crate) fn section(address: &str, role: &str, more: &str) -> String {
    format!("kubernetes_sd_configs: [{{api_server: 'http://{address}', role: {role}{more}}}]")
}

/// The same request, but a list comes in one page, which no change can come between.
fn whole_list(request: &ReceivedRequest) -> ReceivedRequest {
    let mut request = request.clone();
    if !request.target.contains("watch=true") && !request.target.contains("sendInitialEvents") {
        request.target = request.target.split('?').next().unwrap_or_default().to_owned();
    }
    request
}

pub(crate) async fn serve(cluster: &Cluster) -> PlayedServer {
    let cluster = cluster.clone();
    PlayedServer::start(move |request| cluster.play(request)).await
}

#[tokio::test]
async fn every_role_has_its_targets_and_labels() {
    let cluster = Cluster::new();
    fill(&cluster);
    let server = serve(&cluster).await;
    let mut found = String::new();
    for (role, count, more) in [
        ("node", 1, ""),
        ("service", 2, ", attach_metadata: {namespace: true}"),
        ("pod", 3, ", attach_metadata: {node: true, namespace: true, deployment: true}"),
        ("endpoints", 3, ""),
        ("endpointslice", 3, ", attach_metadata: {node: true}"),
        ("ingress", 3, ""),
    ] {
        let bed = TestBed::new(&section(&server.address, role, more));
        for target in bed.targets(count).await {
            found.push_str(&format!("{role}\n"));
            for label in target.split(' ') {
                found.push_str(&format!("  {}\n", label.replace("__meta_kubernetes_", "")));
            }
        }
    }
    let golden = ferula_testkit::shared::workspace_root().join("testdata/discovery/kubernetes.txt");
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::create_dir_all(golden.parent().expect("a directory")).expect("made");
        std::fs::write(&golden, &found).expect("written");
    }
    assert_eq!(found, std::fs::read_to_string(&golden).expect("a golden file"));
}

#[tokio::test]
async fn changes_are_followed_across_ended_watches_lost_history_and_outages() {
    let cluster = Cluster::new();
    for number in 0..10 {
        cluster.put("/api/v1/pods", pod(&format!("p{number}"), &format!("10.1.0.{number}")));
    }
    let server = serve(&cluster).await;
    let bed = TestBed::new(&section(&server.address, "pod", ""));
    bed.targets(30).await;

    cluster.put("/api/v1/pods", pod("new", "10.1.1.1"));
    cluster.delete("/api/v1/pods", "ns", "p0");
    let has = |targets: &[String], ip: &str| targets.iter().any(|target| target.starts_with(ip));
    bed.wait_for(|targets| has(targets, "10.1.1.1:80") && !has(targets, "10.1.0.0:80")).await;

    // A watch that ends is restarted where it stopped.
    cluster.end_watches();
    cluster.put("/api/v1/pods", pod("p1", "10.1.2.2"));
    bed.wait_for(|targets| has(targets, "10.1.2.2:80") && !has(targets, "10.1.0.1:80")).await;
    assert_eq!(cluster.state().lists, 4, "ten pods in pages of three, listed once");

    // While the server is down, nothing is lost; afterwards its history is gone, so everything is listed
    // again.
    cluster.state().is_down = true;
    cluster.end_watches();
    bed.wait_for_metric("prometheus_sd_kubernetes_failures_total", 3.0).await;
    assert_eq!(bed.metric("prometheus_sd_discovered_targets"), 30.0);
    {
        let mut state = cluster.state();
        state.is_down = false;
        state.version += 100;
        state.oldest = state.version;
    }
    cluster.delete("/api/v1/pods", "ns", "p2");
    bed.wait_for(|targets| targets.len() == 27 && !has(targets, "10.1.0.2:80")).await;
    assert_eq!(cluster.state().lists, 7, "listed a second time, in three pages");
}

#[tokio::test]
async fn jobs_with_the_same_objects_share_a_watch() {
    let cluster = Cluster::new();
    fill(&cluster);
    let server = serve(&cluster).await;
    let bed = TestBed::new(&format!(
        "kubernetes_sd_configs:\n- {{api_server: 'http://{0}', role: pod}}\n- {{api_server: 'http://{0}', role: endpoints}}\n\
         - {{api_server: 'http://{0}', role: endpointslice}}\n",
        server.address
    ));
    bed.targets(9).await;
    let watches: Vec<String> = server
        .targets()
        .into_iter()
        .filter(|target| target.contains("watch=true") && target.starts_with("/api/v1/pods?"))
        .collect();
    assert_eq!(watches.len(), 1, "{watches:?}");
}

#[tokio::test]
async fn selectors_and_namespaces_restrict_the_requests() {
    let server = serve(&Cluster::new()).await;
    let more = ", namespaces: {names: [b, a, b]}, selectors: [{role: pod, label: 'x in (y, z)', field: 'spec.nodeName=n'}]";
    let bed = TestBed::new(&section(&server.address, "pod", more));
    let wanted = |namespace: &str| {
        format!(
            "/api/v1/namespaces/{namespace}/pods?limit=500&fieldSelector=spec.nodeName%3Dn&labelSelector=x+in+%28y%2C+z%29"
        )
    };
    bed.wait_for_metric("prometheus_sd_kubernetes_http_request_total", 4.0).await;
    let targets = server.targets();
    assert!(targets.contains(&wanted("a")) && targets.contains(&wanted("b")), "{targets:?}");
    assert!(targets.iter().all(|target| target.contains("fieldSelector=")));
}

#[tokio::test]
async fn garbage_and_flooding_in_a_watch_cause_a_failure_but_lose_no_targets() {
    let cluster = Cluster::new();
    fill(&cluster);
    let round = Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let played = cluster.clone();
    let server = PlayedServer::start(move |request| {
        if !request.target.contains("watch=true") {
            return played.play(request);
        }
        match round.fetch_add(1, std::sync::atomic::Ordering::SeqCst) {
            0 => Play::Stream(vec!["<html>\n".to_owned()]),
            1 => Play::Stream(vec![format!("{}\n", "[".repeat(10_000))]),
            2 => Play::Stream(vec!["{\"type\":\"NEWS\",\"object\":{}}\n".to_owned()]),
            3 => Play::Endless(b"{\"type\":\"ADDED\","),
            4 => Play::Stream(vec![
                "{\"type\":\"ERROR\",\"object\":{\"code\":500,\"message\":\"no\"}}\n".to_owned(),
            ]),
            5 => Play::Close,
            _ => played.play(request),
        }
    })
    .await;
    let bed = TestBed::new(&section(&server.address, "pod", ""));
    bed.targets(3).await;
    bed.wait_for_metric("prometheus_sd_kubernetes_failures_total", 6.0).await;
    assert_eq!(bed.metric("prometheus_sd_discovered_targets"), 3.0);
    cluster.put("/api/v1/pods", pod("p2", "10.1.0.2"));
    bed.targets(6).await;
}

/// A proxy that cannot watch answers immediately: each new watch waits longer. Without these pauses, failures
/// would never be counted, and requests would be sent in a tight loop.
#[tokio::test]
async fn a_watch_that_ends_at_once_is_a_failure_and_waits() {
    let cluster = Cluster::new();
    fill(&cluster);
    let played = cluster.clone();
    let server = PlayedServer::start(move |request| match request.target.contains("watch=true") {
        true => Play::Json(String::new()),
        false => played.play(request),
    })
    .await;
    let bed = TestBed::new(&section(&server.address, "pod", ""));
    bed.targets(3).await;
    bed.wait_for_metric("prometheus_sd_kubernetes_failures_total", 4.0).await;
    let watches = server.targets().iter().filter(|target| target.contains("watch=true")).count();
    let failures = bed.metric("prometheus_sd_kubernetes_failures_total") as usize;
    assert!(watches <= failures + 1, "{watches} watches, {failures} failures");
}

/// Five thousand pods, many of which come and go: correct within five seconds, and listed only once.
#[tokio::test]
async fn many_pods_coming_and_going_are_right_soon() {
    let cluster = Cluster::new();
    for number in 0..5_000 {
        cluster.put(
            "/api/v1/pods",
            pod(&format!("p{number}"), &format!("10.{}.{}.1", number / 250, number % 250)),
        );
    }
    let played = cluster.clone();
    let server = PlayedServer::start(move |request| played.play(&whole_list(request))).await;
    let bed = TestBed::new(&section(&server.address, "pod", ""));
    bed.targets(15_000).await;
    for number in 0..1_000 {
        cluster.delete("/api/v1/pods", "ns", &format!("p{number}"));
        cluster.put(
            "/api/v1/pods",
            pod(&format!("q{number}"), &format!("11.{}.{}.1", number / 250, number % 250)),
        );
    }
    let start = ferula_runtime::Clock::elapsed(&bed.clock);
    bed.wait_for(|targets| {
        targets.len() == 15_000 && targets.iter().filter(|target| target.starts_with("11.")).count() == 3_000
    })
    .await;
    let took = ferula_runtime::Clock::elapsed(&bed.clock).saturating_sub(start);
    assert!(took.as_secs() <= 10, "{took:?} of played time");
    assert_eq!(cluster.state().lists, 1);
}
