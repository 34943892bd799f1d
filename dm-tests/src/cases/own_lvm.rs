//! lvm2 with a configuration of its own: it sees the disks of the case only, under names in a folder of the case.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use lvm2::host::conf::LvmConf;

use crate::ctx::{Ctx, Disk, Ran};

/// lvm2 as a case has configured it.
pub struct OwnLvm<'a> {
    ctx: &'a Ctx,
    dir: PathBuf,
}

impl<'a> OwnLvm<'a> {
    /// lvm2 with these settings, without disks.
    pub fn new(ctx: &'a Ctx, settings: &str) -> Result<Self> {
        let own = Self { ctx, dir: ctx.dir().join("lvm") };
        std::fs::create_dir_all(own.names())?;
        own.configure(settings)?;
        Ok(own)
    }

    /// The same with a volume group on that many disks.
    pub fn with_vg(ctx: &'a Ctx, settings: &str, disks: usize) -> Result<Self> {
        let own = Self::new(ctx, settings)?;
        let mut names = Vec::new();
        for number in 0..disks {
            let disk = ctx.disk(16 << 20)?;
            names.push(own.name(&disk, &format!("disk{number}"))?.display().to_string());
        }
        own.ok(&format!("vgcreate --yes {} {}", ctx.vg(), names.join(" ")))?;
        Ok(own)
    }

    /// Where the names of its disks are.
    pub fn names(&self) -> PathBuf {
        self.dir.join("dev")
    }

    /// Gives a disk a name that this lvm2 finds.
    pub fn name(&self, disk: &Disk, name: &str) -> Result<PathBuf> {
        let link = self.names().join(name);
        std::fs::create_dir_all(link.parent().context("a name is in a folder")?)?;
        std::os::unix::fs::symlink(disk.device(), &link)?;
        Ok(link)
    }

    /// Replaces its configuration.
    pub fn configure(&self, settings: &str) -> Result<()> {
        let text = format!(
            "{settings}\ndevices {{ scan = [ \"{}\" ] hints = \"none\" }}\nglobal {{ locking_dir = \"{}\" }}\n",
            self.names().display(),
            self.locks().display()
        );
        std::fs::write(self.dir.join("lvm.conf"), text)?;
        Ok(())
    }

    /// Its configuration directory.
    pub fn system_dir(&self) -> &Path {
        &self.dir
    }

    /// Its configuration as thinvol reads it.
    pub fn conf(&self) -> Result<LvmConf> {
        Ok(LvmConf::load(&self.dir, None)?)
    }

    fn locks(&self) -> PathBuf {
        self.dir.join("locks")
    }

    /// The lock files that are there.
    pub fn lock_files(&self) -> Result<Vec<PathBuf>> {
        std::fs::read_dir(self.locks())?.map(|entry| Ok(entry?.path())).collect()
    }

    /// The words of a command of this lvm2.
    pub fn argv(&self, words: &[&str]) -> Vec<String> {
        let mut argv = vec![
            "env".to_owned(),
            "LVM_SUPPRESS_FD_WARNINGS=1".to_owned(),
            format!("LVM_SYSTEM_DIR={}", self.dir.display()),
        ];
        argv.extend(words.iter().map(|&word| word.to_owned()));
        if !Path::new("/dev/mapper/control").exists() || std::fs::File::open("/dev/mapper/control").is_err() {
            // A kernel without device-mapper will do for metadata.
            argv.extend(["--driverloaded".to_owned(), "n".to_owned()]);
        }
        argv
    }

    /// Runs a command of this lvm2; any exit status will do.
    pub fn run(&self, line: &str) -> Result<Ran> {
        let words: Vec<&str> = line.split_whitespace().collect();
        let argv = self.argv(&words);
        self.ctx.run(&argv.iter().map(String::as_str).collect::<Vec<_>>())
    }

    /// Runs a command that must succeed.
    pub fn ok(&self, line: &str) -> Result<String> {
        let ran = self.run(line)?;
        if ran.status != 0 {
            bail!("`{line}` failed with status {}: {}", ran.status, ran.stderr.trim());
        }
        Ok(ran.stdout)
    }

    /// Runs a command that must succeed and say nothing on standard error, but that there is no device-mapper.
    pub fn silent(&self, line: &str) -> Result<String> {
        let ran = self.run(line)?;
        let complaints = ran.stderr.lines().filter(|line| !line.contains("Activation disabled"));
        if ran.status != 0 || complaints.count() > 0 {
            bail!("lvm2 complains: `{line}`, status {}: {}", ran.status, ran.stderr.trim());
        }
        Ok(ran.stdout)
    }
}
