//! Cases that hang, crash and leak on purpose, to see that the harness copes: each passes if the harness reports of it
//! what [`must`] says.

use std::time::Duration;

use anyhow::{Result, bail};
use vm_harness::protocol::{End, Must};

use crate::case::{Case, Skip, Tier};
use crate::ctx::Ctx;

/// The cases of this file.
pub const CASES: &[Case] = &[
    Case { name: "selftest::fails", tier: Tier::Fast, limit_s: 10, run: |_| bail!("as it should") },
    Case { name: "selftest::panics", tier: Tier::Fast, limit_s: 10, run: |_| panic!("on purpose") },
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

/// How one of these cases must end; `None` for any other name.
pub fn must(name: &str) -> Option<Must> {
    let (end, say, spoils_machine) = match name.strip_prefix("selftest::")? {
        "fails" => (End::Fail, "error: as it should", false),
        "panics" => (End::Fail, "panicked at", false),
        "hangs" => (End::TimeOut, "killed after", false),
        "leaves_a_suspended_device" => (End::Fail, "was left suspended", false),
        "hangs_the_machine" => (End::TimeOut, "the whole machine hung", true),
        "crashes_the_machine" => (End::Fail, "the machine died", true),
        "is_skipped" => (End::Skip, "on purpose", false),
        // One that nobody has thought of must not pass by what it does.
        _ => (End::Fail, "declared in selftest::must", true),
    };
    Some(Must { end, say: say.to_owned(), spoils_machine })
}

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
