//! A storage of `storage.cfg` from its first section to its last, with pvesm's verbs and words; lvm2 looks on.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, ensure};

use crate::case::{Case, Skip, Tier};
use crate::ctx::{Ctx, Ran, Storages};

/// The cases of this file.
pub const CASES: &[Case] = &[
    Case { name: "storage_cfg::life", tier: Tier::Full, limit_s: 600, run: life },
    Case { name: "storage_cfg::restrictions", tier: Tier::Full, limit_s: 400, run: restrictions },
    Case { name: "storage_cfg::freed_as_by_pvesm", tier: Tier::Full, limit_s: 400, run: freed_as_by_pvesm },
    Case { name: "storage_cfg::added_if_there", tier: Tier::Full, limit_s: 300, run: added_if_there },
    Case { name: "storage_cfg::cluster_lock", tier: Tier::Full, limit_s: 300, run: cluster_lock },
];

/// What stands in the file besides.
const OTHERS: &str = "# by hand\ndir: local\n\tpath /var/lib/vz\n\nfoo: keep\n\tme 1\n";

/// A configuration over a fresh pool.
struct Site<'a> {
    ctx: &'a Ctx,
    vg: &'static str,
    storages: Storages<'a>,
}

impl<'a> Site<'a> {
    /// A pool, and the configuration of it as `local-lvm`.
    fn new(ctx: &'a Ctx) -> Result<Self> {
        let vg = ctx.pool()?;
        let storages = Storages::new(ctx, OTHERS)?;
        let said = storages.run(&format!("add lvmthin local-lvm --vgname {vg} --thinpool data"))?;
        ensure!(said.status == 0 && said.stdout.is_empty() && said.stderr.is_empty(), "{said:?}");
        Ok(Self { ctx, vg, storages })
    }

    /// Runs it by a shell, which knows empty arguments; it must succeed.
    fn shell(&self, arguments: &str) -> Result<Ran> {
        let ran = self.ctx.sh(&format!("thinvol {}", self.storages.line(arguments)))?;
        ensure!(ran.status == 0, "{ran:?}");
        Ok(ran)
    }

    /// It must be refused with that exit code and a message that starts so.
    fn refused(&self, arguments: &str, code: i32, message: &str) -> Result<()> {
        let ran = self.storages.run(arguments)?;
        let expected = format!("error: {message}");
        ensure!(ran.status == code && ran.stderr.contains(&expected), "wanted {code} {expected}: {ran:?}");
        Ok(())
    }

    /// What lvm2 says of a volume.
    fn fact(&self, lv: &str, fields: &str) -> Result<String> {
        self.ctx.fact(&format!("{}/{lv}", self.vg), fields)
    }

    fn agreed(&self) -> Result<()> {
        self.ctx.oracle(self.vg)
    }
}

