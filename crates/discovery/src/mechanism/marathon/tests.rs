//! `marathon` against a simulated server: its labels, and its behaviour on errors of the server.

use crate::played::{Play, PlayedServer, ReceivedRequest, TestBed};

const APPS: &str = r#"{"apps": [
 {"id": "/a", "labels": {"l-1": "v"}, "container": {"docker": {"image": "i"}, "portMappings": [
    {"labels": {"p": "q"}, "containerPort": 80, "hostPort": 0}, {"containerPort": 81, "hostPort": 5000}]},
  "tasks": [{"id": "t1", "host": "m1", "ports": [31000, 31001]}, {"id": "t2", "host": "m2", "ports": [32000, 32001]}]},
 {"id": "/net", "networks": [{"mode": "container"}], "container": {"docker": {"portMappings": [{"containerPort": 90, "labels": null}]}},
  "tasks": [{"id": "t3", "host": "m1", "ipAddresses": [{"ipAddress": "10.0.0.3", "protocol": "IPv4"}]}]},
 {"id": "/def", "requirePorts": true, "portDefinitions": [{"labels": {"d": "e"}, "port": 10000}],
  "tasks": [{"id": "t4", "host": "m4", "ports": [10000]}]},
 {"id": "/host", "tasks": [{"id": "t5", "host": "m5", "ports": [1, 2]}]},
 {"id": "/none", "tasks": []}
]}"#;

pub(crate) fn play(request: &ReceivedRequest) -> Play {
    assert_eq!(request.target, "/v2/apps/?embed=apps.tasks");
    Play::Json(APPS.to_owned())
}

pub(crate) fn section(address: &str) -> String {
    format!("marathon_sd_configs: [{{servers: ['http://{address}'], auth_token: T}}]")
}

#[tokio::test]
async fn tasks_are_targets_however_their_ports_are_declared() {
    let server = PlayedServer::start(play).await;
    let bed = TestBed::new(&section(&server.address));
    let app = "__meta_marathon_app=/a __meta_marathon_app_label_l_1=v __meta_marathon_image=i";
    let mapped = "__meta_marathon_port_mapping_label_p=q __meta_marathon_task";
    assert_eq!(
        bed.targets(8).await,
        [
            "10.0.0.3:90 __meta_marathon_app=/net __meta_marathon_port_index=0 __meta_marathon_task=t3"
                .to_owned(),
            format!("m1:31000 {app} __meta_marathon_port_index=0 {mapped}=t1"),
            format!("m1:5000 {app} __meta_marathon_port_index=1 __meta_marathon_task=t1"),
            format!("m2:32000 {app} __meta_marathon_port_index=0 {mapped}=t2"),
            format!("m2:5000 {app} __meta_marathon_port_index=1 __meta_marathon_task=t2"),
            "m4:10000 __meta_marathon_app=/def __meta_marathon_port_definition_label_d=e \
             __meta_marathon_port_index=0 __meta_marathon_task=t4"
                .to_owned(),
            "m5:1 __meta_marathon_app=/host __meta_marathon_port_index=0 __meta_marathon_task=t5".to_owned(),
            "m5:2 __meta_marathon_app=/host __meta_marathon_port_index=1 __meta_marathon_task=t5".to_owned(),
        ]
    );
    assert_eq!(server.requests.lock().expect("a test")[0].headers["authorization"], "token=T");
}
