//! YAML files to checked, typed sections, with Prometheus' error texts.
