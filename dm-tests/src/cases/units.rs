//! The programs under what their systemd units take from them. Once by systemd itself, which starts the units as they
//! are and enforces all that they say. Once without it, with strace to see what is asked of the kernel: what the
//! seccomp filters would refuse is looked for in all of it (system calls, address families, namespaces, memory that can
//! be executed).

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use super::iscsi_daemons::{SUPERVISE, Supervisor};
use super::iscsi_sessions::{IQN, PORTAL, nothing_left, text, verified_io, wait_for_state};
use super::recovery::{kernel_id, leave_create_unsent, recovered};
use crate::case::{Case, Tier};
use crate::ctx::Ctx;
use crate::ctx::lio::LioTarget;
use crate::systemd::Systemd;
use crate::unit_calls::{refused, values};

/// The cases of this file.
pub const CASES: &[Case] =
    &[Case { name: "units::started_by_systemd", tier: Tier::Full, limit_s: 300, run: started_by_systemd }];

/// Those that run with strace.
pub const LONG: &[Case] = &[
    Case { name: "units::a_lost_session_comes_back", tier: Tier::Full, limit_s: 300, run: session },
    Case { name: "units::pending_changes_are_recovered", tier: Tier::Full, limit_s: 300, run: recover },
];

const ISCSI: &str = include_str!("../../../docs/thinvol-iscsi.service");
const RECOVER: &str = include_str!("../../../docs/thinvol-recover.service");

const MONITOR: &str = include_str!("../../../docs/thinvol-monitor.service");

/// The line of shell that restricts itself as a unit says and becomes the program that the unit starts. What a unit
/// says otherwise than is meant here makes it fail.
fn restricted(ctx: &Ctx, unit: &str) -> Result<String> {
    let fixed = [
        ("ProtectSystem", "full"),
        ("ProtectHome", "yes"),
        ("ProtectControlGroups", "yes"),
        ("NoNewPrivileges", "yes"),
        ("UMask", "0077"),
        ("LimitCORE", "0"),
        ("RestrictNamespaces", "yes"),
        ("MemoryDenyWriteExecute", "yes"),
        ("RestrictSUIDSGID", "yes"),
        ("RestrictRealtime", "yes"),
    ];
    for (key, value) in fixed {
        ensure!(values(unit, key) == [value], "{key} is {:?}", values(unit, key));
    }
    let mut line = String::from("set -e; read_only() { mount --bind $1 $1; mount -o remount,bind,ro $1; }; ");
    line.push_str("for dir in /usr /boot /etc /sys/fs/cgroup; do [ ! -d $dir ] || read_only $dir; done; ");
    line.push_str("for dir in /home /root; do [ ! -d $dir ] || mount -t tmpfs -o mode=0 none $dir; done; ");
    for path in values(unit, "ReadWritePaths") {
        let path = path.trim_start_matches('-');
        line.push_str(&format!("mount --bind {path} {path}; mount -o remount,bind,rw {path}; "));
    }
    let kept: Vec<String> = values(unit, "CapabilityBoundingSet")
        .into_iter()
        .map(|name| format!("+{}", name.trim_start_matches("CAP_").to_ascii_lowercase()))
        .collect();
    ensure!(!kept.is_empty(), "the unit keeps all capabilities");
    let command = values(unit, "ExecStart").join(" ");
    let command = command.strip_prefix("/usr/local/sbin/").context("another program")?;
    line.push_str("umask 0077; ulimit -c 0; ");
    line.push_str(&format!(
        "exec setpriv --no-new-privs --inh-caps=-all --bounding-set=-all,{} \
         strace --daemonize --follow-forks --output={} {command}",
        kept.join(","),
        trace(ctx).display()
    ));
    Ok(line)
}

/// The file with the system calls of the program.
fn trace(ctx: &Ctx) -> PathBuf {
    ctx.dir().join("calls")
}

/// The filters of the unit let pass all that the program has asked for, and it has asked for something.
fn nothing_is_filtered(ctx: &Ctx, unit: &str) -> Result<()> {
    let deadline = Instant::now() + Duration::from_secs(30);
    let calls = loop {
        // strace, which is no child of the program nor its parent, writes of its end when it has come.
        let calls = fs::read_to_string(trace(ctx))?;
        if calls.trim_end().ends_with("+++") {
            break calls;
        }
        ensure!(Instant::now() < deadline, "strace sees no end: {:?}", calls.lines().last());
        std::thread::sleep(Duration::from_millis(50));
    };
    ensure!(calls.contains("execve(") && calls.contains("ioctl("), "strace has seen {} bytes", calls.len());
    let refused = refused(unit, &calls);
    ensure!(
        refused.is_empty(),
        "the unit's filters would refuse {} calls: {:?}",
        refused.len(),
        refused.first()
    );
    Ok(())
}

/// The command that does that apart from the mounts of the machine.
fn apart(line: &str) -> [&str; 7] {
    ["unshare", "--mount", "--propagation", "slave", "sh", "-c", line]
}

