//! Keeps a copy of a collection of objects: lists it page by page, then watches it.
//!
//! ```text
//! list (pages) ─▶ store ◀─ events ◀─ watch ─┬─ ended: watch again from the last version
//!   ▲                                       └─ version too old (410): list again
//!   └──────────── errors: wait, longer each time up to 30 s, with jitter
//! ```
//!
//! Always true: the copy is only ever replaced by a complete list, so an API server that fails or sends half
//! a list removes nothing; one watch serves all users of the same objects; a line of a watch has at most
//! [`LINE_BYTES_MAX`], and a connection that is silent for too long is closed.

use std::any::Any;
use std::collections::BTreeMap;
use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, Weak};
use std::time::Duration;

use ferula_go::sync::MutexExt;
use ferula_go::url::query_escape;
use ferula_http_client::{Response, StatusCode};
use ferula_runtime::SharedClock;
use ferula_telemetry::{Counter, CounterVec, Registry};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use tokio::sync::Notify;

use super::client::Server;
use super::login::Login;
use super::objects::Object;
use crate::json;
use crate::provider::{Context, ProviderError};
use crate::refresh::RefreshError;

/// Number of objects per page of a list.
const PAGE_OBJECTS: u32 = 500;
/// Time limit for one page of a list.
const LIST_TIMEOUT: Duration = Duration::from_secs(60);
/// The server ends a watch after this time; it is then restarted.
const WATCH_TIME: Duration = Duration::from_secs(300);
/// A watch that stays silent this long beyond its end is considered dead.
const WATCH_GRACE: Duration = Duration::from_secs(30);
/// etcd stores objects of up to 1.5 MB.
const LINE_BYTES_MAX: usize = 8 << 20;
/// A watch that ends sooner than this without an event has failed.
const SHORT_WATCH: Duration = Duration::from_secs(1);
/// The first wait after a failure, and the longest.
const WAIT_MIN: Duration = Duration::from_millis(800);
const WAIT_MAX: Duration = Duration::from_secs(30);
/// After a watch of this duration, earlier failures are forgotten.
const HEALTHY_AFTER: Duration = Duration::from_secs(10);

pub(super) struct KubernetesMetrics {
    pub events: CounterVec,
    failures: Counter,
    requests: CounterVec,
}

impl KubernetesMetrics {
    pub(super) fn new(registry: &Registry) -> Self {
        KubernetesMetrics {
            events: registry.counter_vec(
                "prometheus_sd_kubernetes_events_total",
                "Kubernetes objects that were added, changed or deleted, by role.",
                &["role", "event"],
            ),
            failures: registry.counter(
                "prometheus_sd_kubernetes_failures_total",
                "Failed requests to list or watch objects. They are repeated, and the last known targets stay in use.",
            ),
            requests: registry.counter_vec(
                "prometheus_sd_kubernetes_http_request_total",
                "Requests to the Kubernetes API by status; `<error>` if there was no answer.",
                &["status_code"],
            ),
        }
    }
}

/// The objects of one collection, by their key.
pub(super) type Objects<T> = BTreeMap<String, Arc<T>>;

/// A collection that is watched for as long as a handle to it exists.
pub(super) struct Watch<T> {
    state: Arc<State<T>>,
    task: tokio::task::AbortHandle,
}

struct State<T> {
    objects: Mutex<Objects<T>>,
    /// Set by the first complete list.
    synced: Mutex<bool>,
    /// Listeners that are notified of changes.
    listeners: Mutex<Vec<Weak<Notify>>>,
}

impl<T> Drop for Watch<T> {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl<T> Watch<T> {
    pub(super) fn objects(&self) -> MutexGuard<'_, Objects<T>> {
        self.state.objects.locked()
    }

    pub(super) fn is_synced(&self) -> bool {
        *self.state.synced.locked()
    }

    /// Notifies the listener of every change from now on.
    pub(super) fn subscribe(&self, listener: &Arc<Notify>) {
        let mut listeners = self.state.listeners.locked();
        listeners.retain(|known| known.strong_count() > 0);
        listeners.push(Arc::downgrade(listener));
    }
}

