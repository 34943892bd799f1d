//! Volumes meant by guest, tag or name; what is shown of them, in the columns asked for; names completed by bash.

use std::ffi::CString;
use std::fs::{self, File};
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;

use anyhow::{Result, ensure};
use sys::xattr;

use crate::case::{Case, Tier};
use crate::ctx::{Ctx, Storages};

/// The cases of this file.
pub const CASES: &[Case] = &[
    Case {
        name: "selection::guests_tags_and_names",
        tier: Tier::Full,
        limit_s: 400,
        run: guests_tags_and_names,
    },
    Case {
        name: "selection::files_and_completion",
        tier: Tier::Full,
        limit_s: 300,
        run: files_and_completion,
    },
];

/// Five volumes, one of them not of guest 100, one with a name of its own.
fn filled(ctx: &Ctx) -> Result<&'static str> {
    let vg = ctx.pool()?;
    ctx.ok(&format!("lvcreate -V 16M -T {vg}/data -n scratch --addtag gold"))?;
    for (vmid, disk, mib) in [(100, 0, 64), (100, 1, 32), (1000, 0, 16)] {
        ctx.change(&format!("alloc {vg}/data {vmid} vm-{vmid}-disk-{disk} {mib}M"))?;
    }
    ctx.lvm(&format!("lvchange --addtag gold {vg}/vm-100-disk-1"))?;
    Ok(vg)
}

fn guests_tags_and_names(ctx: &Ctx) -> Result<()> {
    let vg = filled(ctx)?;
    let storages = Storages::new(ctx, "")?;
    storages.run(&format!("add lvmthin st --vgname {vg} --thinpool data"))?;
    let run = |arguments: &str| storages.run(arguments);
    let lvs = || ctx.fact(vg, "lv_name");

    let quiet = run("snapshot -q --vmid 100 @daily")?;
    ensure!(quiet.status == 0 && quiet.stdout.is_empty() && quiet.stderr.is_empty(), "{quiet:?}");
    let names = lvs()?;
    ensure!(names.matches("_daily").count() == 2 && !names.contains("vm-1000-disk-0_daily"), "{names}");
    ctx.oracle(vg)?;
    let flat =
        run("list st --vmid 100 --snapshots --noheadings -o address,size --units m --sort -size,address")?;
    let expected = "st:vm-100-disk-0        64\nst:vm-100-disk-0@daily  64\n\
                    st:vm-100-disk-1        32\nst:vm-100-disk-1@daily  32\n";
    ensure!(flat.stdout == expected && flat.stderr.is_empty(), "{flat:?}");
    let usual = run("list st --vmid 1000")?.stdout;
    let expected = "Volid             Format  Type          Size VMID\n\
                    st:vm-1000-disk-0 raw     images    16777216 1000\n";
    ensure!(usual == expected, "{usual}");
    let tagged = run(&format!("list {vg}/data --tag gold --noheadings -o volume"))?.stdout;
    ensure!(tagged == format!("{vg}/scratch\n{vg}/vm-100-disk-1\n"), "{tagged}");
    let json = ctx.thinvol_json(&storages.line("list st --name *-disk-0 -o address,vmid"))?;
    ensure!(json["json_version"] == 3 && json["volumes"][1]["vmid"] == 1000, "{json}");
    ensure!(json["volumes"][0].as_object().is_some_and(|row| row.len() == 2), "{json}");
    let status = ctx.thinvol_json(&storages.line("status st"))?;
    ensure!(status["storages"][0]["status"] == "active" && status["storages"][0]["kernel"].is_object());
    let status = run("status st --noheadings -o storage,kernel,total --units b")?.stdout;
    ensure!(status == "st  rw  1073741824\n", "{status}");

    started_and_stopped(ctx, vg, &storages)?;
    let back = run("rollback --vmid 100 @daily")?;
    ensure!(back.status == 0 && back.stdout.lines().count() == 2, "{back:?}");
    let none = run("rollback --vmid 1000 @daily")?;
    ensure!(none.status == 3 && none.stderr.contains("no"), "{none:?}");
    let gone = run("delete-snapshot --storage st --name vm-* @daily")?;
    ensure!(gone.status == 0 && !lvs()?.contains("_daily"), "{gone:?}");
    ctx.oracle(vg)?;

    let none = run("free --vmid 7")?;
    ensure!(none.status == 0 && none.stderr.contains("nothing to remove"), "{none:?}");
    let refused = run("free --tag gold")?;
    ensure!(refused.status == 2 && refused.stderr.contains("--storage"), "{refused:?}");
    let freed = run("free --vmid 100")?;
    ensure!(freed.status == 0 && freed.stdout.lines().count() == 2, "{freed:?}");
    ensure!(lvs()? == "data scratch vm-1000-disk-0", "{}", lvs()?);
    let small = ctx.sh(&format!("thinvol alloc {vg}/data 100 '' 32"))?;
    ensure!(
        small.status == 0 && small.stderr.contains("it means 32 KiB; '32G' would be 32 GiB"),
        "{small:?}"
    );
    let shrunk = ctx.thinvol(&format!("resize {vg}/scratch 8"))?;
    ensure!(shrunk.status == 1, "{shrunk:?}");
    ensure!(
        shrunk.stderr.contains("warning: the size '8'") && shrunk.stderr.contains("--shrink"),
        "{shrunk:?}"
    );
    ctx.oracle(vg)
}

