//! A page in the browser: what a user does on it, and what must never happen.

use std::collections::HashSet;
use std::path::Path;
use std::time::Instant;

use serde_json::{Value, json};

use crate::chromium::Browser;
use crate::common::PATIENCE;
use crate::left_behind::after_leaving;

/// One tab with its own storage.
pub struct Page<'a> {
    browser: &'a Browser,
    context: String,
    session: String,
    base: String,
    /// Parts of URLs whose answers may be errors in this test.
    allowed: Vec<&'static str>,
    events: Vec<Value>,
    /// Whether what happens on it is ours to answer for.
    is_ours: bool,
    /// Requests may break off.
    failures_expected: std::cell::Cell<bool>,
}

/// Runs before any script of the page: turns violations of the security policy into errors on the console, and notes which
/// globals there were.
const WATCH: &str = "window.firstNames = new Set(Object.getOwnPropertyNames(window)); addEventListener('securitypolicyviolation', e => console.error('CSP', e.violatedDirective, e.blockedURI, e.sourceFile))";

impl<'a> Page<'a> {
    /// Opens a path below `base`, such as `http://127.0.0.1:9090`.
    pub fn open(browser: &'a Browser, base: &str, path: &str) -> Page<'a> {
        Self::open_with(browser, base, path, "")
    }

    /// The same, with a script of ours that runs before those of the page.
    pub fn open_with(browser: &'a Browser, base: &str, path: &str, script: &str) -> Page<'a> {
        let page = Self::blank(browser, base);
        page.call("Page.addScriptToEvaluateOnNewDocument", json!({ "source": WATCH }));
        page.call("Page.addScriptToEvaluateOnNewDocument", json!({ "source": script }));
        page.go(path);
        page
    }

    /// A tab for pages of others, of which nothing is expected.
    pub fn open_elsewhere(browser: &'a Browser, base: &str) -> Page<'a> {
        let mut page = Self::blank(browser, base);
        page.allow("");
        page.is_ours = false;
        page
    }

    /// A tab with nothing in it yet.
    fn blank(browser: &'a Browser, base: &str) -> Page<'a> {
        let context =
            browser.call(None, "Target.createBrowserContext", json!({}))["browserContextId"].clone();
        let target = browser.call(
            None,
            "Target.createTarget",
            json!({ "url": "about:blank", "browserContextId": context, "width": 1400, "height": 900 }),
        );
        let attached = browser.call(
            None,
            "Target.attachToTarget",
            json!({ "targetId": target["targetId"], "flatten": true }),
        );
        let text = |value: &Value| value.as_str().expect("a string").to_owned();
        let page = Page {
            browser,
            context: text(&context),
            session: text(&attached["sessionId"]),
            base: base.to_owned(),
            allowed: Vec::new(),
            events: Vec::new(),
            is_ours: true,
            failures_expected: std::cell::Cell::new(false),
        };
        for domain in ["Runtime", "Log", "Network", "Page", "Accessibility"] {
            page.call(&format!("{domain}.enable"), json!({}));
        }
        let workers = json!({ "autoAttach": true, "waitForDebuggerOnStart": false, "flatten": true });
        page.call("Target.setAutoAttach", workers);
        page.resize(1400, 900);
        page
    }

    /// Allows errors in answers for URLs that contain `piece`.
    pub fn allow(&mut self, piece: &'static str) {
        self.allowed.push(piece);
    }

    /// Requests that break off are part of the test.
    pub fn expect_failures(&self) {
        self.failures_expected.set(true);
    }

    pub fn call(&self, method: &str, params: Value) -> Value {
        self.browser.call(Some(&self.session), method, params)
    }

    /// Loads a path below the base and waits until the page is rendered.
    pub fn go(&self, path: &str) {
        self.call("Page.navigate", json!({ "url": format!("{}{path}", self.base) }));
        self.wait("document.readyState === 'complete' && document.querySelector('main h1') !== null");
    }

    pub fn resize(&self, width: u32, height: u32) {
        self.call(
            "Emulation.setDeviceMetricsOverride",
            json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": false }),
        );
    }

    /// Sets the preferred colour scheme, `light` or `dark`.
    pub fn prefer(&self, theme: &str) {
        let features = json!([{ "name": "prefers-color-scheme", "value": theme }]);
        self.call("Emulation.setEmulatedMedia", json!({ "features": features }));
    }

    /// The value of an expression, or the result of a promise.
    pub fn eval(&self, expression: &str) -> Value {
        let answer = self.call(
            "Runtime.evaluate",
            json!({ "expression": expression, "awaitPromise": true, "returnByValue": true, "userGesture": true }),
        );
        assert!(answer.get("exceptionDetails").is_none(), "{expression}\n{:#}", answer["exceptionDetails"]);
        answer["result"]["value"].clone()
    }

    pub fn text(&self, selector: &str) -> String {
        let found = self.eval(&format!("document.querySelector({})?.innerText ?? null", json!(selector)));
        found.as_str().unwrap_or_else(|| panic!("nothing at {selector}: {}", self.outline())).to_owned()
    }

    /// Waits until an expression is true; it is evaluated on the page.
    pub fn wait(&self, condition: &str) {
        let deadline = Instant::now() + PATIENCE;
        let script = format!(
            "new Promise(done => {{ const began = Date.now(); const holds = () => {{ try {{ return {condition}; }} catch {{ return false; }} }}; const look = () => {{ if (holds()) done(true); \
             else if (Date.now() - began > 2000) done(false); else setTimeout(look, 20); }}; look(); }})"
        );
        while Instant::now() < deadline {
            let answer = self.call(
                "Runtime.evaluate",
                json!({ "expression": script, "awaitPromise": true, "returnByValue": true, "userGesture": true }),
            );
            // A page that is being left does not answer.
            if answer["result"]["value"] == json!(true) {
                return;
            }
        }
        panic!("never true: {condition}\n{}", self.outline());
    }

    /// The text of the page, for messages.
    fn outline(&self) -> String {
        let address = self.eval("location.href");
        let text = self.eval("document.body.innerText.slice(0, 3000)");
        format!("{address}\n{}", text.as_str().unwrap_or(""))
    }

    /// Waits for an element and does something to it, in one go: a list may be drawn again between two evaluations.
    /// `find` gives the element `e` or nothing.
    fn act(&self, find: &str, act: &str) {
        self.wait(&format!(
            "(() => {{ const e = {find}; if (!e || e.disabled) return false; {act}; return true; }})()"
        ));
    }

    /// Waits for an element and clicks it.
    pub fn click(&self, selector: &str) {
        self.act(&format!("document.querySelector({})", json!(selector)), "e.focus(); e.click()");
    }

    /// Waits for a button or link with this text and clicks it.
    pub fn press(&self, text: &str) {
        self.act(
            &format!(
                "[...document.querySelectorAll('button, a')].find(e => e.innerText.trim() === {})",
                json!(text)
            ),
            "e.focus(); e.click()",
        );
    }

    /// Waits until an element takes the focus.
    pub fn focus(&self, selector: &str) {
        self.wait(&format!(
            "(() => {{ const e = document.querySelector({}); e?.focus(); return e !== null && document.activeElement === e; }})()",
            json!(selector)
        ));
    }

    /// Takes the focus from whatever has it.
    pub fn blur(&self) {
        self.eval("document.activeElement?.blur()");
    }

    /// Puts a value into a field or chooses an option, as a person who leaves the field afterwards.
    pub fn enter(&self, selector: &str, value: &str) {
        self.act(
            &format!("document.querySelector({})", json!(selector)),
            &format!(
                "e.value = {}; e.dispatchEvent(new Event('input', {{ bubbles: true }})); e.dispatchEvent(new Event('change', {{ bubbles: true }}))",
                json!(value)
            ),
        );
    }

    /// Selects all text of a field and types over it.
    pub fn retype(&self, selector: &str, text: &str) {
        self.focus(selector);
        self.eval("document.activeElement.select()");
        self.keys(text);
    }

    /// Does something and waits until the graph has been painted again and the panel is at rest.
    pub fn repaints(&self, act: impl FnOnce(&Self)) {
        self.eval("(window.paintedBefore = document.querySelector('.chart').dataset.painted, 0)");
        act(self);
        self.wait("document.querySelector('.chart').dataset.painted !== window.paintedBefore && document.querySelector('.panel-body[data-stale]') === null");
    }

    /// Has the page ask again, and waits until that is shown.
    pub fn refresh(&self) {
        self.eval("(window.refreshedBefore = document.documentElement.dataset.refreshed, document.querySelector('[aria-label=\"Refresh now\"]').click())");
        self.wait("document.documentElement.dataset.refreshed !== window.refreshedBefore");
    }

    /// Types text, one key at a time.
    pub fn keys(&self, text: &str) {
        for c in text.chars() {
            self.key_event("keyDown", &c.to_string(), 0, Some(&c.to_string()));
            self.key_event("keyUp", &c.to_string(), 0, None);
        }
    }

    /// Presses a key by its name. `modifiers`: 1 Alt, 2 Ctrl, 8 Shift.
    pub fn key(&self, name: &str, modifiers: u32) {
        let text = match (name, modifiers) {
            ("Enter", _) => Some("\r"),
            _ => None,
        };
        self.key_event("keyDown", name, modifiers, text);
        self.key_event("keyUp", name, modifiers, None);
    }

    fn key_event(&self, kind: &str, key: &str, modifiers: u32, text: Option<&str>) {
        let code = match key {
            "Enter" => 13,
            "Tab" => 9,
            "Escape" => 27,
            "Backspace" => 8,
            "ArrowLeft" => 37,
            "ArrowUp" => 38,
            "ArrowRight" => 39,
            "ArrowDown" => 40,
            _ => 0,
        };
        let kind = if kind == "keyDown" && text.is_none() { "rawKeyDown" } else { kind };
        self.call(
            "Input.dispatchKeyEvent",
            json!({ "type": kind, "key": key, "modifiers": modifiers, "windowsVirtualKeyCode": code, "text": text.unwrap_or("") }),
        );
    }

    /// Moves the pointer; if the two points differ, with the button held down.
    pub fn drag(&self, from: (f64, f64), to: (f64, f64)) {
        let event = |kind: &str, (x, y): (f64, f64), held: u32| {
            self.call(
                "Input.dispatchMouseEvent",
                json!({ "type": kind, "x": x, "y": y, "button": if held == 1 { "left" } else { "none" }, "buttons": held, "clickCount": 1 }),
            );
        };
        event("mouseMoved", from, 0);
        if from == to {
            return;
        }
        event("mousePressed", from, 1);
        for part in 1..=4 {
            let share = f64::from(part) / 4.0;
            event("mouseMoved", (from.0 + (to.0 - from.0) * share, from.1 + (to.1 - from.1) * share), 1);
        }
        event("mouseReleased", to, 1);
    }

    /// Presses and releases the left button at a place.
    pub fn click_at(&self, x: f64, y: f64) {
        for (kind, held) in [("mousePressed", 1), ("mouseReleased", 0)] {
            self.call(
                "Input.dispatchMouseEvent",
                json!({ "type": kind, "x": x, "y": y, "button": "left", "buttons": held, "clickCount": 1 }),
            );
        }
    }

    /// A command of the browser's editing, such as `undo`, to what has the focus.
    pub fn command(&self, name: &str) {
        self.call(
            "Input.dispatchKeyEvent",
            json!({ "type": "keyDown", "key": "Unidentified", "commands": [name] }),
        );
    }

    /// What pasting gives: the text that was copied last.
    pub fn pasted(&self) -> String {
        self.eval("(() => { const t = document.createElement('textarea'); t.id = 'paste-here'; (document.querySelector('dialog[open]') ?? document.body).append(t); t.focus(); })()");
        self.call(
            "Input.dispatchKeyEvent",
            json!({ "type": "keyDown", "key": "v", "modifiers": 2, "commands": ["paste"] }),
        );
        let text = self.eval("(() => { const t = document.getElementById('paste-here'); const text = t.value; t.remove(); return text; })()");
        text.as_str().unwrap_or("").to_owned()
    }

    /// Left, top, width and height of an element.
    pub fn rect(&self, selector: &str) -> [f64; 4] {
        let rect = self.eval(&format!(
            "(() => {{ const r = document.querySelector({}).getBoundingClientRect(); return [r.left, r.top, r.width, r.height]; }})()",
            json!(selector)
        ));
        serde_json::from_value(rect).expect("four numbers")
    }

    pub fn screenshot(&self, path: &Path) {
        let png = self.call("Page.captureScreenshot", json!({ "format": "png" }));
        std::fs::write(path, base64(png["data"].as_str().unwrap_or("")))
            .expect("the artefact can be written");
    }

    /// Names of controls that have no accessible name.
    pub fn unnamed_controls(&self) -> Vec<String> {
        let tree = self.call("Accessibility.getFullAXTree", json!({}));
        let nodes = tree["nodes"].as_array().cloned().unwrap_or_default();
        let is_control = |role: &str| {
            ["button", "link", "textbox", "searchbox", "combobox", "checkbox", "tab", "option", "listbox"]
                .contains(&role)
        };
        nodes
            .iter()
            .filter(|node| node["ignored"] != json!(true))
            .filter(|node| is_control(node["role"]["value"].as_str().unwrap_or("")))
            .filter(|node| node["name"]["value"].as_str().unwrap_or("").trim().is_empty())
            .map(|node| node["role"]["value"].to_string())
            .collect()
    }

    /// Everything that the browser has reported so far.
    pub fn take_events(&mut self) -> &[Value] {
        self.events.extend(self.browser.events(&self.session));
        &self.events
    }

    /// Begins to record what the browser's threads do.
    pub fn trace_begin(&mut self) {
        self.take_events();
        let categories = "toplevel,disabled-by-default-devtools.timeline";
        self.call("Tracing.start", json!({ "transferMode": "ReportEvents", "categories": categories }));
    }

    /// Ends the record, and returns what the main thread did.
    pub fn trace_end(&mut self) -> Tasks {
        self.call("Tracing.end", json!({}));
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline {
            if self.take_events().iter().any(|event| event["method"] == "Tracing.tracingComplete") {
                break;
            }
            self.eval("new Promise(done => setTimeout(done, 20))");
        }
        let (trace, rest) = std::mem::take(&mut self.events)
            .into_iter()
            .partition(|event| event["method"].as_str().is_some_and(|name| name.starts_with("Tracing.")));
        self.events = rest;
        let trace: Vec<Value> = trace;
        let events: Vec<Value> = trace
            .iter()
            .flat_map(|event| event["params"]["value"].as_array().cloned().unwrap_or_default())
            .collect();
        Tasks::of(&events)
    }

    /// MiB that the page and its workers hold, buffers included, after what nobody needs has gone.
    pub fn heaps(&mut self) -> (f64, f64) {
        let own = self.own_heap();
        let held = self.workers().into_iter().map(|session| {
            self.browser.call(Some(&session), "HeapProfiler.collectGarbage", json!({}));
            mebibytes(&self.browser.call(Some(&session), "Runtime.getHeapUsage", json!({})))
        });
        (own, held.sum())
    }

    /// MiB that the page itself holds, and how many workers it has.
    pub fn heap_and_workers(&mut self) -> (f64, usize) {
        (self.own_heap(), self.workers().len())
    }

    fn own_heap(&self) -> f64 {
        self.call("HeapProfiler.collectGarbage", json!({}));
        mebibytes(&self.call("Runtime.getHeapUsage", json!({})))
    }

    /// Sessions of the workers that run.
    fn workers(&mut self) -> Vec<String> {
        self.take_events();
        let text = |value: &Value| value.as_str().unwrap_or("").to_owned();
        let named = |method: &str| -> Vec<String> {
            let events = self.events.iter().filter(|event| event["method"] == method);
            events.map(|event| text(&event["params"]["sessionId"])).collect()
        };
        let gone = named("Target.detachedFromTarget");
        named("Target.attachedToTarget").into_iter().filter(|session| !gone.contains(session)).collect()
    }

    /// Problems on the page: errors, violations of the security policy, failed requests, requests to other
    /// hosts.
    pub fn complaints(&mut self) -> Vec<String> {
        // One more round trip, so that the latest events have been reported.
        self.eval("new Promise(done => setTimeout(done, 50))");
        self.take_events();
        let allowed = |text: &str| self.allowed.iter().any(|piece| text.contains(piece));
        let mut complaints = Vec::new();
        for event in &self.events {
            let params = &event["params"];
            match event["method"].as_str().unwrap_or("") {
                "Runtime.exceptionThrown" => {
                    complaints.push(format!("exception: {}", params["exceptionDetails"]))
                }
                "Runtime.consoleAPICalled" if params["type"] == "error" => {
                    complaints.push(format!("console: {}", params["args"]));
                }
                "Log.entryAdded" if params["entry"]["level"] == "error" => {
                    let entry = format!("{} {}", params["entry"]["text"], params["entry"]["url"]);
                    if !allowed(&entry) {
                        complaints.push(format!("log: {entry}"));
                    }
                }
                "Network.loadingFailed"
                    if params["canceled"] != json!(true) && !self.failures_expected.get() =>
                {
                    complaints.push(format!("request failed: {params}"));
                }
                "Network.requestWillBeSent" => {
                    let url = params["request"]["url"].as_str().unwrap_or("");
                    if !["data:", "blob:", &self.base].iter().any(|start| url.starts_with(start)) {
                        complaints.push(format!("request to another host: {url}"));
                    }
                }
                "Network.responseReceived" => {
                    let url = params["response"]["url"].as_str().unwrap_or("");
                    if params["response"]["status"].as_u64().unwrap_or(0) >= 400 && !allowed(url) {
                        complaints.push(format!("answer {}: {url}", params["response"]["status"]));
                    }
                }
                _ => {}
            }
        }
        complaints
    }
}

/// What the main thread of a page did, in milliseconds.
pub struct Tasks {
    /// The longest task, as the clock goes.
    pub longest_ms: f64,
    /// The longest task, of processor time.
    pub longest_cpu_ms: f64,
    /// All tasks of more than a millisecond.
    pub all_ms: f64,
}

impl Tasks {
    fn of(events: &[Value]) -> Tasks {
        let id = |event: &Value| (event["pid"].as_u64(), event["tid"].as_u64());
        let main: HashSet<_> = events
            .iter()
            .filter(|event| event["name"] == "thread_name" && event["args"]["name"] == "CrRendererMain")
            .map(id)
            .collect();
        let mut tasks = Tasks { longest_ms: 0.0, longest_cpu_ms: 0.0, all_ms: 0.0 };
        for event in events.iter().filter(|event| {
            event["name"].as_str().is_some_and(|name| name.ends_with("RunTask")) && main.contains(&id(event))
        }) {
            let millis = |name: &str| event[name].as_f64().unwrap_or(0.0) / 1000.0;
            tasks.longest_ms = tasks.longest_ms.max(millis("dur"));
            tasks.longest_cpu_ms = tasks.longest_cpu_ms.max(millis("tdur"));
            tasks.all_ms += if millis("dur") > 1.0 { millis("dur") } else { 0.0 };
        }
        tasks
    }
}

impl Drop for Page<'_> {
    fn drop(&mut self) {
        if self.is_ours && !std::thread::panicking() {
            let complaints = self.complaints();
            assert!(complaints.is_empty(), "the page complains:\n{}", complaints.join("\n"));
            let kept = after_leaving(self);
            assert_eq!(kept, None, "memory of the page does not come back");
        }
        self.browser.call(None, "Target.disposeBrowserContext", json!({ "browserContextId": self.context }));
    }
}

/// What a heap holds, buffers included.
fn mebibytes(heap: &Value) -> f64 {
    let bytes = |name: &str| heap[name].as_f64().unwrap_or(0.0);
    (bytes("usedSize") + bytes("backingStorageSize")) / f64::from(1 << 20)
}

/// Decodes valid base64.
fn base64(text: &str) -> Vec<u8> {
    let value = |c: u8| match c {
        b'A'..=b'Z' => c - b'A',
        b'a'..=b'z' => c - b'a' + 26,
        b'0'..=b'9' => c - b'0' + 52,
        b'+' => 62,
        _ => 63,
    };
    let digits: Vec<u8> = text.bytes().filter(|c| *c != b'=').map(value).collect();
    let group = |four: &[u8]| {
        let bits =
            four.iter().fold(0_u32, |bits, digit| bits << 6 | u32::from(*digit)) << (6 * (4 - four.len()));
        bits.to_be_bytes()[1..four.len()].to_vec()
    };
    digits.chunks(4).flat_map(group).collect()
}
