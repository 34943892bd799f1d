//! Our locks and those of lvm2 exclude each other.

use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use base::ids::VgName;
use lvm2::format::text::Document;
use lvm2::host::conf::LvmConf;
use lvm2::host::lock::{LockError, LockMode, Locks};
use lvm2::host::scan::Scanner;
use lvm2::host::store::vg::VgStore;
use lvm2::host::store::vg_ref::VgRef;
use sys::io::direct::Access;

use super::own_lvm::OwnLvm;
use crate::case::{Case, Tier};
use crate::ctx::Ctx;

/// The cases of this file.
pub const CASES: &[Case] = &[
    Case { name: "lvm_locks::lvm2_waits_for_us", tier: Tier::Full, limit_s: 120, run: lvm2_waits_for_us },
    Case { name: "lvm_locks::no_commit_is_lost", tier: Tier::Full, limit_s: 600, run: no_commit_is_lost },
    Case { name: "lvm_locks::all_groups_as_lvm2", tier: Tier::Full, limit_s: 240, run: all_groups },
    Case {
        name: "lvm_locks::without_writer_priority",
        tier: Tier::Full,
        limit_s: 600,
        run: without_priority,
    },
];

const PATIENCE: Duration = Duration::from_secs(60);

/// While we hold a VG, lvm2 sleeps on our lock file; when we let go, it does its work.
fn lvm2_waits_for_us(ctx: &Ctx) -> Result<()> {
    let lvm = OwnLvm::with_vg(ctx, "", 1)?;
    let vg = VgName::new(ctx.vg())?;
    let locks = lvm.conf()?.locks(PATIENCE);
    for (tag, reader) in [("first", false), ("second", true)] {
        let write = (!reader).then(|| locks.vg_for_write(&vg)).transpose()?;
        let read = reader.then(|| locks.vg_for_read(&vg)).transpose()?;
        let path = write.as_ref().map(|lock| lock.path()).or_else(|| read.as_ref().map(|lock| lock.path()));
        let path = path.context("one of the two is held")?.to_owned();
        if reader {
            lvm.ok(&format!("vgs {vg}"))?;
        }
        let waiter = Stray(spawn(&lvm, &["vgchange", "--addtag", tag, vg.as_str()])?);
        wait_until_blocked(&waiter)?;
        ensure!(path.exists(), "our lock file was removed while we held it");
        drop((write, read));
        waiter.finish()?;
        let tags = lvm.ok(&format!("vgs --noheadings -o vg_tags {vg}"))?;
        ensure!(tags.contains(tag), "lvm2 lost its change: {tags}");
    }
    let global = locks.global(LockMode::Write)?;
    let waiter = Stray(spawn(&lvm, &["vgs"])?);
    wait_until_blocked(&waiter)?;
    drop(global);
    waiter.finish()?;
    ensure!(lvm.lock_files()?.is_empty(), "lock files stay: {:?}", lvm.lock_files()?);
    Ok(())
}

/// Both sides commit as fast as they can; every commit is one step of the sequence number.
fn no_commit_is_lost(ctx: &Ctx) -> Result<()> {
    contend(ctx, "")
}

fn without_priority(ctx: &Ctx) -> Result<()> {
    contend(ctx, "global { prioritise_write_locks = 0 }")
}

fn contend(ctx: &Ctx, settings: &str) -> Result<()> {
    const OURS: u32 = 15;
    const THEIRS: u32 = 8;
    let lvm = OwnLvm::with_vg(ctx, settings, 2)?;
    let vg = VgName::new(ctx.vg())?;
    let conf = lvm.conf()?;
    let scanner = Scanner::of_this_machine(conf.devices.clone());
    let before = scanner.find_vg(&vg)?.seqno.0;
    std::thread::scope(|scope| -> Result<()> {
        let ours = (0..2).map(|_| scope.spawn(|| (0..OURS).try_for_each(|_| commit(&conf, &vg))));
        let ours: Vec<_> = ours.collect();
        let theirs = (0..2).map(|side| {
            let (lvm, vg) = (&lvm, &vg);
            scope.spawn(move || {
                (0..THEIRS).try_for_each(|round| {
                    let tag = format!("side{side}.{round}");
                    Stray(spawn(lvm, &["vgchange", "--addtag", &tag, vg.as_str()])?).finish()
                })
            })
        });
        for thread in ours.into_iter().chain(theirs.collect::<Vec<_>>()) {
            thread.join().map_err(|_| anyhow::anyhow!("a thread panicked"))??;
        }
        Ok(())
    })?;
    let after = scanner.find_vg(&vg)?.seqno.0;
    ensure!(after == before + 2 * (OURS + THEIRS), "{before} to {after}: commits were lost");
    let tags = lvm.ok(&format!("vgs --noheadings -o vg_tags {vg}"))?;
    let count = tags.split(',').filter(|tag| tag.trim().starts_with("side")).count();
    ensure!(count == usize::try_from(2 * THEIRS)?, "tags were lost: {tags}");
    lvm.silent(&format!("vgck {vg}"))?;
    ensure!(lvm.lock_files()?.is_empty(), "lock files stay: {:?}", lvm.lock_files()?);
    Ok(())
}