/// The identity of a watch.
#[derive(PartialEq)]
struct Key {
    server: Server,
    /// Path and selectors.
    collection: String,
}

/// All watches of a manager.
#[derive(Default)]
pub(super) struct Watches(Mutex<Vec<(Key, Weak<dyn Any + Send + Sync>)>>);

/// Which objects of a collection are watched.
#[derive(Clone, Debug, Default)]
pub(super) struct Selector {
    pub label: String,
    pub field: String,
}

impl Watches {
    /// The watch of these objects, started if necessary.
    pub(super) fn get<T: Object>(
        &self,
        server: &Server,
        namespace: &str,
        selector: &Selector,
        context: &Context,
    ) -> Result<Arc<Watch<T>>, ProviderError> {
        let mut path = format!("/{}/", T::API);
        if !namespace.is_empty() {
            path.push_str(&format!("namespaces/{namespace}/"));
        }
        path.push_str(T::PLURAL);
        let mut selection = String::new();
        for (key, value) in [("fieldSelector", &selector.field), ("labelSelector", &selector.label)] {
            if !value.is_empty() {
                selection.push_str(&format!("&{key}={}", query_escape(value)));
            }
        }
        let key = Key { server: server.clone(), collection: format!("{path}?{selection}") };
        let mut watches = self.0.locked();
        watches.retain(|(_, watch)| watch.strong_count() > 0);
        let known = watches.iter().find(|(known, _)| *known == key).and_then(|(_, watch)| watch.upgrade());
        if let Some(watch) = known.and_then(|watch| watch.downcast::<Watch<T>>().ok()) {
            return Ok(watch);
        }
        let state = Arc::new(State {
            objects: Mutex::default(),
            synced: Mutex::new(false),
            listeners: Mutex::default(),
        });
        let reflector = Reflector {
            login: Login::new(server, context, LIST_TIMEOUT)?,
            url: format!("{}{path}", server.url),
            selection,
            clock: context.clock.clone(),
            metrics: KubernetesMetrics::new(&context.registry),
            state: state.clone(),
            seed: context.clock.unix_nanos().cast_unsigned() | 1,
        };
        let task = tokio::spawn(reflector.run()).abort_handle();
        let watch = Arc::new(Watch { state, task });
        let erased: Arc<dyn Any + Send + Sync> = watch.clone();
        watches.push((key, Arc::downgrade(&erased)));
        Ok(watch)
    }
}

#[derive(Default, Deserialize)]
#[serde(default, bound = "T: DeserializeOwned + Default")]
struct Page<T> {
    metadata: PageMeta,
    items: Vec<T>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct PageMeta {
    resource_version: String,
    #[serde(rename = "continue")]
    next: String,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct EventKind {
    #[serde(rename = "type")]
    kind: String,
}

#[derive(Default, Deserialize)]
#[serde(default, bound = "T: DeserializeOwned + Default")]
struct Event<T> {
    object: T,
}

/// The content of an `ERROR` event, and of an answer with a status other than 200.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Status {
    code: u16,
    message: String,
}

/// A bookmark in the history, without an object.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Bookmark {
    metadata: super::objects::Meta,
}

