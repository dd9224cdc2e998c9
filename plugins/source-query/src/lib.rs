//! source-query
