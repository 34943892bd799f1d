//! CHAP with the kernel's target: one-way, mutual, and with wrong secrets.

use std::fs;

use anyhow::{Result, ensure};

use super::iscsi_sessions::{IQN, PATIENT, PORTAL, nothing_left, text, verified_io, wait_for_state};
use crate::case::{Case, Tier};
use crate::ctx::Ctx;

/// The cases of this file.
pub const CASES: &[Case] =
    &[Case { name: "iscsi_chap::one_way_and_mutual", tier: Tier::Full, limit_s: 300, run: authenticated }];

const USER: (&str, &str) = ("user1", "secretsecret1");
const TARGET: (&str, &str) = ("array", "arrayarrayarray1");

fn authenticated(ctx: &Ctx) -> Result<()> {
    let target = ctx.target(IQN, &[PORTAL])?;
    target.add_lun(0, &ctx.backstore("a", 32 << 20, 0x81)?)?;
    let file = ctx.dir().join("chap");
    let write = |text: String| -> Result<()> {
        fs::write(&file, text)?;
        ctx.ok(&format!("chmod 600 {}", file.display())).map(drop)
    };
    let login = format!("--portal {PORTAL} --target {IQN} --chap-file {}", file.display());
    let refused = |words: &str| -> Result<()> {
        let ran = ctx.thinvol(&format!("iscsi login {PATIENT} {login}"))?;
        ensure!(ran.status == 1 && ran.stderr.contains(words), "{words:?} is not said: {ran:?}");
        nothing_left()
    };
    // A target that asks for nothing is not logged in to by who wants to be authenticated.
    let one_way = format!("user = {}\nsecret = {}\n", USER.0, USER.1);
    write(one_way.clone())?;
    refused("CHAP")?;

    target.demand_chap(USER, None)?;
    without_modules(ctx, || {
        write(format!("{one_way}algorithms = sha3-256\n"))?;
        refused("none of the algorithms offered")
    })?;
    for algorithm in ["md5", "sha1", "sha256", "sha3-256"] {
        write(format!("{one_way}algorithms = {algorithm}\n"))?;
        ctx.iscsi_login(&format!("{login} --no-scan"))?;
        ctx.iscsi_logout()?;
        nothing_left()?;
    }
    write(format!("user = {}\nsecret = another-secret-1\n", USER.0))?;
    refused("02/01")?;
    write(format!("user = nobody\nsecret = {}\n", USER.1))?;
    refused("02/01")?;
    // The target cannot prove what it has no secret for.
    let mutual = |secret: &str| format!("{one_way}target-user = {}\ntarget-secret = {secret}\n", TARGET.0);
    write(mutual(TARGET.1))?;
    refused("target")?;

    target.demand_chap(USER, Some(TARGET))?;
    write(mutual("not-the-secret-of-it"))?;
    refused("target")?;
    write(mutual(TARGET.1))?;
    let answer = ctx.iscsi_login(&login)?;
    let disk = text(&answer, "/sessions/0/luns/0/device")?.to_owned();
    // The recovery authenticates again, through the kernel.
    target.enable(false)?;
    wait_for_state("FAILED")?;
    target.enable(true)?;
    let again = ctx.iscsi_login(&login)?;
    ensure!(text(&again, "/sessions/0/outcome")? == "recovered", "{again}");
    verified_io(ctx, &disk)?;
    ctx.iscsi_logout()?;
    nothing_left()
}

/// Does something while the kernel loads no module: its target cannot use algorithms that are not built in.
fn without_modules(ctx: &Ctx, work: impl FnOnce() -> Result<()>) -> Result<()> {
    const LOADER: &str = "/proc/sys/kernel/modprobe";
    let removed = ctx.sh("modprobe -r sha3_generic")?;
    if removed.stderr.contains("is builtin") {
        println!("this kernel has sha3-256 built in: no algorithm is missing, and that part is left out");
        return Ok(());
    }
    ensure!(removed.status == 0, "{removed:?}");
    let loader = fs::read_to_string(LOADER)?;
    fs::write(LOADER, "/bin/false")?;
    let done = work();
    fs::write(LOADER, loader.trim_end())?;
    done
}
