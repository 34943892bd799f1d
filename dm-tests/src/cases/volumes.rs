//! Volumes made, activated, and freed by thinvol, with lvm2 asked after every step.

use anyhow::{Result, ensure};

use crate::case::{Case, Tier};
use crate::ctx::Ctx;

/// The cases of this file.
pub const CASES: &[Case] = &[
    Case { name: "volumes::first_of_a_new_pool", tier: Tier::Full, limit_s: 180, run: first_of_a_new_pool },
    Case { name: "volumes::in_a_stopped_pool", tier: Tier::Full, limit_s: 240, run: in_a_stopped_pool },
    Case { name: "volumes::freed", tier: Tier::Full, limit_s: 240, run: freed },
    Case { name: "volumes::stacks_are_lvm2s", tier: Tier::Full, limit_s: 240, run: stacks_are_lvm2s },
    Case { name: "volumes::shown", tier: Tier::Full, limit_s: 240, run: shown },
];

/// Those that take longer.
pub const LONG: &[Case] = &[
    Case { name: "volumes::zeroed_on_request", tier: Tier::Full, limit_s: 240, run: zeroed_on_request },
    Case { name: "volumes::on_many_layouts", tier: Tier::Full, limit_s: 300, run: on_many_layouts },
    Case { name: "volumes::many_in_one_batch", tier: Tier::Full, limit_s: 240, run: many_in_one_batch },
];

fn first_of_a_new_pool(ctx: &Ctx) -> Result<()> {
    let vg = ctx.pool()?;
    let said = ctx.change(&format!("alloc {vg}/data 100 vm-100-disk-0 100M"))?;
    ensure!(said.contains(&format!("successfully created '{vg}/vm-100-disk-0'")), "{said}");
    let node = ctx.dev(vg, "vm-100-disk-0");
    ensure!(node.exists(), "{} does not exist on return", node.display());
    let volume = format!("{vg}/vm-100-disk-0");
    let facts = ctx.fact(&volume, "lv_size,lv_active,pool_lv,thin_id,lv_permissions")?;
    ensure!(facts == "104857600 active data 1 writeable", "{facts}");
    ensure!(ctx.fact(&format!("{vg}/data"), "transaction_id")? == "1");
    let zeros = ctx.sh(&format!("cmp -n 104857600 {} /dev/zero && echo same", node.display()))?;
    ensure!(zeros.stdout.contains("same"), "a new volume does not read as zeros");
    ctx.agreed(vg)?;
    ctx.change(&format!("alloc {vg}/data 100 vm-100-disk-2 4M"))?;
    let said = ctx.sh(&format!("thinvol alloc {vg}/data 100 '' 5M"))?.stdout;
    ensure!(said.contains("vm-100-disk-1"), "the first free name was not taken: {said}");
    ensure!(ctx.fact(&format!("{vg}/vm-100-disk-1"), "lv_size")? == "8388608", "not rounded up to extents");
    ctx.agreed(vg)
}

fn in_a_stopped_pool(ctx: &Ctx) -> Result<()> {
    let vg = ctx.pool()?;
    ctx.change(&format!("alloc {vg}/data 100 vm-100-disk-0 64M"))?;
    ctx.ok("udevadm settle")?;
    ctx.change(&format!("deactivate {vg}"))?;
    ensure!(!ctx.sh("dmsetup ls")?.stdout.contains(&format!("{vg}-")), "devices are left after deactivation");
    let batch = format!(
        "printf '%s\\n' '{{\"request\":\"create\",\"pool\":\"{vg}/data\",\"name\":\"quiet\",\"size\":\"8M\",\
         \"activate\":false}}' | thinvol batch -"
    );
    let ran = ctx.sh(&batch)?;
    ensure!(ran.status == 0, "{}", ran.stderr);
    ensure!(!ctx.sh("dmsetup ls")?.stdout.contains("tpool"), "the pool runs, though nothing needs it");
    ctx.oracle(vg)?;
    ctx.change(&format!("alloc {vg}/data 100 vm-100-disk-1 64M"))?;
    ensure!(ctx.dev(vg, "vm-100-disk-1").exists());
    ensure!(!ctx.dev(vg, "vm-100-disk-0").exists(), "a volume nobody asked for is active");
    ctx.change(&format!("activate {vg}/quiet {vg}/vm-100-disk-0"))?;
    ensure!(ctx.dev(vg, "quiet").exists() && ctx.dev(vg, "vm-100-disk-0").exists());
    ctx.agreed(vg)
}

