//! Beside iscsid, and under the supervisor.

use std::fs;
use std::io::ErrorKind;
use std::net::TcpListener;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixListener};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use nix::sys::signal::{Signal, kill};
use nix::sys::socket::{AddressFamily, NetlinkAddr, SockFlag, SockProtocol, SockType, bind, socket};
use nix::unistd::Pid;
use serde_json::Value;

use super::iscsi_sessions::{IQN, PATIENT, PORTAL, class, nothing_left, text, verified_io, wait_for_state};
use crate::case::{Case, Tier};
use crate::ctx::Ctx;

/// Removes open-iscsi's records of nodes, which are elsewhere since Debian 13.
const FORGET_NODES: &str = "rm -r $(ls -d /etc/iscsi/nodes /var/lib/iscsi/nodes 2>/dev/null)";

/// The cases of this file.
pub const CASES: &[Case] = &[Case {
    name: "iscsi_daemons::sessions_of_iscsid_stay_its_own",
    tier: Tier::Full,
    limit_s: 400,
    run: theirs,
}];

/// Those that wait for much.
pub const LONG: &[Case] = &[
    Case {
        name: "iscsi_daemons::iscsid_leaves_our_sessions_alone",
        tier: Tier::Full,
        limit_s: 400,
        run: beside,
    },
    Case {
        name: "iscsi_daemons::an_iscsid_that_its_socket_starts",
        tier: Tier::Full,
        limit_s: 300,
        run: activated,
    },
    Case {
        name: "iscsi_daemons::where_somebody_holds_the_address",
        tier: Tier::Full,
        limit_s: 300,
        run: address_held,
    },
    Case {
        name: "iscsi_daemons::the_supervisor_brings_sessions_back",
        tier: Tier::Full,
        limit_s: 400,
        run: back,
    },
    Case { name: "iscsi_daemons::the_supervisor_may_be_killed", tier: Tier::Full, limit_s: 400, run: killed },
    Case { name: "iscsi_daemons::io_waits_and_then_fails", tier: Tier::Full, limit_s: 300, run: timeout },
];

/// How a supervisor is started.
pub const SUPERVISE: [&str; 4] = ["thinvol", "iscsi", "supervise", "-v"];

/// A supervisor that runs beside the case; it is killed when this is dropped.
pub struct Supervisor(Child);

impl Supervisor {
    /// Starts it, and waits until it supervises.
    pub fn start(ctx: &Ctx) -> Result<Self> {
        Self::start_as(ctx, &SUPERVISE)
    }

    /// The same by a command of the caller's, which becomes [`SUPERVISE`].
    pub fn start_as(ctx: &Ctx, command: &[&str]) -> Result<Self> {
        let log = fs::OpenOptions::new().create(true).append(true).open(ctx.dir().join("supervisor.log"))?;
        println!("$ {} &", command.join(" "));
        let (program, arguments) = command.split_first().context("an empty command")?;
        let child = Command::new(program)
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()?;
        let this = Self(child);
        let deadline = Instant::now() + Duration::from_secs(60);
        // It is there when its lock is taken. Asking a second supervisor could make that one the first.
        // Whoever asks holds the lock for an instant, as logins do: the supervisor waits that out.
        while ctx.sh("flock -n /run/thinvol/iscsi/supervisor.lock true")?.status != 1 {
            let log = ctx.dir().join("supervisor.log");
            ensure!(Instant::now() < deadline, "it does not start: {}", fs::read_to_string(log)?);
            std::thread::sleep(Duration::from_millis(200));
        }
        // And it is the only one.
        ensure!(ctx.thinvol("iscsi supervise")?.status == 4);
        Ok(this)
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.0.id()
    }

    fn signal(&mut self, signal: Signal) -> Result<Option<i32>> {
        kill(Pid::from_raw(i32::try_from(self.0.id())?), signal)?;
        Ok(self.0.wait()?.code())
    }
}

