//! Sessions: made, recovered, kept in line with their targets, ended.

pub mod attach;
pub mod await_event;
pub mod bounded;
pub mod build;
pub mod claims;
pub mod destroy;
pub mod diskless;
pub mod env;
pub mod error;
pub mod establish;
pub mod logout;
pub mod lun_set;
pub mod luns;
pub mod parallel;
pub mod recover;
mod report_luns;
pub mod settle;
pub mod spec;
pub mod sweep;
pub mod usage;

#[cfg(test)]
mod tests;
