//! States that a crash, of thinvol or of lvm2, leaves: made on purpose, then recovered, then put to lvm2.

use std::path::Path;

use anyhow::{Context, Result, ensure};

use crate::case::{Case, Tier};
use crate::ctx::Ctx;

/// The cases of this file.
pub const CASES: &[Case] = &[
    Case { name: "recovery::create_not_sent", tier: Tier::Full, limit_s: 240, run: create_not_sent },
    Case { name: "recovery::orphan_of_a_snapshot", tier: Tier::Full, limit_s: 400, run: orphan },
    Case { name: "recovery::device_left_suspended", tier: Tier::Full, limit_s: 240, run: left_suspended },
    Case { name: "recovery::used_by_another_program", tier: Tier::Full, limit_s: 300, run: used_by_another },
    Case { name: "recovery::lagging_metadata_area", tier: Tier::Full, limit_s: 240, run: lagging_area },
];

/// Those that take longer.
pub const LONG: &[Case] = &[
    Case { name: "recovery::killed_at_any_time", tier: Tier::Full, limit_s: 420, run: killed_at_any_time },
    Case {
        name: "recovery::messages_left_behind",
        tier: Tier::Full,
        limit_s: 240,
        run: messages_left_behind,
    },
    Case { name: "recovery::before_a_refusal", tier: Tier::Full, limit_s: 240, run: before_a_refusal },
    Case { name: "recovery::delete_never_sent", tier: Tier::Full, limit_s: 300, run: delete_never_sent },
    Case { name: "recovery::made_by_hand", tier: Tier::Full, limit_s: 240, run: made_by_hand },
    Case {
        name: "recovery::snapshot_not_stepped",
        tier: Tier::Full,
        limit_s: 240,
        run: snapshot_not_stepped,
    },
    Case { name: "recovery::transaction_not_stepped", tier: Tier::Full, limit_s: 240, run: not_stepped },
    Case {
        name: "recovery::restored_old_metadata",
        tier: Tier::Full,
        limit_s: 240,
        run: restored_old_metadata,
    },
];

/// A pool with a volume and a snapshot, and its text as a file.
fn prepared(ctx: &Ctx) -> Result<(&'static str, String)> {
    let vg = ctx.pool()?;
    ctx.change(&format!("alloc {vg}/data 100 vm-100-disk-0 32M"))?;
    ctx.change(&format!("snapshot {vg}/vm-100-disk-0@s"))?;
    ctx.change(&format!("alloc {vg}/data 100 vm-100-disk-1 32M"))?;
    ctx.ok("udevadm settle")?;
    Ok((vg, text(ctx, vg)?))
}

fn text(ctx: &Ctx, vg: &str) -> Result<String> {
    let file = ctx.dir().join("text");
    ctx.ok(&format!("vgcfgbackup -f {} {vg}", file.display()))?;
    Ok(std::fs::read_to_string(file)?)
}

fn put_text(ctx: &Ctx, vg: &str, text: &str) -> Result<()> {
    let file = ctx.dir().join("edited");
    std::fs::write(&file, text)?;
    ctx.ok(&format!("vgcfgrestore -y --force -f {} {vg}", file.display()))?;
    Ok(())
}

/// The pool's transaction id in the text, and the same text with another one and with messages.
fn with_messages(text: &str, step: u64, messages: &str) -> Result<(u64, String)> {
    let pool = text.find("type = \"thin-pool\"").context("no pool")?;
    let at = pool + text[pool..].find("transaction_id = ").context("no id")? + "transaction_id = ".len();
    let end = at + text[at..].find(char::is_whitespace).context("no end")?;
    let id: u64 = text[at..end].parse()?;
    let close = end + text[end..].find('}').context("no end of the segment")?;
    let edited = format!("{}{}{}{messages}\n{}", &text[..at], id + step, &text[end..close], &text[close..]);
    Ok((id, edited))
}

pub(super) fn kernel_id(ctx: &Ctx, vg: &str) -> Result<u64> {
    let status = ctx.ok(&format!("dmsetup status {vg}-data-tpool"))?;
    Ok(status.split(' ').nth(3).context("no transaction id in the status")?.parse()?)
}