/// One step of the sequence number, under the lock.
fn commit(conf: &LvmConf, vg: &VgName) -> Result<()> {
    let locks: Locks = conf.locks(PATIENCE);
    let lock = match locks.vg_for_write(vg) {
        Err(LockError::Timeout { holders, .. }) => bail!("no lock within {PATIENCE:?}: {holders:?}"),
        other => other?,
    };
    let scanner = Scanner::of_this_machine(conf.devices.clone());
    let found = scanner.find_vg(vg)?;
    let mut store = VgStore::open(scanner.open(&found, Access::ReadWrite)?, &VgRef::Id(found.id))?;
    let mut document = Document::parse(store.text())?;
    let seqno = document.lookup_node(&format!("{vg}/seqno")).context("a group has a seqno")?;
    document.set_value(seqno, &store.summary().seqno.next().context("seqno")?.to_string())?;
    store.commit(&document.to_bytes())?;
    ensure!(lock.is_intact(), "the lock file was removed while we held it");
    Ok(())
}

/// The lock files a command takes and how, each once, in order.
fn locks_of(ctx: &Ctx, command: &str) -> Result<Vec<String>> {
    let trace = ctx.dir().join("trace");
    ctx.ok(&format!("strace -o {} -e trace=openat,flock {command}", trace.display()))?;
    let mut taken: Vec<String> = Vec::new();
    let mut opened = String::new();
    for line in std::fs::read_to_string(trace)?.lines() {
        if let Some((_, rest)) = line.split_once("/run/lock/lvm/") {
            opened = rest.split('"').next().unwrap_or_default().to_owned();
        }
        let how =
            ["LOCK_SH", "LOCK_EX"].into_iter().find(|how| line.starts_with("flock(") && line.contains(how));
        // What follows the first lock of an open file is its release.
        if let Some(how) = how.filter(|_| !opened.is_empty()) {
            taken.push(format!("{} {how}", std::mem::take(&mut opened)));
        }
    }
    taken.dedup();
    println!("{command}: {taken:?}");
    Ok(taken)
}

/// Commands that go through all groups hold the global lock for reading, as lvm2's do; those of one group never.
fn all_groups(ctx: &Ctx) -> Result<()> {
    let vg = ctx.pool()?;
    let global = |taken: &[String]| -> Vec<String> {
        taken.iter().filter(|lock| lock.starts_with("P_global")).cloned().collect()
    };
    let theirs = global(&locks_of(ctx, "vgs")?);
    ensure!(theirs == ["P_global:aux LOCK_EX", "P_global LOCK_SH"], "lvm2 takes {theirs:?}");
    for line in ["scan lvm", "status", "recover", "recover --dry-run"] {
        let ours = locks_of(ctx, &format!("thinvol {line}"))?;
        ensure!(global(&ours) == theirs, "thinvol {line} takes {ours:?}");
        ensure!(ours.starts_with(&theirs), "a group before all groups: {ours:?}");
    }
    let dry = locks_of(ctx, &format!("thinvol recover --dry-run {vg}"))?;
    ensure!(dry == [format!("V_{vg}:aux LOCK_EX"), format!("V_{vg} LOCK_SH")], "a dry run takes {dry:?}");
    let alloc = locks_of(ctx, &format!("thinvol alloc {vg}/data 100 vm-100-disk-0 8M"))?;
    ensure!(alloc == [format!("V_{vg}:aux LOCK_EX"), format!("V_{vg} LOCK_EX")], "a change takes {alloc:?}");
    // Held by another, it is waited for no longer than asked, and the holder is named.
    let conf = LvmConf::load("/etc/lvm".as_ref(), None)?;
    let held = conf.locks(PATIENCE).global(LockMode::Write)?;
    let ran = ctx.thinvol("recover --lock-timeout 1")?;
    ensure!(ran.status == 4 && ran.stderr.contains(&std::process::id().to_string()), "{ran:?}");
    // lvm2 is not asked meanwhile: it would wait for the lock.
    ctx.thinvol_ok(&format!("free {vg}/vm-100-disk-0"))?;
    drop(held);
    ctx.change("recover")?;
    Ok(())
}

/// A child that is killed if nobody waits for it.
struct Stray(Child);

impl Stray {
    fn finish(mut self) -> Result<()> {
        let status = self.0.wait()?;
        ensure!(status.success(), "lvm2 failed: {status}");
        Ok(())
    }
}

impl Drop for Stray {
    fn drop(&mut self) {
        if matches!(self.0.try_wait(), Ok(None)) {
            let _ = self.0.kill();
            let _ = self.0.wait();
        }
    }
}

fn spawn(lvm: &OwnLvm<'_>, line: &[&str]) -> Result<Child> {
    let argv = lvm.argv(line);
    let (program, arguments) = argv.split_first().context("an empty command")?;
    Ok(Command::new(program).args(arguments).stdin(Stdio::null()).stdout(Stdio::null()).spawn()?)
}

/// Waits until the kernel lists the process as waiting for a file lock.
fn wait_until_blocked(child: &Stray) -> Result<()> {
    let pid = child.0.id().to_string();
    let deadline = Instant::now() + PATIENCE;
    while Instant::now() < deadline {
        let locks = std::fs::read_to_string("/proc/locks")?;
        let waits = |line: &str| line.contains("-> FLOCK") && line.split_whitespace().any(|word| word == pid);
        if locks.lines().any(waits) {
            return Ok(());
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    bail!("lvm2 did not wait for our lock")
}
