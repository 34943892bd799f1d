//! Scripts of device-mapper ioctls that run on the model and on the real kernel, and must show the same on
//! both.

pub mod agreement;
pub mod all;
pub mod language;
pub mod linux;
pub mod machine;
pub mod random;
pub mod runner;
