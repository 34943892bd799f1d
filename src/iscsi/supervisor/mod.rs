//! Looking after sessions: one process that gives those of thinvol's that lose their connection a new one, and answers
//! their targets.

pub mod run;
pub mod secrets;
mod work;
pub mod workers;