fn freed(ctx: &Ctx) -> Result<()> {
    let vg = ctx.pool()?;
    for disk in 0..4 {
        ctx.change(&format!("alloc {vg}/data 100 vm-100-disk-{disk} 64M"))?;
    }
    let node = ctx.dev(vg, "vm-100-disk-0");
    ctx.ok(&format!("dd if=/dev/urandom of={} bs=1M count=16 oflag=direct", node.display()))?;
    ctx.ok(&format!("lvchange -an {vg}/vm-100-disk-1"))?;
    let said = ctx.change(&format!("free {vg}/vm-100-disk-0 {vg}/vm-100-disk-1"))?;
    ensure!(said.contains(&format!("Removed volume '{vg}/vm-100-disk-0'")), "{said}");
    ensure!(!node.exists(), "the node of a freed volume stayed");
    let left = ctx.fact(vg, "lv_name")?;
    ensure!(left == "data vm-100-disk-2 vm-100-disk-3", "{left}");
    ensure!(ctx.fact(&format!("{vg}/data"), "data_percent")? == "0.00", "the freed data is still there");
    ctx.agreed(vg)?;
    let again = ctx.thinvol(&format!("free {vg}/vm-100-disk-0"))?;
    ensure!(again.status == 0 && again.stderr.contains("does not exist"), "{again:?}");
    // lvm2 takes over from here, and thinvol from it.
    ctx.lvm(&format!("lvremove -y {vg}/vm-100-disk-2"))?;
    ctx.ok(&format!("lvcreate -V 32M -T {vg}/data -n by-lvm2"))?;
    ctx.change(&format!("free {vg}/by-lvm2"))?;
    ctx.agreed(vg)
}

/// A stack that thinvol activated has the same names, uuids and tables as lvm2's.
fn stacks_are_lvm2s(ctx: &Ctx) -> Result<()> {
    let vg = ctx.pool()?;
    ctx.ok(&format!("lvcreate -V 32M -T {vg}/data -n thin"))?;
    ctx.ok(&format!("lvcreate -y -Wn -L 8M -n thick {vg}"))?;
    let stack =
        "dmsetup info -c --noheadings --separator ' ' -o name,uuid,attr --sort name; dmsetup table | sort";
    ctx.ok("udevadm settle")?;
    ctx.lvm(&format!("vgchange -an {vg}"))?;
    ctx.lvm(&format!("vgchange -ay {vg}"))?;
    let lvm2 = ctx.sh(stack)?.stdout;
    ctx.ok("udevadm settle")?;
    ctx.change(&format!("deactivate {vg}"))?;
    ctx.ok("udevadm settle")?;
    let gone = ctx.sh("dmsetup ls")?.stdout;
    ensure!(gone.contains("No devices found"), "left after deactivation: {gone}");
    ctx.change(&format!("activate {vg}"))?;
    let ours = ctx.sh(stack)?.stdout;
    ensure!(without_numbers(&lvm2) == without_numbers(&ours), "lvm2's:\n{lvm2}\nthinvol's:\n{ours}");
    ctx.oracle(vg)?;
    ctx.ok("udevadm settle")?;
    // Either takes the other's stack down.
    ctx.lvm(&format!("vgchange -an {vg}"))?;
    ctx.lvm(&format!("vgchange -ay {vg}"))?;
    ctx.oracle(vg)
}