fn life(ctx: &Ctx) -> Result<()> {
    let site = Site::new(ctx)?;
    let vg = site.vg;
    let section = format!("\nlvmthin: local-lvm\n\tthinpool data\n\tvgname {vg}\n\n");
    ensure!(fs::read_to_string(site.storages.file())? == format!("{OTHERS}{section}"));
    let said = site.shell("alloc local-lvm 100 '' 64M")?.stdout;
    ensure!(said == "successfully created 'local-lvm:vm-100-disk-0'\n", "{said}");
    ensure!(site.fact("vm-100-disk-0", "lv_size,lv_active,pool_lv")? == "67108864 active data");
    site.agreed()?;
    let rounded = site.storages.run("alloc local-lvm 101 vm-101-disk-0 5000")?;
    ensure!(
        rounded.stderr.contains("5000 KiB are rounded up to 2 extents of 4096 KiB: 8192 KiB"),
        "{rounded:?}"
    );
    ensure!(site.fact("vm-101-disk-0", "lv_size")? == "8388608");
    site.agreed()?;
    ctx.ok(&format!("lvcreate -V 4M -T {vg}/data -n scratch"))?;
    fs::write(ctx.dir().join(".vmlist"), r#"{"ids":{"101":{"type":"lxc"},"100":{"type":"qemu"}}}"#)?;
    let list = site.storages.run("list local-lvm")?;
    let expected = "Volid                   Format  Type          Size VMID\n\
                    local-lvm:vm-100-disk-0 raw     images    67108864 100\n\
                    local-lvm:vm-101-disk-0 raw     rootdir    8388608 101\n";
    ensure!(list.stdout == expected && list.stderr.contains("1 volumes with other names"), "{list:?}");
    let root = site.storages.ok("list local-lvm --content rootdir")?;
    ensure!(root.contains("vm-101-disk-0") && !root.contains("vm-100-disk-0"), "{root}");
    ensure!(site.storages.ok("path local-lvm:vm-100-disk-0")? == format!("/dev/{vg}/vm-100-disk-0\n"));
    snapshots_and_clones(&site)?;
    let status = site.storages.run("status")?;
    let row = |name: &str| status.stdout.lines().find(|line| line.starts_with(&format!("{name} ")));
    ensure!(
        row("local-lvm").is_some_and(|row| row.contains("lvmthin     active         1048576")),
        "{status:?}"
    );
    ensure!(
        row("local").is_some_and(|row| row.contains("dir    unknown") && row.ends_with("N/A")),
        "{status:?}"
    );
    ensure!(
        row("keep").is_some_and(|row| row.contains("foo    unknown"))
            && !status.stderr.contains("unsupported"),
        "a type of somebody's plugin: {status:?}"
    );
    for verb in [
        "status",
        "list local-lvm",
        "list local-lvm --tree",
        "info local-lvm",
        "info local-lvm:vm-102-disk-0",
    ] {
        ctx.thinvol_json(&site.storages.line(verb))?;
    }
    ensure!(site.storages.run("remove local-lvm")?.stdout.is_empty());
    ensure!(fs::read_to_string(site.storages.file())? == format!("{OTHERS}\n"));
    site.refused("list local-lvm", 3, "storage 'local-lvm' does not exist")?;
    ensure!(
        site.fact("vm-100-disk-0", "lv_size")? == "67108864",
        "a storage that goes takes its volumes along"
    );
    site.agreed()
}

fn snapshots_and_clones(site: &Site) -> Result<()> {
    let (ctx, vg) = (site.ctx, site.vg);
    let said = site.storages.ok("snapshot local-lvm:vm-100-disk-0@s1 local-lvm:vm-101-disk-0@s1")?;
    ensure!(said.contains(&format!("'local-lvm:vm-100-disk-0@s1' ('{vg}/snap_vm-100-disk-0_s1')")), "{said}");
    site.agreed()?;
    let said = site.storages.ok("clone local-lvm:vm-100-disk-0@s1 102")?;
    ensure!(said == "successfully created 'local-lvm:vm-102-disk-0'\n", "{said}");
    ensure!(site.fact("vm-102-disk-0", "lv_size,lv_active")? == "67108864 active");
    site.agreed()?;
    let tree = site.storages.ok("list local-lvm --tree")?;
    ensure!(
        tree.contains(&format!("  {vg}/snap_vm-100-disk-0_s1"))
            && tree.contains("    local-lvm:vm-102-disk-0"),
        "{tree}"
    );
    site.storages.ok("deactivate local-lvm:vm-102-disk-0")?;
    ensure!(site.fact("vm-102-disk-0", "lv_active")? == "");
    let answer = ctx.thinvol_json(&site.storages.line("activate local-lvm:vm-102-disk-0 local-lvm"))?;
    let asked = answer["transactions"][0]["done"][0]["display_name"].as_str();
    ensure!(asked == Some("local-lvm:vm-102-disk-0"), "{answer}");
    ensure!(site.fact("vm-102-disk-0", "lv_active")? == "active");
    let plan =
        ctx.thinvol_json(&site.storages.line("delete-snapshot --dry-run local-lvm:vm-101-disk-0@s1"))?;
    ensure!(plan["executed"] == false && plan["transactions"][0]["plan"].is_object(), "{plan}");
    site.storages.ok("delete-snapshot local-lvm:vm-101-disk-0@s1")?;
    site.agreed()
}

/// Storages that are off, for other nodes, or of another pool.
fn restrictions(ctx: &Ctx) -> Result<()> {
    let site = Site::new(ctx)?;
    let vg = site.vg;
    site.storages.ok("alloc local-lvm 100 vm-100-disk-0 8M")?;
    site.storages.ok("set local-lvm --disable 1")?;
    site.refused("alloc local-lvm 100 vm-100-disk-1 8M", 1, "storage 'local-lvm' is disabled")?;
    site.refused("free local-lvm:vm-100-disk-0", 1, "storage 'local-lvm' is disabled")?;
    let status = site.storages.ok("status")?;
    ensure!(status.contains("disabled               0               0               0      N/A"), "{status}");
    ensure!(!site.storages.ok("status --enabled")?.contains("local-lvm"));
    ensure!(site.storages.ok("path local-lvm:vm-100-disk-0")?.ends_with("vm-100-disk-0\n"));
    let answer = ctx.thinvol_json(&site.storages.line("set local-lvm --disable 0 --nodes elsewhere"))?;
    let digest = ctx.ok(&format!("sha1sum {}", site.storages.file().display()))?;
    ensure!(answer["digest"].as_str().is_some_and(|is| digest.starts_with(is)), "{answer} {digest}");
    site.refused("alloc local-lvm 100 vm-100-disk-1 8M", 1, "storage 'local-lvm' is not available on node")?;
    let host = ctx.ok("uname -n")?;
    let node = host.trim().split('.').next().context("a host has a name")?;
    site.storages.ok(&format!("set local-lvm --nodes {node},elsewhere"))?;
    site.storages.ok("alloc local-lvm 100 vm-100-disk-1 8M")?;
    // Another pool of the same group: its volumes are not the storage's.
    ctx.ok(&format!("lvcreate -y -L 64M --type thin-pool -n other {vg}"))?;
    ctx.ok(&format!("lvcreate -V 8M -T {vg}/other -n vm-100-disk-9"))?;
    site.refused("free local-lvm:vm-100-disk-9", 3, "volume 'local-lvm:vm-100-disk-9' does not exist")?;
    site.refused("snapshot local-lvm:vm-100-disk-9@s", 3, "volume 'local-lvm:vm-100-disk-9' does not exist")?;
    ensure!(site.fact("vm-100-disk-9", "pool_lv")? == "other");
    site.agreed()
}

/// `pvesm free` takes a volume's snapshots along, and no other volume's, whatever their names look like.
fn freed_as_by_pvesm(ctx: &Ctx) -> Result<()> {
    let site = Site::new(ctx)?;
    let vg = site.vg;
    for name in ["vm-200-d", "vm-200-d_x"] {
        site.storages.ok(&format!("alloc local-lvm 200 {name} 8M"))?;
    }
    // One of ours, one of lvm2's with a name of one letter, and one whose name could be of either volume.
    site.storages.ok("snapshot local-lvm:vm-200-d@daily local-lvm:vm-200-d_x@y")?;
    ctx.ok(&format!("lvcreate -n snap_vm-200-d_b -pr -s {vg}/vm-200-d"))?;
    let plan = site.storages.ok("free --dry-run local-lvm:vm-200-d")?;
    ensure!(plan.contains("snap_vm-200-d_daily") && !plan.contains("snap_vm-200-d_x_y"), "{plan}");
    let said = site.storages.ok("free local-lvm:vm-200-d")?;
    ensure!(said.contains("Removed volume 'local-lvm:vm-200-d'"), "{said}");
    let left = site.ctx.lvm(&format!("lvs --noheadings -o lv_name {vg}"))?;
    let left: Vec<&str> = left.split_whitespace().collect();
    ensure!(left == ["data", "snap_vm-200-d_x_y", "vm-200-d_x"], "{left:?}");
    site.agreed()?;
    let again = site.storages.run("free local-lvm:vm-200-d")?;
    ensure!(again.status == 0 && again.stderr.contains("does not exist"), "{again:?}");
    on_a_terminal(&site)?;
    // Named by its group, a volume goes alone.
    site.storages.ok(&format!("free {vg}/vm-200-d_x"))?;
    ensure!(site.fact("snap_vm-200-d_x_y", "lv_size")? == "8388608");
    site.agreed()?;
    ctx.ok("udevadm settle")?;
    ctx.reactivate(vg)?;
    site.agreed()
}

/// What goes without being named is asked for, and nothing goes before the answer. The options decide for both ways to
/// name a volume, and one command names it in one way.
fn on_a_terminal(site: &Site) -> Result<()> {
    let vg = site.vg;
    site.storages.ok("alloc local-lvm 300 vm-300-a 8M")?;
    site.storages.ok("snapshot local-lvm:vm-300-a@one")?;
    let typed = |answer: &'static str, arguments: &str| {
        site.ctx.thinvol_on_terminal(&site.storages.line(arguments), || Ok(answer))
    };
    let no = typed("n\n", "free local-lvm:vm-300-a")?;
    ensure!(no.status == 1 && no.stderr.contains("local-lvm:vm-300-a@one"), "{no:?}");
    ensure!(no.stderr.contains("it is not confirmed; nothing was changed"), "{no:?}");
    let back = typed("n\n", "rollback local-lvm:vm-300-a@one")?;
    ensure!(back.status == 1 && back.stderr.contains("since its newest snapshot, 'one' of 20"), "{back:?}");
    let both = site.storages.run(&format!("free local-lvm:vm-300-a {vg}/vm-300-a"))?;
    ensure!(both.status == 2 && both.stderr.contains("are one volume"), "{both:?}");
    ensure!(site.fact("snap_vm-300-a_one", "lv_size")? == "8388608");
    let told = site.storages.run("rollback local-lvm:vm-300-a@one")?;
    ensure!(told.status == 0 && told.stderr.contains("is given up"), "{told:?}");
    site.ctx.ok("udevadm settle")?;
    let kept = site.storages.run("free --keep-snapshots local-lvm:vm-300-a")?;
    ensure!(kept.status == 0 && kept.stderr.contains("stays whole: snap_vm-300-a_one"), "{kept:?}");
    site.storages.ok(&format!("free {vg}/snap_vm-300-a_one"))?;
    site.storages.ok("alloc local-lvm 300 vm-300-a 8M")?;
    site.storages.ok("snapshot local-lvm:vm-300-a@one")?;
    let yes = typed("y\n", "free local-lvm:vm-300-a")?;
    ensure!(yes.status == 0 && yes.stdout.contains("Removed its snapshot 'one'"), "{yes:?}");
    site.agreed()
}

