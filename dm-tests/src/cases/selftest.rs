//! Cases that hang, crash and leak on purpose, to see that the harness copes. They run only when named:
//! `./vm-harness/run test selftest`, and all but the last must be reported as failed.

use std::time::Duration;

use anyhow::{Result, bail};

use crate::case::{Case, Skip, Tier};
use crate::ctx::Ctx;

/// The cases of this file.
pub const CASES: &[Case] = &[
    Case { name: "selftest::fails", tier: Tier::Fast, limit_s: 10, run: |_| bail!("as it should") },
    Case { name: "selftest::hangs", tier: Tier::Fast, limit_s: 5, run: hangs },
    Case {
        name: "selftest::leaves_a_suspended_device",
        tier: Tier::Full,
        limit_s: 60,
        run: leaves_suspended,
    },
    Case { name: "selftest::hangs_the_machine", tier: Tier::Fast, limit_s: 5, run: hangs_the_machine },
    Case { name: "selftest::crashes_the_machine", tier: Tier::Fast, limit_s: 30, run: crashes_the_machine },
    Case {
        name: "selftest::is_skipped",
        tier: Tier::Fast,
        limit_s: 5,
        run: |_| Err(Skip("on purpose".into()).into()),
    },
];

fn hangs(_: &Ctx) -> Result<()> {
    loop {
        std::thread::sleep(Duration::from_secs(3600));
    }
}

fn leaves_suspended(ctx: &Ctx) -> Result<()> {
    let vg = ctx.volume_group(&[64 << 20], 512)?;
    ctx.lvm(&format!("lvcreate --yes -L 8M -n thick {vg}"))?;
    ctx.ok(&format!("dmsetup suspend {vg}-thick"))?;
    Ok(())
}

fn hangs_the_machine(_: &Ctx) -> Result<()> {
    let agent = nix::unistd::getppid();
    nix::sys::signal::kill(agent, nix::sys::signal::Signal::SIGSTOP)?;
    Ok(())
}

fn crashes_the_machine(ctx: &Ctx) -> Result<()> {
    if ctx.on_host() {
        return Err(Skip("it would crash the host".into()).into());
    }
    std::fs::write("/proc/sysrq-trigger", "c")?;
    Ok(())
}
