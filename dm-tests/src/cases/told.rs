//! What is told when it is hard to tell: outputs that fail, names that a terminal would obey, files that are none.

use std::fs;
use std::os::unix::fs::FileTypeExt;

use anyhow::{Result, ensure};

use crate::case::{Case, Tier};
use crate::ctx::{Ctx, Ran, Storages};

/// The cases of this file.
pub const CASES: &[Case] = &[
    Case { name: "told::done_but_not_said", tier: Tier::Full, limit_s: 300, run: done_but_not_said },
    Case { name: "told::stopped_by_a_signal", tier: Tier::Full, limit_s: 400, run: stopped_by_a_signal },
    Case { name: "told::names_of_mounts", tier: Tier::Full, limit_s: 300, run: names_of_mounts },
    Case { name: "told::no_file_to_replace", tier: Tier::Full, limit_s: 300, run: no_file_to_replace },
];

/// Those that take long.
pub const LONG: &[Case] = &[Case {
    name: "told::stopped_between_groups",
    tier: Tier::Full,
    limit_s: 600,
    run: stopped_between_groups,
}];

/// A change whose answer cannot be written is not told as "nothing was changed"; one that nobody listens to is made.
fn done_but_not_said(ctx: &Ctx) -> Result<()> {
    let vg = ctx.pool()?;
    let storages = Storages::new(ctx, "")?;
    storages.ok(&format!("add lvmthin st --vgname {vg} --thinpool data"))?;
    let run = |arguments: &str, to: &str| ctx.sh(&format!("thinvol {} {to}", storages.line(arguments)));
    for json in ["", "--json"] {
        let made = run(&format!("alloc {vg}/data 100 vm-100-a 8M {json}"), ">/dev/full")?;
        ensure!(made.status == 5 && made.stderr.contains("it is done, but"), "{made:?}");
        ensure!(ctx.fact(&format!("{vg}/vm-100-a"), "lv_active")? == "active");
        ctx.ok("udevadm settle")?;
        let gone = run(&format!("free {vg}/vm-100-a {json}"), ">/dev/full")?;
        ensure!(gone.status == 5 && gone.stderr.contains("it is done, but"), "{gone:?}");
        ensure!(ctx.fact(vg, "lv_name")? == "data");
    }
    let nodes = |value: &str| format!("set st --nodes {value} --json");
    let set = run(&nodes("elsewhere"), ">/dev/full")?;
    ensure!(set.status == 5 && fs::read_to_string(storages.file())?.contains("elsewhere"), "{set:?}");
    let same = run(&nodes("elsewhere"), ">/dev/full")?;
    ensure!(same.status == 1, "nothing was changed the second time: {same:?}");
    let read = run(&format!("list {vg}/data"), ">/dev/full")?;
    let empty = run(&format!("alloc {vg}/data 100 vm-100-a 8M --dry-run"), ">/dev/full")?;
    ensure!((read.status, empty.status) == (1, 1), "nothing was to be changed: {read:?} {empty:?}");
    // A note and a warning go to standard error: the answer does not depend on it.
    for deaf in ["2>&-", "2>/dev/full"] {
        let made = run(&format!("alloc {vg}/data 100 vm-100-b 5000"), deaf)?;
        ensure!(made.status == 0 && made.stdout.contains("successfully created"), "{deaf}: {made:?}");
        ctx.ok("udevadm settle")?;
        ctx.thinvol_ok(&format!("free {vg}/vm-100-b"))?;
    }
    ctx.agreed(vg)
}

/// A signal stops a batch before its point of no return and all is taken back, or it comes too late and all is made;
/// which of the two is said.
fn stopped_by_a_signal(ctx: &Ctx) -> Result<()> {
    let vg = ctx.pool()?;
    ctx.thinvol_ok(&format!("alloc {vg}/data 100 vm-100-disk-0 8M"))?;
    let trace = ctx.dir().join("trace").display().to_string();
    let clone = |inject: &str| {
        ctx.sh(&format!(
            "strace -qq -o {trace} -e trace=ioctl {inject} thinvol clone {vg}/vm-100-disk-0 1000-1019"
        ))
    };
    let clones = || Ok::<_, anyhow::Error>(ctx.fact(vg, "lv_name")?.matches("vm-10").count() - 1);
    let ran = clone("")?;
    ensure!(ran.status == 0 && clones()? == 20, "{ran:?}");
    let calls = fs::read_to_string(&trace)?;
    let is_message = |(_, line): &(usize, &str)| line.contains("DM_TARGET_MSG");
    let messages: Vec<usize> =
        calls.lines().enumerate().filter(is_message).map(|(number, _)| number + 1).collect();
    let names: Vec<String> = (1000..1020).map(|vmid| format!("{vg}/vm-{vmid}-disk-0")).collect();
    ctx.thinvol_ok(&format!("free {}", names.join(" ")))?;
    for (place, status, there, said) in
        [(messages.len() / 2, 1, 0, "nothing was changed"), (messages.len() - 1, 0, 20, "it is complete")]
    {
        let ran = clone(&format!("-e inject=ioctl:signal=TERM:when={}", messages[place]))?;
        ensure!(ran.status == status && clones()? == there, "{ran:?}");
        ensure!(ran.stderr.contains("SIGTERM") && ran.stderr.contains(said), "{ran:?}");
        let recovered = ctx.thinvol_ok(&format!("recover {vg}"))?;
        ensure!(recovered.contains("nothing to recover"), "{recovered}");
    }
    ctx.agreed(vg)
}

