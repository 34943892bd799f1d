//! Sessions that are bound to network interfaces: two ways to one portal.

use std::fs;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use super::iscsi_daemons::Supervisor;
use super::iscsi_sessions::{IQN, PATIENT, class, nothing_left, text, verified_io};
use crate::case::{Case, Tier};
use crate::ctx::Ctx;
use crate::ctx::lio::LioTarget;

/// The cases of this file.
pub const CASES: &[Case] = &[Case {
    name: "iscsi_interfaces::two_to_one_portal",
    tier: Tier::Full,
    limit_s: 300,
    run: two_sessions,
}];

/// Those that wait for outages and daemons.
pub const LONG: &[Case] = &[
    Case {
        name: "iscsi_interfaces::each_comes_back_by_its_own",
        tier: Tier::Full,
        limit_s: 400,
        run: outage,
    },
    Case { name: "iscsi_interfaces::by_iscsiadm", tier: Tier::Full, limit_s: 300, run: by_iscsiadm },
];

/// Where the target is: in a network namespace that two pairs of interfaces lead to. The routes prefer `left`.
const FAR: &str = "10.9.9.1:3260";

/// The interfaces here, with their addresses.
const WAYS: [(&str, &str); 2] = [("left", "10.1.0.2"), ("right", "10.2.0.2")];

const NETWORK: &[&str] = &[
    "ip netns add far",
    "ip -n far link set lo up",
    "ip -n far address add 10.9.9.1/32 dev lo",
    "ip link add left type veth peer name left0 netns far",
    "ip link add right type veth peer name right0 netns far",
    "sysctl -qw net.ipv4.conf.all.rp_filter=0 net.ipv4.conf.left.rp_filter=0 net.ipv4.conf.right.rp_filter=0",
    "ip -n far address add 10.1.0.1/24 dev left0",
    "ip -n far address add 10.2.0.1/24 dev right0",
    "ip -n far link set left0 up",
    "ip -n far link set right0 up",
    "ip address add 10.1.0.2/24 dev left",
    "ip address add 10.2.0.2/24 dev right",
    "ip link set left up",
    "ip link set right up",
    "ip route add 10.9.9.1 via 10.1.0.1 dev left",
    "ip route add 10.9.9.1 via 10.2.0.1 dev right metric 100",
];

/// A target with one LUN at the far end, and the work of a case with it.
fn at_the_far_end(ctx: &Ctx, serial: u64, work: impl FnOnce(&LioTarget) -> Result<()>) -> Result<()> {
    let target = ctx.target(IQN, &[])?;
    target.add_lun(0, &ctx.backstore("a", 32 << 20, serial)?)?;
    target.parameter("DefaultTime2Wait", "0")?;
    for line in NETWORK {
        ctx.ok(line)?;
    }
    // A portal is in the namespace of the process that adds it.
    ctx.ok(&format!("nsenter --net=/run/netns/far mkdir {}", target.portal_folder(FAR).display()))?;
    let outcome = work(&target);
    target.remove_portal(FAR)?;
    ctx.ok("ip netns delete far")?;
    outcome
}

fn login(more: &str) -> String {
    format!("--portal {FAR} --target {IQN} {more}")
}

/// The address that a session's connection comes from.
fn local_address(session: &Value) -> Result<String> {
    let sid = session["session"].as_u64().context("no number")?;
    let folder = fs::canonicalize(format!("/sys/class/iscsi_session/session{sid}"))?;
    let host = folder.iter().filter_map(|part| part.to_str()).find(|part| part.starts_with("host"));
    let host = host.context("a session without a host")?;
    Ok(fs::read_to_string(format!("/sys/class/iscsi_host/{host}/ipaddress"))?.trim().to_owned())
}

/// The sessions there are, each of which comes from the address of its interface.
fn sessions(ctx: &Ctx) -> Result<Vec<Value>> {
    let answer: Value = serde_json::from_str(&ctx.thinvol_ok("iscsi sessions --json")?)?;
    let sessions = answer["sessions"].as_array().context("no sessions")?.clone();
    for session in &sessions {
        let way = WAYS.iter().find(|(name, _)| session["interface"] == *name);
        let (_, address) = way.with_context(|| format!("by which interface? {session}"))?;
        if session["state"] == "logged in" {
            ensure!(local_address(session)? == *address, "{} instead of {session}", local_address(session)?);
        }
    }
    Ok(sessions)
}