fn added_if_there(ctx: &Ctx) -> Result<()> {
    let site = Site::new(ctx)?;
    let (vg, before) = (site.vg, fs::read(site.storages.file())?);
    ctx.ok(&format!("lvcreate -y -Wn -L 8M -n thick {vg}"))?;
    let no = "create storage failed: no such logical volume";
    site.refused("add lvmthin new --vgname nonvg --thinpool data", 3, &format!("{no} nonvg/data"))?;
    site.refused(
        &format!("add lvmthin new --vgname {vg} --thinpool nodata"),
        3,
        &format!("{no} {vg}/nodata"),
    )?;
    let thick = format!("create storage failed: logical volume {vg}/thick is not a thin pool");
    site.refused(&format!("add lvmthin new --vgname {vg} --thinpool thick"), 1, &thick)?;
    let defined = "create storage failed: storage ID 'local-lvm' already defined";
    site.refused(&format!("add lvmthin local-lvm --vgname {vg} --thinpool data"), 1, defined)?;
    let offline = "create storage failed: storage 'san' is not online";
    site.refused("add iscsi san --portal 127.0.0.1:1 --target iqn.2003-01.org.example:t", 1, offline)?;
    ensure!(fs::read(site.storages.file())? == before, "a refused addition was written");
    site.storages.ok("add lvmthin later --vgname nonvg --thinpool data --disable 1")?;
    site.storages.ok("add lvmthin yonder --vgname nonvg --thinpool data --nodes elsewhere")?;
    let status = site.storages.run("status")?;
    ensure!(status.stdout.matches("disabled").count() == 2, "{status:?}");
    site.agreed()
}

