//! Measures thinvol beside the lvm2 commands that Proxmox VE runs for the same work: its storage layer's looks at the
//! volume groups and volumes before each operation, then what the plugin runs. Proxmox VE itself is not there: what its
//! own process costs comes on top. Source: pve-storage `PVE/Storage.pm`, `PVE/Storage/LvmThinPlugin.pm`.

use std::fmt::Write;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use crate::ctx::Ctx;

/// Runs of each work, of which the median counts.
const RUNS: usize = 3;

/// Clones of one template, made at once.
const CLONES: usize = 1000;

/// What it asks of the volume groups.
const VGS: &str = "vgs --separator : --noheadings --units b --unbuffered --nosuffix \
                   --options vg_name,vg_size,vg_free,lv_count";

/// What it asks of the volumes.
const LVS: &str = "lvs --separator : --noheadings --units b --unbuffered --nosuffix \
                   --config 'report/time_format=\"%s\"' --options vg_name,lv_name,lv_size,lv_attr,pool_lv,data_percent,\
                   metadata_percent,snap_percent,uuid,tags,metadata_size,time";

/// One kind of work: the commands of Proxmox VE, and thinvol's arguments. `{n}` is the number of the run, `{VGS}` and
/// `{LVS}` are the looks, `{VG}` is the volume group.
struct Work {
    name: &'static str,
    proxmox: &'static [&'static str],
    thinvol: &'static str,
}

/// In this order each needs what those before have made.
const WORKS: &[Work] = &[
    Work {
        name: "alloc",
        proxmox: &[
            "{VGS}",
            "{LVS}",
            "{VGS}",
            "{LVS} {VG}",
            "lvcreate -aly -V 1048576k --name vm-70{n}-disk-0 --thinpool {VG}/data",
            "lvchange --setautoactivation n {VG}/vm-70{n}-disk-0",
        ],
        thinvol: "alloc bench 80{n} '' 1G",
    },
    Work {
        name: "snapshot",
        proxmox: &["lvcreate -n snap_vm-701-disk-0_s{n} -pr -s {VG}/vm-701-disk-0"],
        thinvol: "snapshot bench:vm-801-disk-0@s{n}",
    },
    Work {
        name: "clone of a snapshot",
        proxmox: &[
            "{VGS}",
            "{LVS}",
            "{LVS} {VG}",
            "lvcreate -n vm-71{n}-disk-0 -prw -kn -s {VG}/snap_vm-701-disk-0_s1",
            "lvchange --setautoactivation n {VG}/vm-71{n}-disk-0",
        ],
        thinvol: "clone bench:vm-801-disk-0@s1 81{n}",
    },
    Work {
        name: "rollback",
        proxmox: &[
            "lvremove -f {VG}/vm-701-disk-0",
            "lvcreate -kn -n vm-701-disk-0 -s {VG}/snap_vm-701-disk-0_s{n}",
            "lvchange --setautoactivation n {VG}/vm-701-disk-0",
        ],
        thinvol: "rollback bench:vm-801-disk-0@s{n}",
    },
    Work {
        name: "free",
        proxmox: &["{VGS}", "{LVS}", "{LVS} {VG}", "lvremove -f {VG}/vm-71{n}-disk-0"],
        thinvol: "free bench:vm-81{n}-disk-0",
    },
    Work { name: "list", proxmox: &["{VGS}", "{LVS}", "{LVS}", "{LVS}"], thinvol: "list bench" },
    Work { name: "status", proxmox: &["{VGS}", "{LVS}"], thinvol: "status" },
];

/// Runs it at each of the sizes, or at 10 volumes.
pub fn run(sizes: &[String]) -> Result<()> {
    let sizes = sizes.iter().map(|size| size.parse()).collect::<Result<Vec<usize>, _>>()?;
    let sizes = if sizes.is_empty() { vec![10] } else { sizes };
    let ctx = Ctx::new(Path::new("/tmp/bench"))?;
    for size in sizes {
        let bench = Bench::new(&ctx, size)?;
        println!("\nIn a volume group with {size} inactive volumes, median of {RUNS}:");
        println!("{:28} {:>12} {:>12} {:>8}   commands", "", "Proxmox VE", "thinvol", "ratio");
        WORKS.iter().try_for_each(|work| bench.compare(work))?;
        if size < CLONES {
            bench.many_clones()?;
        }
        bench.end()?;
    }
    Ok(())
}

/// A volume group of its own.
struct Bench<'a> {
    ctx: &'a Ctx,
    vg: String,
    disk: String,
    config: String,
}