/// Recovers, finds nothing the second time, and lvm2 creates, snapshots and removes as if nothing had been.
pub(super) fn recovered(ctx: &Ctx, vg: &str) -> Result<String> {
    let said = ctx.change(&format!("recover {vg}"))?;
    let again = ctx.change(&format!("recover {vg}"))?;
    ensure!(again.contains("nothing to recover"), "{again}");
    ctx.oracle(vg)?;
    ctx.ok(&format!("lvcreate -V 8M -T {vg}/data -n after"))?;
    ctx.ok(&format!("lvcreate -y -s -n after-snap {vg}/after"))?;
    ctx.lvm(&format!("lvremove -y {vg}/after-snap {vg}/after"))?;
    same_ids(ctx, vg)?;
    ctx.ok("udevadm settle")?;
    ctx.reactivate(vg)?;
    Ok(said)
}

/// The pool holds exactly the devices the text knows.
pub(crate) fn same_ids(ctx: &Ctx, vg: &str) -> Result<()> {
    let text = ctx.lvm(&format!("lvs -a --noheadings -o thin_id -S pool_lv=data {vg}"))?;
    let mut known: Vec<u64> = text.split_whitespace().map(str::parse).collect::<Result<_, _>>()?;
    known.sort_unstable();
    ctx.lvm(&format!("lvchange -ay {vg}/data"))?;
    let tpool = format!("{vg}-data-tpool");
    ctx.ok(&format!("dmsetup message {tpool} 0 reserve_metadata_snap"))?;
    let dump = ctx.ok(&format!("thin_dump -m /dev/mapper/{vg}-data_tmeta"));
    ctx.ok(&format!("dmsetup message {tpool} 0 release_metadata_snap"))?;
    let dump = dump?;
    let ids = dump.split("dev_id=\"").skip(1).filter_map(|rest| rest.split('"').next());
    let mut there: Vec<u64> = ids.map(str::parse).collect::<Result<_, _>>()?;
    there.sort_unstable();
    ensure!(known == there, "the text knows {known:?}, the pool holds {there:?}");
    Ok(())
}

fn messages_left_behind(ctx: &Ctx) -> Result<()> {
    let (vg, text) = prepared(ctx)?;
    let (_, edited) = with_messages(&text, 0, "message1 {\ncreate = \"vm-100-disk-1\"\n}\n")?;
    put_text(ctx, vg, &edited)?;
    ensure!(recovered(ctx, vg)?.contains("messages are still in the metadata"));
    Ok(())
}

/// The sequence numbers of the copies in a folder.
fn copies(dir: &str) -> Result<Vec<u64>> {
    let mut seqnos = Vec::new();
    for file in std::fs::read_dir(dir)? {
        let text = std::fs::read_to_string(file?.path())?;
        let seqno = text.lines().find_map(|line| line.trim().strip_prefix("seqno = "));
        seqnos.push(seqno.context("a copy without a number")?.parse()?);
    }
    seqnos.sort_unstable();
    Ok(seqnos)
}

/// A request is refused after something was mended: both are told, the state before is archived, the one after is the
/// backup, and lvm2 finds nothing to add to either.
fn before_a_refusal(ctx: &Ctx) -> Result<()> {
    let (vg, text) = prepared(ctx)?;
    let (_, edited) = with_messages(&text, 0, "message1 {\ncreate = \"vm-100-disk-1\"\n}\n")?;
    put_text(ctx, vg, &edited)?;
    let seqno = || -> Result<u64> {
        Ok(ctx.sh(&format!("vgs --noheadings -o vg_seqno {vg} 2>/dev/null"))?.stdout.trim().parse()?)
    };
    let before = seqno()?;
    ctx.sh("rm -f /etc/lvm/archive/*")?;
    let refused = ctx.thinvol(&format!("alloc {vg}/data 100 vm-100-disk-0 8M"))?;
    ensure!(refused.status == 1 && refused.stderr.contains("already exists"), "{refused:?}");
    ensure!(refused.stderr.contains("recovered: "), "what was mended is not told: {}", refused.stderr);
    ensure!(copies("/etc/lvm/archive")? == [before], "archived: {:?}", copies("/etc/lvm/archive")?);
    ensure!(copies("/etc/lvm/backup")? == [before + 1], "backup: {:?}", copies("/etc/lvm/backup")?);
    ctx.oracle(vg)?;
    ensure!(seqno()? == before + 1);
    ensure!(copies("/etc/lvm/archive")? == [before], "lvm2 missed a copy: {:?}", copies("/etc/lvm/archive")?);
    recovered(ctx, vg)?;
    Ok(())
}