/// Device-mapper numbers differ from one activation to the next.
fn without_numbers(text: &str) -> String {
    let word = |word: &str| {
        let dm = word.split_once(':').is_some_and(|(major, minor)| {
            major == "254" || major == "253" && !minor.is_empty() && minor.bytes().all(|b| b.is_ascii_digit())
        });
        if dm { "dm".to_owned() } else { word.to_owned() }
    };
    text.lines()
        .map(|line| line.split(' ').map(word).collect::<Vec<_>>().join(" "))
        .collect::<Vec<_>>()
        .join("\n")
}

/// Two physical volumes, 4096-byte sectors, two metadata areas each, an ignored area, other chunk sizes and flags.
fn on_many_layouts(ctx: &Ctx) -> Result<()> {
    let vg = ctx.volume_group(&[256 << 20, 256 << 20, 128 << 20], 4096)?;
    ctx.ok(&format!(
        "lvcreate -y --type thin-pool -L 128M --chunksize 256k -Zn --discards nopassdown -n a {vg}"
    ))?;
    ctx.ok(&format!("lvcreate -y --type thin-pool -L 96M -i 2 -n b {vg}"))?;
    ctx.ok(&format!("lvchange --errorwhenfull y {vg}/b"))?;
    let disk = ctx.lvm(&format!("pvs --noheadings -o pv_name -S vg_name={vg}"))?;
    let last = disk.split_whitespace().last().unwrap_or_default().to_owned();
    ctx.lvm(&format!("pvchange --metadataignore y {last}"))?;
    for pool in ["a", "b"] {
        let ran = ctx.thinvol(&format!("alloc {vg}/{pool} 100 vm-100-disk-{pool} 32M"))?;
        ensure!(ran.status == 0, "{}", ran.stderr);
        ensure!((pool == "a") == ran.stderr.contains("zero"), "zeroing: {}", ran.stderr);
        ctx.change(&format!("snapshot {vg}/vm-100-disk-{pool}@s"))?;
    }
    // One transaction over both pools.
    ctx.change(&format!("snapshot {vg}/vm-100-disk-a@t {vg}/vm-100-disk-b@t"))?;
    ctx.change(&format!("free {vg}/vm-100-disk-a {vg}/vm-100-disk-b"))?;
    ctx.agreed(vg)
}

/// In a pool that does not zero chunks a volume shows what others left there, unless it is zeroed on request.
fn zeroed_on_request(ctx: &Ctx) -> Result<()> {
    let vg = ctx.volume_group(&[256 << 20], 512)?;
    ctx.ok(&format!("lvcreate -y --type thin-pool -L 20M --chunksize 256k -Zn -n data {vg}"))?;
    let node = ctx.dev(vg, "vm-100-a").display().to_string();
    let zeros_after_writes = |zero: &str| -> Result<bool> {
        ctx.ok(&format!("thinvol alloc {vg}/data 100 vm-100-a 16M"))?;
        ctx.ok(&format!("dd if=/dev/urandom of={node} bs=1M count=16 conv=fsync"))?;
        // udev looks at what was written to.
        ctx.ok("udevadm settle")?;
        ctx.change(&format!("free {vg}/vm-100-a"))?;
        ctx.ok(&format!("thinvol alloc {vg}/data 100 vm-100-a 16M {zero}"))?;
        let percent = ctx.fact(&format!("{vg}/vm-100-a"), "data_percent")?;
        ensure!((percent == "100.00") != zero.is_empty(), "{zero} takes {percent} % of its size");
        // One block of each chunk, so that chunks are allocated and only partly written.
        let write =
            format!("dd if=/dev/zero of={node} bs=4k count=1 conv=notrunc oflag=direct seek=$((i * 64))");
        let ran = ctx.sh(&format!("for i in $(seq 0 63); do {write} || exit 1; done"))?;
        ensure!(ran.status == 0, "{}", ran.stderr);
        let ran = ctx.sh(&format!("cmp -n {} {node} /dev/zero", 16 << 20))?;
        ctx.ok("udevadm settle")?;
        ctx.change(&format!("free {vg}/vm-100-a"))?;
        Ok(ran.status == 0)
    };
    let large = ctx.thinvol(&format!("alloc {vg}/data 100 vm-100-b 128M --zero"))?;
    ensure!(large.status == 1 && large.stderr.contains("has 20 MiB left"), "{large:?}");
    ensure!(!zeros_after_writes("")?, "the case cannot show what zeroing is for: nothing old was seen");
    ensure!(zeros_after_writes("--zero")?, "old data shows through in a zeroed volume");
    ctx.agreed(vg)
}

