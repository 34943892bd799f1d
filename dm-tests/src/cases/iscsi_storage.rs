//! A storage of type iscsi, from its section to a pool on one of its disks.

use std::fs;

use anyhow::{Result, ensure};

use super::iscsi_sessions::{IQN, PORTAL, class, nothing_left, verified_io};
use crate::case::{Case, Tier};
use crate::ctx::lio::LioTarget;
use crate::ctx::{Ctx, Storages};

/// The cases of this file.
pub const CASES: &[Case] = &[
    Case { name: "iscsi_storage::life", tier: Tier::Full, limit_s: 300, run: life },
    Case { name: "iscsi_storage::a_pool_on_a_lun", tier: Tier::Full, limit_s: 300, run: pool_on_a_lun },
    Case { name: "iscsi_storage::switches", tier: Tier::Full, limit_s: 240, run: switches },
    Case { name: "iscsi_storage::secrets", tier: Tier::Full, limit_s: 240, run: secrets },
];

/// Those that run when they are named.
pub const LONG: &[Case] =
    &[Case { name: "iscsi_storage::a_silent_path", tier: Tier::Full, limit_s: 240, run: silent_path }];

/// The second portal of a target.
const OTHER_PORTAL: &str = "127.0.0.1:3261";

/// A configuration whose storage `san` is the target of the cases.
struct Site<'a> {
    ctx: &'a Ctx,
    storages: Storages<'a>,
}

impl<'a> Site<'a> {
    /// Adds the storage as its user would.
    fn new(ctx: &'a Ctx) -> Result<Self> {
        let storages = Storages::new(ctx, "dir: local\n\tpath /var/lib/vz\n")?;
        storages.ok(&format!("add iscsi san --portal 127.0.0.1 --target {IQN}"))?;
        Ok(Self { ctx, storages })
    }

    fn json(&self, arguments: &str) -> Result<serde_json::Value> {
        self.ctx.thinvol_json(&self.storages.line(arguments))
    }

    /// The device that the path of a volume leads to.
    fn device(&self, volume: &str) -> Result<String> {
        Ok(fs::canonicalize(self.storages.ok(&format!("path {volume}"))?.trim())?.display().to_string())
    }

    /// The row of the storage in `status`, with single blanks, and what is said besides.
    fn row(&self) -> Result<(String, String)> {
        let ran = self.storages.run("status")?;
        let row = ran.stdout.lines().find(|line| line.starts_with("san ")).unwrap_or_default();
        Ok((row.split_whitespace().collect::<Vec<_>>().join(" "), ran.stderr))
    }

    fn refused(&self, arguments: &str, code: i32, words: &[&str]) -> Result<()> {
        let ran = self.storages.run(arguments)?;
        ensure!(ran.status == code, "status {} instead of {code}: {ran:?}", ran.status);
        for word in words {
            ensure!(ran.stderr.contains(word), "{word:?} is not said: {}", ran.stderr);
        }
        Ok(())
    }
}

