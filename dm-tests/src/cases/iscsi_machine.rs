//! The target and open-iscsi themselves are what the other iSCSI cases rely on.

use anyhow::{Result, ensure};

use crate::case::{Case, Tier};
use crate::ctx::Ctx;
use crate::ctx::lio::INITIATOR;

/// The cases of this file.
pub const CASES: &[Case] = &[Case {
    name: "iscsi_machine::iscsiadm_uses_a_target_of_the_kernel",
    tier: Tier::Full,
    limit_s: 240,
    run: iscsiadm_logs_in,
}];

const PORTAL: &str = "127.0.0.1:3260";
const IQN: &str = "iqn.2025-01.test:a";

fn iscsiadm_logs_in(ctx: &Ctx) -> Result<()> {
    let store = ctx.backstore("a", 16 << 20, 0xa)?;
    let target = ctx.target(IQN, &[PORTAL])?;
    target.add_lun(0, &store)?;
    let _iscsid = ctx.iscsid()?;
    let found = ctx.ok(&format!("iscsiadm -m discovery -t sendtargets -p {PORTAL}"))?;
    ensure!(found.contains(IQN), "{found}");
    ctx.ok(&format!("iscsiadm -m node -T {IQN} -p {PORTAL} --login"))?;
    ensure!(target.sessions()?.iter().any(|name| name.starts_with(INITIATOR)), "{:?}", target.sessions()?);
    ctx.ok("udevadm settle")?;
    let wwids = ctx.sh("cat /sys/bus/scsi/devices/*:0:0:0/wwid")?;
    ensure!(wwids.stdout.contains(&store.wwid), "{} is not {}", wwids.stdout, store.wwid);
    ctx.ok(&format!("iscsiadm -m node -T {IQN} -p {PORTAL} --logout"))?;
    ctx.ok(&format!("iscsiadm -m node -T {IQN} -o delete"))?;
    Ok(())
}
