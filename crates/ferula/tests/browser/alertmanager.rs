//! Alertmanager's pages, of a program of its own and below `/alertmanager` of the server.

use serde_json::json;

use crate::Test;
use crate::chromium::Browser;
use crate::common::{Server, escape};
use crate::page::Page;
use crate::stories::Site;

pub const TESTS: &[Test] = &[
    ("alertmanager_alerts_are_grouped_filtered_and_stay_text", alerts),
    ("alertmanager_silences_are_created_edited_expired_and_recreated", silences),
    ("alertmanager_says_where_alerts_go_and_what_a_silence_would_cover", answers),
    ("alertmanager_links_of_its_own_pages_work", links),
    ("alertmanager_status_and_narrow_windows", status),
    ("alertmanager_pages_work_inside_the_server", inside),
    ("alertmanager_settings_are_kept_and_silences_sorted", settings),
    ("alertmanager_receivers_are_tested_from_the_page", receivers),
    ("module_alertmanager_matchers_are_read_as_they_are_written", matchers),
];

const CONFIG: &str = r#"
route:
  receiver: team
  group_by: [alertname]
  group_wait: 1h
  routes:
    - {receiver: page, matchers: ['severity="page"'], group_by: [alertname, job]}
receivers: [{name: team}, {name: page}]
inhibit_rules:
  - {source_matchers: ['alertname="Root"'], target_matchers: ['alertname="Leaf"']}
"#;

/// `ferula alertmanager`, with alerts.
pub struct Alone {
    pub base: String,
    pub server: Server,
    _directory: tempfile::TempDir,
}

impl Alone {
    pub fn start() -> Alone {
        Self::start_with(CONFIG, &[])
    }

    pub fn start_with(config: &str, more: &[&str]) -> Alone {
        let directory = tempfile::tempdir().expect("a directory");
        std::fs::write(directory.path().join("alertmanager.yml"), config).expect("writable");
        let program = directory.path().join("alertmanager");
        std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_ferula"), &program).expect("a link");
        let arguments =
            ["--config.file=alertmanager.yml", "--storage.path=data", "--cluster.listen-address="];
        let mut server =
            Server::spawn_program(&program, directory.path(), &[arguments.as_slice(), more].concat());
        let line = server.wait_for_line("Listening on");
        server.address =
            line.split_once(" address=").map(|(_, rest)| rest.trim().to_owned()).expect("an address");
        let mut all = vec![
            json!({ "labels": { "alertname": "Root", "severity": "page", "job": "db" }, "annotations": { "summary": "<b>bold</b>" }, "generatorURL": "javascript:throw(1)" }),
            json!({ "labels": { "alertname": "Leaf", "job": "db" }, "annotations": {}, "generatorURL": "http://example.org/g" }),
            json!({ "labels": { "alertname": "Evil", "evil": "<img src=x onerror=throw(2)>\u{202e}" }, "annotations": { "summary": "<script>throw 3</script>" } }),
        ];
        all.extend(
            (0..300)
                .map(|n| json!({ "labels": { "alertname": "Many", "n": n.to_string() }, "annotations": {} })),
        );
        let body = json!(all).to_string();
        let (code, text) =
            server.request("POST", "/api/v2/alerts", "application/json", body.as_bytes()).expect("an answer");
        assert_eq!(code, 200, "{text}");
        Alone { base: format!("http://{}", server.address), server, _directory: directory }
    }
}