fn life(ctx: &Ctx) -> Result<()> {
    let (first, second) = (ctx.backstore("a", 64 << 20, 0x71)?, ctx.backstore("b", 16 << 20, 0x72)?);
    let target = ctx.target(IQN, &[PORTAL, OTHER_PORTAL])?;
    target.add_lun(0, &first)?;
    target.add_lun(3, &second)?;
    let site = Site::new(ctx)?;
    ensure!(class("iscsi_session").is_empty(), "adding logs nobody in");
    ensure!(site.row()?.0 == "san iscsi inactive 0 0 0 0.00%", "{:?}", site.row()?);
    site.refused("list san", 1, &["storage 'san' is not active", "thinvol activate san"])?;
    let plan = site.storages.ok("activate san --dry-run")?;
    ensure!(
        plan.contains(PORTAL) && plan.contains(OTHER_PORTAL) && class("iscsi_session").is_empty(),
        "{plan}"
    );

    // It logs in wherever the target says it is, and each disk is one, whatever the number of paths.
    let up = site.json("activate san")?;
    ensure!(up["storages"][0]["luns"] == 2 && class("iscsi_session").len() == 2, "{up}");
    let names: Vec<String> = [&first, &second]
        .iter()
        .zip([0, 3])
        .map(|(store, lun)| format!("san:0.0.{lun}.scsi-3{}", store.wwid.trim_start_matches("naa.")))
        .collect();
    let expected = format!(
        "Volid{:pad$} Format  Type          Size VMID\n{} raw     images    67108864\n{} raw     images    16777216\n",
        "",
        names[0],
        names[1],
        pad = names[0].len() - 5
    );
    ensure!(site.storages.ok("list san")? == expected, "not {expected:?}");
    let status = site.json("status san")?;
    ensure!(
        status["storages"][0]["total"] == 80 << 20 && status["storages"][0]["active"] == true,
        "{status}"
    );
    ensure!(site.row()?.0 == "san iscsi active 81920 0 0 0.00%", "{:?}", site.row()?);
    verified_io(ctx, &site.device(&names[1])?)?;
    refusals(&site, &names[1])?;
    paths(&site, &target, &names[0])
}

/// One path goes and comes back, and a disk in use keeps all of them.
fn paths(site: &Site<'_>, target: &LioTarget, volume: &str) -> Result<()> {
    let ctx = site.ctx;
    ctx.thinvol_ok(&format!("iscsi logout --target {IQN} --portal {OTHER_PORTAL}"))?;
    let (shown, said) = site.row()?;
    ensure!(
        shown.contains(" active ") && said.contains("path 127.0.0.1:3261 has no session"),
        "{shown}: {said}"
    );
    target.add_lun(5, &ctx.backstore("c", 16 << 20, 0x73)?)?;
    let said = site.storages.ok("iscsi rescan san")?;
    ensure!(said.contains("LUN 5 is new"), "{said}");
    let said = site.storages.ok(&format!("activate {volume}"))?;
    ensure!(said.contains("2 of 2 paths up, 3 LUNs"), "{said}");
    site.refused("activate san:0.0.9.scsi-36", 5, &["volume 'san:0.0.9.scsi-36' not part of target"])?;

    // A disk in use keeps both paths.
    let used = fs::File::open(site.device(volume)?)?;
    site.refused("deactivate san", 4, &[&format!("process {}", std::process::id())])?;
    ensure!(class("iscsi_session").len() == 2);
    drop(used);
    ensure!(site.storages.ok("deactivate san")? == "deactivated 'san'\n");
    nothing_left()?;
    let said = site.storages.run("deactivate san")?;
    ensure!(said.status == 0 && said.stderr.contains("there is no session"), "{said:?}");
    target.enable(false)?;
    site.refused("activate san", 4, &["storage 'san' is not online"])?;
    nothing_left()
}

/// What cannot be done with LUNs, in Proxmox VE's words.
fn refusals(site: &Site<'_>, volume: &str) -> Result<()> {
    for (arguments, words) in [
        ("alloc san 100 vm-100-disk-0 1G".to_owned(), "can't allocate space in iscsi storage"),
        (format!("free {volume}"), "can't free space in iscsi storage"),
        (format!("clone {volume} 100"), "can't clone images in iscsi storage"),
        (format!("template {volume}"), "can't create base images in iscsi storage"),
        (format!("resize {volume} +1G"), "volume resize is not possible on iscsi device"),
        (format!("snapshot {volume}@s"), "snapshot is not possible on iscsi storage"),
        (format!("delete-snapshot {volume}@s"), "snapshot is not possible on iscsi storage"),
    ] {
        site.refused(&arguments, 7, &[words])?;
    }
    Ok(())
}