/// In the cluster file system the lock is a directory that all nodes see.
fn cluster_lock(ctx: &Ctx) -> Result<()> {
    if ctx.on_host() || Path::new("/etc/pve").exists() {
        return Err(Skip("/etc/pve of this machine is not ours to make".to_owned()).into());
    }
    fs::create_dir_all("/etc/pve/priv")?;
    let outcome = with_cluster(ctx);
    fs::remove_dir_all("/etc/pve")?;
    outcome
}

fn with_cluster(ctx: &Ctx) -> Result<()> {
    let config = Path::new("/etc/pve/storage.cfg");
    fs::write(config, OTHERS)?;
    let vg = ctx.pool()?;
    let add = format!("add lvmthin local-lvm --vgname {vg} --thinpool data");
    fs::create_dir_all("/etc/pve/priv/lock/file-storage_cfg")?;
    let busy = ctx.thinvol(&format!("{add} --lock-timeout 2"))?;
    let expected =
        "'/etc/pve/priv/lock/file-storage_cfg' is locked by another process of this cluster; gave up after 2";
    ensure!(busy.status == 4 && busy.stderr.contains(expected), "{busy:?}");
    ensure!(fs::read_to_string(config)? == OTHERS);
    // However it is spelt: a link, a relative path, another mount of the same file system.
    let dir = ctx.dir().display().to_string();
    ctx.ok(&format!("ln -s /etc/pve/storage.cfg {dir}/link.cfg"))?;
    ctx.ok(&format!("mkdir {dir}/mnt"))?;
    ctx.ok(&format!("mount --bind /etc/pve {dir}/mnt"))?;
    for (at, spelt) in [
        ("/", format!("{dir}/link.cfg")),
        ("/etc", "pve/storage.cfg".into()),
        ("/", format!("{dir}/mnt/storage.cfg")),
    ] {
        let busy = ctx.sh(&format!("cd {at} && thinvol --config {spelt} {add} --lock-timeout 1"))?;
        ensure!(busy.status == 4 && busy.stderr.contains("file-storage_cfg' is locked"), "{spelt}: {busy:?}");
    }
    ctx.ok(&format!("umount {dir}/mnt"))?;
    ensure!(fs::read_to_string(config)? == OTHERS);
    fs::remove_dir("/etc/pve/priv/lock/file-storage_cfg")?;
    ctx.thinvol_ok(&add)?;
    ensure!(fs::read_dir("/etc/pve/priv/lock")?.next().is_none(), "the lock is still held");
    ensure!(fs::read_to_string(config)?.contains("lvmthin: local-lvm"));
    ctx.thinvol_ok("alloc local-lvm 100 vm-100-disk-0 8M")?;
    ensure!(ctx.thinvol_ok("list local-lvm")?.contains("local-lvm:vm-100-disk-0"));
    ctx.oracle(vg)
}
