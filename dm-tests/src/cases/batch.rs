//! Batches: bad lines are reported all at once and change nothing, or are left out; a thousand clones are one
//! transaction.

use std::fmt::Write;

use anyhow::{Context, Result, ensure};

use super::snapshots::{sum, write};
use crate::case::{Case, Tier};
use crate::ctx::Ctx;

/// The cases of this file that always run.
pub const CASES: &[Case] = &[
    Case { name: "batch::bad_lines", tier: Tier::Full, limit_s: 300, run: bad_lines },
    Case { name: "batch::pools", tier: Tier::Full, limit_s: 300, run: pools },
];

/// Those that take minutes.
pub const LONG: &[Case] =
    &[Case { name: "batch::a_thousand_clones", tier: Tier::Full, limit_s: 900, run: a_thousand_clones }];

fn seqno(ctx: &Ctx, vg: &str) -> Result<u64> {
    let said = ctx.lvm(&format!("vgs --noheadings -o seqno {vg}"))?;
    said.trim().parse().with_context(|| format!("vgs said {said:?}"))
}

fn bad_lines(ctx: &Ctx) -> Result<()> {
    let vg = ctx.pool()?;
    for disk in 0..3 {
        ctx.thinvol_ok(&format!("alloc {vg}/data 100 vm-100-disk-{disk} 16M"))?;
    }
    ctx.change(&format!("snapshot {vg}/vm-100-disk-2@s"))?;
    let mut holder = std::process::Command::new("sleep")
        .arg("600")
        .stdin(std::fs::File::open(ctx.dev(vg, "vm-100-disk-1"))?)
        .spawn()?;
    ctx.ok("udevadm settle")?;
    let lines = [
        format!(r#"{{"request":"create","pool":"{vg}/data","name":"vm-101-disk-0","size":"16M"}}"#),
        format!(r#"{{"request":"remove","volume":"{vg}/vm-100-disk-1"}}"#),
        "not JSON".to_owned(),
        format!(r#"{{"request":"resize","volume":"{vg}/vm-100-disk-9","size":"1G"}}"#),
        format!(r#"{{"request":"clone","source":"{vg}/vm-100-disk-2@s","name":"vm-102-disk-0"}}"#),
        format!(r#"{{"request":"create","pool":"{vg}/data","name":"vm-100-disk-1","size":"16M"}}"#),
        "{\"request\":\"remove\",\"volume\":\"st:vm-100-disk-2\"}".to_owned(),
        r#"{"request":"remove","volume":"nosuchvg/x"}"#.to_owned(),
    ];
    let file = ctx.dir().join("requests");
    std::fs::write(&file, lines.join("\n"))?;
    let config = ctx.dir().join("storage.cfg");
    std::fs::write(&config, format!("lvmthin: st\n\tthinpool data\n\tvgname {vg}\n"))?;
    let batch = format!("--config {} batch {}", config.display(), file.display());
    let (before, had) = (seqno(ctx, vg)?, ctx.fact(vg, "lv_name")?);
    let refused = ctx.thinvol(&batch)?;
    ensure!(refused.status == 1, "{refused:?}");
    for told in [
        "error: 5 of 8 requests are refused; nothing was changed",
        "line 2: ",
        "line 3: not a request",
        "line 4: volume 'pve/vm-100-disk-9' does not exist",
        "line 6: volume pve/vm-100-disk-1 already exists",
        "line 8: ",
    ] {
        ensure!(refused.stderr.contains(told), "{told:?} is not told: {}", refused.stderr);
    }
    ensure!(
        (seqno(ctx, vg)?, ctx.fact(vg, "lv_name")?) == (before, had),
        "a refused batch changed something"
    );
    let partly = ctx.thinvol(&format!("{batch} --keep-going --json"))?;
    ensure!(partly.status == 5, "{partly:?}");
    let answer: serde_json::Value = serde_json::from_str(&partly.stdout)?;
    let numbers = |of: &serde_json::Value| -> Vec<u64> {
        of.as_array().into_iter().flatten().filter_map(|item| item["line"].as_u64()).collect()
    };
    ensure!(numbers(&answer["failed"]) == [2, 3, 4, 6, 8], "{answer}");
    ensure!(numbers(&answer["transactions"][0]["done"]) == [1, 5, 7, 7], "{answer}");
    let by_whom = answer["failed"][0]["hint"].as_str().unwrap_or_default();
    ensure!(by_whom.contains("sleep"), "who uses it is not told: {answer}");
    ensure!(seqno(ctx, vg)? == before + 2, "the good lines are not one transaction");
    ensure!(ctx.fact(vg, "lv_name")? == "data vm-100-disk-0 vm-100-disk-1 vm-101-disk-0 vm-102-disk-0");
    holder.kill()?;
    holder.wait()?;
    ctx.agreed(vg)
}

/// Pools that a batch makes, fills, extends, changes and removes: what the dry run shows is what is done.
fn pools(ctx: &Ctx) -> Result<()> {
    let vg = ctx.volume_group(&[2 << 30], 512)?;
    let line = |rest: &str| format!("{{\"request\":{}}}", rest.replace("$VG", vg));
    let lines = [
        r#""pool_create","pool":"$VG/fast","size":"256M","when_full":"error""#,
        r#""create","pool":"$VG/fast","name":"vm-100-disk-0","size":"64M""#,
        r#""create","pool":"$VG/fast","name":"vm-100-disk-1","size":"64M","activate":false"#,
        r#""pool_extend","pool":"$VG/fast","size":"+64M""#,
        r#""snapshot","snapshot":"$VG/vm-100-disk-0@s""#,
        r#""pool_set","pool":"$VG/fast","extend_at":80,"zero":false"#,
    ]
    .map(line);
    let file = ctx.dir().join("requests");
    std::fs::write(&file, lines.join("\n"))?;
    let dry = ctx.thinvol_ok(&format!("batch --dry-run {}", file.display()))?;
    ensure!(dry.matches("plan for volume group").count() == 5, "{dry}");
    ensure!(dry.matches("then, as a transaction of its own").count() == 4, "{dry}");
    ensure!(ctx.fact(vg, "lv_name")?.is_empty(), "a dry run has made something");
    let ran = ctx.thinvol(&format!("batch --json {}", file.display()))?;
    ensure!(ran.status == 0, "{ran:?}");
    let answer: serde_json::Value = serde_json::from_str(&ran.stdout)?;
    let done = answer["transactions"].as_array().into_iter().flatten();
    let done = done.flat_map(|one| one["done"].as_array().into_iter().flatten());
    let done: Vec<_> = done.map(|item| (item["line"].as_u64(), item["result"].as_str())).collect();
    let kinds = ["pool_created", "created", "created", "pool_grown", "created", "pool_set"];
    ensure!(
        done == (1..).zip(kinds).map(|(line, kind)| (Some(line), Some(kind))).collect::<Vec<_>>(),
        "{answer}"
    );
    let has = ctx.fact(&format!("{vg}/fast"), "lv_size,lv_when_full,zero,lv_tags")?;
    ensure!(has == format!("{} error thinvol.extend-at=80", 320 << 20), "{has}");
    ensure!(ctx.fact(vg, "lv_name")? == "fast snap_vm-100-disk-0_s vm-100-disk-0 vm-100-disk-1");
    ctx.agreed(vg)?;
    // A line that cannot be is told of all, and nothing of the batch is begun.
    let had = seqno(ctx, vg)?;
    std::fs::write(
        &file,
        [lines[3].clone(), line(r#""pool_extend","pool":"$VG/fast","size":"+1T""#)].join("\n"),
    )?;
    let refused = ctx.thinvol(&format!("batch {}", file.display()))?;
    ensure!(refused.status == 1 && refused.stderr.contains("line 2: there is no room"), "{refused:?}");
    ensure!(seqno(ctx, vg)? == had, "a refused batch has changed something");
    let again = ctx.thinvol_ok(&format!("batch --json {}", {
        std::fs::write(&file, &lines[5])?;
        file.display()
    }))?;
    ensure!(again.contains("\"unchanged\"") && seqno(ctx, vg)? == had, "{again}");
    std::fs::write(&file, line(r#""pool_remove","pool":"$VG/fast","with_volumes":true"#))?;
    ctx.thinvol_ok(&format!("batch {}", file.display()))?;
    ensure!(ctx.fact(&format!("-a {vg}"), "lv_name")?.is_empty(), "something is left");
    ctx.oracle(vg)
}

fn a_thousand_clones(ctx: &Ctx) -> Result<()> {
    let vg = ctx.volume_group(&[2 << 30], 512)?;
    ctx.ok(&format!("lvcreate --yes -L 1G -n data {vg}"))?;
    // Room for a thousand volumes, and for what is written to them.
    ctx.ok(&format!("lvconvert --yes --type thin-pool --poolmetadatasize 16M {vg}/data"))?;
    ctx.thinvol_ok(&format!("alloc {vg}/data 9000 vm-9000-disk-0 64M"))?;
    write(ctx, vg, "vm-9000-disk-0", 3)?;
    let content = sum(ctx, vg, "vm-9000-disk-0")?;
    ctx.ok("udevadm settle")?;
    ctx.change(&format!("template {vg}/vm-9000-disk-0"))?;
    let before = seqno(ctx, vg)?;
    let cloned = ctx.thinvol(&format!("clone --inactive {vg}/base-9000-disk-0 1001-2000"))?;
    ensure!(cloned.status == 0, "{}", cloned.stderr);
    ensure!(seqno(ctx, vg)? == before + 2, "not two commits");
    let count = ctx.sh(&format!("lvs --noheadings -o lv_name -S origin=base-9000-disk-0 {vg} | wc -l"))?;
    ensure!(count.stdout.trim() == "1000", "{count:?}");
    ctx.lvm(&format!("vgck {vg}"))?;
    ctx.lvm(&format!("lvchange -ay {vg}/vm-2000-disk-0"))?;
    ensure!(sum(ctx, vg, "vm-2000-disk-0")? == content, "a clone is not what the template is");
    let refused = ctx.thinvol(&format!("free {vg}/base-9000-disk-0"))?;
    ensure!(refused.status == 1 && refused.stderr.contains("and 990 more"), "{refused:?}");
    let mut lines = String::new();
    for guest in 1001..=2000 {
        writeln!(lines, r#"{{"request":"remove","volume":"{vg}/vm-{guest}-disk-0"}}"#)?;
    }
    let file = ctx.dir().join("requests");
    std::fs::write(&file, lines)?;
    ctx.ok("udevadm settle")?;
    ctx.thinvol_ok(&format!("batch {}", file.display()))?;
    ensure!(seqno(ctx, vg)? == before + 4, "not two commits");
    ensure!(ctx.fact(vg, "lv_name")? == "base-9000-disk-0 data");
    ctx.agreed(vg)
}
