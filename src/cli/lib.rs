//! The `thinvol` command: arguments in, text or JSON and an exit code out. Only this module prints.

// Doc comments of arguments are help for a terminal, where `<volume>` stands for a volume.
#![allow(rustdoc::invalid_html_tags)]

pub mod args;
mod ask;
mod audit;
mod backends;
pub mod commands;
pub mod configure;
pub mod context;
mod diff;
pub mod errors;
mod filter;
pub mod guests;
mod help;
mod initiator;
mod log;
mod options;
pub mod output;
mod plain;
mod progress;
mod properties;
pub mod resolve;
pub mod run;
mod select;
mod session_output;
mod table;
pub mod transaction;
pub mod transfer;
pub mod version;
mod versioned;
