//! `dockerswarm` against a simulated server: its labels, and its behaviour on errors of the server.

use crate::played::{Play, PlayedServer, ReceivedRequest, TestBed};

const NODES: &str = r#"[
 {"ID": "k1", "Spec": {"Role": "manager", "Availability": "active", "Labels": {"a-b": "c"}},
  "Description": {"Hostname": "h1", "Platform": {"Architecture": "x86_64", "OS": "linux"}, "Engine": {"EngineVersion": "27.1"}},
  "Status": {"State": "ready", "Addr": "10.1.0.1"},
  "ManagerStatus": {"Leader": true, "Reachability": "reachable", "Addr": "10.1.0.1:2377"}}
]"#;
const SERVICES: &str = r#"[
 {"ID": "s1", "Spec": {"Name": "web", "Labels": {"x": "y"}, "Mode": {"Replicated": {"Replicas": 2}},
   "TaskTemplate": {"ContainerSpec": {"Image": "nginx:1", "Hostname": "h"}}},
  "Endpoint": {"Ports": [{"Name": "p", "Protocol": "tcp", "PublishedPort": 8080, "PublishMode": "ingress"},
                          {"Protocol": "udp", "PublishedPort": 53}],
               "VirtualIPs": [{"NetworkID": "n1", "Addr": "10.2.0.5/24"}]},
  "UpdateStatus": {"State": "completed"}},
 {"ID": "s2", "Spec": {"Name": "agent", "Mode": {"Global": {}}, "TaskTemplate": {"ContainerSpec": {"Image": "agent:1"}}},
  "Endpoint": {"VirtualIPs": [{"NetworkID": "n1", "Addr": "10.2.0.6/24"}]}}
]"#;
const TASKS: &str = r#"[
 {"ID": "t1", "ServiceID": "s1", "NodeID": "k1", "Slot": 2, "DesiredState": "running",
  "Spec": {"ContainerSpec": {"Labels": {"c": "d"}}},
  "Status": {"State": "running", "ContainerStatus": {"ContainerID": "cid"},
             "PortStatus": {"Ports": [{"Protocol": "tcp", "PublishedPort": 9000, "PublishMode": "host"}]}},
  "NetworksAttachments": [{"Network": {"ID": "n1"}, "Addresses": ["10.2.0.7/24"]}]}
]"#;
const NETWORKS: &str = r#"[{"Id": "n1", "Name": "ingress", "Scope": "swarm", "Internal": false, "Ingress": true, "Labels": {}}]"#;

pub(crate) fn daemon(request: &ReceivedRequest) -> Play {
    let path = request.target.split('?').next().unwrap_or_default();
    Play::Json(
        match path.rsplit('/').next().unwrap_or_default() {
            "nodes" => NODES,
            "services" => SERVICES,
            "tasks" => TASKS,
            "networks" => NETWORKS,
            _ => return Play::Raw("200 OK", "API-Version: 1.44\r\n".to_owned(), b"OK".to_vec()),
        }
        .to_owned(),
    )
}

pub(crate) fn section(address: &str, role: &str) -> String {
    format!("dockerswarm_sd_configs: [{{host: 'http://{address}', role: {role}, refresh_interval: 5s}}]")
}

#[tokio::test]
async fn each_role_has_its_targets() {
    let server = PlayedServer::start(daemon).await;
    let node = "__meta_dockerswarm_node_address=10.1.0.1 __meta_dockerswarm_node_availability=active";
    let rest = "__meta_dockerswarm_node_hostname=h1 __meta_dockerswarm_node_id=k1 __meta_dockerswarm_node_label_a_b=c";
    let platform = "__meta_dockerswarm_node_platform_architecture=x86_64 __meta_dockerswarm_node_platform_os=linux \
                    __meta_dockerswarm_node_role=manager __meta_dockerswarm_node_status=ready";
    let bed = TestBed::new(&section(&server.address, "nodes"));
    assert_eq!(
        bed.targets(1).await,
        [format!(
            "10.1.0.1:80 {node} __meta_dockerswarm_node_engine_version=27.1 {rest} \
             __meta_dockerswarm_node_manager_address=10.1.0.1:2377 __meta_dockerswarm_node_manager_leader=true \
             __meta_dockerswarm_node_manager_reachability=reachable {platform}"
        )]
    );
    let network = "__meta_dockerswarm_network_id=n1 __meta_dockerswarm_network_ingress=true \
                   __meta_dockerswarm_network_internal=false __meta_dockerswarm_network_name=ingress \
                   __meta_dockerswarm_network_scope=swarm";
    let bed = TestBed::new(&section(&server.address, "services"));
    assert_eq!(
        bed.targets(2).await,
        [
            format!(
                "10.2.0.5:8080 {network} __meta_dockerswarm_service_endpoint_port_name=p \
                 __meta_dockerswarm_service_endpoint_port_publish_mode=ingress __meta_dockerswarm_service_id=s1 \
                 __meta_dockerswarm_service_label_x=y __meta_dockerswarm_service_mode=replicated \
                 __meta_dockerswarm_service_name=web __meta_dockerswarm_service_task_container_hostname=h \
                 __meta_dockerswarm_service_task_container_image=nginx:1 \
                 __meta_dockerswarm_service_updating_status=completed"
            ),
            format!(
                "10.2.0.6:80 {network} __meta_dockerswarm_service_id=s2 __meta_dockerswarm_service_mode=global \
                 __meta_dockerswarm_service_name=agent __meta_dockerswarm_service_task_container_image=agent:1"
            ),
        ]
    );
    let bed = TestBed::new(&section(&server.address, "tasks"));
    let task = "__meta_dockerswarm_service_id=s1 __meta_dockerswarm_service_label_x=y \
                __meta_dockerswarm_service_mode=replicated __meta_dockerswarm_service_name=web \
                __meta_dockerswarm_task_container_id=cid __meta_dockerswarm_task_desired_state=running \
                __meta_dockerswarm_task_id=t1";
    let container = "__meta_dockerswarm_container_label_c=d";
    let end = "__meta_dockerswarm_task_slot=2 __meta_dockerswarm_task_state=running";
    assert_eq!(
        bed.targets(2).await,
        [
            format!(
                "10.1.0.1:9000 {container} {node} {rest} {platform} {task} __meta_dockerswarm_task_port_publish_mode=host {end}"
            ),
            format!(
                "10.2.0.7:8080 {container} {network} {node} {rest} {platform} {task} __meta_dockerswarm_task_port_publish_mode=ingress {end}"
            ),
        ]
    );
}

#[test]
fn addresses_must_be_networks() {
    assert_eq!(super::address_of("10.0.0.1/8").ok(), Some("10.0.0.1"));
    for bad in ["10.0.0.1", "x/8", "10.0.0.1/x", ""] {
        assert!(super::address_of(bad).is_err(), "{bad}");
    }
}
