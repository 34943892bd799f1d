//! Volumes go out as streams and come in, as Proxmox VE's own plugin moves them: by `blockdev` and `dd`.

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::case::{Case, Tier};
use crate::ctx::{Ctx, Storages};

/// The cases of this file.
pub const CASES: &[Case] = &[
    Case {
        name: "transfer::as_proxmox_ve_moves_them",
        tier: Tier::Full,
        limit_s: 300,
        run: as_proxmox_ve_moves_them,
    },
    Case { name: "transfer::broken_off", tier: Tier::Full, limit_s: 300, run: broken_off },
];

/// Those that take longer.
pub const LONG: &[Case] = &[
    Case {
        name: "transfer::snapshots_and_templates",
        tier: Tier::Full,
        limit_s: 300,
        run: snapshots_and_templates,
    },
    Case { name: "transfer::into_a_full_pool", tier: Tier::Full, limit_s: 300, run: into_a_full_pool },
    Case {
        name: "transfer::chunks_that_are_not_zeroed",
        tier: Tier::Full,
        limit_s: 300,
        run: chunks_that_are_not_zeroed,
    },
];

/// The size of the volumes.
const SIZE: u64 = 96 << 20;

/// The size of a chunk of the pool.
const CHUNK: u64 = 64 << 10;

fn number(document: &Value, key: &str) -> Result<u64> {
    document[key].as_u64().with_context(|| format!("no number '{key}' in {document}"))
}

/// A volume with something in 3 MiB and 4 chunks of it, a part of which only the page cache holds.
fn filled(ctx: &Ctx, vg: &str, name: &str) -> Result<String> {
    ctx.thinvol_ok(&format!("alloc {vg}/data 100 {name} {SIZE}b"))?;
    let device = ctx.dev(vg, name).display().to_string();
    let write = |at: u64, count: u64| {
        let args = "iflag=count_bytes oflag=seek_bytes conv=notrunc status=none bs=1M";
        ctx.shell(&format!("dd if=/dev/urandom of={device} {args} seek={at} count={count}"))
    };
    write(0, 2 << 20)?;
    write(40 << 20, CHUNK)?;
    write((41 << 20) + 5000, 1000)?;
    write((60 << 20) + CHUNK - 500, 1 << 20)?;
    write(SIZE - 4096, 4096)?;
    Ok(device)
}

/// Bytes that [`filled`] maps.
const FILLED: u64 = (3 << 20) + 4 * CHUNK;

/// The stream of a device as Proxmox VE makes it.
fn stock(device: &str) -> String {
    format!("perl -e 'print pack(\"Q<\", {SIZE})'; dd if={device} bs=64k status=none")
}

