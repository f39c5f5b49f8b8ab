//! `puppetdb` against a simulated server: its labels, and its behaviour on errors of the server.

use crate::played::{Play, PlayedServer, ReceivedRequest, TestBed};

const RESOURCES: &str = r#"[
 {"certname": "h.example", "resource": "49af", "type": "Class", "title": "Prometheus::Node", "exported": false,
  "tags": ["a", "b"], "file": "/etc/x.pp", "environment": "prod",
  "parameters": {"version": "1.0", "n": 12, "f": 1.5, "big": 1e21, "ok": true, "none": null, "list": ["x", 2, false],
                 "empty": [], "deep-er": {"in.ner": "y", "more": {"z": 1}}}}
]"#;

pub(crate) fn play(request: &ReceivedRequest) -> Play {
    assert_eq!((request.method.as_str(), request.target.as_str()), ("POST", "/pdb/query/v4"));
    assert_eq!(request.body, r#"{"query":"resources { type = \"Class\" }"}"#);
    Play::Json(RESOURCES.to_owned())
}

pub(crate) fn section(address: &str) -> String {
    format!(
        "puppetdb_sd_configs: [{{url: 'http://{address}/', query: 'resources {{ type = \"Class\" }}', include_parameters: true}}]"
    )
}

#[tokio::test]
async fn resources_are_targets_with_their_parameters() {
    let server = PlayedServer::start(play).await;
    let bed = TestBed::new(&section(&server.address));
    let targets = bed.targets(1).await;
    let target = &targets[0];
    assert!(target.starts_with("h.example:80 __meta_puppetdb_certname=h.example "), "{target}");
    for part in [
        "_tags=,a,b,",
        "_parameter_version=1.0 ",
        "_parameter_n=12 ",
        "_parameter_f=1.5 ",
        "_parameter_big=1e+21 ",
        "_parameter_ok=true ",
        "_parameter_list=x,2,false ",
        "_parameter_deep_er_in_ner=y ",
        "_parameter_deep_er_more_z=1 ",
    ] {
        assert!(target.contains(part), "{part}: {target}");
    }
    assert!(!target.contains("_none") && !target.contains("_empty"), "{target}");
}
