//! Settings shared by the command and the Alertmanager inside the server.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::time::Duration;

use ferula_alertmanager::EngineSettings;
use ferula_alertmanager::api::Build;
use ferula_alertmanager::engine::OwnSettings;
use ferula_alertmanager::silence::SilenceLimits;
use ferula_config::alertmanager::MatcherSyntax;
use ferula_model::UnixNanos;
use ferula_runtime::SharedClock;

use crate::version;

/// The default of `--data.retention`.
pub const RETENTION: Duration = Duration::from_secs(120 * 3600);

/// Settings without limits and without a startup delay.
pub fn engine_settings(retention: Duration, syntax: MatcherSyntax, clock: &SharedClock) -> EngineSettings {
    let mut seed = RandomState::new().build_hasher();
    seed.write_u8(0);
    EngineSettings {
        silences: SilenceLimits { retention, silences_max: 0, silence_bytes_max: 0, syntax },
        retention,
        alerts_per_name_max: 0,
        log_silences: false,
        start_at: UnixNanos(clock.unix_nanos()),
        seed: seed.finish(),
        own: OwnSettings::default(),
    }
}

/// The build information that the API reports.
pub fn build() -> Build {
    let build = version::build_info();
    Build {
        version: version::ALERTMANAGER_VERSION.to_owned(),
        revision: build.revision,
        branch: build.branch,
        build_user: build.build_user,
        build_date: build.build_date,
        go_version: build.go_version,
    }
}
