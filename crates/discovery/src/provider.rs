//! The interface between discovery mechanisms and the manager: comparable sections, and providers that run
//! them.
//!
//! A mechanism implements [`Provider`] in its own file below `mechanism` and has one line in
//! [`crate::mechanism::table`]. A mechanism that polls at an interval implements [`crate::refresh::Refresh`]
//! instead, and is listed as `Refreshed<…>`.
//!
//! Always true: a provider sends all its groups whenever one of them changes, so the manager never merges; a
//! provider that fails sends nothing, so its last groups stay in force.

use std::any::{Any, TypeId};
use std::collections::HashMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex};

use ferula_config::discovery::DiscoveryConfigs;
use ferula_go::sync::MutexExt;
use ferula_runtime::SharedClock;
use ferula_telemetry::Registry;

use crate::TargetGroup;

/// Groups as they are distributed, shared by all readers.
pub(crate) type Groups = Vec<Arc<TargetGroup>>;

/// Finds the targets of one section of the configuration.
pub(crate) trait Provider: Sized + Send + 'static {
    /// The section from which it is created. Equal sections share a provider.
    type Section: Clone + PartialEq + Send + Sync + 'static;

    /// Prometheus' name of the mechanism, such as `file`, in logs and in the label `mechanism`.
    const MECHANISM: &'static str;

    /// The sections of this mechanism in a job.
    fn sections(configs: &DiscoveryConfigs) -> Vec<Self::Section>;

    /// Registers the metrics of the mechanism, which exist with value 0 even if no section uses it.
    fn register_metrics(_registry: &Registry) {}

    /// # Errors
    /// Why the section cannot run at all, such as an unreadable certificate. Other sections are unaffected.
    fn new(section: Self::Section, context: &Context) -> Result<Self, ProviderError>;

    /// The groups that are known without any request.
    fn first_groups(&self) -> Groups {
        Vec::new()
    }

    /// Finds targets until it is dropped. If it returns, its last groups stay in force.
    fn run(self, output: Output) -> impl Future<Output = ()> + Send;
}

/// The services that every provider receives.
#[derive(Clone)]
pub(crate) struct Context {
    pub clock: SharedClock,
    /// Registering an instrument a second time returns the same one.
    pub registry: Registry,
    /// The first job that uses the section: the label `config` of metrics, as in Prometheus.
    pub job: Arc<str>,
    pub shared: SharedState,
}

impl Context {
    /// The address of a service that no section can change. Tests simulate it elsewhere.
    pub(crate) fn service_url(&self, real: &str) -> String {
        #[cfg(test)]
        if let Some(played) = self.shared.get::<crate::played_services::PlayedServices>().url_of(real) {
            return played;
        }
        real.to_owned()
    }
}

/// State that the providers of one mechanism share, such as connections: one value of each type.
#[derive(Clone, Default)]
pub(crate) struct SharedState(Arc<Mutex<HashMap<TypeId, Arc<dyn Any + Send + Sync>>>>);

impl SharedState {
    pub(crate) fn get<T: Any + Default + Send + Sync>(&self) -> Arc<T> {
        let mut all = self.0.locked();
        let value = all.entry(TypeId::of::<T>()).or_insert_with(|| Arc::new(T::default()));
        value.clone().downcast().expect("the key is the type of the value")
    }
}

/// Why a section cannot run.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ProviderError {
    #[error("{0}")]
    Client(#[from] ferula_http_client::SetupError),
    /// The value is not shown, because it is a secret.
    #[error("net/http: invalid header field value for {0:?}")]
    HeaderValue(&'static str),
    #[error("{0}: {1}")]
    File(String, std::io::Error),
    /// An option that proves invalid only when it is used.
    #[error("{0}")]
    Option(String),
}

/// Receives a provider's groups.
#[derive(Clone)]
pub(crate) struct Output(Arc<dyn Fn(Groups) + Send + Sync>);

impl Output {
    pub(crate) fn new(send: impl Fn(Groups) + Send + Sync + 'static) -> Self {
        Output(Arc::new(send))
    }

    /// Replaces all groups of the provider.
    pub(crate) fn send(&self, groups: Groups) {
        (self.0)(groups);
    }
}

/// A running provider: dropping it stops it.
pub(crate) type Run = Pin<Box<dyn Future<Output = ()> + Send>>;

/// A line of the table: a mechanism without its type.
pub(crate) struct Mechanism {
    #[cfg_attr(not(test), expect(dead_code, reason = "a test compares the table with the configuration"))]
    pub name: &'static str,
    pub register_metrics: fn(&Registry),
    pub sections: fn(&DiscoveryConfigs) -> Vec<Box<dyn AnySection>>,
}

impl Mechanism {
    pub(crate) fn of<P: Provider>() -> Self {
        Mechanism {
            name: P::MECHANISM,
            register_metrics: P::register_metrics,
            sections: |configs| {
                P::sections(configs)
                    .into_iter()
                    .map(|section| Box::new(SectionOf::<P>(section)) as Box<dyn AnySection>)
                    .collect()
            },
        }
    }
}

/// A section without its type, as the manager stores it.
pub(crate) trait AnySection: Send + Sync {
    fn mechanism(&self) -> &'static str;
    fn equals(&self, other: &dyn AnySection) -> bool;
    /// The first groups of a new provider, and the provider itself.
    fn start(&self, context: &Context, output: Output) -> Result<(Groups, Run), ProviderError>;
    fn as_any(&self) -> &dyn Any;
}

struct SectionOf<P: Provider>(P::Section);

impl<P: Provider> AnySection for SectionOf<P> {
    fn mechanism(&self) -> &'static str {
        P::MECHANISM
    }

    fn equals(&self, other: &dyn AnySection) -> bool {
        other.as_any().downcast_ref::<Self>().is_some_and(|other| other.0 == self.0)
    }

    fn start(&self, context: &Context, output: Output) -> Result<(Groups, Run), ProviderError> {
        let provider = P::new(self.0.clone(), context)?;
        Ok((provider.first_groups(), Box::pin(provider.run(output))))
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}