impl<'a> Bench<'a> {
    fn new(ctx: &'a Ctx, size: usize) -> Result<Self> {
        let vg = format!("bench{size}");
        let disk = ctx.disk(4 << 30)?.name();
        ctx.ok(&format!("vgcreate --yes --metadatasize 16m {vg} {disk}"))?;
        ctx.ok(&format!("lvcreate --yes -L 3G -n data {vg}"))?;
        // Each volume takes a block of the pool's metadata.
        ctx.ok(&format!("lvconvert --yes --type thin-pool --poolmetadatasize 64M {vg}/data"))?;
        let config = ctx.dir().join(format!("{vg}.cfg"));
        std::fs::write(
            &config,
            format!("lvmthin: bench\n\tthinpool data\n\tvgname {vg}\n\tcontent images\n"),
        )?;
        let bench = Self { ctx, config: config.display().to_string(), disk, vg };
        let mut fill = String::new();
        for number in 0..size {
            let name = format!("vm-{}-disk-0", 1_000_000 + number);
            writeln!(
                fill,
                r#"{{"request":"create","pool":"bench","name":"{name}","size":"1G","activate":false}}"#
            )?;
        }
        let requests = ctx.dir().join("fill");
        std::fs::write(&requests, fill)?;
        bench.thinvol(&format!("batch {}", requests.display()))?;
        Ok(bench)
    }

    fn compare(&self, work: &Work) -> Result<()> {
        let (mut theirs, mut ours) = (Vec::new(), Vec::new());
        for run in 1..=RUNS {
            let fill = |line: &str| {
                let line = line.replace("{VGS}", VGS).replace("{LVS}", LVS);
                line.replace("{VG}", &self.vg).replace("{n}", &run.to_string())
            };
            let commands: Vec<String> = work.proxmox.iter().map(|line| fill(line)).collect();
            theirs.push(timed(&commands.join(" && "))?);
            ours.push(self.thinvol(&fill(work.thinvol))?);
        }
        let (theirs, ours) = (median(theirs)?, median(ours)?);
        let commands = format!("{} to 1", work.proxmox.len());
        println!(
            "{:28} {:>9} ms {:>9} ms {:>8}   {commands}",
            work.name,
            theirs.as_millis(),
            ours.as_millis(),
            ratio(theirs, ours)
        );
        Ok(())
    }

    /// A thousand clones of one template in one command, beside the time of one clone by Proxmox VE's commands.
    fn many_clones(&self) -> Result<()> {
        self.thinvol("alloc bench 900 '' 1G")?;
        self.thinvol("template bench:vm-900-disk-0")?;
        let vg = &self.vg;
        let one = |run: usize| {
            [
                VGS.to_owned(),
                LVS.to_owned(),
                format!("{LVS} {vg}"),
                format!("lvcreate -n vm-{run}-disk-9 -prw -kn -s {vg}/base-900-disk-0"),
                format!("lvchange --setautoactivation n {vg}/vm-{run}-disk-9"),
            ]
            .join(" && ")
        };
        let theirs = (901..901 + RUNS).map(|run| timed(&one(run))).collect::<Result<Vec<_>>>()?;
        let theirs = median(theirs)?;
        let before = self.seqno()?;
        let last = 10_000 + CLONES - 1;
        let ours = self.thinvol(&format!("clone --inactive bench:base-900-disk-0 10000-{last}"))?;
        let commits = self.seqno()? - before;
        let made = "lvs --noheadings -o lv_name -S origin=base-900-disk-0";
        let made = self.ctx.sh(&format!("{made} {vg} | grep -c vm-1"))?;
        ensure!(made.stdout.trim() == CLONES.to_string(), "{} clones, not {CLONES}", made.stdout.trim());
        println!(
            "{CLONES} clones of one template: {} ms, {commits} commits of metadata; one clone by Proxmox VE's commands \
             takes {} ms, {} times as long as one of these",
            ours.as_millis(),
            theirs.as_millis(),
            ratio(theirs, ours / u32::try_from(CLONES)?)
        );
        self.ctx.lvm(&format!("vgck {vg}"))?;
        Ok(())
    }

    fn seqno(&self) -> Result<u64> {
        let said = self.ctx.lvm(&format!("vgs --noheadings -o seqno {}", self.vg))?;
        said.trim().parse().with_context(|| format!("vgs said {said:?}"))
    }

    fn thinvol(&self, arguments: &str) -> Result<Duration> {
        timed(&format!("exec thinvol --config {} {arguments}", self.config))
    }

    /// Makes lvm2 forget the group: to remove a thousand volumes one by one would take it longer than the bench.
    fn end(&self) -> Result<()> {
        self.ctx.ok("udevadm settle")?;
        self.ctx.ok(&format!("vgchange -an {}", self.vg))?;
        self.ctx.ok(&format!("wipefs -a {}", self.disk))?;
        self.ctx.ok("udevadm settle")?;
        Ok(())
    }
}

fn timed(line: &str) -> Result<Duration> {
    let started = Instant::now();
    let output = Command::new("sh").args(["-c", line]).stdin(Stdio::null()).output()?;
    let took = started.elapsed();
    ensure!(output.status.success(), "`{line}` failed: {}", String::from_utf8_lossy(&output.stderr).trim());
    Ok(took)
}

fn median(mut times: Vec<Duration>) -> Result<Duration> {
    times.sort_unstable();
    times.get(times.len() / 2).copied().context("nothing was measured")
}

/// How many times one time is another, with one decimal.
fn ratio(one: Duration, other: Duration) -> String {
    let tenths = one.as_micros().saturating_mul(10) / other.as_micros().max(1);
    format!("{}.{}", tenths / 10, tenths % 10)
}
