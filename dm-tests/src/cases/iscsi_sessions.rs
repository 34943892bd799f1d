//! Sessions by the kernel's interface: login, I/O, logout, and what goes wrong with them.

use std::fs;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::case::{Case, Tier};
use crate::ctx::{Ctx, Ran};

/// A partition table's entry of type Linux, 8 MiB from the first megabyte on, three empty ones, and the mark at the end
/// of the sector.
const PARTITION: &str = concat!(
    r"\0\0\0\0\203\0\0\0\0\010\0\0\0\100\0\0",
    r"\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0",
    r"\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0",
    r"\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0",
    r"\125\252",
);

/// The cases of this file.
pub const CASES: &[Case] = &[
    Case { name: "iscsi_sessions::login_io_logout", tier: Tier::Full, limit_s: 240, run: login_io_logout },
    Case { name: "iscsi_sessions::what_fails_leaves_nothing", tier: Tier::Full, limit_s: 300, run: failures },
    Case {
        name: "iscsi_sessions::a_used_lun_keeps_its_session",
        tier: Tier::Full,
        limit_s: 300,
        run: in_use,
    },
    Case {
        name: "iscsi_sessions::a_dead_session_ends_in_seconds",
        tier: Tier::Full,
        limit_s: 240,
        run: dead,
    },
    Case { name: "iscsi_sessions::digests_and_ipv6", tier: Tier::Full, limit_s: 240, run: digests },
    Case {
        name: "iscsi_sessions::another_network_namespace",
        tier: Tier::Full,
        limit_s: 200,
        run: namespace,
    },
    Case { name: "iscsi_sessions::several_portals", tier: Tier::Full, limit_s: 300, run: portals },
];

/// Those that take longer.
pub const LONG: &[Case] =
    &[Case { name: "iscsi_sessions::thirty_two_at_once", tier: Tier::Full, limit_s: 420, run: many }];

/// Where targets of cases listen.
pub const PORTAL: &str = "127.0.0.1:3260";

/// The target of most cases.
pub const IQN: &str = "iqn.2025-01.test:a";

/// A time limit that emulation keeps.
pub const PATIENT: &str = "--timeout 120";

impl Ctx {
    /// Logs in with more arguments; returns the answer, or what it said if it failed.
    pub fn iscsi_login(&self, more: &str) -> Result<Value> {
        let text = self.thinvol_ok(&format!("iscsi login --json {PATIENT} {more}"))?;
        serde_json::from_str(&text).context("the answer is no JSON")
    }

    /// Logs out of everything that is thinvol's.
    pub fn iscsi_logout(&self) -> Result<()> {
        self.thinvol_ok(&format!("iscsi logout --all {PATIENT}")).map(drop)
    }
}

/// A text in an answer, by its place.
pub fn text<'a>(answer: &'a Value, place: &str) -> Result<&'a str> {
    answer.pointer(place).and_then(Value::as_str).with_context(|| format!("no text at {place} of {answer}"))
}

/// The names of what a class of sysfs has.
pub fn class(name: &str) -> Vec<String> {
    let entries = fs::read_dir(format!("/sys/class/{name}")).into_iter().flatten().flatten();
    entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
}

/// Nothing of iSCSI is in the kernel, and nothing in the registry but locks.
pub fn nothing_left() -> Result<()> {
    for name in ["iscsi_session", "iscsi_connection", "iscsi_host"] {
        ensure!(class(name).is_empty(), "{name}: {:?}", class(name));
    }
    let records = fs::read_dir("/run/thinvol/iscsi").into_iter().flatten().flatten();
    let records: Vec<_> = records.map(|e| e.file_name().to_string_lossy().into_owned()).collect();
    ensure!(records.iter().all(|name| name.ends_with(".lock")), "{records:?}");
    Ok(())
}

fn refused(ran: &Ran, status: i32, words: &[&str]) -> Result<()> {
    ensure!(ran.status == status, "status {} instead of {status}: {ran:?}", ran.status);
    for word in words {
        ensure!(ran.stderr.contains(word), "{word:?} is not said: {}", ran.stderr);
    }
    Ok(())
}

