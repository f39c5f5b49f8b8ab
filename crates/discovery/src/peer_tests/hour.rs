//! An hour of changes in a simulated Kubernetes cluster, played in about a minute, with a real Prometheus and ferula side by
//! side.
//!
//! What is known to differ: Prometheus looks at a pod again only when its Endpoints or EndpointSlice changes, or the pod's
//! phase (`podInf.AddEventHandler` in its `discovery/kubernetes/endpoints.go`); ferula does with every change of the pod. And a
//! service whose deletion it learns from a new list, after a watch ended, keeps its labels there ("converting to Service
//! object failed" in its log). So for these two roles each comparison has two parts: first, the targets must be the same but for
//! labels of pods that have changed and of services that were deleted; then every Endpoints and EndpointSlice is changed, and
//! nothing may differ any more.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use ferula_http_client::HttpClient;
use serde_json::json;

use super::{NEWER_LABELS, Prometheus};
use crate::mechanism::kubernetes_tests::{Cluster, section, serve};
use crate::played::TestBed;

const MINUTES: usize = 60;
/// The programs are compared after so many minutes of the play.
const MINUTES_BETWEEN_COMPARISONS: usize = 20;
/// How long the programs may take until they agree: both pass changes on every five seconds at most, and after a watch that
/// ended at once they wait before the next, longer each time.
const PATIENCE: Duration = Duration::from_secs(180);
const APPS: usize = 5;
const NODES: usize = 3;
const SEED: u64 = 0x5DEE_CE66;

const NODES_PATH: &str = "/api/v1/nodes";
const PODS: &str = "/api/v1/pods";
const SERVICES: &str = "/api/v1/services";
const ENDPOINTS: &str = "/api/v1/endpoints";
const SLICES: &str = "/apis/discovery.k8s.io/v1/endpointslices";
const INGRESSES: &str = "/apis/networking.k8s.io/v1/ingresses";

/// Roles with options that this Prometheus has.
const ROLES: [(&str, &str); 6] = [
    ("node", ""),
    ("service", ""),
    ("pod", ", attach_metadata: {node: true}"),
    ("endpoints", ", attach_metadata: {node: true}"),
    ("endpointslice", ", attach_metadata: {node: true}"),
    ("ingress", ""),
];

/// A pod of the play.
#[derive(Clone)]
struct Pod {
    app: usize,
    node: usize,
    /// "" until it has one.
    ip: String,
    phase: &'static str,
    is_ready: bool,
    labels: u64,
}

/// What Prometheus may show as it was, since all Endpoints were last changed.
#[derive(Clone, Default)]
struct StaleLabels {
    /// Pods that changed.
    pods: BTreeSet<String>,
    /// Names of services that were deleted.
    services: BTreeSet<String>,
}

/// The cluster and what its controllers know.
struct Play {
    cluster: Cluster,
    pods: BTreeMap<String, Pod>,
    nodes: [u64; NODES],
    services: [Option<u64>; APPS],
    ingresses: u64,
    touches: u64,
    created: usize,
    random: u64,
    stale: StaleLabels,
}

impl Play {
    fn new(cluster: Cluster) -> Self {
        let mut play = Play {
            cluster,
            pods: BTreeMap::new(),
            nodes: [0; NODES],
            services: [Some(0); APPS],
            ingresses: 0,
            touches: 0,
            created: 0,
            random: SEED,
            stale: StaleLabels::default(),
        };
        (0..NODES).for_each(|node| play.put_node(node));
        (0..APPS).for_each(|app| play.put_service(app));
        play.put_ingress();
        for _ in 0..3 * APPS {
            play.create_pod();
        }
        let names: Vec<String> = play.pods.keys().cloned().collect();
        names
            .iter()
            .for_each(|name| play.change_pod(name, |pod| (pod.phase, pod.is_ready) = ("Running", true)));
        play.touch();
        play
    }

    fn below(&mut self, bound: usize) -> usize {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        (self.random % bound as u64) as usize
    }

