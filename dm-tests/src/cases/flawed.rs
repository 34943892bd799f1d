//! Texts and metadata areas with unusable parts: the rest is used, as by lvm2, and the advice repairs them.

use std::fs::OpenOptions;
use std::os::unix::fs::FileExt;

use anyhow::{Context, Result, ensure};

use crate::case::{Case, Tier};
use crate::ctx::Ctx;

/// The cases of this file.
pub const CASES: &[Case] = &[
    Case { name: "flawed::metadata_areas", tier: Tier::Full, limit_s: 500, run: metadata_areas },
    Case { name: "flawed::names_and_ids", tier: Tier::Full, limit_s: 400, run: names_and_ids },
];

/// Where the first metadata area of a disk starts.
const AREA: u64 = 4096;

/// Writes to a disk, and has the kernel forget what it holds of it.
fn put(ctx: &Ctx, disk: &str, at: u64, bytes: &[u8]) -> Result<()> {
    OpenOptions::new().write(true).open(disk)?.write_all_at(bytes, at)?;
    ctx.ok(&format!("blockdev --flushbufs {disk}")).map(drop)
}

/// The header of the first metadata area of a disk.
fn header(disk: &str) -> Result<[u8; 512]> {
    let mut header = [0; 512];
    OpenOptions::new().read(true).open(disk)?.read_exact_at(&mut header, AREA)?;
    Ok(header)
}

/// One of two areas is damaged: it is left alone by both programs, and the group is used. The command that thinvol
/// names mends it. With both damaged the group is not there, and that is not passed over in silence.
fn metadata_areas(ctx: &Ctx) -> Result<()> {
    let vg = ctx.volume_group(&[128 << 20, 128 << 20], 512)?;
    ctx.shell(&format!("lvcreate -qq --yes -T {vg}/data -L 64M; lvcreate -qq -V 4M -T {vg}/data -n a"))?;
    let disks = ctx.lvm(&format!("pvs --noheadings -o pv_name -S vg_name={vg}"))?;
    let disks: Vec<&str> = disks.split_whitespace().collect();
    let [first, second] = disks.as_slice() else { anyhow::bail!("{disks:?}") };
    let text_at = |disk: &str| -> Result<u64> {
        let place = header(disk)?.get(40..48).and_then(|bytes| bytes.try_into().ok()).map(u64::from_le_bytes);
        Ok(AREA + place.context("8 bytes")?)
    };
    for (number, (what, at)) in
        [("checksum", AREA + 100), ("version", AREA + 20), ("text", 0), ("magic", AREA + 6)]
            .into_iter()
            .enumerate()
    {
        ctx.ok("udevadm settle")?;
        let at = if at == 0 { text_at(second)? + 20 } else { at };
        put(ctx, second, at, b"X")?;
        let damaged = header(second)?;
        let ran = ctx.thinvol(&format!("alloc {vg}/data 100 vm-100-disk-{number} 4M"))?;
        let told = format!("a metadata area of {second} is left out of use until ");
        ensure!(ran.status == 0 && ran.stderr.matches(&told).count() == 1, "{what}: {ran:?}");
        let made = ctx.run(&["lvcreate", "-V", "4M", "-T", &format!("{vg}/data")])?;
        ensure!(made.status == 0 && made.stderr.contains("WARNING"), "{what}: {made:?}");
        ensure!(header(second)? == damaged, "{what}: somebody wrote to the damaged area");
        let copy = ctx.dir().join("copy").display().to_string();
        let quoted = ran.stderr.split('\'').filter(|part| part.starts_with("vg") || part.starts_with("pvck"));
        let commands: Vec<String> = quoted.map(|command| command.replace("<file>", &copy)).collect();
        ensure!(!commands.is_empty(), "{what}: {}", ran.stderr);
        for command in commands {
            ctx.shell(&command.replace("--repair", "--repair -y"))?;
        }
        let ran = ctx.thinvol(&format!("list {vg}/data"))?;
        ensure!(ran.status == 0 && ran.stderr.is_empty(), "{what}: {ran:?}");
        ctx.oracle(vg)?;
    }
    let mut whole = Vec::new();
    for disk in [first, second] {
        let (at, mut byte) = (text_at(disk)? + 20, [0]);
        OpenOptions::new().read(true).open(disk)?.read_exact_at(&mut byte, at)?;
        put(ctx, disk, at, &[byte[0] ^ 1])?;
        whole.push((disk, at, byte));
    }
    for verb in ["recover", "status", "scan lvm"] {
        let ran = ctx.thinvol(verb)?;
        let told = |disk: &&&str| {
            ran.stderr.contains(&format!("which volume group {disk} belongs to cannot be read"))
        };
        ensure!([first, second].iter().all(told), "{verb}: {ran:?}");
    }
    ensure!(ctx.thinvol(&format!("recover {vg}"))?.status == 3);
    whole.iter().try_for_each(|(disk, at, byte)| put(ctx, disk, *at, byte))?;
    ctx.agreed(vg)
}

/// A volume with a name that no device can have, and two with one device: the rest is used, and what is advised mends
/// them.
fn names_and_ids(ctx: &Ctx) -> Result<()> {
    let vg = ctx.pool()?;
    let long = format!("{}{}y", "x".repeat(30), "-".repeat(60));
    ctx.shell(&format!(
        "lvcreate -qq -V 4M -T {vg}/data -n a; lvcreate -qq -V 4M -T {vg}/data -n b; \
         lvcreate -qq -an -kn -V 4M -T {vg}/data -n {long}; udevadm settle"
    ))?;
    let copy = ctx.dir().join("copy").display().to_string();
    // What the hint says, with a correction in between.
    let correct = |refused: &str, correction: &str| -> Result<()> {
        let ran = ctx.thinvol(&format!("activate {vg}/{refused}"))?;
        ensure!(ran.status == 6, "{ran:?}");
        let quoted =
            ran.stderr.split('\'').filter(|part| part.starts_with("thinvol ") || part.starts_with("vgcfg"));
        let commands: Vec<String> = quoted.map(|command| command.replace("<file>", &copy)).collect();
        let [stop, save, restore] = commands.as_slice() else { anyhow::bail!("{commands:?}: {ran:?}") };
        ctx.shell(&format!("{stop}; {save}; sed -i '{correction}' {copy}; {restore}")).map(drop)
    };
    let ran = ctx.thinvol(&format!("activate {vg}"))?;
    ensure!(ran.status == 0 && ran.stderr.contains("too long"), "{ran:?}");
    correct(&long, &format!("s/^\t\t{long} {{/\t\tshort {{/"))?;
    ctx.change(&format!("activate {vg}/short"))?;
    // Two with one device: b gets that of a.
    let ids = ctx.fact(&format!("{vg}/a {vg}/b"), "thin_id")?;
    let (a, b) = ids.split_once(' ').context("two ids")?;
    ctx.shell(&format!(
        "thinvol deactivate {vg}; vgcfgbackup -qq -f {copy} {vg}; \
         sed -i '/^\t\tb {{/,/^\t\t}}/s/device_id = {b}/device_id = {a}/' {copy}; \
         vgcfgrestore -qq --force -f {copy} {vg}"
    ))?;
    ctx.thinvol_ok(&format!("activate {vg}/short"))?;
    correct("b", &format!("/^\t\tb {{/,/^\t\t}}/s/device_id = {a}/device_id = {b}/"))?;
    ctx.change(&format!("activate {vg}"))?;
    ensure!(ctx.fact(&format!("{vg}/b"), "lv_active")? == "active");
    ctx.agreed(vg)
}
