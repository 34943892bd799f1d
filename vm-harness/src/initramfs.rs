//! The initramfs: busybox, our init script, the modules in loading order, and in the fast tier the static binaries.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use vm_harness::protocol::Tier;

use crate::cpio::Archive;
use crate::image::Image;
use crate::payload::Payload;
use crate::workspace::Workspace;
use crate::{kernel, rootfs};

/// Writes the initramfs of `tier` to `to`.
pub fn write(workspace: &Workspace, image: &Image, tier: Tier, payload: &Payload, to: &Path) -> Result<()> {
    let mut archive = Archive::default();
    for folder in
        ["bin", "dev", "proc", "sys", "run", "tmp", "newroot", "lower", "upper", "payload", "out", "src"]
    {
        archive.folder(folder);
    }
    archive.file("bin/busybox", &read(&image.busybox())?);
    archive.link("bin/sh", "busybox");
    archive.file("init", &read(&workspace.harness_file("guest/initramfs-init"))?);
    let loading_order = add_modules(&mut archive, image, tier)?;
    archive.file("modules.load", loading_order.as_bytes());
    if tier == Tier::Fast {
        archive.file("bin/guest-agent", &read(&payload.agent())?);
        if let Some(cases) = payload.cases() {
            archive.file("bin/dm-tests", &read(&cases)?);
            archive.link("bin/thinvol", "dm-tests");
        }
    }
    fs::write(to, archive.finish()).with_context(|| format!("cannot write {}", to.display()))
}

/// Adds the modules of the tier; returns their paths in loading order, one a line.
fn add_modules(archive: &mut Archive, image: &Image, tier: Tier) -> Result<String> {
    let modules = image.modules();
    let modules = modules.join(rootfs::only_entry(&modules)?);
    let names = match tier {
        Tier::Fast => kernel::FAST.to_vec(),
        Tier::Full => [kernel::FAST, kernel::FULL].concat(),
    };
    let mut names_taken = BTreeSet::new();
    let mut order = String::new();
    archive.folder("modules");
    for file in kernel::Dependencies::read(&modules)?.closure(&names)? {
        let name = file.rsplit('/').next().unwrap_or(&file).to_owned();
        if names_taken.insert(name.clone()) {
            archive.file(&format!("modules/{name}"), &read(&modules.join(&file))?);
            order.push_str(&format!("/modules/{name}\n"));
        }
    }
    Ok(order)
}

fn read(path: &Path) -> Result<Vec<u8>> {
    fs::read(path).with_context(|| format!("cannot read {}", path.display()))
}