/// A device that somebody made by hand and uses is nobody's orphan.
fn made_by_hand(ctx: &Ctx) -> Result<()> {
    let (vg, _) = prepared(ctx)?;
    ctx.ok(&format!("dmsetup message {vg}-data-tpool 0 create_thin 3000"))?;
    ctx.ok(&format!("dmsetup message {vg}-data-tpool 0 create_thin 3001"))?;
    let pool =
        ctx.ok(&format!("dmsetup info -c --noheadings --separator : -o major,minor {vg}-data-tpool"))?;
    let table = format!("0 8192 thin {} 3000", pool.trim());
    let made = ctx.run(&["dmsetup", "create", "by-hand", "--table", &table])?;
    ensure!(made.status == 0, "{made:?}");
    ctx.ok("udevadm settle")?;
    let ran = ctx.thinvol(&format!("recover {vg}"))?;
    ensure!(ran.status == 0, "{ran:?}");
    ensure!(ran.stderr.contains("thin device 3000") && ran.stderr.contains("by-hand"), "{}", ran.stderr);
    ensure!(ran.stderr.contains("thin device 3001"), "what nobody uses is not told: {}", ran.stderr);
    ctx.ok("dd if=/dev/mapper/by-hand of=/dev/null bs=4k count=1")?;
    // It does not stand in the way of changes, and its id is not given to another.
    ctx.change(&format!("alloc {vg}/data 100 vm-100-disk-2 8M"))?;
    ctx.ok("udevadm settle")?;
    ctx.ok("dmsetup remove by-hand")?;
    ctx.ok(&format!("dmsetup message {vg}-data-tpool 0 delete 3000"))?;
    ctx.ok(&format!("dmsetup message {vg}-data-tpool 0 delete 3001"))?;
    recovered(ctx, vg)?;
    Ok(())
}

/// Leaves the text with a message to create vm-100-disk-1 that was not sent. Returns the group and the pool's
/// transaction before that.
pub(super) fn leave_create_unsent(ctx: &Ctx) -> Result<(&'static str, u64)> {
    let (vg, _) = prepared(ctx)?;
    Ok((vg, take_back_create(ctx, vg, "vm-100-disk-1")?))
}

/// Leaves the text with a message to create a volume of the pool `data` that was not sent. Returns the pool's
/// transaction before that.
pub(crate) fn take_back_create(ctx: &Ctx, vg: &str, volume: &str) -> Result<u64> {
    let id = ctx.lvm(&format!("lvs --noheadings -o thin_id {vg}/{volume}"))?;
    ctx.lvm(&format!("lvchange -an {vg}/{volume}"))?;
    ctx.ok(&format!("dmsetup message {vg}-data-tpool 0 delete {}", id.trim()))?;
    let message = format!("message1 {{\ncreate = \"{volume}\"\n}}\n");
    let (before, edited) = with_messages(&text(ctx, vg)?, 1, &message)?;
    put_text(ctx, vg, &edited)?;
    Ok(before)
}

/// The next change does it as well, without being asked.
fn create_not_sent(ctx: &Ctx) -> Result<()> {
    let (vg, before) = leave_create_unsent(ctx)?;
    ctx.change(&format!("alloc {vg}/data 100 vm-100-disk-2 8M"))?;
    ensure!(kernel_id(ctx, vg)? == before + 2);
    ctx.change(&format!("activate {vg}/vm-100-disk-1"))?;
    recovered(ctx, vg)?;
    Ok(())
}

