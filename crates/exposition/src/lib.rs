//! Scrape pages, read and written: text 0.0.4, OpenMetrics, protobuf.
