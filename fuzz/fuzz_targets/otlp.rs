//! OTLP: any body is answered, as protobuf, as JSON, and packed.

use std::time::Duration;

use ferula_config::tracing::OtlpConfig;
use ferula_model::Timestamp;
use ferula_otlp::{Body, Features, Format, Receiver};
use ferula_storage::MemoryContract;
use ferula_telemetry::Registry;
use ferula_testkit::MemStorage;

/// One of each kind of metric, in a resource with attributes.
const SEED: &str = r#"{"resourceMetrics":[{"resource":{"attributes":[{"key":"service.name","value":{"stringValue":"s"}},
{"key":"l","value":{"arrayValue":{"values":[{"intValue":"1"},{"kvlistValue":{"values":[{"key":"a","value":{"doubleValue":0.5}}]}}]}}}]},
"scopeMetrics":[{"scope":{"name":"n","version":"1"},"metrics":[
{"name":"g.x","unit":"By/s","gauge":{"dataPoints":[{"timeUnixNano":"1000000000","asDouble":1.5}]}},
{"name":"s","sum":{"aggregationTemporality":1,"isMonotonic":true,"dataPoints":[{"timeUnixNano":"1000000000","asInt":"2"}]}},
{"name":"h","histogram":{"aggregationTemporality":2,"dataPoints":[{"timeUnixNano":"1000000000","count":"2","sum":1,
"explicitBounds":[1],"bucketCounts":["1","1"],"exemplars":[{"asDouble":0.5,"traceId":"0102","timeUnixNano":"1"}]}]}},
{"name":"e","exponentialHistogram":{"aggregationTemporality":1,"dataPoints":[{"timeUnixNano":"1000000000","count":"2","scale":11,
"positive":{"offset":-3,"bucketCounts":["1","0","0","0","1"]}}]}},
{"name":"q","summary":{"dataPoints":[{"timeUnixNano":"1000000000","count":"1","sum":2,"quantileValues":[{"quantile":0.5,"value":1}]}]}}]}]}]}"#;

fn main() {
    ferula_telemetry::logging::init(
        ferula_telemetry::logging::Level::Error,
        ferula_telemetry::logging::Format::Logfmt,
    );
    let features = Features {
        adds_deltas_up: true,
        type_and_unit_labels: true,
        metadata: true,
        start_timestamps: true,
        ..Features::default()
    };
    let receiver = Receiver::new(&Registry::new(), features);
    let sections = [
        OtlpConfig::default(),
        OtlpConfig {
            translation_strategy: "NoTranslation".into(),
            convert_histograms_to_nhcb: true,
            promote_all_resource_attributes: true,
            promote_scope_metadata: true,
            ..OtlpConfig::default()
        },
    ];
    let memory = MemoryContract::unlimited().lease();
    let protobuf = Format::Json.message(SEED.as_bytes(), "", &memory).expect("the seed is right");
    ferula_fuzz::drive("otlp", &[SEED.as_bytes(), &protobuf], |input| {
        let store = MemStorage::new();
        for section in &sections {
            for (format, encoding) in [(Format::Protobuf, ""), (Format::Json, ""), (Format::Protobuf, "gzip")]
            {
                let memory = MemoryContract::new(64 << 20).lease();
                let body = Body { format, bytes: input, encoding, memory: &memory };
                let now = Timestamp::from_millis(1 << 40);
                let _ = receiver.write(&store, section, body, now, Duration::from_secs(1));
            }
        }
    });
}