    /// A minute: a few changes, as deployments, controllers and people make them.
    fn minute(&mut self) {
        for _ in 0..3 {
            let named = self.below(self.pods.len().max(1));
            let name = self.pods.keys().nth(named).cloned();
            match (self.below(12), name) {
                (0 | 1, _) => self.create_pod(),
                (2 | 3, Some(name)) => {
                    self.change_pod(&name, |pod| (pod.phase, pod.is_ready) = ("Running", true));
                }
                (4, Some(name)) => self.change_pod(&name, |pod| pod.is_ready = !pod.is_ready),
                (5, Some(name)) if self.pods.len() > APPS => self.delete_pod(&name),
                // No controller reacts to these.
                (6, Some(name)) => self.relabel_pod(&name),
                (7, Some(name)) => {
                    self.change_pod(&name, |pod| (pod.phase, pod.is_ready) = ("Failed", false));
                }
                (8, _) => {
                    let node = self.below(NODES);
                    self.nodes[node] += 1;
                    self.put_node(node);
                }
                (9, _) => {
                    let app = self.below(APPS);
                    match self.services[app] {
                        Some(labels) if labels % 3 == 2 => {
                            self.services[app] = None;
                            self.cluster.delete(SERVICES, "ns", &format!("app{app}"));
                            self.stale.services.insert(format!("app{app}"));
                        }
                        labels => {
                            self.services[app] = Some(labels.map_or(0, |labels| labels + 1));
                            self.put_service(app);
                        }
                    }
                }
                (10, _) => {
                    self.ingresses += 1;
                    self.put_ingress();
                }
                (11, _) => self.cluster.end_watches(),
                (_, None | Some(_)) => {}
            }
        }
    }

    fn create_pod(&mut self) {
        self.created += 1;
        let (app, node, name) = (self.below(APPS), self.below(NODES), format!("pod-{:03}", self.created));
        let pod = Pod { app, node, ip: String::new(), phase: "Pending", is_ready: false, labels: 0 };
        self.pods.insert(name.clone(), pod);
        self.put_pod(&name);
    }

    /// Changes a pod's status; the controller of endpoints follows.
    fn change_pod(&mut self, name: &str, change: impl Fn(&mut Pod)) {
        let Some(pod) = self.pods.get_mut(name) else { return };
        change(pod);
        if pod.phase == "Running" && pod.ip.is_empty() {
            let number: usize = name.rsplit('-').next().and_then(|text| text.parse().ok()).expect("a number");
            pod.ip = format!("10.1.{}.{}", number / 250, number % 250 + 1);
        }
        let app = pod.app;
        self.put_pod(name);
        self.put_endpoints(app);
    }

    fn relabel_pod(&mut self, name: &str) {
        let Some(pod) = self.pods.get_mut(name) else { return };
        pod.labels += 1;
        self.put_pod(name);
    }

    fn delete_pod(&mut self, name: &str) {
        let Some(pod) = self.pods.remove(name) else { return };
        self.cluster.delete(PODS, "ns", name);
        self.put_endpoints(pod.app);
    }

    fn put_pod(&mut self, name: &str) {
        self.stale.pods.insert(name.to_owned());
        let pod = &self.pods[name];
        let ready = if pod.is_ready { "True" } else { "False" };
        self.cluster.put(
            PODS,
            json!({
                "metadata": {"name": name, "namespace": "ns", "uid": format!("u-{name}"),
                    "labels": {"app": format!("app{}", pod.app), "rev": pod.labels.to_string()},
                    "ownerReferences": [{"apiVersion": "apps/v1", "uid": "r", "kind": "ReplicaSet",
                        "name": format!("rs{}", pod.app), "controller": true}]},
                "spec": {"nodeName": format!("n{}", pod.node), "containers": [{"name": "main", "image": "i:1", "ports": [
                    {"name": "http", "containerPort": 80, "protocol": "TCP"},
                    {"name": "side", "containerPort": 81, "protocol": "TCP"}]}]},
                "status": {"phase": pod.phase, "podIP": pod.ip, "hostIP": format!("10.0.0.{}", pod.node + 1),
                    "conditions": [{"type": "Ready", "status": ready}]}
            }),
        );
    }

    fn put_node(&self, node: usize) {
        self.cluster.put(
            NODES_PATH,
            json!({
                "metadata": {"name": format!("n{node}"), "labels": {"rev": self.nodes[node].to_string()}},
                "status": {"addresses": [{"type": "InternalIP", "address": format!("10.0.0.{}", node + 1)}],
                    "daemonEndpoints": {"kubeletEndpoint": {"Port": 10250}}}
            }),
        );
    }

