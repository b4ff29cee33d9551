//! Our TPM held against another implementation: a TPM client of its own, processes to drive, and what compares them.
//!
//! Nothing here uses the engine's code, but for [`engine`], where it is measured. What a command looks like is written a second time, from the specification,
//! so that a mistake in one of the two shows.

#![forbid(unsafe_code)]

pub mod answer;
pub mod build;
pub mod circumstances;
pub mod client;
pub mod codes;
pub mod compare;
pub mod crypto;
pub mod daemon;
pub mod differences;
pub mod engine;
pub mod generate;
pub mod held;
pub mod keys;
pub mod kills;
mod patch;
pub mod peer;
pub mod processor;
pub mod proxy;
pub mod report;
pub mod restarts;
pub mod run;
pub mod scenarios;
pub mod schema;
pub mod session;
pub mod times;
pub mod verdict;
pub mod walk;
pub mod window;
pub mod wire;
