//! Pools that are watched: extended before they are full, while somebody writes and the monitor dies, and left to
//! dmeventd where that watches them.

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use crate::case::{Case, Tier};
use crate::ctx::{Conf, Ctx};

/// The cases of this file.
pub const CASES: &[Case] =
    &[Case { name: "pool_monitor::leaves_pools_to_dmeventd", tier: Tier::Full, limit_s: 240, run: left }];

/// Those that take long.
pub const LONG: &[Case] = &[Case {
    name: "pool_monitor::grows_pools_before_they_are_full",
    tier: Tier::Full,
    limit_s: 400,
    run: monitored,
}];

/// A monitor of pools, which ends with this.
struct Monitor<'a> {
    ctx: &'a Ctx,
    pid: String,
}

impl<'a> Monitor<'a> {
    fn start(ctx: &'a Ctx, options: &str) -> Result<Self> {
        let log = ctx.dir().join("monitor");
        let pid = ctx.shell(&format!(
            "thinvol pool monitor -v {options} > /dev/null 2>> {} & echo $!",
            log.display()
        ))?;
        Ok(Self { ctx, pid: pid.trim().to_owned() })
    }

    fn kill(&self, signal: &str) -> Result<()> {
        let (pid, ended) = (&self.pid, format!("! grep -q '^State:.[^ZX]' /proc/{} 2> /dev/null", self.pid));
        let ended = ended.replace(pid, &format!("{pid}/status"));
        self.ctx.shell(&format!(
            "kill -{signal} {pid}; for i in $(seq 300); do {ended} && break; sleep 0.1; done; {ended}"
        ))?;
        Ok(())
    }

    fn said(ctx: &Ctx) -> Result<String> {
        Ok(std::fs::read_to_string(ctx.dir().join("monitor"))?)
    }
}

/// Somebody writes to a pool as fast as it goes, and the pool is extended before that is an error: data in several
/// steps, metadata, and with the monitor killed and started again meanwhile. What was written is there.
fn monitored(ctx: &Ctx) -> Result<()> {
    let vg = ctx.volume_group(&[1 << 30], 512)?;
    ctx.change(&format!("pool create {vg}/data --size 64M --metadata-size 4M"))?;
    ctx.change(&format!("pool set {vg}/data --extend-at 60 --extend-by 50"))?;
    ctx.change(&format!("alloc {vg}/data 100 vm-100-disk-0 600M"))?;
    let (device, dir) = (ctx.dev(vg, "vm-100-disk-0"), ctx.dir().display().to_string());
    let device = device.display();
    let hook = format!("{dir}/hook");
    std::fs::write(&hook, format!("#!/bin/sh\ncat >> {dir}/told\n"))?;
    ctx.ok(&format!("chmod 755 {hook}"))?;
    ctx.ok("rm -f /run/thinvol/monitor.lock")?;
    // A dmeventd that an earlier case has left running watches new pools.
    let first = Monitor::start(ctx, &format!("--take-over --hook {hook}"))?;
    let running = "grep -q . /run/thinvol/monitor.lock";
    ctx.shell(&format!(
        "for i in $(seq 200); do {running} 2> /dev/null && break; sleep 0.1; done; {running}"
    ))?;
    let second = ctx.thinvol("pool monitor --once")?;
    ensure!(second.status == 4 && second.stderr.contains("pool monitor"), "a second monitor: {second:?}");
    let write = |from: u32, count: u32| {
        let written = ctx.shell(&format!(
            "dd if=/dev/urandom of={dir}/part bs=1M count={count} status=none; \
             dd if={dir}/part of={device} bs=1M seek={from} oflag=direct conv=fsync status=none; \
             cmp -n $(({count} * 1048576)) {dir}/part {device} 0 $(({from} * 1048576))"
        ));
        written.with_context(|| format!("the monitor said: {}", Monitor::said(ctx).unwrap_or_default()))
    };
    write(0, 60)?;
    write(60, 60)?;
    first.kill("KILL")?;
    write(120, 2)?;
    let again = Monitor::start(ctx, &format!("--take-over --hook {hook}"))?;
    write(122, 100)?;
    let size = || -> Result<u64> { Ok(ctx.fact(&format!("{vg}/data"), "lv_size")?.parse()?) };
    ensure!(size()? >= 222 << 20, "the pool has {}", size()?);
    // Each volume takes a block of the metadata, of which there are 1024.
    let line = |n: u32| {
        let volume = format!("\"pool\":\"{vg}/data\",\"name\":\"v{n}\",\"size\":\"4M\",\"activate\":false");
        format!("{{\"request\":\"create\",{volume}}}\n")
    };
    let batch = ctx.dir().join("batch");
    std::fs::write(&batch, (0..520).map(line).collect::<String>())?;
    ctx.ok(&format!("thinvol batch {}", batch.display()))?;
    let larger =
        format!("test $(lvs --noheadings --units b --nosuffix -o lv_metadata_size {vg}/data) -gt 4194304");
    ctx.shell(&format!("for i in $(seq 60); do {larger} && break; sleep 0.5; done; {larger}"))?;
    write(222, 60)?;
    again.kill("TERM")?;
    ctx.oracle(vg)?;
    let said = Monitor::said(ctx)?;
    ensure!(said.contains("data grown from"), "the monitor said {said}");
    let told = std::fs::read_to_string(format!("{dir}/told"))?;
    let events: Vec<Value> = told.lines().map(serde_json::from_str).collect::<Result<_, _>>()?;
    ensure!(events.iter().any(|event| event["event"] == "extended"), "the hook was told {told}");
    // Without a threshold of its own the pool has that of lvm.conf.
    ctx.change(&format!("pool set {vg}/data --extend-at none --extend-by none"))?;
    let at = |percent: u32| format!("activation {{ thin_pool_autoextend_threshold = {percent} }}\n");
    let conf = Conf::new(ctx)?;
    conf.set(&at(100))?;
    let before = ctx.fact(&format!("{vg}/data"), "seg_size_pe,lv_metadata_size")?;
    ensure!(conf.run(ctx, "thinvol pool monitor --once")?.status == 0, "with a threshold of 100");
    ensure!(
        ctx.fact(&format!("{vg}/data"), "seg_size_pe,lv_metadata_size")? == before,
        "it is left as it is"
    );
    ctx.agreed(vg)
}

