//! Remote write: any body is answered, compressed or not.

use ferula_model::Timestamp;
use ferula_remote::write::headers::Encoding;
use ferula_remote::write::{Features, Receiver};
use ferula_storage::MemoryContract;
use ferula_telemetry::Registry;
use ferula_testkit::MemStorage;

fn main() {
    ferula_telemetry::logging::init(
        ferula_telemetry::logging::Level::Error,
        ferula_telemetry::logging::Format::Logfmt,
    );
    // One series `{__name__="x"}` with one sample, as protobuf.
    let seed: &[u8] =
        b"\x0a\x1f\x0a\x0d\x0a\x08__name__\x12\x01x\x12\x0e\x09\0\0\0\0\0\0\xf0\x3f\x10\x80\x80\x80\x80\x01";
    // The same in version 2 of the message.
    let newer: &[u8] = b"\x22\x00\x22\x08__name__\x22\x01v\x2a\x15\x0a\x02\x01\x02\x12\x0f\x09\0\0\0\0\0\0\xf0\x3f\x10\x98\xf8\xea\xdc\x03";
    let receiver = Receiver::new(
        &Registry::new(),
        Features {
            type_and_unit_labels: true,
            start_timestamps: true,
            metadata: true,
            ..Features::default()
        },
    );
    ferula_fuzz::drive("remote_write", &[seed, newer, b"\x22\x04\x09\0\0\0"], |input| {
        let now = Timestamp::from_millis(1 << 40);
        let store = MemStorage::new();
        for encoding in [Encoding::Snappy, Encoding::Zstd] {
            let memory = MemoryContract::unlimited().lease();
            let _ = encoding.unpack(input, &memory).map(|message| receiver.write(&store, &message, now));
        }
        let _ = receiver.write(&store, input, now);
        let _ = receiver.write_v2(&store, input, now);
    });
}