/// What lvm2 itself cannot finish: the snapshot is made, the transaction not stepped, the message still there.
fn snapshot_not_stepped(ctx: &Ctx) -> Result<()> {
    let (vg, text) = prepared(ctx)?;
    let start = text.find("snap_vm-100-disk-0_s {").context("no snapshot")?;
    let second = text[start..].find("\n\t\t}").context("no end")? + start + "\n\t\t}".len();
    let id = ctx.lvm(&format!("lvs --noheadings -o thin_id {vg}/snap_vm-100-disk-0_s"))?;
    let uuid = ctx.lvm(&format!("lvs --noheadings -o lv_uuid {vg}/snap_vm-100-disk-0_s"))?;
    let copy = text[start..second]
        .replace("snap_vm-100-disk-0_s {", "pending {")
        .replace(uuid.trim(), "thinvo-test-test-test-test-test-000001")
        .replace(&format!("device_id = {}", id.trim()), "device_id = 4000");
    let doubled = format!("{}\n\n\t\t{copy}{}", &text[..second], &text[second..]);
    let (_, edited) = with_messages(&doubled, 1, "message1 {\ncreate = \"pending\"\n}\n")?;
    put_text(ctx, vg, &edited)?;
    let origin = ctx.lvm(&format!("lvs --noheadings -o thin_id {vg}/vm-100-disk-0"))?;
    ctx.ok(&format!("dmsetup message {vg}-data-tpool 0 create_snap 4000 {}", origin.trim()))?;
    let stuck = ctx.run(&["lvcreate", "-V", "8M", "-T", &format!("{vg}/data"), "-n", "stuck"])?;
    ensure!(stuck.status != 0, "lvm2 can finish this by now: the reason for the order of snapshots is gone");
    recovered(ctx, vg)?;
    ctx.change(&format!("activate {vg}/pending"))?;
    Ok(())
}

/// No crash leaves a transaction in the text without a message of it: the pool went back in time. It is refused, and
/// all say so in the same words.
fn not_stepped(ctx: &Ctx) -> Result<()> {
    let (vg, text) = prepared(ctx)?;
    let (before, edited) = with_messages(&text, 1, "")?;
    put_text(ctx, vg, &edited)?;
    let says = format!("at transaction {before} in the kernel and at {}", before + 1);
    for (verb, status) in [
        (format!("recover {vg}"), 6),
        (format!("alloc {vg}/data 100 vm-100-disk-5 8M"), 6),
        ("status".into(), 0),
    ] {
        let ran = ctx.thinvol(&verb)?;
        ensure!(ran.status == status && ran.stderr.matches(&says).count() == 1, "{ran:?}");
        ensure!(!ran.stderr.contains("has something to do"), "{}", ran.stderr);
    }
    ensure!(kernel_id(ctx, vg)? == before, "the transaction was stepped");
    put_text(ctx, vg, &text)?;
    recovered(ctx, vg)?;
    Ok(())
}

/// lvm2 adds a deletion to messages that were left behind, and never sends it (its source: `lib/metadata/thin_manip.c`,
/// `update_thin_pool_lv`).
fn delete_never_sent(ctx: &Ctx) -> Result<()> {
    let (vg, before) = prepared(ctx)?;
    let (_, edited) = with_messages(&before, 0, "message1 {\ncreate = \"vm-100-disk-1\"\n}\n")?;
    put_text(ctx, vg, &edited)?;
    let snapshot = format!("{vg}/snap_vm-100-disk-0_s");
    let id = ctx.fact(&snapshot, "thin_id")?;
    ctx.ok(&format!("lvremove -y {snapshot}"))?;
    ensure!(same_ids(ctx, vg).is_err(), "lvm2 sends it by now");
    // As if it had been killed before it cleared the messages.
    let (_, edited) = with_messages(&text(ctx, vg)?, 0, &format!("message1 {{\ndelete = {id}\n}}\n"))?;
    put_text(ctx, vg, &edited)?;
    let said = recovered(ctx, vg)?;
    ensure!(said.contains("was never sent"), "{said}");
    Ok(())
}

