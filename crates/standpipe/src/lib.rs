//! Bounded, weighed, observable tanks, and the pipelines built from them.
#![forbid(unsafe_code)]