/// Of several groups those before the signal are changed, the one it meets is as it was or complete, and those after it
/// are as they were; all of it is said.
fn stopped_between_groups(ctx: &Ctx) -> Result<()> {
    let vgs = ["pve", "two", "zoo"];
    ctx.pool()?;
    for vg in &vgs[1..] {
        ctx.ok(&format!("vgcreate --yes --setautoactivation n {vg} {}", ctx.disk(256 << 20)?.name()))?;
        ctx.ok(&format!("lvcreate --yes --type thin-pool -L 128M -n data {vg}"))?;
    }
    let (file, trace) = (ctx.dir().join("batch"), ctx.dir().join("trace").display().to_string());
    let line = |vg: &str, name: &str| {
        format!("{{\"request\":\"create\",\"pool\":\"{vg}/data\",\"name\":\"{name}\",\"size\":\"4M\"}}\n")
    };
    let batch = |name: &str, inject: &str| -> Result<Ran> {
        let both = |vg| [format!("{name}-0"), format!("{name}-1")].map(|name| line(vg, &name)).concat();
        fs::write(&file, vgs.map(both).concat())?;
        ctx.sh(&format!(
            "strace -qq -o {trace} -e trace=ioctl {inject} thinvol batch {}; s=$?; udevadm settle; exit $s",
            file.display()
        ))
    };
    let made = |name: &str| -> Result<Vec<usize>> {
        vgs.iter().map(|vg| Ok(ctx.fact(vg, "lv_name")?.matches(name).count())).collect()
    };
    let ran = batch("first", "")?;
    ensure!(ran.status == 0 && made("first")? == [2, 2, 2], "{ran:?}");
    let ran = batch("seen", "")?;
    ensure!(ran.status == 0 && made("seen")? == [2, 2, 2], "{ran:?}");
    let calls = fs::read_to_string(&trace)?;
    let is_message = |(_, line): &(usize, &str)| line.contains("DM_TARGET_MSG");
    let messages: Vec<usize> =
        calls.lines().enumerate().filter(is_message).map(|(number, _)| number + 1).collect();
    let mut in_part = 0;
    // How many calls only ask depends on what else there is: the signal may come a call sooner or later.
    for (run, call) in messages.into_iter().skip(1).step_by(2).enumerate() {
        let name = format!("run{run}");
        let ran = batch(&name, &format!("-e inject=ioctl:signal=TERM:when={call}"))?;
        let there = made(&name)?;
        let whole = there.iter().take_while(|made| **made == 2).count();
        ensure!(there.iter().skip(whole).all(|made| *made == 0), "{there:?}: {ran:?}");
        let said = |what: &str| ran.stderr.contains("SIGTERM") && ran.stderr.contains(what);
        let is_told = match (whole, ran.status) {
            (0, 1) => said("nothing was changed") || said("before anything was begun"),
            // Before a change of any group began.
            (0, 143) => true,
            (1 | 2, 5) => {
                said(&format!("volume group {}: ", vgs[whole])) && said("those before it were changed")
            }
            (3, 0) => said("it is complete"),
            _ => false,
        };
        ensure!(is_told, "{there:?}: {ran:?}");
        in_part += usize::from(ran.status == 5);
        let recovered = ctx.thinvol_ok("recover")?;
        ensure!(recovered.matches("nothing to recover").count() == 3, "{recovered}");
    }
    ensure!(in_part > 0, "no signal came between two groups");
    vgs.iter().try_for_each(|vg| ctx.agreed(vg))
}