/// Docker keeps its devices in a pool of LVM that has none of LVM's volumes.
fn used_by_another(ctx: &Ctx) -> Result<()> {
    let vg = ctx.pool()?;
    ctx.lvm(&format!("lvchange -qq -ay {vg}/data"))?;
    ctx.ok(&format!("dmsetup message {vg}-data 0 create_thin 7"))?;
    ctx.ok(&format!("dmsetup message {vg}-data 0 set_transaction_id 0 7"))?;
    ctx.ok("udevadm settle")?;
    for verb in ["deactivate", "activate", "recover"] {
        let of = if verb == "recover" { vg.to_owned() } else { format!("{vg}/data") };
        ctx.change(&format!("{verb} {of}"))?;
        ctx.ok("udevadm settle")?;
    }
    let refused = ctx.thinvol(&format!("alloc {vg}/data 100 vm-100-disk-0 8M"))?;
    ensure!(refused.status == 1 && refused.stderr.contains("used by another program"), "{refused:?}");
    let lvm2s = ctx.run(&["lvcreate", "-V", "8M", "-T", &format!("{vg}/data"), "-n", "n"])?;
    ensure!(lvm2s.status != 0, "lvm2 makes a volume in it");
    ctx.ok(&format!("dmsetup message {vg}-data 0 delete 7"))?;
    ctx.ok("udevadm settle")?;
    ctx.lvm(&format!("vgchange -qq -an {vg}"))?;
    Ok(())
}

/// A snapshot was made and its commit never came. Where the record of the change names it, it goes; where none does,
/// as after a power failure, it is told and stays, and neither thinvol nor lvm2 gives it to a new volume.
fn orphan(ctx: &Ctx) -> Result<()> {
    let (vg, _) = prepared(ctx)?;
    let tpool = format!("{vg}-data-tpool");
    let pool = ctx.fact(&format!("{vg}/data"), "vg_uuid,lv_uuid")?;
    let (group, pool) = pool.split_once(' ').context("two uuids")?;
    let record = format!("/run/thinvol/making-{}-{}", group.replace('-', ""), pool.replace('-', ""));
    ctx.ok("udevadm settle")?;
    for recorded in [true, false] {
        ctx.ok("rm -rf /run/thinvol")?;
        ctx.ok(&format!("dmsetup message {tpool} 0 create_snap 1200 1"))?;
        if recorded {
            std::fs::create_dir_all("/run/thinvol")?;
            let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id")?;
            let text = format!("{boot}thinvol-making 1 {group} {} 1200 end", kernel_id(ctx, vg)?);
            std::fs::write(&record, text)?;
        }
        let said = ctx.thinvol(&format!("recover {vg}"))?;
        ensure!(said.status == 0, "{said:?}");
        let deleted = said.stdout.contains("thin device 1200 was made by a change that never finished");
        let told = said.stderr.contains("thin device 1200 (") && said.stderr.contains("belongs to no volume");
        ensure!((deleted, told) == (recorded, !recorded), "{said:?}");
        ensure!(!Path::new(&record).exists(), "the record stays");
        if recorded {
            same_ids(ctx, vg)?;
            continue;
        }
        let said = ctx.thinvol(&format!("alloc {vg}/data 100 vm-100-disk-2 8M"))?;
        ensure!(said.status == 0 && said.stderr.contains("thin device 1200 ("), "{said:?}");
        ctx.ok(&format!("lvcreate -V 8M -T {vg}/data -n steps"))?;
        let said = ctx.thinvol(&format!("recover {vg}"))?;
        ensure!(said.status == 0 && said.stderr.contains("thin device 1200 ("), "{said:?}");
        // As it says.
        ctx.ok(&format!("dmsetup message {tpool} 0 delete 1200"))?;
    }
    same_ids(ctx, vg)?;
    recovered(ctx, vg)?;
    Ok(())
}

fn left_suspended(ctx: &Ctx) -> Result<()> {
    let (vg, _) = prepared(ctx)?;
    ctx.ok(&format!("dmsetup suspend {vg}-vm--100--disk--0"))?;
    ctx.change(&format!("recover {vg}"))?;
    let info = ctx.ok(&format!("dmsetup info {vg}-vm--100--disk--0"))?;
    ensure!(info.contains("ACTIVE"), "{info}");
    recovered(ctx, vg)?;
    Ok(())
}

