//! Tests of thinvol beyond its unit tests: cases that need root and a kernel with device-mapper.

pub mod bench;
pub mod boots;
pub mod case;
pub mod cases;
pub mod ctx;
pub mod fuzz;
pub mod golden;
pub mod iscsi_left;
pub mod json_form;
pub mod killed;
pub mod large;
pub mod leftovers;
pub mod loopdev;
pub mod on_host;
pub mod pack;
pub mod parity;
pub mod power;
pub mod random;
pub mod registry;
pub mod samples;
pub mod scripts;
pub mod systemd;
pub mod unit_calls;
pub mod worker;
pub mod world;
pub mod write_log;

/// The example for those who call the engine, run over the doubles.
#[cfg(doctest)]
#[doc = include_str!("../../docs/engine.md")]
pub struct EngineExample;