fn many_in_one_batch(ctx: &Ctx) -> Result<()> {
    let vg = ctx.pool()?;
    ctx.change(&format!("alloc {vg}/data 100 vm-100-disk-0 16M"))?;
    let before: u32 = ctx.fact(vg, "vg_seqno")?.split(' ').next().unwrap_or_default().parse()?;
    let line = format!(
        "for i in $(seq 40); do echo '{{\"request\":\"create\",\"pool\":\"{vg}/data\",\"name\":\"many-'$i'\",\
         \"size\":\"4M\",\"activate\":false}}'; done | thinvol batch -"
    );
    let ran = ctx.sh(&line)?;
    ensure!(ran.status == 0, "{}", ran.stderr);
    let after: u32 = ctx.fact(vg, "vg_seqno")?.split(' ').next().unwrap_or_default().parse()?;
    ensure!(after - before == 2, "{} commits for one batch", after - before);
    let count = ctx.fact(vg, "lv_name")?.split(' ').filter(|name| name.starts_with("many-")).count();
    ensure!(count == 40, "{count} volumes");
    ctx.agreed(vg)?;
    let ran = ctx.sh(&format!("thinvol free $(seq -f {vg}/many-%g 40)"))?;
    ensure!(ran.status == 0, "{}", ran.stderr);
    ctx.agreed(vg)
}

/// What reading verbs say is what lvm2 says.
fn shown(ctx: &Ctx) -> Result<()> {
    let vg = ctx.pool()?;
    ctx.change(&format!("alloc {vg}/data 100 vm-100-disk-0 64M"))?;
    ctx.change(&format!("alloc {vg}/data 101 vm-101-disk-0 32M"))?;
    ensure!(ctx.thinvol_ok("scan lvm")?.lines().any(|line| line.trim() == vg));
    ensure!(ctx.thinvol_ok(&format!("scan lvmthin {vg}"))?.trim() == "data");
    let list = ctx.thinvol_ok(&format!("list {vg}/data --vmid 100"))?;
    ensure!(
        list.contains("vm-100-disk-0") && list.contains("67108864") && !list.contains("vm-101"),
        "{list}"
    );
    let path = ctx.thinvol_ok(&format!("path {vg}/vm-100-disk-0"))?;
    ensure!(path.trim() == format!("/dev/{vg}/vm-100-disk-0"), "{path}");
    let status = ctx.thinvol_ok(&format!("status {vg}/data"))?;
    ensure!(status.contains("active") && status.contains("1048576"), "{status}");
    let uuid = ctx.fact(&format!("{vg}/vm-100-disk-0"), "lv_uuid")?;
    ensure!(ctx.thinvol_ok(&format!("info {vg}/vm-100-disk-0"))?.contains(&uuid));
    let seqno = ctx.fact(vg, "vg_seqno")?;
    for verb in ["list", "status", "info"] {
        let json = ctx.thinvol_ok(&format!("{verb} {vg}/data --json"))?;
        serde_json::from_str::<serde_json::Value>(&json)?;
    }
    let plan = ctx.change(&format!("free {vg}/vm-100-disk-0 --dry-run"))?;
    ensure!(plan.contains("set_transaction_id") && plan.contains("delete"), "{plan}");
    ensure!(ctx.fact(vg, "vg_seqno")? == seqno, "reading or planning has written metadata");
    ctx.oracle(vg)
}