/// Why listing or watching stopped.
#[derive(Debug, thiserror::Error)]
enum WatchError {
    /// The history does not reach back far enough: the collection has to be listed again.
    #[error("{0}")]
    Expired(String),
    #[error("{0}")]
    Refused(String),
    #[error("{0}")]
    Request(#[from] RefreshError),
    #[error("an event is larger than {LINE_BYTES_MAX} bytes")]
    LongLine,
    #[error("the watch ended immediately, without an event")]
    TooShort,
    #[error("no data received for {}s", .0.as_secs())]
    Silent(Duration),
    #[error("unknown event type {0:?}")]
    UnknownEvent(String),
}

impl From<json::JsonError> for WatchError {
    fn from(error: json::JsonError) -> Self {
        WatchError::Request(error.into())
    }
}

struct Reflector<T> {
    login: Login,
    url: String,
    /// `&labelSelector=…`, or "".
    selection: String,
    clock: SharedClock,
    metrics: KubernetesMetrics,
    state: Arc<State<T>>,
    /// State of the random generator for jitter.
    seed: u64,
}

impl<T: Object> Reflector<T> {
    async fn run(mut self) {
        let mut wait = WAIT_MIN;
        let mut version: Option<String> = None;
        loop {
            let (start, before) = (self.clock.elapsed(), version.clone());
            let result = match &version {
                None => self.list().await.map(|listed| version = Some(listed)),
                Some(from) => self.watch(from.clone(), &mut version).await,
            };
            let lasted = self.clock.elapsed().saturating_sub(start);
            // A server or proxy that cannot watch answers immediately, every time.
            let is_too_short =
                result.is_ok() && before.is_some() && before == version && lasted < SHORT_WATCH;
            let result = if is_too_short { Err(WatchError::TooShort) } else { result };
            let Err(error) = result else {
                wait = WAIT_MIN;
                continue;
            };
            if lasted >= HEALTHY_AFTER {
                wait = WAIT_MIN;
            }
            if let WatchError::Expired(_) = error {
                version = None;
            }
            self.metrics.failures.inc();
            ferula_telemetry::warn!(
                "Listing or watching Kubernetes objects failed",
                discovery = "kubernetes",
                objects = T::PLURAL,
                err = error
            );
            let pause = self.jittered(wait);
            self.clock.sleep(pause).await;
            wait = (wait * 2).min(WAIT_MAX);
        }
    }

    /// A random duration between `wait` and twice `wait`.
    fn jittered(&mut self, wait: Duration) -> Duration {
        // Xorshift: the quality does not matter here.
        self.seed ^= self.seed << 13;
        self.seed ^= self.seed >> 7;
        self.seed ^= self.seed << 17;
        wait.mul_f64(1.0 + (self.seed % 1024) as f64 / 1024.0)
    }

    fn count_request(&self, status: Option<StatusCode>) {
        let code = status.map_or_else(|| "<error>".to_owned(), |status| status.as_str().to_owned());
        self.metrics.requests.with(&[&code]).inc();
    }

    /// Lists the whole collection and replaces the copy; returns the version.
    async fn list(&self) -> Result<String, WatchError> {
        let mut objects = Objects::new();
        let mut next = String::new();
        loop {
            let mut url = format!("{}?limit={PAGE_OBJECTS}{}", self.url, self.selection);
            if !next.is_empty() {
                url.push_str(&format!("&continue={}", query_escape(&next)));
            }
            let (api, request) = self.login.get(&url).await?;
            let answer = api.send(request).await;
            self.count_request(answer.as_ref().ok().map(|answer| answer.status));
            let answer = answer?;
            self.login.look_at_status(answer.status).await;
            if answer.status != StatusCode::OK {
                return Err(refused(answer.status, &answer.status_text, &answer.body));
            }
            let page: Page<T> = answer.json()?;
            for object in page.items {
                objects.insert(object.key(), Arc::new(object));
            }
            if page.metadata.next.is_empty() {
                self.replace(objects);
                return Ok(page.metadata.resource_version);
            }
            next = page.metadata.next;
        }
    }

    fn replace(&self, mut objects: Objects<T>) {
        let mut known = self.state.objects.locked();
        for (key, object) in &mut objects {
            match known.get(key) {
                Some(same) if same.meta().resource_version == object.meta().resource_version => {
                    // An unchanged object keeps its memory address, by which readers recognize it.
                    *object = same.clone();
                }
                Some(_) => self.count_event("update"),
                None => self.count_event("add"),
            }
        }
        for _ in known.keys().filter(|key| !objects.contains_key(*key)) {
            self.count_event("delete");
        }
        *known = objects;
        drop(known);
        *self.state.synced.locked() = true;
        self.notify();
    }

    fn count_event(&self, event: &str) {
        if let Some(role) = T::ROLE {
            self.metrics.events.with(&[role, event]).inc();
        }
    }

    fn notify(&self) {
        for listener in self.state.listeners.locked().iter().filter_map(Weak::upgrade) {
            listener.notify_one();
        }
    }

