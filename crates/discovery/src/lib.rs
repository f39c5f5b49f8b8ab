//! Target groups from static lists, files and services.
