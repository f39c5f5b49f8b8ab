//! For tests: services whose addresses no section can change, simulated elsewhere.

use std::collections::BTreeMap;
use std::sync::Mutex;

/// Services that are simulated, by their real addresses.
#[derive(Default)]
pub(crate) struct PlayedServices(Mutex<BTreeMap<String, String>>);

impl PlayedServices {
    pub(crate) fn url_of(&self, real: &str) -> Option<String> {
        self.0.lock().expect("a test").get(real).cloned()
    }

    pub(crate) fn play(&self, real: &str, address: &str) {
        self.0.lock().expect("a test").insert(real.to_owned(), format!("http://{address}"));
    }
}