/// The disk is the base of a volume group, and a pool in that is a storage of type lvmthin.
fn pool_on_a_lun(ctx: &Ctx) -> Result<()> {
    let target = ctx.target(IQN, &[PORTAL])?;
    let store = ctx.backstore("a", 256 << 20, 0x74)?;
    target.add_lun(1, &store)?;
    let site = Site::new(ctx)?;
    site.storages.ok("activate san")?;
    let disk = format!("/dev/disk/by-id/scsi-3{}", store.wwid.trim_start_matches("naa."));
    ctx.ok(&format!("vgcreate --yes --setautoactivation n san-vg {disk}"))?;
    ctx.ok("lvcreate --yes -L 128M -T san-vg/data")?;
    ensure!(site.storages.ok("scan lvm")?.contains("san-vg"), "the volume group on the LUN is not found");
    site.storages.ok("add lvmthin thin --vgname san-vg --thinpool data")?;
    ctx.sh(&format!("thinvol {}", site.storages.line("alloc thin 100 '' 32M")))?;
    ctx.oracle("san-vg")?;
    verified_io(ctx, "/dev/san-vg/vm-100-disk-0")?;
    site.storages.ok("snapshot thin:vm-100-disk-0@s")?;
    ctx.oracle("san-vg")?;
    let sum = ctx.ok("sha256sum /dev/san-vg/vm-100-disk-0")?;

    // The session stays while the pool is there, and pool and data come back with it.
    site.refused("deactivate san", 4, &["in use by", "san--vg-data"])?;
    site.refused("deactivate san san-vg", 2, &["apart from volume groups"])?;
    site.storages.ok("deactivate san-vg")?;
    site.storages.ok("deactivate san")?;
    nothing_left()?;
    ensure!(!site.storages.ok("scan lvm")?.contains("san-vg"), "the volume group is still found");
    site.storages.ok("activate san")?;
    site.storages.ok("activate thin:vm-100-disk-0")?;
    ensure!(ctx.ok("sha256sum /dev/san-vg/vm-100-disk-0")? == sum, "the data are others");
    ctx.oracle("san-vg")?;
    site.storages.ok("deactivate san-vg")?;
    site.storages.ok("deactivate san")?;
    nothing_left()
}

/// What `content`, `nodes` and `disable` of a section keep from being done.
fn switches(ctx: &Ctx) -> Result<()> {
    let target = ctx.target(IQN, &[PORTAL])?;
    let store = ctx.backstore("a", 16 << 20, 0x76)?;
    target.add_lun(0, &store)?;
    let site = Site::new(ctx)?;
    let lun = format!("san:0.0.0.scsi-3{}", store.wwid.trim_start_matches("naa."));
    site.storages.ok("set san --nodes elsewhere")?;
    site.refused("activate san", 1, &["storage 'san' is not available on node"])?;
    site.storages.ok("set san --delete nodes --disable 1")?;
    site.refused("activate san", 1, &["storage 'san' is disabled"])?;
    ensure!(site.row()?.0 == "san iscsi disabled 0 0 0 N/A", "{:?}", site.row()?);
    nothing_left()?;

    // A target whose LUNs are for volume groups: its LUNs are no disks of guests, but they are there.
    site.storages.ok("set san --disable 0 --content none")?;
    site.storages.ok("activate san")?;
    let listed = site.storages.run("list san")?;
    ensure!(listed.status == 0 && listed.stdout.lines().count() == 1, "{listed:?}");
    ensure!(listed.stderr.contains("1 LUNs are left out"), "{listed:?}");
    ensure!(site.row()?.0.starts_with("san iscsi active 16384 "), "{:?}", site.row()?);
    verified_io(ctx, &site.device(&lun)?)?;
    ensure!(!site.storages.ok("status --content images")?.contains("san"));
    site.storages.ok("set san --content images")?;
    ensure!(site.storages.ok("list san")?.contains(&lun));

    // What is switched off while it is active can still be deactivated, and nothing else can be done with it.
    site.storages.ok("set san --disable 1")?;
    site.refused("list san", 1, &["storage 'san' is disabled"])?;
    site.refused("iscsi rescan san", 1, &["storage 'san' is disabled"])?;
    ensure!(class("iscsi_session").len() == 1);
    site.storages.ok("deactivate san")?;
    nothing_left()
}

