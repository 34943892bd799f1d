//! A test that needs the virtual machine.

pub use vm_harness::protocol::Tier;

use crate::ctx::Ctx;

/// One test that needs the machine.
#[derive(Clone, Copy)]
pub struct Case {
    /// `area::what_is_shown`, unique.
    pub name: &'static str,
    /// The machine it needs.
    pub tier: Tier,
    /// Time limit in seconds, after which it is killed. Emulation is slow and the machine may be shared: be generous.
    pub limit_s: u64,
    /// The test. Devices that it creates and files under [`Ctx::dir`] are always removed afterwards.
    pub run: fn(&Ctx) -> anyhow::Result<()>,
}

/// The error of a case that does not apply; it counts as skipped, and the reason is printed.
#[derive(Debug)]
pub struct Skip(pub String);

impl std::fmt::Display for Skip {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Skip {}