fn alerts(browser: &Browser, _: &Site) {
    let alone = Alone::start();
    let mut page = Page::open(browser, &alone.base, "/");
    page.allow("explain");
    page.wait("document.querySelectorAll('main section').length >= 3");
    assert!(
        page.text(".count").contains("302 alerts"),
        "the inhibited one is not shown: {}",
        page.text(".count")
    );
    let text = page.text("main");
    assert!(text.contains("<script>throw 3</script>") && text.contains("\\u202e"), "{text}");
    assert_eq!(
        page.eval("document.querySelectorAll('main img, main script, a[href^=javascript]').length"),
        json!(0)
    );
    page.eval("[...document.querySelectorAll('label')].find(l => l.innerText.trim() === 'Inhibited').querySelector('input').click()");
    page.wait("document.querySelector('.count').innerText.startsWith('303 alerts')");
    page.wait("document.querySelector('main').innerText.includes('inhibited')");
    // A click on a label filters; the address keeps it.
    page.eval(
        "[...document.querySelectorAll('button.chip')].find(b => b.innerText.includes('Evil')).click()",
    );
    page.wait("document.querySelector('.count').innerText.startsWith('1 alert in')");
    assert_eq!(
        page.eval("decodeURIComponent(location.hash).includes('filter={alertname=\"Evil\"}')"),
        json!(true)
    );
    page.go("/?root#/alerts?filter=%7Balertname%3D%22Root%22%7D");
    page.wait("document.querySelector('main tbody')?.innerText.includes('<b>bold</b>')");
    assert_eq!(page.eval("document.querySelectorAll('main td b, a[href^=javascript]').length"), json!(0));
    // Lists of hundreds are drawn as far as they are seen.
    page.go("/#/alerts?filter=%7Balertname%3D%22Many%22%7D&group=alertname");
    page.wait("document.querySelector('.count').innerText.startsWith('300 alerts')");
    assert!(page.eval("document.querySelectorAll('tbody tr').length").as_u64() < Some(200));
    page.enter("input[aria-label=Matchers]", "{broken");
    page.wait("document.querySelector('input[aria-label=Matchers]').getAttribute('aria-invalid') === 'true'");
}

fn silences(browser: &Browser, _: &Site) {
    let alone = Alone::start();
    let mut page = Page::open(browser, &alone.base, "/");
    page.allow("preview");
    page.allow("history");
    page.wait("document.querySelectorAll('main section').length >= 3");
    page.eval("[...document.querySelectorAll('tr')].find(r => r.innerText.includes('Evil')).querySelector('a[href*=\"silences/new\"]').click()");
    page.wait("document.querySelector('form textarea[aria-label=Matchers]') !== null");
    assert!(
        page.eval("document.querySelector('textarea[aria-label=Matchers]').value")
            .as_str()
            .is_some_and(|text| text.contains("alertname=\"Evil\""))
    );
    page.press("Create");
    page.wait("document.querySelector('.note[data-kind=err]')?.innerText.includes('creator and a comment')");
    page.click("input[aria-label=Creator]");
    page.keys("me");
    page.click("textarea[aria-label=Comment]");
    page.keys("work <b>");
    page.press("30m");
    page.press("Create");
    page.wait(
        "location.hash.startsWith('#/silences/') && document.querySelector('h1')?.innerText === 'Silence'",
    );
    page.wait("document.querySelector('main').innerText.includes('1 alert matches now')");
    // The start is moved to the moment of the request.
    let text = page.text("main");
    assert!(text.contains("work <b>") && (text.contains("(30m)") || text.contains("(29m 5")), "{text}");
    page.go("/#/alerts");
    page.wait("document.querySelector('.count')?.innerText.startsWith('301 alerts')");
    page.go("/#/silences");
    page.wait("document.querySelectorAll('tbody tr').length === 1");
    page.press("edit");
    page.wait("document.querySelector('h1').innerText === 'Edit silence' && document.querySelector('textarea[aria-label=Comment]') !== null");
    assert_eq!(page.eval("document.querySelector('input[aria-label=Creator]').value"), json!("me"));
    page.click("textarea[aria-label=Comment]");
    page.keys("!");
    page.press("Save");
    page.wait("document.querySelector('h1').innerText === 'Silence' && document.querySelector('main').innerText.includes('!')");
    page.press("expire");
    page.wait("document.querySelector('main .state')?.innerText === 'expired'");
    page.go("/?e#/silences?state=expired");
    page.wait("document.querySelector('[aria-label=State] [aria-pressed=true]')?.innerText.startsWith('Expired') && document.querySelectorAll('tbody tr').length >= 1");
    page.press("recreate");
    page.wait("document.querySelector('textarea[aria-label=Comment]')?.value.startsWith('work <b>')");
    let (_, all) = alone.server.get("/api/v2/silences");
    assert!(all.contains("\"createdBy\":\"me\"") && all.contains("expired"), "{all}");
}