fn refused(ctx: &Ctx, command: &str, status: i32, words: &[&str]) -> Result<()> {
    let ran = ctx.thinvol(command)?;
    ensure!(ran.status == status, "status {} instead of {status}: {ran:?}", ran.status);
    for word in words {
        ensure!(ran.stderr.contains(word), "{word:?} is not said: {}", ran.stderr);
    }
    Ok(())
}

fn two_sessions(ctx: &Ctx) -> Result<()> {
    at_the_far_end(ctx, 0xc1, |_| {
        let login = |more: &str| format!("iscsi login {}", login(more));
        refused(ctx, &login("--interface nowhere"), 3, &["no network interface 'nowhere'", "ip link"])?;
        // The interface is there, and leads nowhere: nothing answers.
        refused(
            ctx,
            &login("--interface lo --timeout 3"),
            4,
            &[FAR, "by lo", "--timeout gives it more time"],
        )?;
        refused(ctx, &login("--interface a/b"), 2, &["network interface"])?;
        refused(ctx, &format!("iscsi discover {FAR} --interface nowhere"), 3, &["'nowhere'"])?;
        nothing_left()?;
        for (name, _) in WAYS {
            let found = ctx.thinvol_ok(&format!("iscsi discover {FAR} --interface {name} {PATIENT}"))?;
            ensure!(found.contains(IQN), "{found}");
        }

        let said = ctx.thinvol_ok(&login(&format!("{PATIENT} --interface left --interface right")))?;
        ensure!(
            said.contains(&format!("{FAR} by left")) && said.contains(&format!("{FAR} by right")),
            "{said}"
        );
        ensure!(class("iscsi_session").len() == 2, "{:?}", class("iscsi_session"));
        let there = sessions(ctx)?;
        ensure!(there.len() == 2, "{there:?}");
        let disks =
            there.iter().map(|session| text(session, "/luns/0/device")).collect::<Result<Vec<_>>>()?;
        ensure!(
            disks[0] != disks[1] && there[0]["luns"][0]["wwid"] == there[1]["luns"][0]["wwid"],
            "{there:?}"
        );
        let shown = ctx.ok("iscsiadm -m session -P 1")?;
        for (name, address) in WAYS {
            for line in [format!("Iface Name: {name}"), format!("Iface Netdev: {name}"), address.to_owned()] {
                ensure!(shown.contains(&line), "{line:?} is not in {shown}");
            }
        }
        let listed = ctx.thinvol_ok("iscsi sessions")?;
        ensure!(listed.contains(&format!("{FAR} by right logged in (thinvol)")), "{listed}");
        // Whoever does not say which interface is content with one that serves, and who does with his own.
        for more in ["", "--interface right"] {
            let answer = ctx.iscsi_login(&self::login(more))?;
            ensure!(text(&answer, "/sessions/0/outcome")? == "already_there", "{answer}");
        }
        let config = as_a_storage(ctx)?;
        verified_io(ctx, disks[1])?;

        let said = ctx.thinvol_ok(&format!("iscsi logout {PATIENT} --target {IQN} --interface left"))?;
        ensure!(said.contains("by left"), "{said}");
        let left = sessions(ctx)?;
        ensure!(left.len() == 1 && left[0]["interface"] == "right", "{left:?}");
        ctx.thinvol_ok(&format!("--config {config} deactivate san"))?;
        nothing_left()
    })
}

