//! What protects the pages and those who read them.

use serde_json::json;

use crate::Test;
use crate::chromium::Browser;
use crate::common::Server;
use crate::page::Page;
use crate::played::{Played, PlayedProxy};
use crate::stories::{PAGES, Site};

pub const TESTS: &[Test] = &[
    ("pages_carry_the_policy_and_give_way_to_configured_headers", headers),
    ("secrets_are_in_no_page_and_no_storage", secrets),
    ("the_tools_of_an_admin_are_there_only_when_switched_on", admin_only),
    ("requests_of_other_sites_change_nothing", other_sites),
];

const POLICY: &str = "default-src 'none'; script-src 'self'; worker-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; \
    base-uri 'none'; form-action 'none'; frame-ancestors 'self'; require-trusted-types-for 'script'; trusted-types ferula";

/// Headers of an answer, as the page sees them.
fn header(page: &Page<'_>, path: &str, name: &str) -> serde_json::Value {
    page.eval(&format!("fetch({}).then(r => r.headers.get({}))", json!(path), json!(name)))
}

fn headers(browser: &Browser, site: &Site) {
    let page = Page::open(browser, &site.base, "/flags");
    for path in ["query", "alerts", "tsdb-status"] {
        assert_eq!(header(&page, path, "content-security-policy"), json!(POLICY), "{path}");
        assert_eq!(header(&page, path, "x-content-type-options"), json!("nosniff"), "{path}");
        assert_eq!(header(&page, path, "referrer-policy"), json!("same-origin"), "{path}");
    }
    let directory = tempfile::tempdir().expect("a directory");
    std::fs::write(directory.path().join("prometheus.yml"), "global: {}\n").expect("writable");
    let configured = "http_server_config: {headers: {Content-Security-Policy: \"default-src 'self'\", X-Frame-Options: deny}}\n";
    std::fs::write(directory.path().join("web.yml"), configured).expect("writable");
    let server = Server::start(directory.path(), &["--web.config.file=web.yml"]);
    let page = Page::open(browser, &format!("http://{}", server.address), "/flags");
    page.wait("document.querySelectorAll('tbody tr').length > 40");
    // Theirs, and not both.
    assert_eq!(header(&page, "query", "content-security-policy"), json!("default-src 'self'"));
    assert_eq!(header(&page, "query", "x-frame-options"), json!("deny"));
}

fn secrets(browser: &Browser, _: &Site) {
    let directory = tempfile::tempdir().expect("a directory");
    let config = "\
scrape_configs:
  - job_name: guarded
    basic_auth: {username: u, password: hunter2one}
    static_configs: [{targets: ['127.0.0.1:1']}]
  - job_name: bearer
    authorization: {credentials: hunter2two}
    params: {a: [b]}
    static_configs: [{targets: ['127.0.0.1:1']}]
remote_write: [{url: 'http://user:hunter2three@127.0.0.1:1/write'}]
alerting: {alertmanagers: [{basic_auth: {username: u, password: hunter2four}, static_configs: [{targets: ['127.0.0.1:1']}]}]}
";
    std::fs::write(directory.path().join("prometheus.yml"), config).expect("writable");
    let server = Server::start(directory.path(), &["--web.enable-lifecycle"]);
    let mut page = Page::open(browser, &format!("http://{}", server.address), "/query");
    // Nobody answers there.
    page.allow("scrape_preview");
    for (path, _) in PAGES {
        page.go(&format!("/{path}"));
        page.wait("document.querySelector('.loading').dataset.on === undefined");
        assert_eq!(
            page.eval("document.documentElement.outerHTML.includes('hunter2')"),
            json!(false),
            "{path}"
        );
    }
    page.go("/config");
    page.wait("document.querySelector('.yaml')?.innerText.includes('<secret>')");
    page.go("/targets");
    page.press("Scrape configuration");
    page.wait("document.querySelector('dialog .yaml')?.innerText.includes('<secret>')");
    assert_eq!(page.eval("document.documentElement.outerHTML.includes('hunter2')"), json!(false));
    let stored = page.eval("JSON.stringify([{ ...localStorage }, { ...sessionStorage }, document.cookie])");
    assert!(!stored.to_string().contains("hunter2"), "{stored}");
}

fn admin_only(browser: &Browser, _: &Site) {
    let directory = tempfile::tempdir().expect("a directory");
    std::fs::write(directory.path().join("prometheus.yml"), "global: {}\n").expect("writable");
    let server = Server::start(directory.path(), &[]);
    let page = Page::open(browser, &format!("http://{}", server.address), "/tsdb-status");
    page.wait("document.querySelector('main')?.innerText.includes('Series in the head')");
    let buttons = "[...document.querySelectorAll('.page-head button')].map(b => b.innerText).join()";
    assert_eq!(page.eval(buttons), json!(""));
}

fn other_sites(browser: &Browser, site: &Site) {
    let loaded = || {
        let (_, text) = site.server.get("/api/v1/status/runtimeinfo");
        let answer: serde_json::Value = serde_json::from_str(&text).expect("JSON");
        answer["data"]["lastConfigTime"].as_str().expect("a time").to_owned()
    };
    let before = loaded();
    // Another name of this machine is another site to the browser.
    let between = PlayedProxy::start(&site.server.address);
    between.play("/evil", Played::status("200 OK", "Content-Type: text/html\r\n", "<title>evil</title>"));
    let port = between.address.rsplit(':').next().unwrap_or("");
    let page = Page::open_elsewhere(browser, &format!("http://plain.test:{port}"));
    page.call("Page.navigate", json!({ "url": format!("http://plain.test:{port}/evil") }));
    page.wait("document.title === 'evil'");
    let sent = page.eval(&format!(
        "Promise.allSettled(['-/reload', '-/quit', 'api/v1/admin/tsdb/clean_tombstones'].map(path => fetch('http://{}/' + path, {{ method: 'POST', mode: 'no-cors' }}))).then(all => all.map(one => one.status).join())",
        site.server.address
    ));
    assert_eq!(sent, json!("fulfilled,fulfilled,fulfilled"), "the requests arrive");
    assert_eq!(loaded(), before, "and are refused");
    // The same request of the server's own page is not.
    let page = Page::open(browser, &site.base, "/flags");
    assert_eq!(page.eval("fetch('-/reload', { method: 'POST' }).then(r => r.status)"), json!(200));
    assert_ne!(loaded(), before);
}