    /// Follows the changes since `from` and updates `version`, until the server ends the watch.
    async fn watch(&self, from: String, version: &mut Option<String>) -> Result<(), WatchError> {
        let url = format!(
            "{}?watch=true&allowWatchBookmarks=true&resourceVersion={}&timeoutSeconds={}{}",
            self.url,
            query_escape(&from),
            WATCH_TIME.as_secs(),
            self.selection
        );
        let (api, request) = self.login.get(&url).await?;
        let sent = self.unless_silent(api.client().send(request)).await?;
        self.count_request(sent.as_ref().ok().map(Response::status));
        let mut response = sent.map_err(RefreshError::from)?;
        self.login.look_at_status(response.status()).await;
        if response.status() != StatusCode::OK {
            let (status, text) = (response.status(), response.status_text().to_owned());
            let body = self.unless_silent(response.bytes(LINE_BYTES_MAX)).await?;
            return Err(refused(status, &text, &body.unwrap_or_default()));
        }
        let mut rest: Vec<u8> = Vec::new();
        // The part of `rest` without a line end.
        let mut searched = 0;
        loop {
            let chunk = self.unless_silent(response.chunk()).await?.map_err(RefreshError::from)?;
            let Some(chunk) = chunk else {
                // A last event without a line end is incomplete, and will be sent again.
                return Ok(());
            };
            rest.extend_from_slice(&chunk);
            let mut changed = false;
            let mut start = 0;
            while let Some(length) = rest[searched..].iter().position(|byte| *byte == b'\n') {
                let line = &rest[start..searched + length];
                start = searched + length + 1;
                searched = start;
                if !line.trim_ascii().is_empty() {
                    changed |= self.apply(line, version)?;
                }
            }
            rest.drain(..start);
            searched = rest.len();
            if changed {
                self.notify();
            }
            if rest.len() > LINE_BYTES_MAX {
                return Err(WatchError::LongLine);
            }
        }
    }

    async fn unless_silent<F: Future>(&self, heard: F) -> Result<F::Output, WatchError> {
        let patience = WATCH_TIME + WATCH_GRACE;
        tokio::select! {
            heard = heard => Ok(heard),
            () = self.clock.sleep(patience) => Err(WatchError::Silent(patience)),
        }
    }

    /// Applies one event; returns whether it changed an object.
    fn apply(&self, line: &[u8], version: &mut Option<String>) -> Result<bool, WatchError> {
        let kind: EventKind = json::from_slice(line)?;
        let (seen, changed) = match kind.kind.as_str() {
            "ADDED" | "MODIFIED" => {
                let object = json::from_slice::<Event<T>>(line)?.object;
                let seen = object.meta().resource_version.clone();
                let before = self.state.objects.locked().insert(object.key(), Arc::new(object));
                self.count_event(if before.is_some() { "update" } else { "add" });
                (seen, true)
            }
            "DELETED" => {
                let object = json::from_slice::<Event<T>>(line)?.object;
                let gone = self.state.objects.locked().remove(&object.key()).is_some();
                if gone {
                    self.count_event("delete");
                }
                (object.meta().resource_version.clone(), gone)
            }
            "BOOKMARK" => {
                (json::from_slice::<Event<Bookmark>>(line)?.object.metadata.resource_version, false)
            }
            "ERROR" => {
                let status = json::from_slice::<Event<Status>>(line)?.object;
                let text = format!("{} (code {})", status.message, status.code);
                return Err(if status.code == 410 {
                    WatchError::Expired(text)
                } else {
                    WatchError::Refused(text)
                });
            }
            other => return Err(WatchError::UnknownEvent(other.to_owned())),
        };
        if !seen.is_empty() {
            *version = Some(seen);
        }
        Ok(changed)
    }
}

/// The error for an unexpected answer, in the server's own words if there are any.
fn refused(status: StatusCode, status_text: &str, body: &[u8]) -> WatchError {
    let said = json::from_slice::<Status>(body).map(|status| status.message).unwrap_or_default();
    let text = if said.is_empty() { format!("server returned HTTP status {status_text}") } else { said };
    if status == StatusCode::GONE { WatchError::Expired(text) } else { WatchError::Refused(text) }
}