/// What thinvol sends, the stock commands would send, and the other way round; what is not mapped is neither read nor
/// written.
fn as_proxmox_ve_moves_them(ctx: &Ctx) -> Result<()> {
    let vg = ctx.pool()?;
    let storages = Storages::new(ctx, "")?;
    storages.ok(&format!("add lvmthin st --vgname {vg} --thinpool data"))?;
    let device = filled(ctx, vg, "vm-100-disk-0")?;
    let dir = ctx.dir().display();
    let json = |arguments: &str| ctx.thinvol_json(&storages.line(arguments));

    let told = json(&format!("export st:vm-100-disk-0 raw+size {dir}/ours --checksum"))?;
    ensure!((number(&told, "size")?, number(&told, "read")?) == (SIZE, FILLED), "{told}");
    ctx.shell(&format!("({}) > {dir}/theirs && cmp {dir}/ours {dir}/theirs", stock(&device)))?;
    let sum = ctx.shell(&format!("sha256sum < {dir}/theirs"))?;
    ensure!(sum.split_whitespace().next() == told["checksum"].as_str(), "{told}");
    let blocks: u64 = ctx.shell(&format!("stat -c %b {dir}/ours"))?.trim().parse()?;
    ensure!(blocks * 512 < FILLED + (1 << 20), "the file has no holes: {blocks} sectors");
    ensure!(ctx.shell(&format!("stat -c %a {dir}/ours"))?.trim() == "600");
    ctx.shell(&format!("rm {dir}/theirs"))?;

    // From a file with holes, and from a pipe without.
    let told = json(&format!("import st:vm-200-disk-0 raw+size {dir}/ours --checksum"))?;
    ensure!(number(&told, "written")? == FILLED, "{told}");
    ensure!(sum.split_whitespace().next() == told["checksum"].as_str(), "{told}");
    let piped =
        format!("({}) | thinvol {}", stock(&device), storages.line("import st:vm-201-disk-0 raw+size -"));
    let said = ctx.shell(&piped)?;
    ensure!(said == "successfully imported 'st:vm-201-disk-0'\n", "{said}");
    // What thinvol sends, as the stock commands take it.
    ctx.thinvol_ok(&format!("alloc {vg}/data 202 vm-202-disk-0 {SIZE}b"))?;
    let theirs = ctx.dev(vg, "vm-202-disk-0").display().to_string();
    ctx.shell(&format!(
        "thinvol {} | (head -c 8 >/dev/null; dd of={theirs} conv=sparse bs=64k iflag=fullblock status=none)",
        storages.line("export -q st:vm-100-disk-0 raw+size -")
    ))?;
    for name in ["vm-200-disk-0", "vm-201-disk-0", "vm-202-disk-0"] {
        ctx.shell(&format!("cmp {device} {}", ctx.dev(vg, name).display()))?;
        let info = ctx.thinvol_json(&format!("info {vg}/{name}"))?;
        ensure!(number(&info, "mapped")? == FILLED, "{info}");
    }
    ensure!(ctx.fact(&format!("{vg}/vm-200-disk-0"), "lv_tags")?.is_empty(), "it is marked as incomplete");

    // A name that is taken is refused, or another is taken.
    let again = storages.run(&format!("import st:vm-200-disk-0 raw+size {dir}/ours"))?;
    let exists = format!("volume {vg}/vm-200-disk-0 already exists");
    ensure!(again.status == 1 && again.stderr.contains(&exists), "{again:?}");
    let other = storages.run(&format!("import st:vm-200-disk-0 raw+size {dir}/ours --allow-rename"))?;
    ensure!(other.stdout == "successfully imported 'st:vm-200-disk-1'\n", "{other:?}");
    ensure!(other.stderr.contains(&format!("{exists} - importing with a different name")), "{other:?}");

    // Another program holds a metadata snapshot: all is read, and that is reported.
    ctx.shell(&format!("dmsetup message {vg}-data-tpool 0 reserve_metadata_snap"))?;
    let told = json(&format!("export st:vm-100-disk-0 raw+size {dir}/all"))?;
    ctx.shell(&format!("cmp {dir}/ours {dir}/all"))?;
    ensure!(number(&told, "read")? == SIZE && told["notes"].to_string().contains("is held"), "{told}");
    ctx.shell(&format!("dmsetup message {vg}-data-tpool 0 release_metadata_snap"))?;
    ctx.agreed(vg)
}