/// Whoever may mount something chooses the name that root reads when the volume is in use.
fn names_of_mounts(ctx: &Ctx) -> Result<()> {
    let vg = ctx.pool()?;
    ctx.thinvol_ok(&format!("alloc {vg}/data 100 vm-100-a 16M"))?;
    ctx.ok(&format!("mkfs.ext4 -q {}", ctx.dev(vg, "vm-100-a").display()))?;
    let mount = |name: &str| format!("{}/$(printf '{name}')", ctx.dir().display());
    for name in ["a\\033]0;owned\\007\\nhint: rm -rf /", "b\\377\\302\\233c"] {
        let (at, node) = (mount(name), ctx.dev(vg, "vm-100-a"));
        let on = ctx.sh(&format!("mkdir \"{at}\" && mount {} \"{at}\"", node.display()))?;
        ensure!(on.status == 0, "{on:?}");
        let seen = (
            ctx.sh(&format!("thinvol free {vg}/vm-100-a"))?,
            ctx.sh(&format!("thinvol free --json {vg}/vm-100-a"))?,
            ctx.sh(&format!("thinvol info --json {vg}/vm-100-a"))?,
            ctx.sh(&format!("thinvol info {vg}/vm-100-a"))?,
        );
        let changed = in_json(ctx, vg, &format!("{}/named.cfg", ctx.dir().display()), &at);
        let off = ctx.sh(&format!("umount \"{at}\""))?;
        ensure!(off.status == 0, "{off:?}");
        changed?;
        let (text, json, info, plain) = seen;
        for ran in [&text, &json, &info, &plain] {
            let said = format!("{}{}", ran.stdout, ran.stderr);
            let obeyed = |c: char| c.is_control() && c != '\n';
            ensure!(!said.contains(obeyed), "{ran:?}");
        }
        ensure!(
            text.stderr.contains("mounted on") && json.stderr.contains("mounted on"),
            "{text:?} {json:?}"
        );
        ensure!(text.status == 4 && text.stderr.lines().count() == 2, "{text:?}");
        ensure!((json.status, info.status, plain.status) == (4, 0, 0), "{json:?} {info:?} {plain:?}");
        serde_json::from_str::<serde_json::Value>(&json.stderr)?;
        serde_json::from_str::<serde_json::Value>(&info.stdout)?;
    }
    ctx.agreed(vg)
}

/// What changes something answers in JSON whatever the names that come with it: of a mount, and of the configuration.
fn in_json(ctx: &Ctx, vg: &str, plain: &str, odd: &str) -> Result<()> {
    let run = |arguments: &str| ctx.sh(&format!("thinvol {arguments} --json"));
    let parsed = |text: &str| Ok::<serde_json::Value, anyhow::Error>(serde_json::from_str(text)?);
    let taken = run(&format!("snapshot {vg}/vm-100-a@s"))?;
    ensure!(taken.status == 0 && parsed(&taken.stdout)?["executed"] == true, "{taken:?}");
    let gone = run(&format!("delete-snapshot {vg}/vm-100-a@s"))?;
    ensure!(gone.status == 0 && parsed(&gone.stdout)?["executed"] == true, "{gone:?}");
    for verb in ["deactivate", "free"] {
        let used = run(&format!("{verb} {vg}/vm-100-a"))?;
        ensure!(used.status == 4 && parsed(&used.stderr)?.to_string().contains("mounted on"), "{used:?}");
    }
    for config in [plain, &format!("\"{odd}.cfg\"")] {
        let added = run(&format!("--config {config} add lvmthin st --vgname {vg} --thinpool data"))?;
        ensure!(added.status == 0, "{added:?}");
        parsed(&added.stdout)?;
        let refused = run(&format!("--config {config} add lvmthin st --vgname {vg} --thinpool data"))?;
        ensure!(refused.status == 1, "{refused:?}");
        parsed(&refused.stderr)?;
        let removed = run(&format!("--config {config} remove st"))?;
        ensure!(removed.status == 0, "{removed:?}");
        parsed(&removed.stdout)?;
    }
    Ok(())
}

/// What is no regular file is not replaced by one, and not waited for.
fn no_file_to_replace(ctx: &Ctx) -> Result<()> {
    let vg = ctx.pool()?;
    let dir = ctx.dir().display().to_string();
    ctx.ok(&format!("mkfifo {dir}/fifo"))?;
    let add = format!("add lvmthin st --vgname {vg} --thinpool data");
    for (path, is) in [("/dev/null", "a device"), (&*format!("{dir}/fifo"), "a FIFO"), (&*dir, "a directory")]
    {
        let ran = ctx.sh(&format!("timeout 20 thinvol --config {path} {add}"))?;
        ensure!(ran.status == 1 && ran.stderr.contains(&format!("'{path}' is {is}")), "{ran:?}");
    }
    ensure!(fs::symlink_metadata("/dev/null")?.file_type().is_char_device());
    ensure!(fs::symlink_metadata(format!("{dir}/fifo"))?.file_type().is_fifo());
    // What holds no section is somebody else's file.
    fs::write(format!("{dir}/junk"), "lvmthin st\n\tvgname pve\n")?;
    for verb in ["status", &*add] {
        let ran = ctx.thinvol(&format!("--config {dir}/junk {verb}"))?;
        ensure!(ran.status == 1 && ran.stderr.contains("is not a configuration of storages"), "{ran:?}");
    }
    ctx.ok(&format!("ln -s there/real.cfg {dir}/link.cfg"))?;
    ctx.ok(&format!("mkdir {dir}/there"))?;
    ctx.thinvol_ok(&format!("--config {dir}/link.cfg {add}"))?;
    ensure!(fs::symlink_metadata(format!("{dir}/link.cfg"))?.is_symlink());
    ensure!(fs::read_to_string(format!("{dir}/there/real.cfg"))?.contains("lvmthin: st"));
    ctx.oracle(vg)
}