fn started_and_stopped(ctx: &Ctx, vg: &str, storages: &Storages<'_>) -> Result<()> {
    let run = |arguments: &str| storages.run(arguments);
    let down = run("deactivate --vmid 100")?;
    ensure!(down.status == 0 && down.stdout.lines().count() == 2 && down.stderr.is_empty(), "{down:?}");
    let active = || ctx.ok(&format!("lvs --noheadings -o lv_name -S lv_active=active {vg}"));
    ensure!(!active()?.contains("vm-100-disk") && active()?.contains("vm-1000-disk-0"), "{}", active()?);
    let up = run("activate --storage st --name vm-100-*")?;
    ensure!(up.status == 0 && active()?.matches("vm-100-disk").count() == 2, "{up:?}");
    for verb in ["activate", "deactivate"] {
        let none = run(&format!("{verb} --vmid 7"))?;
        ensure!(none.status == 3 && none.stderr.contains("no volume is like that"), "{none:?}");
        let both = run(&format!("{verb} --vmid 100 {vg}"))?;
        ensure!(both.status == 2, "{both:?}");
    }
    let auto = run("activate --auto --vmid 100")?;
    ensure!(auto.status == 2, "{auto:?}");
    ctx.oracle(vg)?;
    ctx.thinvol_ok(&format!("deactivate --storage {vg}/data --name vm-100-*"))?;
    Ok(())
}

fn files_and_completion(ctx: &Ctx) -> Result<()> {
    let vg = filled(ctx)?;
    ctx.change(&format!("snapshot {vg}/vm-100-disk-0@daily"))?;
    let storages = Storages::new(ctx, "")?;
    storages.run(&format!("add lvmthin st --vgname {vg} --thinpool data"))?;

    let name = CString::new("trusted.thinvol")?;
    xattr::set(File::open(storages.file())?.as_fd(), &name, b"kept")?;
    let set = ctx.sh(&format!("umask 0; thinvol {}", storages.line("set st --nodes here,elsewhere")))?;
    ensure!(set.status == 0 && fs::read_to_string(storages.file())?.contains("elsewhere"), "{set:?}");
    let kept = xattr::get(File::open(storages.file())?.as_fd(), &name)?;
    ensure!(kept.as_deref() == Some(b"kept"), "an attribute of the configuration is lost");

    // Whoever calls, and with which umask: what is made is root's alone; a mark of another boot is none.
    ctx.ok("rm -rf /run/thinvol")?;
    ctx.sh(&format!("umask 0; thinvol alloc {vg}/data 200 vm-200-disk-0 4M"))?;
    let mode = fs::metadata("/run/thinvol")?.mode() & 0o777;
    ensure!(mode == 0o700, "/run/thinvol has mode {mode:o}");
    let marks = ctx.sh("cat /run/thinvol/clean-*; cat /proc/sys/kernel/random/boot_id")?.stdout;
    ensure!(marks.len() == 73 && marks[..36] == marks[36..72], "{marks}");
    ctx.sh(&format!(
        "for mark in /run/thinvol/clean-*; do echo other > $mark; done; umask 077; \
         thinvol alloc {vg}/data 200 vm-200-disk-1 4M"
    ))?;
    ctx.ok(&format!("test -x /dev/{vg}"))?;
    ctx.agreed(vg)?;

    let complete = |words: &str| Ok::<_, anyhow::Error>(ctx.thinvol(&format!("complete -- {words}"))?.stdout);
    let volumes = complete(&format!("free {vg}/vm-100-"))?;
    ensure!(volumes == format!("{vg}/vm-100-disk-0\n{vg}/vm-100-disk-1\n"), "{volumes}");
    let snapshots = complete(&format!("rollback {vg}/"))?;
    ensure!(snapshots == format!("{vg}/vm-100-disk-0@daily\n"), "{snapshots}");
    // As bash does it: it takes ':' and '@' for the ends of words.
    // The guest has no systemd, which makes this link.
    ctx.sh("[ -e /dev/fd ] || ln -s /proc/self/fd /dev/fd")?;
    let script = format!(
        "source <(thinvol completions bash); COMP_LINE='thinvol delete-snapshot {vg}/vm-100-disk-0@d' \
         COMP_POINT=999; _thinvol thinvol d delete-snapshot; echo \"${{COMPREPLY[*]}}\""
    );
    let answered = ctx.run(&["bash", "-c", &script])?;
    ensure!(answered.stdout == "daily\n" && answered.stderr.is_empty(), "{answered:?}");
    Ok(())
}