/// A storage uses the sessions there are, and tells its paths apart; its configuration.
fn as_a_storage(ctx: &Ctx) -> Result<String> {
    let config = ctx.dir().join("storage.cfg");
    fs::write(&config, format!("iscsi: san\n\tportal 10.9.9.1\n\ttarget {IQN}\n\tcontent none\n"))?;
    let config = config.display().to_string();
    let said = ctx.thinvol_ok(&format!("--config {config} activate san"))?;
    ensure!(said.contains("2 of 2 paths up, 1 LUN") && class("iscsi_session").len() == 2, "{said}");
    let status: Value =
        serde_json::from_str(&ctx.thinvol_ok(&format!("--config {config} status san --json"))?)?;
    let paths = status.pointer("/storages/0/paths").and_then(Value::as_array);
    let by = |name: &str| paths.is_some_and(|paths| paths.iter().any(|path| path["interface"] == name));
    ensure!(by("left") && by("right"), "{status}");
    Ok(config)
}

/// Waits until the sessions are in these states, by interface.
fn wait_for(ctx: &Ctx, states: [&str; 2]) -> Result<()> {
    let deadline = Instant::now() + Duration::from_secs(90);
    loop {
        let now = sessions(ctx)?;
        let is = |name: &str, state: &str| {
            now.iter().any(|session| session["interface"] == name && session["state"] == state)
        };
        if WAYS.iter().zip(states).all(|((name, _), state)| is(name, state)) {
            return Ok(());
        }
        ensure!(Instant::now() < deadline, "{now:?} instead of {states:?}");
        std::thread::sleep(Duration::from_millis(200));
    }
}

fn outage(ctx: &Ctx) -> Result<()> {
    at_the_far_end(ctx, 0xc2, |target| {
        let _supervisor = Supervisor::start(ctx)?;
        let pings = "--ping-interval 2 --ping-timeout 2";
        let answer = ctx.iscsi_login(&login(&format!("--interface left --interface right {pings}")))?;
        let disks = [0, 1].map(|at| answer["sessions"][at]["luns"][0]["device"].as_str().unwrap_or_default());
        // The target drops both connections.
        target.enable(false)?;
        wait_for(ctx, ["failed", "failed"])?;
        target.enable(true)?;
        wait_for(ctx, ["logged in", "logged in"])?;
        // One interface goes. The routes would lead by the other one; the session does not.
        ctx.ok("ip link set right down")?;
        wait_for(ctx, ["logged in", "failed"])?;
        verified_io(ctx, disks[0])?;
        std::thread::sleep(Duration::from_secs(3));
        wait_for(ctx, ["logged in", "failed"])?;
        ctx.ok("ip link set right up")?;
        ctx.ok("ip route add 10.9.9.1 via 10.2.0.1 dev right metric 100")?;
        wait_for(ctx, ["logged in", "logged in"])?;
        for disk in disks {
            verified_io(ctx, disk)?;
        }
        ctx.iscsi_logout()?;
        nothing_left()
    })
}

fn by_iscsiadm(ctx: &Ctx) -> Result<()> {
    at_the_far_end(ctx, 0xc3, |_| {
        let daemon = ctx.iscsid()?;
        for round in 0..2 {
            let answer = ctx.iscsi_login(&login("--via iscsiadm --interface right"))?;
            ensure!(text(&answer, "/sessions/0/via")? == "iscsiadm", "{answer}");
            ensure!(text(&answer, "/sessions/0/interface")? == "right", "{answer}");
            ensure!(text(&answer, "/sessions/0/outcome")? == "logged_in", "{answer}");
            ensure!(sessions(ctx)?.len() == 1);
            // It is the one by that interface, whoever made it, and not the one by another.
            let answer = ctx.iscsi_login(&login("--interface right"))?;
            ensure!(text(&answer, "/sessions/0/outcome")? == "already_there", "{answer}");
            if round == 0 {
                let answer = ctx.iscsi_login(&login("--interface left"))?;
                ensure!(text(&answer, "/sessions/0/via")? == "native", "{answer}");
                ensure!(sessions(ctx)?.len() == 2);
            }
            ctx.thinvol_ok(&format!("iscsi logout {PATIENT} --target {IQN}"))?;
            ensure!(class("iscsi_session").is_empty(), "{:?}", class("iscsi_session"));
        }
        ctx.ok("iscsiadm -m node -o delete")?;
        ctx.ok("iscsiadm -m iface -I thinvol-right -o delete")?;
        drop(daemon);
        nothing_left()
    })
}