fn login_io_logout(ctx: &Ctx) -> Result<()> {
    let store = ctx.backstore("a", 64 << 20, 0xa1)?;
    let target = ctx.target(IQN, &[PORTAL])?;
    target.add_lun(0, &store)?;
    let answer = ctx.iscsi_login(&format!("--portal {PORTAL} --target {IQN}"))?;
    ensure!(
        text(&answer, "/sessions/0/outcome")? == "logged_in" && text(&answer, "/sessions/0/via")? == "native"
    );
    ensure!(text(&answer, "/sessions/0/owner")? == "thinvol");
    ensure!(text(&answer, "/sessions/0/luns/0/wwid")? == store.wwid);
    ensure!(text(&answer, "/sessions/0/luns/0/by_id/0")?.starts_with("scsi-36001405"), "{answer}");
    let by_path = format!("ip-{PORTAL}-iscsi-{IQN}-lun-0");
    ensure!(text(&answer, "/sessions/0/luns/0/by_path/0")? == by_path, "{answer}");
    ensure!(
        answer["notes"][0].as_str().is_some_and(|note| note.contains("iscsid is not running")),
        "{answer}"
    );
    ensure!(answer["warnings"][0].as_str().is_some_and(|text| text.contains("no supervisor")), "{answer}");
    ensure!(target.sessions()?.len() == 1, "{:?}", target.sessions()?);

    // iscsid is not there to be asked, and iscsiadm shows the session all the same.
    let shown = ctx.run(&["iscsiadm", "-m", "session"])?;
    ensure!(shown.stdout.contains(IQN), "{shown:?}");

    let disk = text(&answer, "/sessions/0/luns/0/device")?.to_owned();
    verified_io(ctx, &disk)?;
    let again =
        ctx.iscsi_login(&format!("--portal {PORTAL} --target {IQN} --lun 0 --wwid {}", store.wwid))?;
    ensure!(text(&again, "/sessions/0/outcome")? == "already_there", "{again}");
    // By another name for the same address.
    let named = ctx.iscsi_login(&format!("--portal localhost:3260 --target {IQN}"))?;
    ensure!(
        text(&named, "/sessions/0/outcome")? == "already_there" && class("iscsi_session").len() == 1,
        "{named}"
    );
    let text_form = ctx.thinvol_ok("iscsi sessions")?;
    ensure!(text_form.contains("logged in (thinvol), replacement timeout 120 s"), "{text_form}");
    ctx.thinvol_ok(&format!("iscsi logout --target {IQN} {PATIENT}"))?;
    ensure!(target.sessions()?.is_empty(), "the target was not told: {:?}", target.sessions()?);
    nothing_left()?;
    // That there is none is fine.
    ctx.thinvol_ok(&format!("iscsi logout --target {IQN}")).map(drop)
}

/// Writes with checksums and reads them back.
pub fn verified_io(ctx: &Ctx, disk: &str) -> Result<()> {
    let job = format!(
        "fio --name=v --filename={disk} --direct=1 --rw=randwrite --bs=16k --size=8m --ioengine=psync \
         --verify=crc32c --do_verify=1 --verify_fatal=1 --output-format=terse"
    );
    ctx.ok(&job).map(drop)
}

fn failures(ctx: &Ctx) -> Result<()> {
    let store = ctx.backstore("a", 16 << 20, 0xa2)?;
    let other = ctx.backstore("b", 16 << 20, 0xb2)?;
    let target = ctx.target(IQN, &[PORTAL])?;
    target.add_lun(0, &store)?;
    let login = |more: &str| ctx.thinvol(&format!("iscsi login {PATIENT} {more}"));
    let here = format!("--portal {PORTAL} --target {IQN}");
    refused(
        &login(&format!("--portal 127.0.0.1:3999 --target {IQN}"))?,
        4,
        &["cannot be reached", "refused"],
    )?;
    nothing_left()?;
    refused(
        &login(&format!("--portal {PORTAL} --target iqn.2025-01.test:none"))?,
        4,
        &["iqn.2025-01.test:none"],
    )?;
    nothing_left()?;
    refused(&login(&format!("{here} --lun 7"))?, 3, &["no LUN 7"])?;
    nothing_left()?;
    // A LUN that is another disk than the configured one.
    let wrong = format!("{here} --lun 0 --wwid {}", other.wwid);
    refused(&login(&wrong)?, 1, &[&store.wwid, &other.wwid])?;
    nothing_left()?;
    // Digests that the target does not do.
    target.parameter("HeaderDigest", "None")?;
    refused(&login(&format!("{here} --header-digest"))?, 1, &["status 02/00"])?;
    nothing_left()?;
    // A target that demands CHAP.
    target.demand_chap(("user1", "secretsecret1"), None)?;
    refused(&login(&here)?, 1, &["CHAP"])?;
    nothing_left()?;
    target.attribute("authentication", "0")?;
    // A portal that takes connections and says nothing.
    let silent = std::net::TcpListener::bind("127.0.0.1:3270")?;
    let started = Instant::now();
    let ran = ctx.thinvol(&format!("iscsi login --timeout 3 --portal 127.0.0.1:3270 --target {IQN}"))?;
    refused(&ran, 4, &["time limit of 3.0 s"])?;
    ensure!(started.elapsed() < Duration::from_secs(20), "{:?}", started.elapsed());
    drop(silent);
    nothing_left()?;
    nothing_left()
}

