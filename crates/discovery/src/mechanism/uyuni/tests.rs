//! `uyuni` against a simulated server: the session is reused, and replaced after an error.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::played::{Play, PlayedServer, ReceivedRequest, TestBed};

fn answer(value: &str) -> Play {
    let body = format!(
        "<?xml version=\"1.0\"?><methodResponse><params><param><value>{value}</value></param></params></methodResponse>"
    );
    Play::Raw("200 OK", "Content-Type: text/xml\r\n".to_owned(), body.into())
}

fn fields(pairs: &[(&str, &str)]) -> String {
    let members = pairs
        .iter()
        .map(|(name, value)| format!("<member><name>{name}</name><value>{value}</value></member>"));
    format!("<struct>{}</struct>", members.collect::<String>())
}

fn list(items: &[String]) -> String {
    let items: String = items.iter().map(|item| format!("<value>{item}</value>")).collect();
    format!("<array><data>{items}</data></array>")
}

pub(crate) fn play(request: &ReceivedRequest) -> Play {
    let body = &request.body;
    let group = |name: &str| fields(&[("id", "<i4>1</i4>"), ("name", &format!("<string>{name}</string>"))]);
    if request.target != "/rpc/api" {
        return Play::Raw("404 Not Found", String::new(), Vec::new());
    }
    if body.contains("<methodName>auth.login<") {
        return answer("SESSION");
    }
    if body.contains("listSystemGroupsForSystemsWithEntitlement") && body.contains("monitoring_entitled") {
        let groups = list(&[group("g1"), group("g&amp;2")]);
        return answer(&list(&[fields(&[("id", "<i4>7</i4>"), ("system_groups", &groups)])]));
    }
    if body.contains("getNetworkForSystems") {
        return answer(&list(&[fields(&[
            ("system_id", "<i4>7</i4>"),
            ("hostname", "<string>host</string>"),
            ("primary_fqdn", "<string>host.example</string>"),
            ("ip", "<string>10.0.0.7</string>"),
        ])]));
    }
    let endpoint = |name: &str, tls: &str| {
        fields(&[
            ("system_id", "<i4>7</i4>"),
            ("endpoint_name", &format!("<string>{name}</string>")),
            ("exporter_name", "<string>node_exporter</string>"),
            ("port", "<i4>9100</i4>"),
            ("path", "<string>/metrics</string>"),
            ("module", "<string>mod</string>"),
            ("tls_enabled", &format!("<boolean>{tls}</boolean>")),
        ])
    };
    answer(&list(&[endpoint("a", "1"), endpoint("b", "0")]))
}

pub(crate) fn section(address: &str) -> String {
    format!(
        "uyuni_sd_configs: [{{server: 'http://{address}', username: 'a<b', password: p, refresh_interval: 1s}}]"
    )
}

#[tokio::test]
async fn endpoints_are_read_within_a_session() {
    let fails = Arc::new(AtomicBool::new(false));
    let failing = fails.clone();
    let server = PlayedServer::start(move |request| {
        if failing.load(Ordering::SeqCst) && !request.body.contains("auth.login") {
            let fault =
                fields(&[("faultCode", "<int>-1</int>"), ("faultString", "<string>no session</string>")]);
            let body = format!("<methodResponse><fault><value>{fault}</value></fault></methodResponse>");
            return Play::Raw("200 OK", String::new(), body.into());
        }
        play(request)
    })
    .await;
    let bed = TestBed::new(&section(&server.address));
    let target = |name: &str, scheme: &str| {
        format!(
            "host:9100 __meta_uyuni_endpoint_name={name} __meta_uyuni_exporter=node_exporter __meta_uyuni_groups=g1,g&2 \
             __meta_uyuni_metrics_path=/metrics __meta_uyuni_minion_hostname=host __meta_uyuni_primary_fqdn=host.example \
             __meta_uyuni_proxy_module=mod __meta_uyuni_scheme={scheme} __meta_uyuni_system_id=7"
        )
    };
    assert_eq!(bed.targets(2).await, [target("a", "https"), target("b", "http")]);
    bed.wait_for_metric("prometheus_sd_received_updates_total", 3.0).await;
    let logins = || {
        let requests = server.requests.lock().expect("a test");
        requests.iter().filter(|request| request.body.contains("auth.login")).count()
    };
    assert_eq!(logins(), 1);
    assert!(server.requests.lock().expect("a test")[0].body.contains("<string>a&lt;b</string>"));
    fails.store(true, Ordering::SeqCst);
    bed.wait_for_metric("prometheus_sd_refresh_failures_total", 2.0).await;
    assert!(logins() >= 2, "an error ends the session");
    assert_eq!(bed.targets(2).await.len(), 2, "what was known stays");
}