fn answers(browser: &Browser, _: &Site) {
    let alone = Alone::start();
    let page = Page::open(browser, &alone.base, "/?a#/routes");
    page.wait("document.querySelector('.routes')?.innerText.includes('severity') && document.querySelector('.routes').innerText.includes('page')");
    page.enter("main input[type=search]", "alertname=\"X\", severity=\"page\"");
    page.wait("document.querySelector('.note')?.innerText.startsWith('It goes to page')");
    page.wait("document.querySelectorAll('.routes .state[data-s=ok]').length >= 1");
    page.enter("main input[type=search]", "alertname=\"X\"");
    page.wait("document.querySelector('.note')?.innerText.startsWith('It goes to team')");
    page.wait("document.querySelector('.routes')?.innerText.includes('failed')");
    page.go("/?b#/silences/new?filter=%7Balertname%3D%22Many%22%7D");
    page.wait(
        "document.querySelector('form .note')?.innerText.startsWith('300 alerts would be silenced now')",
    );
    page.go("/?c#/alerts?inhibited=true&filter=%7Balertname%3D%22Leaf%22%7D");
    page.press("why");
    page.wait("document.querySelector('dialog')?.innerText.includes('Inhibited by')");
    page.wait("document.querySelector('dialog .routes') !== null && document.querySelector('dialog').innerText.includes('To team')");
    page.go("/?d#/notifications");
    page.wait("document.querySelector('main')?.innerText.includes('Nothing was sent yet')");
}

fn links(browser: &Browser, _: &Site) {
    let alone = Alone::start();
    let mut page = Page::open(browser, &alone.base, "/");
    page.allow("preview");
    page.allow("warnings");
    // As in chats, mails and Grafana.
    for (hash, check) in [
        (
            "#/alerts?receiver=page",
            "document.querySelector('.count')?.innerText.startsWith('1 alert in') && document.querySelector('select[aria-label=Receiver]').value === 'page'",
        ),
        (
            "#/alerts?silenced=false&inhibited=true&muted=false&active=false&filter=%7Bjob%3D%22db%22%7D",
            "document.querySelector('.count')?.innerText.startsWith('1 alert in') && document.querySelector('main').innerText.includes('inhibited')",
        ),
        (
            "#/alerts?customGrouping=true&group=job",
            "document.querySelector('input[aria-label=\"Group by labels\"]')?.value === 'job'",
        ),
        (
            "#/silences/new?filter=%7Balertname%3D%22Root%22%2C%20job%3D~%22d.%22%7D&comment=why",
            "document.querySelector('textarea[aria-label=Matchers]')?.value === 'alertname=\"Root\", job=~\"d.\"' && document.querySelector('textarea[aria-label=Comment]').value === 'why'",
        ),
        ("#/silences", "document.querySelector('h1')?.innerText === 'Silences'"),
        ("#/status", "document.querySelector('h1')?.innerText === 'Status'"),
        ("#/settings", "document.querySelector('h1')?.innerText === 'Settings'"),
        ("#/receivers", "document.querySelector('h1')?.innerText === 'Receivers'"),
        ("#/nothing", "document.querySelector('h1')?.innerText === 'Alerts'"),
        ("", "document.querySelector('h1')?.innerText === 'Alerts'"),
    ] {
        page.go("/?x");
        page.eval(&format!("(location.hash = {}, 0)", json!(hash)));
        page.wait(check);
    }
    let silence = json!({ "matchers": [{ "name": "a", "value": "b", "isRegex": false, "isEqual": true }], "startsAt": "2026-01-01T00:00:00Z", "endsAt": "2099-01-01T00:00:00Z", "createdBy": "c", "comment": "d" }).to_string();
    let (code, text) = alone
        .server
        .request("POST", "/api/v2/silences", "application/json", silence.as_bytes())
        .expect("an answer");
    assert_eq!(code, 200, "{text}");
    let id: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    page.allow("history");
    page.go(&format!("/#/silences/{}", escape(id["silenceID"].as_str().unwrap_or(""))));
    page.wait("document.querySelector('main')?.innerText.includes('a=\"b\"')");
}

