//! What lvm.conf, the machine and the build of lvm2 say of a host counts for thinvol as for lvm2.

use anyhow::{Context, Result, ensure};

use crate::case::{Case, Tier};
use crate::ctx::{Conf, Ctx};

/// The cases of this file.
pub const CASES: &[Case] = &[
    Case {
        name: "host_settings::removed_volumes_are_remembered",
        tier: Tier::Full,
        limit_s: 240,
        run: history,
    },
    Case {
        name: "host_settings::id_from_the_machine_id",
        tier: Tier::Full,
        limit_s: 180,
        run: app_machine_id,
    },
    Case { name: "host_settings::defaults_of_the_build", tier: Tier::Full, limit_s: 120, run: defaults },
    Case { name: "host_settings::groups_of_one_name", tier: Tier::Full, limit_s: 180, run: namesakes },
];

/// The same removals by lvm2 and by thinvol leave the same records.
fn history(ctx: &Ctx) -> Result<()> {
    let vg = ctx.pool()?;
    let conf = Conf::new(ctx)?;
    conf.set("metadata { record_lvs_history = 1 }\n")?;
    for name in ["x", "y"] {
        ctx.ok(&format!("lvcreate -V 8M -T {vg}/data -n {name}1"))?;
        ctx.ok(&format!("lvcreate -s -kn {vg}/{name}1 -n {name}2"))?;
        ctx.ok(&format!("lvcreate -s -kn {vg}/{name}2 -n {name}3"))?;
    }
    ctx.ok("udevadm settle")?;
    let chain = |name: &str| -> Result<Vec<String>> {
        let fields = "lv_name,lv_full_ancestors,lv_full_descendants,lv_historical";
        let said = ctx.lvm(&format!("lvs -H --noheadings --separator : -o {fields} {vg}"))?;
        let lines = said.lines().map(str::trim).filter(|line| line.trim_start_matches('-').starts_with(name));
        let mut lines: Vec<String> = lines.map(|line| line.replace(name, "")).collect();
        lines.sort();
        Ok(lines)
    };
    // The second while both its neighbours live, then the first, which the second's record names.
    for place in [2, 1] {
        ensure!(conf.run(ctx, &format!("lvremove -qq -y {vg}/x{place}"))?.status == 0);
        let ran = conf.run(ctx, &format!("thinvol free {vg}/y{place} --yes"))?;
        ensure!(ran.status == 0, "{ran:?}");
        ensure!(chain("x")? == chain("y")?, "{:?} and {:?}", chain("x")?, chain("y")?);
        ensure!(chain("y")?.iter().any(|line| line.contains("historical")), "{:?}", chain("y")?);
        ctx.oracle(vg)?;
    }
    ctx.change(&format!("rename {vg}/y3 y4"))?;
    // Without its last descendant a record links nothing.
    let ran = conf.run(ctx, &format!("thinvol free {vg}/y4 --yes"))?;
    ensure!(ran.status == 0 && chain("y")?.is_empty(), "{ran:?} {:?}", chain("y")?);
    ctx.oracle(vg)
}

fn app_machine_id(ctx: &Ctx) -> Result<()> {
    let conf = Conf::new(ctx)?;
    conf.set("global { system_id_source = \"appmachineid\" }\n")?;
    let had = std::fs::read("/etc/machine-id").unwrap_or_default();
    std::fs::write("/etc/machine-id", "0123456789abcdef0123456789abcdef\n")?;
    let done = owned(ctx, &conf);
    std::fs::write("/etc/machine-id", had)?;
    done
}

fn owned(ctx: &Ctx, conf: &Conf) -> Result<()> {
    let disk = ctx.disk(64 << 20)?.name();
    let vg = ctx.vg();
    let made = conf.run(ctx, &format!("vgcreate --yes --setautoactivation n {vg} {disk}"))?;
    ensure!(made.status == 0, "{made:?}");
    let made = conf.run(ctx, &format!("lvcreate -y -qq --type thin-pool -L 16M -n data {vg}"))?;
    ensure!(made.status == 0, "{made:?}");
    let ran = conf.run(ctx, &format!("thinvol alloc {vg}/data 100 vm-100-a 8M"))?;
    ensure!(ran.status == 0, "{ran:?}");
    let other = ctx.thinvol(&format!("alloc {vg}/data 100 vm-100-b 8M"))?;
    ensure!(other.status == 7 && other.stderr.contains("belongs to the host"), "{other:?}");
    ctx.ok("udevadm settle")?;
    let gone = conf.run(ctx, &format!("vgremove -qq -y {vg}"))?;
    ensure!(gone.status == 0, "{gone:?}");
    Ok(())
}