/// A snapshot that is not active is sent as it was, and is inactive afterwards; a template comes in as one.
fn snapshots_and_templates(ctx: &Ctx) -> Result<()> {
    let vg = ctx.pool()?;
    let device = filled(ctx, vg, "vm-100-disk-0")?;
    let dir = ctx.dir().display();
    let sum = ctx.shell(&format!("sha256sum < {device}"))?;
    ctx.change(&format!("snapshot {vg}/vm-100-disk-0@s"))?;
    ctx.shell(&format!("dd if=/dev/zero of={device} bs=1M count=3 conv=fsync status=none"))?;
    let told = ctx.thinvol_json(&format!("export {vg}/vm-100-disk-0@s raw+size {dir}/s"))?;
    ensure!(number(&told, "read")? == FILLED, "{told}");
    ensure!(
        ctx.shell(&format!("tail -c +9 {dir}/s | sha256sum"))? == sum,
        "it is not what the snapshot holds"
    );
    ensure!(ctx.fact(&format!("{vg}/snap_vm-100-disk-0_s"), "lv_active")?.is_empty(), "it stays active");
    ctx.shell(&format!("ls {dir}/.s.*.incomplete 2>/dev/null && exit 1 || true"))?;

    let said = ctx.thinvol_ok(&format!("import {vg}/data:base-300-disk-0 raw+size {dir}/s"))?;
    ensure!(said.contains(&format!("successfully imported '{vg}/base-300-disk-0'")), "{said}");
    let facts =
        ctx.fact(&format!("{vg}/base-300-disk-0"), "lv_permissions,lv_active,lv_tags,lv_skip_activation")?;
    ensure!(facts == "read-only skip activation", "{facts}");
    let clash = ctx.thinvol(&format!("import {vg}/data:base-300-disk-0 raw+size {dir}/s --allow-rename"))?;
    ensure!(clash.stdout.contains(&format!("imported '{vg}/base-300-disk-1'")), "{clash:?}");
    let planned = ctx.thinvol_ok(&format!("import --dry-run {vg}/data:vm-301-disk-0 raw+size {dir}/s"))?;
    ensure!(planned.contains("vm-301-disk-0"), "{planned}");
    ensure!(!ctx.fact(vg, "lv_name")?.contains("vm-301"), "it was made");
    // One that is mounted, or otherwise in use, is told to be.
    let used =
        ctx.sh(&format!("exec 7<{device}; thinvol export {vg}/vm-100-disk-0 raw+size - > {dir}/used"))?;
    ensure!(used.status == 0 && used.stderr.contains("is in use"), "{used:?}");
    ctx.agreed(vg)
}

/// Whatever keeps an import from its end leaves no volume, and an export no file.
fn broken_off(ctx: &Ctx) -> Result<()> {
    let vg = ctx.pool()?;
    let device = filled(ctx, vg, "vm-100-disk-0")?;
    let dir = ctx.dir().display();
    let before = ctx.fact(vg, "lv_name")?;
    let into = format!("thinvol import {vg}/data:vm-200-disk-0 raw+size -");
    for (stream, code, said) in [
        (
            format!("({}) | head -c 90000000", stock(&device)),
            2,
            "the stream ends after 89999992 of 100663296 bytes",
        ),
        (format!("({}; echo)", stock(&device)), 2, "the stream is longer than the 100663296 bytes"),
        ("printf 1234567".to_owned(), 2, "it ends before its size"),
        ("printf '\\0\\0\\0\\0\\0\\0\\0\\0'".to_owned(), 2, "no bytes"),
        // A stream that does not go on, and somebody who does not wait for it.
        (format!("(({}) | head -c 3000000; sleep 12)", stock(&device)), 1, "stopped by SIGTERM"),
    ] {
        let wait = if code == 1 { "timeout -s TERM 10 " } else { "" };
        let ran = ctx.sh(&format!("{stream} | {wait}{into}"))?;
        let status = if code == 1 { ran.status } else { code };
        ensure!(ran.status == status && ran.stderr.contains(said), "{stream}: {ran:?}");
        ensure!(ctx.fact(vg, "lv_name")? == before, "{stream}: it left a volume");
    }
    let gone = ctx.sh(&format!(
        "{{ thinvol export {vg}/vm-100-disk-0 raw+size -; echo $? >{dir}/status; }} \
         | head -c 100000 >/dev/null; \
         status=$(cat {dir}/status); rm {dir}/status; exit $status"
    ))?;
    ensure!(gone.status == 1 && gone.stderr.contains("Broken pipe"), "{gone:?}");
    let slow = ctx.sh(&format!(
        "echo old > {dir}/file; timeout -s INT 5 thinvol export {vg}/vm-100-disk-0 raw+size {dir}/file --bwlimit 100"
    ))?;
    ensure!(slow.status != 0 && slow.stderr.contains("stopped by SIGINT"), "{slow:?}");
    ensure!(
        ctx.shell(&format!("ls -A {dir}; cat {dir}/file"))?.ends_with("file\nold\n"),
        "{}",
        ctx.shell(&format!("ls -A {dir}"))?
    );
    let disk = ctx.thinvol(&format!("export {vg}/vm-100-disk-0 raw+size {device}"))?;
    ensure!(disk.status == 1 && disk.stderr.contains("is a block device"), "{disk:?}");
    // Killed: what is left says what it is.
    let killed =
        ctx.sh(&format!("(({}) | head -c 3000000; sleep 10) | timeout -s KILL 8 {into}", stock(&device)))?;
    ensure!(killed.status != 0);
    ensure!(ctx.fact(&format!("{vg}/vm-200-disk-0"), "lv_tags")? == "thinvol.importing");
    let again = ctx.sh(&format!("({}) | {into}", stock(&device)))?;
    ensure!(
        again.status == 1 && again.stderr.contains("an import of it is under way or broke off"),
        "{again:?}"
    );
    ctx.change(&format!("free {vg}/vm-200-disk-0"))?;
    ctx.agreed(vg)
}