/// A target that demands CHAP is used with the secrets beside the configuration, which only root may read.
fn secrets(ctx: &Ctx) -> Result<()> {
    let target = ctx.target(IQN, &[PORTAL])?;
    target.add_lun(0, &ctx.backstore("a", 16 << 20, 0x75)?)?;
    target.demand_chap(("user1", "secretsecret1"), None)?;
    let site = Site::new(ctx)?;
    site.refused("activate san", 1, &["CHAP"])?;
    nothing_left()?;
    let folder = ctx.dir().join("priv/storage");
    fs::create_dir_all(&folder)?;
    let file = folder.join("san.chap");
    // The target asks for no CHAP at discovery, and the file need not say so.
    fs::write(&file, "user = user1\nsecret = secretsecret1\n")?;
    ctx.ok(&format!("chmod 644 {}", file.display()))?;
    site.refused("activate san", 1, &["is open to others", "chmod 600"])?;
    ctx.ok(&format!("chmod 600 {}", file.display()))?;
    let said = site.storages.run("activate san")?;
    ensure!(said.status == 0 && !said.stderr.contains("does not list"), "{said:?}");
    let scan = format!("thinvol scan iscsi {PORTAL} --chap-file {}", file.display());
    let listed = ctx.sh(&scan)?;
    ensure!(listed.status == 0 && listed.stdout.contains(IQN), "{listed:?}");
    // The secret is nowhere where others could see it.
    let shown = ctx
        .sh("cat /run/thinvol/iscsi/*.json /proc/[0-9]*/cmdline; cat /sys/class/iscsi_session/*/password")?;
    ensure!(!shown.stdout.contains("secretsecret1"), "a secret is shown");
    site.storages.ok("deactivate san")?;
    nothing_left()?;
    fs::write(&file, "user = user1\nsecret = secretsecret2\n[discovery]\n")?;
    site.refused("activate san", 1, &["02/01"])?;
    nothing_left()
}

/// An address that is there while the target takes it, and where nothing answers afterwards.
struct Silent<'a>(&'a Ctx);

impl Silent<'_> {
    const PORTAL: &'static str = "192.0.2.1:3260";

    fn be_silent(&self) -> Result<()> {
        for line in [
            "modprobe dummy",
            "ip address del 192.0.2.1/32 dev lo",
            "ip link add silent type dummy",
            "ip address add 192.0.2.2/24 dev silent",
            "ip link set silent up",
        ] {
            self.0.ok(line)?;
        }
        Ok(())
    }
}

impl Drop for Silent<'_> {
    fn drop(&mut self) {
        let _ = self.0.sh("ip link del silent; ip address del 192.0.2.1/32 dev lo");
    }
}

/// A path whose portal says nothing takes a few seconds, and not all the time there is.
fn silent_path(ctx: &Ctx) -> Result<()> {
    let silent = Silent(ctx);
    ctx.ok("ip address add 192.0.2.1/32 dev lo")?;
    let target = ctx.target(IQN, &[PORTAL, Silent::PORTAL])?;
    let store = ctx.backstore("a", 16 << 20, 0x77)?;
    target.add_lun(0, &store)?;
    silent.be_silent()?;
    let site = Site::new(ctx)?;
    for _ in 0..2 {
        let line = site.storages.line("activate san --lock-timeout 3600");
        let ran = ctx.sh(&format!("timeout 120 thinvol {line}"))?;
        ensure!(ran.status == 0 && ran.stdout.contains("1 of 2 paths up, 1 LUN"), "{ran:?}");
        let warned = format!("no path by {}", Silent::PORTAL);
        ensure!(ran.stderr.contains(&warned) && ran.stderr.contains("the time limit of"), "{ran:?}");
    }
    let lun = format!("san:0.0.0.scsi-3{}", store.wwid.trim_start_matches("naa."));
    verified_io(ctx, &site.device(&lun)?)?;
    site.storages.ok("deactivate san")?;
    nothing_left()
}