/// lvm2 is asked once for each of its versions.
fn defaults(ctx: &Ctx) -> Result<()> {
    let kept = std::path::Path::new("/run/thinvol/lvm2-defaults");
    let _ = std::fs::remove_file(kept);
    let disk = ctx.disk(64 << 20)?.name();
    let vg = ctx.vg();
    ctx.ok(&format!("vgcreate --yes {vg} {disk}"))?;
    let conf = Conf::new(ctx)?;
    conf.set("")?;
    let devices = ctx.dir().join("lvm/devices");
    std::fs::create_dir_all(&devices)?;
    std::fs::write(devices.join("system.devices"), "VERSION=1.1.1\n")?;
    // A devices file without entries hides all, if it counts.
    let default = ctx.lvm("lvmconfig --typeconfig default devices/use_devicesfile")?;
    let counts = default.contains("use_devicesfile=1");
    let ran = conf.run(ctx, "thinvol scan lvm")?;
    ensure!(ran.status == 0 && ran.stdout.contains(vg) != counts, "{default}: {ran:?}");
    let text = std::fs::read_to_string(kept).context("what lvm2 says is not kept")?;
    ensure!(
        text.contains("devices/use_devicesfile=") && text.contains("global/thin_check_options="),
        "{text}"
    );
    let options = ctx.lvm("lvmconfig --typeconfig default global/thin_check_options")?;
    let options = options.split_once('=').map_or("", |(_, options)| options.trim());
    ensure!(text.contains(options), "{options}: {text}");
    // What is kept is believed.
    let before = std::fs::metadata(kept)?.modified()?;
    std::fs::write(kept, text.replace("use_devicesfile=0", "use_devicesfile=1"))?;
    let hidden = conf.run(ctx, "thinvol scan lvm")?;
    ensure!(hidden.status == 0 && !hidden.stdout.contains(vg), "{hidden:?}");
    ensure!(std::fs::metadata(kept)?.modified()? >= before);
    std::fs::remove_file(kept)?;
    ensure!(ctx.thinvol_ok("scan lvm")?.contains(vg));
    ctx.lvm(&format!("vgremove -qq {vg}"))?;
    Ok(())
}

/// The group of another host does not hide this host's of the same name.
fn namesakes(ctx: &Ctx) -> Result<()> {
    let vg = ctx.pool()?;
    ctx.ok("udevadm settle")?;
    ctx.lvm(&format!("vgchange -an {vg}"))?;
    ctx.ok("udevadm settle")?;
    let foreign = ctx.disk(64 << 20)?.name();
    let hidden = format!(
        "--config 'devices/filter=[\"a|^{foreign}$|\",\"r|.*|\"] local/extra_system_ids=[\"elsewhere\"] \
         global/system_id_source=\"lvmlocal\" local/system_id=\"elsewhere\"'"
    );
    let made = ctx.sh(&format!("vgcreate --yes {hidden} {vg} {foreign}"))?;
    ensure!(made.status == 0, "{made:?}");
    ensure!(ctx.sh(&format!("lvs {vg}"))?.status == 0, "lvm2 does not know which one is meant");
    ctx.thinvol_ok(&format!("alloc {vg}/data 100 vm-100-a 8M"))?;
    ensure!(ctx.thinvol_ok(&format!("list {vg}/data"))?.contains("vm-100-a"));
    let scan = ctx.thinvol("scan lvm")?;
    ensure!(scan.status == 0 && scan.stderr.matches("has the same name").count() == 2, "{scan:?}");
    ensure!(ctx.thinvol("recover")?.status == 0);
    ctx.ok("udevadm settle")?;
    let gone = ctx.sh(&format!("vgremove -y {hidden} {vg}"))?;
    ensure!(gone.status == 0, "{gone:?}");
    ctx.oracle(vg)
}