/// A pool that gets full ends the import; nothing of it stays, and the pool is as it was.
fn into_a_full_pool(ctx: &Ctx) -> Result<()> {
    let vg = ctx.volume_group(&[1 << 30], 512)?;
    ctx.shell(&format!(
        "lvcreate -y --type thin-pool -L 64M -n data {vg}; lvchange --errorwhenfull y {vg}/data"
    ))?;
    let stream = "(perl -e 'print pack(\"Q<\", 128<<20)'; head -c 128M /dev/urandom)";
    let ran = ctx.sh(&format!("{stream} | thinvol import {vg}/data:vm-100-disk-0 raw+size -"))?;
    ensure!(ran.status == 1 && ran.stderr.contains("the pool is full"), "{ran:?}");
    ensure!(ctx.fact(vg, "lv_name")? == "data");
    ensure!(ctx.fact(&format!("{vg}/data"), "data_percent")? == "0.00");
    ctx.change(&format!("alloc {vg}/data 100 vm-100-disk-0 32M"))?;
    ctx.shell(&format!(
        "dd if=/dev/zero of={} bs=1M oflag=direct status=none count=32",
        ctx.dev(vg, "vm-100-disk-0").display()
    ))?;
    ctx.oracle(vg)
}

/// In a pool that does not zero, nothing of what others left shows in a volume that was imported; its chunks are larger
/// than what is written at once.
fn chunks_that_are_not_zeroed(ctx: &Ctx) -> Result<()> {
    let vg = ctx.volume_group(&[1 << 30], 512)?;
    ctx.shell(&format!("lvcreate -y --type thin-pool -Zn -c 4M -L 256M -n data {vg}"))?;
    ctx.thinvol_ok(&format!("alloc {vg}/data 100 vm-100-old 256M"))?;
    let old = ctx.dev(vg, "vm-100-old").display().to_string();
    ctx.shell(&format!(
        "head -c 256M /dev/urandom | dd of={old} bs=1M iflag=fullblock oflag=direct status=none"
    ))?;
    ctx.shell("udevadm settle")?;
    ctx.change(&format!("free {vg}/vm-100-old"))?;
    let dir = ctx.dir().display();
    // Something in the middle of a chunk, and a last chunk that the stream does not fill.
    ctx.shell(&format!(
        "truncate -s 62001152 {dir}/raw; printf x | dd of={dir}/raw bs=1 seek=13000000 conv=notrunc status=none; \
         printf y | dd of={dir}/raw bs=1 seek=62001151 conv=notrunc status=none; \
         (perl -e 'print pack(\"Q<\", 62001152)'; cat {dir}/raw) > {dir}/stream"
    ))?;
    let told = ctx.thinvol_json(&format!("import {vg}/data:vm-100-disk-0 raw+size {dir}/stream"))?;
    ensure!(number(&told, "written")? == 8 << 20, "{told}");
    let device = ctx.dev(vg, "vm-100-disk-0").display().to_string();
    ctx.shell(&format!(
        "cmp -n 62001152 {device} {dir}/raw && tail -c +62001153 {device} | tr -d '\\0' | wc -c | grep -qx 0"
    ))?;
    ctx.agreed(vg)
}
