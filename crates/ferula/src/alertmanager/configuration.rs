//! The configuration file, read at start and at each reload. Either all of it takes effect or nothing changes.

use std::path::PathBuf;
use std::sync::Arc;

use ferula_alertmanager::receiver::check::check_templates;
use ferula_alertmanager::receiver::{BuildError, build};
use ferula_alertmanager::{Alertmanager, Setup};
use ferula_config::ConfigError;
use ferula_config::alertmanager::{AlertmanagerConfig, LoadOptions};
use ferula_runtime::SharedClock;
use ferula_telemetry::{error, info, warn};

use super::metrics::ConfigMetrics;

/// Why a configuration cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error(transparent)]
    Receivers(#[from] BuildError),
}

/// The location of the configuration, and what its receivers need.
pub struct Configuration {
    pub file: PathBuf,
    pub options: LoadOptions,
    pub external_url: String,
    pub clock: SharedClock,
    pub metrics: ConfigMetrics,
}

impl Configuration {
    /// Reads the file and builds its receivers.
    ///
    /// # Errors
    /// What is wrong with the file; it is also logged and counted.
    pub fn load(&self) -> Result<Setup, LoadError> {
        let file = self.file.display();
        info!("Loading configuration file", component = "configuration", file = file);
        let text = std::fs::read(&self.file).unwrap_or_default();
        let loaded = self.load_file();
        self.metrics.note(&text, loaded.is_ok(), self.clock.now().seconds());
        match &loaded {
            Ok(setup) => {
                for warning in setup.config.warnings() {
                    warn!(warning, component = "configuration", file = file);
                }
                for warning in &setup.warnings {
                    warn!(
                        "A template fails for sample alerts; something else is sent in its place",
                        component = "configuration",
                        err = warning
                    );
                }
                info!("Completed loading of configuration file", component = "configuration", file = file);
            }
            Err(err) => {
                error!(
                    "Loading configuration file failed",
                    component = "configuration",
                    file = file,
                    err = err
                );
            }
        }
        loaded
    }

    fn load_file(&self) -> Result<Setup, LoadError> {
        let config = AlertmanagerConfig::load_with(&self.file, self.options)?;
        let receivers = build(&config, &self.external_url, &self.clock)?;
        // Files that are not templates were refused by `build` already.
        let warnings = check_templates(&config, &self.external_url, &self.clock).unwrap_or_default();
        Ok(Setup::new(Arc::new(config), receivers).with_warnings(warnings))
    }

    /// Applies the file's current content.
    ///
    /// # Errors
    /// See [`Configuration::load`]. The previous configuration then stays in force.
    pub fn reload(&self, alertmanager: &Alertmanager) -> Result<(), LoadError> {
        let setup = self.load()?;
        alertmanager.change(|engine, now| engine.reload(setup, now));
        Ok(())
    }
}