    fn put_service(&self, app: usize) {
        self.cluster.put(
            SERVICES,
            json!({
                "metadata": {"name": format!("app{app}"), "namespace": "ns",
                    "labels": {"rev": self.services[app].unwrap_or(0).to_string()}},
                "spec": {"type": "ClusterIP", "clusterIP": format!("10.2.0.{}", app + 1),
                    "ports": [{"name": "http", "port": 80, "protocol": "TCP"}]}
            }),
        );
    }

    fn put_ingress(&self) {
        let path = format!("/v{}", self.ingresses);
        self.cluster.put(
            INGRESSES,
            json!({
                "metadata": {"name": "in", "namespace": "ns"},
                "spec": {"rules": [{"host": "a.example.com",
                    "http": {"paths": [{"path": path, "pathType": "Prefix", "backend": {}}]}}]}
            }),
        );
    }

    fn put_endpoints(&self, app: usize) {
        let of_app =
            |(_, pod): &(&String, &Pod)| pod.app == app && pod.phase == "Running" && !pod.ip.is_empty();
        let (mut ready, mut waiting, mut all) = (Vec::new(), Vec::new(), Vec::new());
        for (name, pod) in self.pods.iter().filter(of_app) {
            let reference = json!({"kind": "Pod", "namespace": "ns", "name": name});
            let node = format!("n{}", pod.node);
            let address = json!({"ip": pod.ip, "nodeName": node, "targetRef": reference});
            if pod.is_ready {
                ready.push(address)
            } else {
                waiting.push(address)
            }
            all.push(json!({"addresses": [pod.ip], "nodeName": node, "targetRef": reference,
                "conditions": {"ready": pod.is_ready, "serving": pod.is_ready, "terminating": false}}));
        }
        let ports = json!([{"name": "http", "port": 80, "protocol": "TCP"}]);
        let annotations = json!({"touch": self.touches.to_string()});
        self.cluster.put(
            ENDPOINTS,
            json!({
                "metadata": {"name": format!("app{app}"), "namespace": "ns", "annotations": annotations},
                "subsets": [{"ports": ports, "addresses": ready, "notReadyAddresses": waiting}]
            }),
        );
        self.cluster.put(
            SLICES,
            json!({
                "metadata": {"name": format!("app{app}-x"), "namespace": "ns", "annotations": annotations,
                    "labels": {"kubernetes.io/service-name": format!("app{app}")}},
                "addressType": "IPv4", "ports": ports, "endpoints": all
            }),
        );
    }

    /// Changes every Endpoints and EndpointSlice.
    fn touch(&mut self) {
        self.touches += 1;
        (0..APPS).for_each(|app| self.put_endpoints(app));
        self.stale = StaleLabels::default();
    }
}

/// A target without labels that are newer than this Prometheus.
fn without_newer(target: &str) -> String {
    let known = |label: &&str| !NEWER_LABELS.iter().any(|newer| label.starts_with(newer));
    target.split(' ').filter(known).collect::<Vec<_>>().join(" ")
}

/// Targets without the labels that may be stale.
fn masked(targets: &BTreeSet<String>, stale: &StaleLabels) -> BTreeSet<String> {
    let masked = |target: &String| {
        let value =
            |name: &str| target.split(' ').find_map(|label| label.strip_prefix(name)).unwrap_or_default();
        let of_pod = stale.pods.contains(value("__meta_kubernetes_pod_name="));
        let names =
            [value("__meta_kubernetes_endpoints_name="), value("__meta_kubernetes_endpointslice_name=")];
        let of_service = names.iter().any(|name| stale.services.contains(name.trim_end_matches("-x")));
        let is_kept = |label: &&str| {
            !(of_pod && label.starts_with("__meta_kubernetes_pod_")
                || of_service && label.starts_with("__meta_kubernetes_service_"))
        };
        target.split(' ').filter(is_kept).collect::<Vec<_>>().join(" ")
    };
    targets.iter().map(masked).collect()
}

/// The two programs with a job for each role.
struct Pair {
    prometheus: Prometheus,
    client: HttpClient,
    beds: Vec<(&'static str, TestBed)>,
}

impl Pair {
    async fn both(&self, role: &str, bed: &TestBed) -> (BTreeSet<String>, BTreeSet<String>) {
        let ours = bed.shown().iter().map(|target| without_newer(target)).collect();
        (ours, self.prometheus.targets(&self.client, role).await)
    }