/// A commit that reached one of two physical volumes: lvm2 warns of it, recovery mends it.
fn lagging_area(ctx: &Ctx) -> Result<()> {
    let vg = ctx.volume_group(&[256 << 20, 64 << 20], 512)?;
    ctx.ok(&format!("lvcreate -y --type thin-pool -L 128M -n data {vg}"))?;
    ctx.change(&format!("alloc {vg}/data 100 vm-100-disk-0 32M"))?;
    let pvs = ctx.lvm(&format!("pvs --noheadings -o pv_name -S vg_name={vg}"))?;
    let second = pvs.split_whitespace().last().context("no second PV")?;
    let header = ctx.dir().join("header");
    ctx.ok(&format!("dd if={second} of={} bs=512 skip=8 count=1 iflag=direct", header.display()))?;
    ctx.change(&format!("alloc {vg}/data 100 vm-100-disk-1 32M"))?;
    ctx.ok("udevadm settle")?;
    ctx.ok(&format!("dd if={} of={second} bs=512 seek=8 count=1 oflag=direct", header.display()))?;
    let warned = ctx.run(&["vgs", vg])?;
    ensure!(!warned.stderr.is_empty(), "lvm2 does not mind an old copy");
    recovered(ctx, vg)?;
    Ok(())
}

/// The kernel is ahead of the text: a backup was restored. Nothing is touched, and it is said why.
fn restored_old_metadata(ctx: &Ctx) -> Result<()> {
    let (vg, text) = prepared(ctx)?;
    ctx.change(&format!("free {vg}/vm-100-disk-1"))?;
    put_text(ctx, vg, &text)?;
    for verb in [format!("alloc {vg}/data 100 vm-100-disk-5 8M"), format!("snapshot {vg}/vm-100-disk-0@t")] {
        let refused = ctx.thinvol(&verb)?;
        ensure!(refused.status == 6, "{refused:?}");
        ensure!(refused.stderr.contains("at transaction"), "{}", refused.stderr);
    }
    // Put right by hand, as the message says, it works again.
    ctx.lvm(&format!("vgchange -an {vg}"))?;
    let (_, mended) = with_messages(&text, 1, "")?;
    put_text(ctx, vg, &mended)?;
    ctx.change(&format!("free {vg}/vm-100-disk-1"))?;
    recovered(ctx, vg)?;
    Ok(())
}

/// SIGKILL after every delay: whatever is left, recovery and lvm2 both go on from it.
fn killed_at_any_time(ctx: &Ctx) -> Result<()> {
    let (vg, _) = prepared(ctx)?;
    for round in 0..12_u32 {
        let batch = format!(
            "( for i in 1 2 3; do echo '{{\"request\":\"create\",\"pool\":\"{vg}/data\",\"name\":\"k{round}-'$i'\",\
             \"size\":\"4M\",\"activate\":true}}'; done; \
             echo '{{\"request\":\"snapshot\",\"snapshot\":\"{vg}/vm-100-disk-0@k{round}s\"}}' ) \
             > {file}; thinvol batch {file} > {file}.out 2>&1 & pid=$!; sleep 0.{delay:03}; kill -9 $pid; wait $pid",
            file = ctx.dir().join("batch").display(),
            delay = round * 30
        );
        ctx.sh(&batch)?;
        let suspended = ctx.sh("sleep 0.2; dmsetup info -c --noheadings -o suspended | sort -u")?.stdout;
        ensure!(!suspended.contains("Suspended"), "a device is left suspended: {suspended}");
        ctx.ok("udevadm settle")?;
        ctx.change(&format!("recover {vg}"))?;
        ctx.ok("udevadm settle")?;
        ctx.oracle(vg)?;
        same_ids(ctx, vg)?;
        let names = ctx.lvm(&format!("lvs --noheadings -o lv_name {vg}"))?;
        let snapshot = format!("snap_vm-100-disk-0_k{round}s");
        let is_made = |name: &&str| name.starts_with(&format!("k{round}-")) || **name == snapshot;
        let made = names.split_whitespace().filter(is_made).count();
        ensure!(made == 0 || made == 4, "round {round}: {made} of 4 volumes");
        println!("round {round}: {}", if made == 4 { "all" } else { "none" });
    }
    // A killed process cannot remove the semaphore it waited on, lvm2's as little as ours.
    ctx.ok("dmsetup udevcomplete_all --yes")?;
    recovered(ctx, vg)?;
    Ok(())
}
