//! Remote write and read, OTLP in: codecs, queues, retries.