fn status(browser: &Browser, _: &Site) {
    let alone = Alone::start();
    let mut page = Page::open(browser, &alone.base, "/#/status");
    for piece in ["warnings", "routes", "preview"] {
        page.allow(piece);
    }
    page.wait("document.querySelector('.yaml')?.innerText.includes('group_wait: 1h')");
    for (width, theme) in [(360, "light"), (360, "dark"), (1400, "dark")] {
        page.resize(width, 800);
        page.prefer(theme);
        for hash in [
            "alerts",
            "silences",
            "silences/new",
            "notifications",
            "routes",
            "receivers",
            "status",
            "settings",
        ] {
            page.go(&format!("/?{width}{theme}#/{hash}"));
            page.wait("document.querySelector('main h1') !== null");
            page.eval("new Promise(done => setTimeout(done, 150))");
            let over = page.eval("document.documentElement.scrollWidth - innerWidth");
            assert!(over.as_i64() <= Some(0), "{hash} is {over} px too wide at {width}");
            assert_eq!(page.unnamed_controls(), Vec::<String>::new(), "{hash}");
            let worst = page.eval(crate::stories::CONTRAST);
            assert!(worst[0].as_f64() >= Some(4.5), "{theme} {hash}: {worst}");
            crate::stories::keep_picture(
                &page,
                &format!("alertmanager-{}-{theme}-{width}", hash.replace('/', "-")),
            );
        }
    }
}

fn inside(browser: &Browser, _: &Site) {
    let directory = tempfile::tempdir().expect("a directory");
    std::fs::write(directory.path().join("am.yml"), CONFIG).expect("writable");
    std::fs::write(
        directory.path().join("prometheus.yml"),
        "global: {evaluation_interval: 1s}\nrule_files: [rules.yml]\n",
    )
    .expect("writable");
    std::fs::write(
        directory.path().join("rules.yml"),
        "groups: [{name: g, rules: [{alert: On, expr: vector(1)}]}]\n",
    )
    .expect("writable");
    let server = Server::start(directory.path(), &["--alertmanager.config.file=am.yml"]);
    let base = format!("http://{}", server.address);
    for start in ["/alertmanager", "/alertmanager/"] {
        let page = Page::open(browser, &base, start);
        assert_eq!(page.eval("location.pathname"), json!("/alertmanager/"));
        page.wait("document.querySelector('main').innerText.includes('On') || (document.querySelector('[aria-label=\"Refresh now\"]').click(), false)");
    }
}

fn matchers(browser: &Browser, site: &Site) {
    crate::modules::check(
        browser,
        site,
        r#"
        const { parseMatchers, filterText, matcherText } = await load('am/api');
        const one = (name, value, isRegex = false, isEqual = true) => ({ name, value, isRegex, isEqual });
        for (const [text, want] of [['', []], ['{}', []], ['a="b"', [one('a', 'b')]], ['{a="b", c=~"d|e",f!="g",h!~"i.*"}', [one('a', 'b'), one('c', 'd|e', true), one('f', 'g', false, false), one('h', 'i.*', true, false)]],
            ['a=b', [one('a', 'b')]], ['a=""', [one('a', '')]], ['"ü.x"="y\\"z"', [one('ü.x', 'y"z')]], ['a="x,y}"', [one('a', 'x,y}')]], ['{a', null], ['a', null], ['=b', null], ['{a="b"', null]]) same(parseMatchers(text), want, text);
        for (let i = 0; i < 500; i++) {
            const texts = ['a', 'x"y', 'b\\c', 'é,}', '', ' s ', '<b>'];
            const list = Array.from({ length: random(4) }, () => one(texts[random(2) ? 0 : 1 + random(3)] || 'z', texts[random(texts.length)], random(2) === 1, random(2) === 1));
            same(parseMatchers(filterText(list)), list, filterText(list));
        }
        "#,
    );
}

