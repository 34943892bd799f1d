//! Checks all of a pool's metadata and repairs it, by the tools that lvm.conf names.

use std::fs::OpenOptions;
use std::path::{Path, PathBuf};

use super::{LinuxHost, is_blank};
use crate::meta::{Superblock, ThinMeta};
use crate::observed::PoolReadError;
use crate::plan::Assumed;
use crate::pool_reader::of_device;
use crate::ports::{CheckFailure, CheckFound, Devices, MetadataTools, RepairFailure};
use base::ids::DevNo;
use dm::kernel::kernel_node;
use dm::name::DmName;
use sys::io::block::Access;
use sys::io::direct::DirectFile;

/// How pool metadata is repaired (lvm.conf `global/thin_repair_*`).
#[derive(Clone, Debug, Default)]
pub struct RepairPolicy {
    /// The program; `None` for no repairs.
    pub executable: Option<PathBuf>,
    /// Its options.
    pub options: Vec<String>,
}

/// Options of `thin_check` that have it look at less, or write. Source: thin_check(8).
const NOT_ALL: [&str; 5] = [
    "--skip-mappings",
    "--super-block-only",
    "--ignore-non-fatal-errors",
    "--clear-needs-check-flag",
    "--auto-repair",
];

/// What has `thin_check` take the mark away if it finds nothing.
const CLEARS: &str = "--clear-needs-check-flag";

impl LinuxHost {
    fn check_by(&self, tmeta: &DmName, dev: DevNo, more: Option<&str>) -> Result<(), CheckFailure> {
        let fail = |found: CheckFound| CheckFailure { device: tmeta.clone(), found };
        let Some(executable) = &self.check.executable else {
            return Err(fail(CheckFound::Nothing(
                "lvm.conf has no checker (global/thin_check_executable)".into(),
            )));
        };
        let node = kernel_node(dev);
        if is_blank(&node).is_err() {
            return Err(fail(CheckFound::Nothing(format!("{} cannot be read", node.display()))));
        }
        let kept = self.check.options.iter().filter(|option| !NOT_ALL.contains(&option.as_str()));
        let options: Vec<String> = kept.cloned().chain(more.map(str::to_owned)).collect();
        match self.checker(executable, &options).arg(&node).spawn() {
            Ok(child) => self.watch(child).map_err(|found| match found {
                CheckFound::Damage(said) => fail(self.judge(executable, &options, said)),
                found => fail(found),
            }),
            Err(error) => Err(fail(CheckFound::Nothing(format!(
                "{} could not be started: {error}",
                executable.display()
            )))),
        }
    }
}

impl MetadataTools for LinuxHost {
    fn check_all(&self, tmeta: &DmName, dev: DevNo) -> Result<(), CheckFailure> {
        self.check_by(tmeta, dev, None)
    }

    fn clear_mark(&self, tmeta: &DmName, dev: DevNo) -> Result<(), CheckFailure> {
        self.check_by(tmeta, dev, Some(CLEARS))?;
        let failed = |error| CheckFailure {
            device: tmeta.clone(),
            found: CheckFound::Nothing(format!("what it wrote is not durable: {error}")),
        };
        make_durable(&kernel_node(dev)).map_err(failed)
    }

    /// 1. `thin_repair` writes the copy.
    /// 2. It is flushed: what is to name it may become durable at any time after this.
    fn repair(&self, from: DevNo, to: DevNo, assumed: Option<&Assumed>) -> Result<(), RepairFailure> {
        let Some(executable) = &self.repair.executable else {
            return Err(RepairFailure(
                "lvm.conf has no program for it (global/thin_repair_executable)".into(),
            ));
        };
        let mut command = self.checker(executable, &self.repair.options);
        command.arg("-i").arg(kernel_node(from)).arg("-o").arg(kernel_node(to));
        if let Some(Assumed { transaction_id, chunk_size, data }) = assumed {
            command.args(["--transaction-id", &transaction_id.to_string()]);
            command.args(["--data-block-size", &chunk_size.to_string()]);
            command.args(["--nr-data-blocks", &data.to_string()]);
        }
        let failed = |error| RepairFailure(format!("{} could not be started: {error}", executable.display()));
        let child = command.spawn().map_err(failed)?;
        self.watch(child).map_err(|found| match found {
            CheckFound::Damage(said) | CheckFound::Nothing(said) => {
                RepairFailure(format!("{}: {said}", executable.display()))
            }
        })?;
        let failed = |error| RepairFailure(format!("the copy is not durable: {error}"));
        make_durable(&kernel_node(to)).map_err(failed)
    }

    fn superblock(&self, dev: DevNo) -> Result<Superblock, PoolReadError> {
        of_device(Box::new(open(dev)?), |meta| Ok(*meta.superblock()))
    }

    fn devices(&self, dev: DevNo) -> Result<Devices, PoolReadError> {
        of_device(Box::new(open(dev)?), ThinMeta::details)
    }
}

fn open(dev: DevNo) -> Result<DirectFile, PoolReadError> {
    let opened = DirectFile::open(&kernel_node(dev), Access::ReadOnly);
    opened.map_err(|error| PoolReadError::Failed(error.to_string()))
}

fn make_durable(node: &Path) -> std::io::Result<()> {
    OpenOptions::new().write(true).open(node)?.sync_all()
}