    /// Waits until the programs agree on all roles, and returns the number of targets; `show` is what is compared.
    async fn agree(&self, when: &str, show: impl Fn(&str, BTreeSet<String>) -> BTreeSet<String>) -> usize {
        let mut count = 0;
        for (role, bed) in &self.beds {
            let start = Instant::now();
            loop {
                let (ours, theirs) = self.both(role, bed).await;
                let (ours, theirs) = (show(role, ours), show(role, theirs));
                if ours == theirs {
                    count += ours.len();
                    break;
                }
                assert!(
                    start.elapsed() < PATIENCE,
                    "{when}, {role}:\n only in ferula: {:#?}\n only in Prometheus: {:#?}",
                    ours.difference(&theirs).collect::<Vec<_>>(),
                    theirs.difference(&ours).collect::<Vec<_>>()
                );
                tokio::time::sleep(Duration::from_millis(200)).await;
            }
        }
        count
    }

    /// How many targets have other labels in Prometheus.
    async fn behind(&self) -> usize {
        let mut behind = 0;
        for (role, bed) in &self.beds {
            let (ours, theirs) = self.both(role, bed).await;
            behind += ours.difference(&theirs).count();
        }
        behind
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_real_prometheus_follows_an_hour_of_kubernetes_the_same_way() {
    let Some(prometheus) = ferula_testkit::shared::peer("prometheus") else { return };
    let cluster = Cluster::new();
    let mut play = Play::new(cluster.clone());
    let server = serve(&cluster).await;
    let sections: Vec<(&str, String)> =
        ROLES.iter().map(|(role, more)| (*role, section(&server.address, role, more))).collect();
    let jobs: Vec<(String, String)> =
        sections.iter().map(|(role, section)| ((*role).to_owned(), section.clone())).collect();
    let pair = Pair {
        prometheus: Prometheus::start(&prometheus, &jobs, &[]),
        client: HttpClient::new(&Default::default(), "test").expect("a client"),
        beds: sections.iter().map(|(role, section)| (*role, TestBed::in_real_time(section, &[]))).collect(),
    };
    pair.agree("at the start", |_, targets| targets).await;
    for minute in 1..=MINUTES {
        play.minute();
        tokio::time::sleep(Duration::from_millis(500)).await;
        if !minute.is_multiple_of(MINUTES_BETWEEN_COMPARISONS) {
            continue;
        }
        let stale = play.stale.clone();
        let count = pair
            .agree(&format!("minute {minute}"), |role, targets| match role {
                "endpoints" | "endpointslice" => masked(&targets, &stale),
                _ => targets,
            })
            .await;
        let behind = pair.behind().await;
        play.touch();
        pair.agree(&format!("minute {minute}, all endpoints changed"), |_, targets| targets).await;
        println!(
            "minute {minute}: {count} targets, {behind} with older labels of pods or services in Prometheus, 0 after a change"
        );
    }
}

/// The comparison must be able to fail: only labels of pods that changed and of deleted services are left out.
#[test]
fn only_labels_that_may_be_stale_are_left_out() {
    let target = |name: &str, rev: &str, ready: &str, service: &str| {
        format!(
            "10.1.0.1:80 __meta_kubernetes_endpoint_ready={ready} __meta_kubernetes_endpoints_name=app1 \
             __meta_kubernetes_pod_label_rev={rev} __meta_kubernetes_pod_name={name} __meta_kubernetes_service_label_rev={service}"
        )
    };
    let of = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<BTreeSet<_>>();
    let shown = |stale: &StaleLabels, target: String| masked(&BTreeSet::from([target]), stale);
    let pods = StaleLabels { pods: of(&["p1"]), services: BTreeSet::new() };
    let base = || target("p1", "1", "true", "1");
    assert_eq!(shown(&pods, base()), shown(&pods, target("p1", "2", "true", "1")));
    assert_ne!(shown(&pods, base()), shown(&pods, target("p1", "1", "false", "1")));
    assert_ne!(shown(&pods, base()), shown(&pods, target("p1", "1", "true", "2")));
    assert_ne!(shown(&pods, target("p2", "1", "true", "1")), shown(&pods, target("p2", "2", "true", "1")));
    let services = StaleLabels { pods: BTreeSet::new(), services: of(&["app1"]) };
    assert_eq!(shown(&services, base()), shown(&services, target("p1", "1", "true", "2")));
    assert_ne!(shown(&services, base()), shown(&services, target("p1", "2", "true", "1")));
}
