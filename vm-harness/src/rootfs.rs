//! Unpacks packages into a folder that becomes the guest's root. No package script runs: the few things that they do
//! are done here, so that neither chroot nor a program of the packages is needed. dpkg's database is written, so that
//! packages can be installed in the guest.

use std::fs;
use std::io::Write;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use crate::apt;
use crate::kernel;
use crate::packages;
use crate::progress::Log;
use crate::suite::Suite;

/// Unpacks `files` into `root` and configures it.
pub fn build(root: &Path, files: &[PathBuf], log: &Log) -> Result<()> {
    merge_usr(root)?;
    let mut kept = Vec::new();
    for file in files {
        let name = apt::package_name(file)?;
        let failed = || format!("cannot unpack {}", file.display());
        if let Some(folder) = packages::folder_apart(name) {
            let folder = root.join(folder);
            merge_usr(&folder)?;
            unpack(&folder, file, log).with_context(failed)?;
        } else if !packages::is_unwanted(name) {
            unpack(root, file, log).with_context(failed)?;
            kept.push(file);
        }
    }
    configure(root)?;
    let installed = kept.into_iter().map(|file| installed(file)).collect::<Result<String>>()?;
    for folder in ["info", "parts", "triggers", "updates"] {
        fs::create_dir_all(root.join("var/lib/dpkg").join(folder))?;
    }
    fs::write(root.join("var/lib/dpkg/status"), installed)?;
    log.run(Command::new("/sbin/ldconfig").arg("-r").arg(root))
}

/// /bin, /sbin and /lib* lead into /usr, as on every Debian since 12.
fn merge_usr(root: &Path) -> Result<()> {
    for name in ["bin", "sbin", "lib", "lib32", "lib64", "libx32"] {
        fs::create_dir_all(root.join("usr").join(name))?;
        symlink(format!("usr/{name}"), root.join(name))?;
    }
    Ok(())
}

fn unpack(root: &Path, file: &Path, log: &Log) -> Result<()> {
    let mut archive = Command::new("dpkg-deb")
        .arg("--fsys-tarfile")
        .arg(file)
        .stdout(Stdio::piped())
        .stderr(log.file()?)
        .spawn()
        .context("cannot start dpkg-deb")?;
    let tar = archive.stdout.take().context("dpkg-deb has no output")?;
    let status = Command::new("tar")
        .args(["--extract", "--keep-directory-symlink", "--directory"])
        .arg(root)
        .args(packages::UNWANTED_PATHS.iter().map(|path| format!("--exclude={path}")))
        .stdin(tar)
        .stdout(log.file()?)
        .stderr(log.file()?)
        .status()
        .context("cannot start tar")?;
    let archive = archive.wait()?;
    if !status.success() || !archive.success() {
        bail!("dpkg-deb: {archive}, tar: {status}");
    }
    Ok(())
}

/// dpkg's record of an installed package.
fn installed(file: &Path) -> Result<String> {
    let output =
        Command::new("dpkg-deb").arg("--field").arg(file).output().context("cannot start dpkg-deb")?;
    if !output.status.success() {
        bail!("dpkg-deb --field {}: {}", file.display(), output.status);
    }
    let fields = String::from_utf8_lossy(&output.stdout);
    Ok(format!("{}\nStatus: install ok installed\n\n", fields.trim_end()))
}

/// Does what the scripts of base-passwd, base-files, gawk, udev and open-iscsi do.
fn configure(root: &Path) -> Result<()> {
    for name in ["passwd", "group"] {
        fs::copy(root.join(format!("usr/share/base-passwd/{name}.master")), root.join("etc").join(name))?;
    }
    // Groups that udev's rules name.
    let mut group = fs::OpenOptions::new().append(true).open(root.join("etc/group"))?;
    for (name, id) in [("input", 901), ("kvm", 902), ("render", 903), ("sgx", 904)] {
        writeln!(group, "{name}:x:{id}:")?;
    }
    fs::write(root.join("etc/hosts"), "127.0.0.1 localhost thinvol-vm\n")?;
    fs::write(root.join("etc/hostname"), "thinvol-vm\n")?;
    fs::write(root.join("etc/machine-id"), "7468696e766f6c2d766d2d6d61636831\n")?;
    fs::write(root.join("etc/nsswitch.conf"), "passwd: files\ngroup: files\nhosts: files\n")?;
    fs::create_dir_all(root.join("etc/iscsi"))?;
    fs::write(root.join("etc/iscsi/initiatorname.iscsi"), "InitiatorName=iqn.2024-01.test.thinvol:vm\n")?;
    fs::remove_file(root.join("etc/mtab")).ok();
    symlink("/proc/self/mounts", root.join("etc/mtab"))?;
    // Links that update-alternatives would have made.
    for (name, to) in [("awk", "gawk"), ("which", "which.debianutils")] {
        symlink(to, root.join("usr/bin").join(name))?;
    }
    for folder in ["dev", "proc", "sys", "run", "tmp", "root", "mnt", "payload", "src", "out", "var/lock"] {
        fs::create_dir_all(root.join(folder))?;
    }
    Ok(())
}

/// Moves the kernel to `vmlinuz` and removes the modules that the guest does not need.
pub fn take_kernel(suite: Suite, root: &Path, vmlinuz: &Path, log: &Log) -> Result<()> {
    let release = only_entry(&root.join("lib/modules"))?;
    fs::rename(root.join(format!("boot/vmlinuz-{release}")), vmlinuz)
        .context("the kernel package has no vmlinuz")?;
    let depmod = || {
        let mut command = Command::new("/sbin/depmod");
        command.arg("--basedir").arg(root).arg(&release);
        command
    };
    log.run(&mut depmod())?;
    let modules = root.join("lib/modules").join(&release);
    let kept = kernel::Dependencies::read(&modules)?.closure(&kernel::all(suite))?;
    let whole = modules.with_extension("whole");
    fs::rename(&modules, &whole)?;
    for file in
        kept.iter().map(String::as_str).chain(["modules.order", "modules.builtin", "modules.builtin.modinfo"])
    {
        let to = modules.join(file);
        fs::create_dir_all(to.parent().context("a module has a folder")?)?;
        fs::rename(whole.join(file), &to).with_context(|| format!("cannot keep {file}"))?;
        // Debian 13 compresses modules, which the busybox of the initramfs cannot load.
        if file.ends_with(".xz") {
            log.run(Command::new("xz").arg("--decompress").arg(&to))?;
        }
    }
    fs::remove_dir_all(&whole)?;
    log.run(&mut depmod())
}

/// The name of the one entry of a folder.
pub fn only_entry(folder: &Path) -> Result<String> {
    let mut names = fs::read_dir(folder)
        .with_context(|| format!("cannot read {}", folder.display()))?
        .map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()))
        .collect::<Result<Vec<String>>>()?;
    match (names.pop(), names.is_empty()) {
        (Some(name), true) => Ok(name),
        _ => bail!("{} does not hold exactly one entry", folder.display()),
    }
}