/// The kernel's interface does not reach into other network namespaces: the error says so, with a hint.
fn namespace(ctx: &Ctx) -> Result<()> {
    const THERE: &str = "10.99.0.1:3260";
    let target = ctx.target(IQN, &[])?;
    target.add_lun(0, &ctx.backstore("a", 16 << 20, 0xa7)?)?;
    // The namespace reaches the target, so nothing but the interface is missing there.
    for line in [
        "ip netns add inside",
        "ip link add outer type veth peer name inner netns inside",
        "ip address add 10.99.0.1/24 dev outer",
        "ip link set outer up",
        "ip -n inside address add 10.99.0.2/24 dev inner",
        "ip -n inside link set inner up",
        "ip -n inside link set lo up",
    ] {
        ctx.ok(line)?;
    }
    target.add_portal(THERE)?;
    let outcome = (|| {
        let login = format!("thinvol iscsi login {PATIENT} --portal {THERE} --target {IQN}");
        let found = ctx.ok(&format!("ip netns exec inside thinvol iscsi discover {THERE}"))?;
        ensure!(found.contains(IQN), "discovery needs no interface of the kernel's: {found}");
        let ran = ctx.sh(&format!("ip netns exec inside {login}"))?;
        refused(&ran, 7, &["network namespace", "nsenter --target 1 --net"])?;
        nothing_left()?;
        // As the hint says.
        ctx.ok(&format!("ip netns exec inside nsenter --target 1 --net {login}"))?;
        ctx.iscsi_logout()?;
        nothing_left()
    })();
    target.remove_portal(THERE)?;
    ctx.ok("ip netns delete inside")?;
    outcome
}

fn in_use(ctx: &Ctx) -> Result<()> {
    let store = ctx.backstore("a", 64 << 20, 0xa3)?;
    let target = ctx.target(IQN, &[PORTAL])?;
    target.add_lun(1, &store)?;
    let answer = ctx.iscsi_login(&format!("--portal {PORTAL} --target {IQN} --lun 1"))?;
    let disk = text(&answer, "/sessions/0/luns/0/device")?.to_owned();
    let logout = || ctx.thinvol(&format!("iscsi logout --target {IQN} {PATIENT}"));

    ctx.ok(&format!("mkfs.ext4 -q -F {disk}"))?;
    let mount = ctx.dir().join("mnt");
    fs::create_dir(&mount)?;
    let mount = mount.display().to_string();
    ctx.ok(&format!("mount {disk} {mount}"))?;
    refused(&logout()?, 4, &["LUN 1", &mount])?;
    ctx.ok(&format!("umount {mount}"))?;

    let file = fs::File::open(&disk)?;
    refused(&logout()?, 4, &[&format!("process {}", std::process::id())])?;
    drop(file);

    let sectors = ctx.ok(&format!("blockdev --getsz {disk}"))?;
    let table = format!("0 {} linear {disk} 0", sectors.trim());
    ensure!(ctx.run(&["dmsetup", "create", "on-lun", "--table", &table])?.status == 0);
    refused(&logout()?, 4, &["on-lun"])?;
    ctx.ok("dmsetup remove on-lun")?;

    ctx.shell(&format!(
        "printf '{PARTITION}' | dd of={disk} bs=1 seek=446 conv=notrunc,fsync status=none; \
         blockdev --rereadpt {disk}"
    ))?;
    ctx.ok("udevadm settle")?;
    ctx.ok(&format!("mkfs.ext4 -q -F {disk}1"))?;
    ctx.ok(&format!("mount {disk}1 {mount}"))?;
    refused(&logout()?, 4, &[&mount])?;
    ctx.ok(&format!("umount {mount}"))?;
    ctx.ok("udevadm settle")?;

    // Refusals have changed nothing.
    verified_io(ctx, &disk)?;
    let ran = logout()?;
    ensure!(ran.status == 0, "{ran:?}");
    nothing_left()
}

fn dead(ctx: &Ctx) -> Result<()> {
    let store = ctx.backstore("a", 16 << 20, 0xa4)?;
    let target = ctx.target(IQN, &[PORTAL])?;
    target.add_lun(0, &store)?;
    ctx.iscsi_login(&format!("--portal {PORTAL} --target {IQN}"))?;
    target.enable(false)?;
    wait_for_state("FAILED")?;
    let started = Instant::now();
    ctx.iscsi_logout()?;
    // Not after the replacement timeout of two minutes.
    ensure!(started.elapsed() < Duration::from_secs(40), "{:?}", started.elapsed());
    nothing_left()?;
    // A lost connection is made again by the next login, with the same session and device.
    target.enable(true)?;
    let first = ctx.iscsi_login(&format!("--portal {PORTAL} --target {IQN}"))?;
    target.enable(false)?;
    wait_for_state("FAILED")?;
    target.enable(true)?;
    let second = ctx.iscsi_login(&format!("--portal {PORTAL} --target {IQN}"))?;
    ensure!(text(&second, "/sessions/0/outcome")? == "recovered", "{second}");
    ensure!(first.pointer("/sessions/0/session") == second.pointer("/sessions/0/session"));
    verified_io(ctx, text(&second, "/sessions/0/luns/0/device")?)?;
    ctx.iscsi_logout()?;
    nothing_left()
}