/// A connection is lost and replaced, with CHAP and without a name to be looked up, by a supervisor that is restricted.
fn session(ctx: &Ctx) -> Result<()> {
    let line = restricted(ctx, ISCSI)?;
    ensure!(line.ends_with(&SUPERVISE.join(" ")), "{line}");
    let (target, file) = target(ctx)?;
    let supervisor = Supervisor::start_as(ctx, &apart(&line))?;
    is_restricted(&fs::read_to_string(format!("/proc/{}/status", supervisor.pid()))?)?;
    let mounts = fs::read_to_string(format!("/proc/{}/mounts", supervisor.pid()))?;
    let is_read_only = |line: &str| line.contains(" /etc ") && line.contains(" ro");
    ensure!(mounts.lines().any(is_read_only), "{mounts}");
    comes_back(ctx, &target, &file)?;
    nothing_was_refused(&fs::read_to_string(ctx.dir().join("supervisor.log"))?)?;
    drop(supervisor);
    nothing_is_filtered(ctx, ISCSI)?;
    nothing_left()
}

/// The output of the programs.
fn nothing_was_refused(log: &str) -> Result<()> {
    print!("{log}");
    ensure!(!log.contains("not permitted") && !log.contains("denied"), "something was refused: {log}");
    Ok(())
}

/// Logs in, has the connection lost and replaced twice, finds a LUN that comes, and logs out.
fn comes_back(ctx: &Ctx, target: &LioTarget, chap: &Path) -> Result<()> {
    let login = format!("--portal {PORTAL} --target {IQN} --chap-file {}", chap.display());
    let answer = ctx.iscsi_login(&login)?;
    let disk = text(&answer, "/sessions/0/luns/0/device")?.to_owned();
    for _ in 0..2 {
        verified_io(ctx, &disk)?;
        target.enable(false)?;
        wait_for_state("FAILED")?;
        target.enable(true)?;
        wait_for_state("LOGGED_IN")?;
    }
    verified_io(ctx, &disk)?;
    // LUNs that come are found, which asks more of the kernel than a connection.
    target.add_lun(1, &ctx.backstore("b", 16 << 20, 0x9a)?)?;
    ctx.thinvol_ok("iscsi rescan")?;
    ctx.iscsi_logout()
}

/// A target that demands CHAP, and the file that has it.
fn target(ctx: &Ctx) -> Result<(LioTarget, PathBuf)> {
    let target = ctx.target(IQN, &[PORTAL])?;
    target.add_lun(0, &ctx.backstore("a", 64 << 20, 0x99)?)?;
    target.demand_chap(("user1", "secretsecret1"), None)?;
    let file = ctx.dir().join("chap");
    fs::write(&file, "user = user1\nsecret = secretsecret1\n")?;
    ctx.ok(&format!("chmod 600 {}", file.display()))?;
    Ok((target, file))
}

/// That the restrictions hold, so that the case shows something.
fn is_restricted(status: &str) -> Result<()> {
    let field = |name: &str| {
        let value = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(":\t"));
        value.with_context(|| format!("no {name} in {status}"))
    };
    let bounding = u64::from_str_radix(field("CapBnd")?, 16)?;
    ensure!(bounding != 0 && u64::from_str_radix(field("CapEff")?, 16)? == bounding, "{status}");
    // CAP_SYS_BOOT and CAP_SETUID; Linux include/uapi/linux/capability.h.
    ensure!(bounding & (1 << 22 | 1 << 7) == 0, "{status}");
    ensure!(field("NoNewPrivs")? == "1", "{status}");
    Ok(())
}

/// A message that was not sent is sent, and lvm2's copies of the metadata are written.
fn recover(ctx: &Ctx) -> Result<()> {
    let line = restricted(ctx, RECOVER)?;
    let (vg, before) = leave_create_unsent(ctx)?;
    let done = ctx.run(&apart(&line))?;
    ensure!(done.status == 0 && done.stderr.is_empty(), "{done:?}");
    nothing_is_filtered(ctx, RECOVER)?;
    is_recovered(ctx, vg, before)
}

fn is_recovered(ctx: &Ctx, vg: &str, before: u64) -> Result<()> {
    ensure!(kernel_id(ctx, vg)? == before + 1, "it was not recovered");
    let number = ctx.fact(vg, "vg_seqno")?;
    let number = number.split_whitespace().next().context("no number")?.to_owned();
    let copy = fs::read_to_string(format!("/etc/lvm/backup/{vg}"))?;
    ensure!(copy.contains(&format!("seqno = {number}\n")), "the copy is not of metadata {number}");
    ctx.change(&format!("activate {vg}/vm-100-disk-1"))?;
    recovered(ctx, vg)?;
    Ok(())
}

/// systemd starts each unit as it is; what the unit is for is done, and nothing was refused.
fn started_by_systemd(ctx: &Ctx) -> Result<()> {
    let systemd = Systemd::start(ctx, &[("recover", RECOVER), ("iscsi", ISCSI), ("monitor", MONITOR)])?;
    let (vg, before) = leave_create_unsent(ctx)?;
    systemd.ctl("start thinvol-recover.service")?;
    is_recovered(ctx, vg, before)?;
    let (target, file) = target(ctx)?;
    systemd.ctl("start thinvol-iscsi.service")?;
    is_restricted(&systemd.status_of("iscsi")?)?;
    comes_back(ctx, &target, &file)?;
    systemd.ctl("stop thinvol-iscsi.service")?;
    systemd.ctl("start thinvol-monitor.service")?;
    is_restricted(&systemd.status_of("monitor")?)?;
    systemd.ctl("stop thinvol-monitor.service")?;
    nothing_was_refused(&systemd.logs()?)?;
    nothing_left()
}