fn settings(browser: &Browser, _: &Site) {
    let alone = Alone::start();
    for (n, (creator, end)) in [("zoe", "2098"), ("ann", "2097"), ("mia", "2099")].into_iter().enumerate() {
        let body = json!({ "matchers": [{ "name": "a", "value": n.to_string(), "isRegex": false, "isEqual": true }], "startsAt": "2026-01-01T00:00:00Z", "endsAt": format!("{end}-01-01T00:00:00Z"), "createdBy": creator, "comment": format!("c{n}") }).to_string();
        let (code, text) = alone
            .server
            .request("POST", "/api/v2/silences", "application/json", body.as_bytes())
            .expect("an answer");
        assert_eq!(code, 200, "{text}");
    }
    let mut page = Page::open(browser, &alone.base, "/#/settings");
    page.allow("preview");
    page.enter("input[aria-label='Creator of silences']", "nightshift");
    page.enter("select[aria-label=Theme]", "dark");
    page.wait("document.documentElement.dataset.theme === 'dark'");
    page.enter("input[aria-label='Other time zone']", "Nowhere/Else");
    page.wait("document.querySelector('input[aria-label=\"Other time zone\"]').getAttribute('aria-invalid') === 'true'");
    page.enter("input[aria-label='Other time zone']", "Asia/Kathmandu");
    page.wait("document.querySelector('main').innerText.includes('Asia/Kathmandu') && document.querySelector('[aria-label=\"Time zone: Asia/Kathmandu\"]') !== null");
    // Under the name that Alertmanager's own pages use, as a bare text.
    assert_eq!(page.eval("localStorage.getItem('defaultCreator')"), json!("nightshift"));
    page.go("/?new#/silences/new");
    page.wait("document.querySelector('input[aria-label=Creator]')?.value === 'nightshift'");
    assert_eq!(page.eval("document.documentElement.dataset.theme"), json!("dark"));
    page.go("/?sorted#/silences");
    let creators = "[...document.querySelectorAll('tbody tr')].map(r => r.cells[2].innerText).join()";
    page.wait(&format!("{creators} === 'ann,zoe,mia'"));
    for (head, order) in [
        ("Creator", "ann,mia,zoe"),
        ("Creator", "zoe,mia,ann"),
        ("Ends", "ann,zoe,mia"),
        ("Comment", "zoe,ann,mia"),
    ] {
        page.press(head);
        page.wait(&format!("{creators} === '{order}'"));
    }
    assert_eq!(
        page.eval("document.querySelector('th[aria-sort=ascending]').innerText.trim()"),
        json!("Comment")
    );
    assert_eq!(page.eval("location.hash"), json!("#/silences?order=comment"));
}

fn receivers(browser: &Browser, _: &Site) {
    let page_of = |alone: &Alone| {
        let mut page = Page::open(browser, &alone.base, "/#/receivers");
        page.allow("receivers");
        page.click("button[aria-label='Test team']");
        page.wait("document.querySelector('dialog') !== null");
        page
    };
    // Switched off, the page says how to switch it on.
    let alone = Alone::start();
    let page = page_of(&alone);
    page.press("Show what would be sent");
    page.wait("document.querySelector('dialog .note[data-kind=err]')?.innerText.includes('--web.enable-receiver-tests')");
    drop(page);
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("bound");
    let (heard, hears) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        use std::io::{Read, Write};
        for mut client in listener.incoming().map_while(Result::ok) {
            let mut text = Vec::new();
            let mut piece = [0; 4096];
            while !String::from_utf8_lossy(&text).contains("\"truncatedAlerts\"") {
                match client.read(&mut piece) {
                    Ok(read) if read > 0 => text.extend(&piece[..read]),
                    _ => break,
                }
            }
            // The test has ended if nobody listens.
            let _ =
                client.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\nConnection: close\r\n\r\nfine");
            let _ = heard.send(String::from_utf8_lossy(&text).into_owned());
        }
    });
    let config = format!(
        "route: {{receiver: team}}\nreceivers: [{{name: team, webhook_configs: [{{url: 'http://{address}/hook'}}]}}]\n"
    );
    let alone = Alone::start_with(&config, &["--web.enable-receiver-tests"]);
    let page = page_of(&alone);
    page.press("Show what would be sent");
    page.wait("document.querySelector('dialog section .state')?.innerText === 'not sent' && document.querySelector('dialog pre')?.innerText.includes('\"alertname\":\"Test\"')");
    assert!(hears.try_recv().is_err(), "nothing is sent by looking");
    page.press("Send it");
    page.wait("document.querySelector('dialog section .state')?.innerText === 'sent'");
    let sent = hears.recv_timeout(crate::common::PATIENCE).expect("a notification");
    assert!(sent.starts_with("POST /hook ") && sent.contains("\"alertname\":\"Test\""), "{sent}");
}
