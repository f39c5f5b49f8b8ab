//! `proxy_from_environment`: the variables of the process name a proxy for each scheme. Each request is sent by a process
//! of its own, because its variables are its own.

use std::process::Command;
use std::sync::mpsc;
use std::time::Duration;

use ferula_config::http_client::HttpClientConfig;
use ferula_http_client::{HttpClient, Request};
use ferula_testkit::recording_proxy;

const SECTION: &str = "FERULA_TEST_SECTION";
const URL: &str = "FERULA_TEST_URL";
/// Variables that decide about proxies.
const PROXIES: [&str; 6] = ["HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy", "NO_PROXY", "no_proxy"];

#[test]
fn the_environment_names_a_proxy_for_each_scheme() {
    const ON: &str = "{proxy_from_environment: true}";
    let (sender, asked) = mpsc::channel();
    let (plain, secure) = (recording_proxy("plain", sender.clone()), recording_proxy("secure", sender));
    let (plain, secure) = (format!("http://{plain}"), format!("http://{secure}"));
    let get = Some(("plain", "GET http://target.invalid/metrics HTTP/1.1"));
    let connect = Some(("secure", "CONNECT target.invalid:443 HTTP/1.1"));
    let both = [("HTTP_PROXY", &*plain), ("HTTPS_PROXY", &*secure)];
    let spared = [("HTTP_PROXY", &*plain), ("NO_PROXY", "other.invalid,.invalid")];
    for (section, url, environment, expected) in [
        (ON, "http://target.invalid/metrics", &both[..], get),
        (ON, "https://target.invalid/metrics", &both[..], connect),
        (ON, "http://target.invalid/metrics", &[("http_proxy", &*plain)], get),
        (ON, "https://target.invalid/metrics", &both[..1], None),
        (ON, "http://target.invalid/metrics", &both[1..], None),
        (ON, "http://target.invalid/metrics", &spared, None),
        ("{}", "http://target.invalid/metrics", &both, None),
    ] {
        let mut child = Command::new(std::env::current_exe().expect("this program"));
        for name in PROXIES {
            child.env_remove(name);
        }
        child.args(["--exact", "one_request", "--ignored"]).envs(environment.iter().copied());
        let output = child.env(SECTION, section).env(URL, url).output().expect("it starts");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
        // A proxy passes the line on before it answers, and the child has ended.
        let got = asked.try_recv().ok();
        let got = got.as_ref().map(|(proxy, line)| (*proxy, line.as_str()));
        assert_eq!(got, expected, "{section} {url} {environment:?}");
    }
}

#[test]
#[ignore = "the other test runs it in a process of its own"]
fn one_request() {
    let variable = |name: &str| std::env::var(name).expect("set by the other test");
    let config = HttpClientConfig::parse_file(&variable(SECTION), ".").expect("a good section");
    let client = HttpClient::new(&config, "Test/1.0").expect("a client");
    let request = Request::get(&variable(URL)).expect("a URL");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    // Nothing answers; where there is no proxy, a resolver may take long to say that there is no such host.
    let sent =
        runtime.block_on(async { tokio::time::timeout(Duration::from_secs(3), client.send(request)).await });
    assert!(!matches!(sent, Ok(Ok(response)) if response.status().is_success()), "nothing is there");
    runtime.shutdown_background();
}