/// Waits until the first session is in this state.
pub fn wait_for_state(state: &str) -> Result<()> {
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        let session = class("iscsi_session").first().cloned().context("there is no session")?;
        let now = fs::read_to_string(format!("/sys/class/iscsi_session/{session}/state"))?;
        if now.trim() == state {
            return Ok(());
        }
        ensure!(Instant::now() < deadline, "{session} is {now}, not {state}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

fn digests(ctx: &Ctx) -> Result<()> {
    let store = ctx.backstore("a", 64 << 20, 0xa5)?;
    let target = ctx.target(IQN, &[PORTAL, "[::1]:3260"])?;
    target.add_lun(0, &store)?;
    let more = "--header-digest --data-digest --replacement-timeout 17 --ping-interval 7 --ping-timeout 9";
    let answer = ctx.iscsi_login(&format!("--portal [::1]:3260 --target {IQN} {more}"))?;
    let session = &answer["sessions"][0];
    ensure!(session["header_digest"] == true && session["data_digest"] == true, "{session}");
    let timeouts = &session["timeouts"];
    ensure!(
        timeouts["replacement"] == 17 && timeouts["ping_interval"] == 7 && timeouts["ping"] == 9,
        "{timeouts}"
    );
    ensure!(session["portal"] == "[::1]:3260", "{session}");
    let disk = text(&answer, "/sessions/0/luns/0/device")?.to_owned();
    let stable = disk.replace("/dev/", "/sys/block/") + "/queue/stable_writes";
    ensure!(fs::read_to_string(&stable)?.trim() == "1", "pages may change while their digest is computed");
    verified_io(ctx, &disk)?;
    ctx.iscsi_logout()?;
    nothing_left()
}

fn many(ctx: &Ctx) -> Result<()> {
    let mut arguments = format!("--portal {PORTAL}");
    for number in 0..32_u64 {
        let name = format!("t{number}");
        let store = ctx.backstore(&name, 4 << 20, 0x100 + number)?;
        let iqn = format!("iqn.2025-01.test:{name}");
        ctx.target(&iqn, &[PORTAL])?.add_lun(0, &store)?;
        arguments.push_str(&format!(" --target {iqn}"));
    }
    let started = Instant::now();
    let answer = ctx.iscsi_login(&arguments)?;
    println!("32 logins with their devices: {:?}", started.elapsed());
    let sessions = answer["sessions"].as_array().context("sessions")?;
    ensure!(sessions.len() == 32 && answer["failed"].as_array().is_some_and(Vec::is_empty), "{answer}");
    for session in sessions {
        ensure!(session["luns"][0]["device"].is_string(), "{session}");
    }
    ensure!(class("iscsi_session").len() == 32);
    let started = Instant::now();
    ctx.iscsi_logout()?;
    println!("32 logouts: {:?}", started.elapsed());
    nothing_left()
}

fn portals(ctx: &Ctx) -> Result<()> {
    let store = ctx.backstore("a", 16 << 20, 0xa6)?;
    let target = ctx.target(IQN, &[PORTAL, "127.0.0.1:3261"])?;
    target.add_lun(0, &store)?;
    // One of three is down: the others are had, and it is said.
    let ran = ctx.thinvol(&format!(
        "iscsi login --json {PATIENT} --target {IQN} --portal {PORTAL} --portal 127.0.0.1:3261 --portal 127.0.0.1:3999"
    ))?;
    refused(&ran, 5, &["1 of 3 sessions cannot be had", "127.0.0.1:3999"])?;
    let answer: Value = serde_json::from_str(&ran.stdout)?;
    ensure!(answer["sessions"].as_array().is_some_and(|sessions| sessions.len() == 2), "{answer}");
    ensure!(answer["failed"][0]["portal"] == "127.0.0.1:3999", "{answer}");
    let disks: Vec<&str> =
        (0..2).map(|n| text(&answer, &format!("/sessions/{n}/luns/0/device"))).collect::<Result<_>>()?;
    ensure!(disks[0] != disks[1], "{disks:?}");
    // One portal alone.
    ctx.thinvol_ok(&format!("iscsi logout {PATIENT} --target {IQN} --portal 127.0.0.1:3261"))?;
    ensure!(class("iscsi_session").len() == 1);
    ctx.iscsi_logout()?;
    nothing_left()
}