impl Drop for Supervisor {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The local port of the one connection there is to that port: another one means another login.
pub fn local_port(ctx: &Ctx, to: u16) -> Result<String> {
    let shown = ctx.ok(&format!("ss -Htn state established dport = :{to}"))?;
    let port = |line: &str| line.split_whitespace().nth(2).map(str::to_owned);
    let mut ports: Vec<String> = shown.lines().filter_map(port).collect();
    match (ports.pop(), ports.is_empty()) {
        (Some(port), true) => Ok(port),
        _ => bail!("not exactly one connection: {shown}"),
    }
}

/// iscsid runs, is stopped and started again around a session of ours, and never touches it.
fn beside(ctx: &Ctx) -> Result<()> {
    let store = ctx.backstore("a", 32 << 20, 0xf1)?;
    let target = ctx.target(IQN, &[PORTAL])?;
    target.add_lun(0, &store)?;
    let daemon = ctx.iscsid()?;
    let answer = ctx.iscsi_login(&format!("--portal {PORTAL} --target {IQN}"))?;
    let note = answer["notes"][0].as_str().context("auto says which way it took")?;
    ensure!(note.contains("natively") && note.contains(&daemon.pid().to_string()), "{note}");
    let disk = text(&answer, "/sessions/0/luns/0/device")?.to_owned();
    let port = local_port(ctx, 3260)?;
    // iscsiadm sees it, and sees that it is there.
    ensure!(ctx.ok("iscsiadm -m session")?.contains(IQN));
    ctx.ok(&format!("iscsiadm -m discovery -t sendtargets -p {PORTAL}"))?;
    let login = ctx.run(&["iscsiadm", "-m", "node", "-T", IQN, "-p", PORTAL, "--login"])?;
    ensure!(login.status == 15, "{login:?}");
    drop(daemon);
    verified_io(ctx, &disk)?;
    let again = ctx.iscsid()?;
    // What it finds at its start it takes over at once.
    std::thread::sleep(Duration::from_secs(5));
    ensure!(local_port(ctx, 3260)? == port, "iscsid has logged in anew");
    verified_io(ctx, &disk)?;
    ensure!(target.sessions()?.len() == 1, "{:?}", target.sessions()?);
    // Through iscsid, it is there already.
    let via: Value = serde_json::from_str(&ctx.thinvol_ok(&format!(
        "iscsi login --json {PATIENT} --via iscsiadm --portal {PORTAL} --target {IQN}"
    ))?)?;
    ensure!(class("iscsi_session").len() == 1, "{via}");
    ctx.iscsi_logout()?;
    drop(again);
    nothing_left()
}

/// Where iscsid is started by its socket, thinvol does not wake it; woken by iscsiadm, it leaves our session alone.
fn activated(ctx: &Ctx) -> Result<()> {
    let store = ctx.backstore("a", 32 << 20, 0xf6)?;
    let target = ctx.target(IQN, &[PORTAL])?;
    target.add_lun(0, &store)?;
    let address = SocketAddr::from_abstract_name("ISCSIADM_ABSTRACT_NAMESPACE")?;
    let socket = UnixListener::bind_addr(&address)?;
    socket.set_nonblocking(true)?;
    let answer = ctx.iscsi_login(&format!("--portal {PORTAL} --target {IQN}"))?;
    let note = answer["notes"][0].as_str().context("auto says which way it took")?;
    ensure!(note.contains("started by its socket"), "{note}");
    let woken = socket.accept();
    ensure!(woken.is_err_and(|error| error.kind() == ErrorKind::WouldBlock), "iscsid was woken");
    let disk = text(&answer, "/sessions/0/luns/0/device")?.to_owned();
    let port = local_port(ctx, 3260)?;

    // As a service manager does it: the daemon finds the socket as its fourth file, and its name in the environment.
    socket.set_nonblocking(false)?;
    let mut daemon = Command::new("sh")
        .args(["-c", "exec 3<&0 </dev/null; LISTEN_PID=$$ LISTEN_FDS=1 exec iscsid -f"])
        .stdin(Stdio::from(OwnedFd::from(socket)))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .process_group(0)
        .spawn()?;
    let outcome = (|| {
        ctx.ok(&format!("iscsiadm -m discovery -t sendtargets -p {PORTAL}"))?;
        // What it finds at its start it takes over at once.
        std::thread::sleep(Duration::from_secs(5));
        ensure!(local_port(ctx, 3260)? == port, "iscsid has logged in anew");
        verified_io(ctx, &disk)?;
        ensure!(target.sessions()?.len() == 1, "{:?}", target.sessions()?);
        ctx.iscsi_logout()?;
        ctx.ok("iscsiadm -m node -o delete")?;
        nothing_left()
    })();
    daemon.kill()?;
    daemon.wait()?;
    outcome
}

/// A session of iscsid's is used, never recovered nor ended natively.
fn theirs(ctx: &Ctx) -> Result<()> {
    let store = ctx.backstore("a", 32 << 20, 0xf2)?;
    let target = ctx.target(IQN, &[PORTAL])?;
    target.add_lun(0, &store)?;
    let daemon = ctx.iscsid()?;
    let login = format!("iscsi login --json {PATIENT} --portal {PORTAL} --target {IQN}");
    let answer: Value = serde_json::from_str(&ctx.thinvol_ok(&format!("{login} --via iscsiadm"))?)?;
    ensure!(text(&answer, "/sessions/0/via")? == "iscsiadm", "{answer}");
    ensure!(text(&answer, "/sessions/0/owner")? == "other", "{answer}");
    ensure!(text(&answer, "/sessions/0/luns/0/wwid")? == store.wwid, "{answer}");
    let answer: Value = serde_json::from_str(&ctx.thinvol_ok(&login)?)?;
    ensure!(text(&answer, "/sessions/0/outcome")? == "already_there", "{answer}");
    let ran = ctx.thinvol(&format!("iscsi logout --target {IQN} --via native"))?;
    ensure!(ran.status == 1 && ran.stderr.contains("another program"), "{ran:?}");
    ctx.thinvol_ok("iscsi logout --all")?;
    ensure!(class("iscsi_session").len() == 1, "'--all' means ours");
    // In use, it is not ended by way of iscsiadm either.
    let used = fs::File::open(text(&answer, "/sessions/0/luns/0/device")?)?;
    let ran = ctx.thinvol(&format!("iscsi logout --target {IQN} {PATIENT}"))?;
    ensure!(ran.status == 4 && ran.stderr.contains(&std::process::id().to_string()), "{ran:?}");
    drop(used);
    // Also where its record of the node is gone.
    ctx.shell(FORGET_NODES)?;
    let ran = ctx.thinvol_ok(&format!("iscsi logout --json --target {IQN} {PATIENT}"))?;
    ensure!(ran.contains("\"via\": \"iscsiadm\""), "{ran}");
    ensure!(class("iscsi_session").is_empty());

    // Somebody else ends it at the same moment: iscsiadm says that there is no such session, which is what was wanted.
    ctx.thinvol_ok(&format!("{login} --via iscsiadm"))?;
    let twice = ctx.dir().join("iscsiadm");
    fs::write(
        &twice,
        "#!/bin/sh\n/sbin/iscsiadm \"$@\"\n/sbin/iscsiadm \"$@\"\ncode=$?\necho ended with $code >&2\nexit $code\n",
    )?;
    ctx.ok(&format!("chmod 755 {}", twice.display()))?;
    let path = format!("PATH={}:$PATH", ctx.dir().display());
    let ran = ctx.sh(&format!("{path} thinvol -vv iscsi logout --target {IQN} {PATIENT}"))?;
    ensure!(ran.status == 0 && ran.stderr.contains("status=22"), "{ran:?}");
    drop(daemon);
    nothing_left()
}

/// Another program holds the address from which native sessions are made: auto goes by iscsid and says why, and native
/// says what is wrong.
fn address_held(ctx: &Ctx) -> Result<()> {
    let store = ctx.backstore("a", 32 << 20, 0xf7)?;
    let target = ctx.target(IQN, &[PORTAL])?;
    target.add_lun(0, &store)?;
    let daemon = ctx.iscsid()?;
    let holder =
        socket(AddressFamily::Netlink, SockType::Raw, SockFlag::SOCK_CLOEXEC, SockProtocol::NetlinkISCSI)?;
    bind(holder.as_raw_fd(), &NetlinkAddr::new(u32::MAX, 0))?;
    let login = format!("iscsi login {PATIENT} --portal {PORTAL} --target {IQN}");
    let ran = ctx.thinvol(&format!("{login} --via native"))?;
    ensure!(ran.status == 4 && ran.stderr.contains("--via iscsiadm goes another way"), "{ran:?}");
    nothing_left()?;
    let answer: Value = serde_json::from_str(&ctx.thinvol_ok(&format!("{login} --json"))?)?;
    ensure!(text(&answer, "/sessions/0/via")? == "iscsiadm", "{answer}");
    ensure!(text(&answer, "/notes/0")?.contains("another program holds the address"), "{answer}");
    verified_io(ctx, text(&answer, "/sessions/0/luns/0/device")?)?;
    ctx.thinvol_ok(&format!("iscsi logout --target {IQN} {PATIENT}"))?;
    nothing_left()?;
    // Without iscsid there is no other way.
    drop(daemon);
    ctx.shell(FORGET_NODES)?;
    let ran = ctx.thinvol(&login)?;
    ensure!(ran.status != 0 && ran.stderr.contains("iscsiadm did not"), "{ran:?}");
    nothing_left()?;
    drop(holder);
    ctx.thinvol_ok(&login)?;
    ctx.iscsi_logout()?;
    nothing_left()
}

/// A connection is lost under I/O, and the target is away for a while: the I/O waits and is whole afterwards.
fn back(ctx: &Ctx) -> Result<()> {
    let store = ctx.backstore("a", 64 << 20, 0xf3)?;
    let target = ctx.target(IQN, &[PORTAL])?;
    target.add_lun(0, &store)?;
    let mut supervisor = Supervisor::start(ctx)?;
    let answer = ctx.iscsi_login(&format!("--portal {PORTAL} --target {IQN}"))?;
    ensure!(answer["warnings"].as_array().is_some_and(Vec::is_empty), "somebody supervises: {answer}");
    let disk = text(&answer, "/sessions/0/luns/0/device")?.to_owned();
    std::thread::scope(|scope| {
        let io = scope.spawn(|| verified_io(ctx, &disk));
        for _ in 0..3 {
            std::thread::sleep(Duration::from_millis(700));
            target.enable(false)?;
            std::thread::sleep(Duration::from_millis(300));
            target.enable(true)?;
            wait_for_state("LOGGED_IN")?;
        }
        io.join().map_err(|_| anyhow::anyhow!("the I/O panicked"))?
    })?;
    // Away for longer than some tries.
    target.enable(false)?;
    wait_for_state("FAILED")?;
    std::thread::sleep(Duration::from_secs(5));
    target.enable(true)?;
    wait_for_state("LOGGED_IN")?;
    verified_io(ctx, &disk)?;
    // One connection, one session at the target.
    ensure!(target.sessions()?.len() == 1, "{:?}", target.sessions()?);
    ctx.iscsi_logout()?;
    ensure!(supervisor.signal(Signal::SIGTERM)? == Some(0));
    print!("{}", fs::read_to_string(ctx.dir().join("supervisor.log"))?);
    nothing_left()
}

/// After the replacement timeout I/O fails; when the target comes back, the device works again.
fn timeout(ctx: &Ctx) -> Result<()> {
    let store = ctx.backstore("a", 64 << 20, 0xf4)?;
    let target = ctx.target(IQN, &[PORTAL])?;
    target.add_lun(0, &store)?;
    let _supervisor = Supervisor::start(ctx)?;
    let answer = ctx.iscsi_login(&format!("--portal {PORTAL} --target {IQN} --replacement-timeout 5"))?;
    let disk = text(&answer, "/sessions/0/luns/0/device")?.to_owned();
    target.enable(false)?;
    wait_for_state("FAILED")?;
    let started = Instant::now();
    let write =
        ctx.run(&["dd", "if=/dev/zero", &format!("of={disk}"), "bs=4k", "count=1", "oflag=direct"])?;
    let took = started.elapsed();
    ensure!(write.status != 0, "a write without a target succeeded");
    ensure!(took > Duration::from_secs(2) && took < Duration::from_secs(60), "it failed after {took:?}");
    target.enable(true)?;
    wait_for_state("LOGGED_IN")?;
    verified_io(ctx, &disk)?;
    ctx.iscsi_logout()?;
    nothing_left()
}

/// A supervisor that is killed leaves sessions as they are; the next one goes on where it was.
fn killed(ctx: &Ctx) -> Result<()> {
    let store = ctx.backstore("a", 64 << 20, 0xf5)?;
    let target = ctx.target(IQN, &[PORTAL])?;
    target.add_lun(0, &store)?;
    let mut supervisor = Supervisor::start(ctx)?;
    let answer = ctx.iscsi_login(&format!("--portal {PORTAL} --target {IQN}"))?;
    let disk = text(&answer, "/sessions/0/luns/0/device")?.to_owned();
    let port = local_port(ctx, 3260)?;
    supervisor.signal(Signal::SIGKILL)?;
    verified_io(ctx, &disk)?;
    ensure!(local_port(ctx, 3260)? == port, "the session was disturbed");
    let mut supervisor = Supervisor::start(ctx)?;
    ensure!(local_port(ctx, 3260)? == port, "the session was disturbed");
    // Killed while it tries to bring a session back.
    target.enable(false)?;
    wait_for_state("FAILED")?;
    std::thread::sleep(Duration::from_millis(300));
    supervisor.signal(Signal::SIGKILL)?;
    // Somebody listens there, takes the connection and says nothing: no login gets anywhere.
    target.remove_portal(PORTAL)?;
    let silent = TcpListener::bind(PORTAL)?;
    let mut supervisor = Supervisor::start(ctx)?;
    drop(silent.accept()?);
    supervisor.signal(Signal::SIGKILL)?;
    drop(silent);
    target.add_portal(PORTAL)?;
    target.enable(true)?;
    let _supervisor = Supervisor::start(ctx)?;
    wait_for_state("LOGGED_IN")?;
    verified_io(ctx, &disk)?;
    ctx.iscsi_logout()?;
    nothing_left()
}
