//! We take the same devices for PVs as lvm2 does, whatever `lvm.conf` says.

use std::collections::BTreeSet;
use std::io::{Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use base::ids::VgName;
use lvm2::host::conf::LvmConf;
use lvm2::host::scan::{ScanSource, Scanner, Survey};

use super::own_lvm::OwnLvm;
use crate::case::{Case, Tier};
use crate::ctx::{Ctx, Disk};

/// The cases of this file.
pub const CASES: &[Case] = &[
    Case { name: "lvm_scan::same_pvs_as_lvm2", tier: Tier::Full, limit_s: 300, run: same_pvs },
    Case { name: "lvm_scan::same_devices_file_as_lvm2", tier: Tier::Full, limit_s: 240, run: devices_file },
    Case { name: "lvm_scan::hints_of_lvm2_are_used", tier: Tier::Full, limit_s: 240, run: hints },
    Case { name: "lvm_scan::duplicates_and_namesakes", tier: Tier::Full, limit_s: 240, run: duplicates },
    Case { name: "lvm_scan::defaults_are_lvm2s", tier: Tier::Full, limit_s: 60, run: defaults },
];

const MIB: u64 = 1 << 20;

/// Settings of `lvm.conf`; `DIR` is where the names are.
const SETTINGS: &[&str] = &[
    "",
    "devices { filter = [ \"a|^DIR/pv1$|\", \"r|.*|\" ] }",
    "devices { filter = [ \"r|pv[1-2]$|\" ] }",
    "devices { filter = [ \"a|by-id/first|\", \"r|.*|\" ] }",
    "devices { filter = [ \"r|by-id/first|\" ] }",
    "devices { filter = [ \"r|/pv1$|\", \"a|by-id/first|\" ] }",
    "devices { global_filter = [ \"r|orphan|\" ] filter = [ \"a|.*|\" ] }",
    "devices { global_filter = [ \"a|pv|\", \"r|.*|\" ] filter = [ \"r|pv2|\" ] }",
    "devices { filter = [ \"r/pv1./\" ] }",
    "devices { filter = [ \"a{(pv|orphan)[^x]}\", \"r(.*)\" ] }",
    "devices { filter = [ \"r,[3-1]$,\" ] }",
    "devices { filter = [ \"r|\\\\.|\" ] }",
    "devices { filter = \"r|.*|\" }",
    "devices { md_component_detection = 0 }",
    "devices { md_component_checks = \"full\" }",
    "devices { md_component_checks = \"start\" }",
    "devices { pv_min_size = 17000 }",
    "devices { scan_lvs = 1 multipath_component_detection = 0 external_device_info_source = \"none\" }",
    "devices { types = [ \"zram\", 1 ] }",
];

fn same_pvs(ctx: &Ctx) -> Result<()> {
    let lvm = OwnLvm::new(ctx, "devices { md_component_detection = 0 }")?;
    let names = ["pv1", "pv2", "orphan", "md12", "md10", "resized", "blank"];
    let mut disks = Vec::new();
    for name in names {
        let size = if name == "orphan" { 20 * MIB } else { 16 * MIB };
        let disk = ctx.disk(size)?;
        lvm.name(&disk, name)?;
        disks.push(disk);
    }
    lvm.name(&disks[0], "by-id/first")?;
    let dir = lvm.names().display().to_string();
    let path = |name: &str| format!("{dir}/{name}");
    lvm.ok(&format!("vgcreate --yes {} {} {}", ctx.vg(), path("pv1"), path("pv2")))?;
    for name in &names[2..6] {
        lvm.ok(&format!("pvcreate --yes {}", path(name)))?;
    }
    let magic = 0xa92b_4efc_u32.to_le_bytes();
    poke(&disks[3], 0, &magic)?;
    poke(&disks[4], 16 * MIB - 8192, &magic)?;
    lvm.ok(&format!("vgcreate --yes {}2 {}", ctx.vg(), path("resized")))?;
    lvm.ok(&format!("pvresize --yes --setphysicalvolumesize 12M {}", path("resized")))?;
    poke(&disks[5], 16 * MIB - 8192, &magic)?;
    for settings in SETTINGS {
        lvm.configure(&settings.replace("DIR", &dir))?;
        compare(&lvm, settings)?;
    }
    Ok(())
}

fn devices_file(ctx: &Ctx) -> Result<()> {
    let lvm = OwnLvm::with_vg(ctx, "", 3)?;
    let dir = lvm.names();
    let entries = |lines: &[String]| -> Result<()> {
        let file = lvm.system_dir().join("devices/system.devices");
        std::fs::create_dir_all(file.parent().context("the file has a folder")?)?;
        Ok(std::fs::write(file, lines.join("\n") + "\n")?)
    };
    let pv_id = |name: &str| -> Result<String> {
        let id = lvm.ok(&format!("pvs --noheadings -o pv_uuid {}", dir.join(name).display()))?;
        Ok(id.trim().replace('-', ""))
    };
    let ids = [pv_id("disk0")?, pv_id("disk1")?, pv_id("disk2")?];
    let by_name = |name: &str, id: &str| {
        let path = dir.join(name).display().to_string();
        format!("IDTYPE=devname IDNAME={path} DEVNAME={path} PVID={id}")
    };
    let backing = std::fs::canonicalize(ctx.dir())?.join("disk1");
    let by_file =
        format!("IDTYPE=loop_file IDNAME={} DEVNAME=/dev/nowhere PVID={}", backing.display(), ids[1]);
    let settings = "devices { use_devicesfile = 1 search_for_devnames = \"none\" filter = \"r|.*|\" }";
    lvm.configure(settings)?;
    for lines in [
        vec![by_name("disk0", &ids[0])],
        vec![by_name("disk0", &ids[0]), by_file],
        vec![by_name("disk2", &ids[2]), "IDTYPE=unheard_of IDNAME=x".to_owned()],
    ] {
        entries(&lines)?;
        compare(&lvm, &lines.join(" / "))?;
    }
    // Two have changed names, and one has another: both look for the PVs. A loop device is known by its file, so that
    // it is not looked at unless all are.
    let lines = [by_name("disk0", &ids[1]), by_name("disk1", &ids[0]), by_name("gone", &ids[2])];
    for (search, found) in [("all", 3), ("auto", 0), ("none", 0)] {
        // What lvm2 leaves when it has found nothing, so as not to look again.
        ctx.ok("rm -f /run/lvm/searched_devnames")?;
        lvm.configure(&settings.replace("\"none\"", &format!("\"{search}\"")))?;
        entries(&lines)?;
        compare(&lvm, &format!("search_for_devnames={search}"))?;
        entries(&lines)?;
        let survey = Scanner::of_this_machine(lvm.conf()?.devices).survey(None)?;
        ensure!(pvs(&survey).len() == found, "{search}: {:?}, {:?}", pvs(&survey), survey.warnings);
    }
    ctx.ok("rm -f /run/lvm/searched_devnames")?;
    Ok(())
}

/// What lvm2 writes to its hints is what we read from them, hash included.
fn hints(ctx: &Ctx) -> Result<()> {
    let lvm = OwnLvm::with_vg(ctx, "", 2)?;
    let blank = ctx.disk(16 * MIB)?;
    lvm.name(&blank, "blank")?;
    let text = std::fs::read_to_string(lvm.system_dir().join("lvm.conf"))?;
    std::fs::write(lvm.system_dir().join("lvm.conf"), text.replace("hints = \"none\"", "hints = \"all\""))?;
    // The first may find hints of another configuration; the second uses, or the first has written, ours.
    lvm.ok(&format!("vgs {}", ctx.vg()))?;
    lvm.ok(&format!("vgs {}", ctx.vg()))?;
    let survey = Scanner::of_this_machine(lvm.conf()?.devices).survey(Some(&VgName::new(ctx.vg())?))?;
    println!("{survey:?}");
    ensure!(survey.vgs.len() == 1 && survey.vgs[0].is_whole(), "the group was not found");
    ensure!(survey.source == ScanSource::Hints, "the hints were not used but {:?}", survey.source);
    ensure!(survey.devices_read == 2, "{} devices were read", survey.devices_read);
    Ok(())
}

fn duplicates(ctx: &Ctx) -> Result<()> {
    let lvm = OwnLvm::with_vg(ctx, "", 1)?;
    let copy = ctx.disk(16 * MIB)?;
    let original = std::fs::read_link(lvm.names().join("disk0"))?;
    std::fs::write(copy.device(), std::fs::read(original)?)?;
    lvm.name(&copy, "copy")?;
    let scanner = Scanner::of_this_machine(lvm.conf()?.devices);
    let vg = scanner.find_vg(&VgName::new(ctx.vg())?)?;
    ensure!(vg.duplicates.len() == 1 && vg.duplicates[0].devices.len() == 2, "{vg:?}");
    let warned = lvm.run("pvs")?;
    ensure!(
        warned.stderr.contains("Not using device") && warned.stderr.contains("copy"),
        "lvm2 sees no duplicates"
    );
    ensure!(lvm.run(&format!("vgchange --addtag x {}", ctx.vg()))?.status != 0, "lvm2 changed it");
    std::fs::remove_file(lvm.names().join("copy"))?;
    ensure!(scanner.find_vg(&VgName::new(ctx.vg())?)?.is_whole());

    let other = ctx.disk(16 * MIB)?;
    let hidden = lvm.names().join("disk0");
    let aside = lvm.system_dir().join("aside");
    std::fs::rename(&hidden, &aside)?;
    let path = lvm.name(&other, "other")?;
    lvm.ok(&format!("vgcreate --yes {} {}", ctx.vg(), path.display()))?;
    std::fs::rename(&aside, &hidden)?;
    let Err(error) = scanner.find_vg(&VgName::new(ctx.vg())?) else {
        anyhow::bail!("one of two groups of the same name was taken")
    };
    let error = error.to_string();
    ensure!(error.contains("several volume groups named") && error.contains("other"), "{error}");
    Ok(())
}

/// The defaults of the installed lvm2 are those we assume.
fn defaults(ctx: &Ctx) -> Result<()> {
    let system_dir = std::env::var_os("LVM_SYSTEM_DIR").unwrap_or_else(|| "/etc/lvm".into());
    let conf = LvmConf::defaults(Path::new(&system_dir))?;
    let ran = ctx.run(&["lvmconfig", "--type", "default"])?;
    let bit = |yes: bool| u8::from(yes).to_string();
    let quoted = |path: &Path| format!("\"{}\"", path.display());
    let (devices, global, backup, active) = (&conf.devices, &conf.global, &conf.backup, &conf.activation);
    let expected = [
        ("use_devicesfile", bit(devices.use_devicesfile.unwrap_or(false))),
        ("devicesfile", format!("\"{}\"", devices.devicesfile_name)),
        ("scan_lvs", bit(devices.scan_lvs)),
        ("multipath_component_detection", bit(devices.multipath_component_detection)),
        ("md_component_detection", bit(devices.md_component_detection)),
        ("fw_raid_component_detection", bit(devices.fw_raid_component_detection)),
        ("external_device_info_source", "\"none\"".to_owned()),
        ("hints", "\"all\"".to_owned()),
        ("md_component_checks", "\"auto\"".to_owned()),
        ("pv_min_size", devices.pv_min_size_kib.to_string()),
        ("locking_dir", quoted(&global.locking_dir)),
        ("wait_for_locks", bit(global.wait_for_locks)),
        ("prioritise_write_locks", bit(global.prioritise_write_locks)),
        ("system_id_source", format!("\"{}\"", global.system_id_source)),
        ("metadata_read_only", bit(global.metadata_read_only)),
        ("thin_check_executable", quoted(global.thin_check_executable.as_deref().context("thin_check")?)),
        ("thin_check_options", format!("[\"{}\"]", global.thin_check_options.join("\",\""))),
        ("backup_dir", quoted(&backup.backup_dir)),
        ("archive_dir", quoted(&backup.archive_dir)),
        ("retain_min", backup.retain_min.to_string()),
        ("retain_days", backup.retain_days.to_string()),
        ("thin_pool_autoextend_threshold", active.thin_pool_autoextend_threshold.to_string()),
        ("udev_sync", bit(active.udev_sync)),
        ("retry_deactivation", bit(active.retry_deactivation)),
    ];
    for (key, value) in expected {
        let line = format!("{key}={value}");
        let is_it = |found: &str| found.trim_start_matches(['#', ' ', '\t']) == line;
        ensure!(ran.stdout.lines().any(is_it), "lvm2 has another default than {line}");
    }
    Ok(())
}

fn poke(disk: &Disk, offset: u64, bytes: &[u8]) -> Result<()> {
    let mut device = std::fs::OpenOptions::new().write(true).open(disk.device())?;
    device.seek(SeekFrom::Start(offset))?;
    device.write_all(bytes)?;
    device.sync_all()?;
    Ok(())
}

/// lvm2 and we name the same PVs, by the same names.
fn compare(lvm: &OwnLvm<'_>, what: &str) -> Result<()> {
    // We look first: lvm2 mends the devices file.
    let survey = Scanner::of_this_machine(lvm.conf()?.devices).survey(None)?;
    let ours = pvs(&survey);
    let theirs: BTreeSet<PathBuf> = lvm
        .ok("pvs --noheadings -o pv_name")?
        .lines()
        .map(str::trim)
        .filter(|line| line.starts_with('/'))
        // Other lines say what was mended in the devices file.
        .map(PathBuf::from)
        .collect();
    ensure!(
        ours == theirs,
        "with {what:?}: lvm2 has {theirs:?}, we have {ours:?} and left alone {:?}",
        survey.skipped
    );
    println!("same PVs with {what:?}: {ours:?}");
    Ok(())
}

fn pvs(survey: &Survey) -> BTreeSet<PathBuf> {
    let in_groups = survey.vgs.iter().flat_map(|vg| &vg.pvs);
    in_groups.chain(&survey.orphans).map(|pv| pv.path.clone()).collect()
}