/// A pool that dmeventd watches is left to it, until it is taken over; one that thinvol makes is dmeventd's.
fn left(ctx: &Ctx) -> Result<()> {
    let vg = ctx.volume_group(&[256 << 20], 512)?;
    ctx.ok(&format!("lvcreate -qq -y -T -L 64M {vg}/theirs"))?;
    ctx.ok(&format!("lvchange --monitor y {vg}/theirs"))?;
    ctx.change(&format!("pool create {vg}/ours --size 64M"))?;
    let watched = |pool: &str| ctx.fact(&format!("{vg}/{pool}"), "seg_monitor");
    ensure!(watched("theirs")? == "monitored" && watched("ours")? == "monitored", "dmeventd watches both");
    ctx.change(&format!("pool set {vg}/ours --extend-at 50 --extend-by 50"))?;
    ctx.change(&format!("alloc {vg}/ours 100 vm-100-disk-0 64M"))?;
    let device = ctx.dev(vg, "vm-100-disk-0");
    ctx.ok(&format!("dd if=/dev/zero of={} bs=1M count=40 oflag=direct status=none", device.display()))?;
    let told = ctx.thinvol("pool monitor --once")?;
    ensure!(told.status == 0 && told.stderr.contains("dmeventd watches the pool"), "{told:?}");
    ensure!(ctx.fact(&format!("{vg}/ours"), "lv_size")? == "67108864", "it was extended all the same");
    let taken = ctx.thinvol("pool monitor --once --take-over -v")?;
    ensure!(taken.status == 0 && taken.stderr.contains("taken over from dmeventd"), "{taken:?}");
    ensure!(ctx.fact(&format!("{vg}/ours"), "lv_size")? == "100663296", "it was not extended: {taken:?}");
    ensure!(watched("ours")? == "not monitored", "dmeventd says {}", watched("ours")?);
    ctx.agreed(vg)
}
