//! What the model must do: errnos, commit points, crashes, data.

use nix::errno::Errno;

use super::{Crash, Fault, FaultKind, SimKernel, Violation, When};
use crate::kernel::{DmError, Kernel, StatusFlush, Suspend, UdevEvent, Uevent, Verb};
use crate::name::{DmName, DmUuid};
use crate::status::{PoolMode, PoolStatus, PoolWorking};
use crate::table::{PoolParams, Table, TargetLine};
use base::ids::{DevNo, ThinId};
use base::units::{Chunks, Sectors};

mod data;
mod devices;
mod faults;
mod pool;

const DISK: DevNo = DevNo { major: 8, minor: 0 };
const CHUNK: u64 = 128;

fn name(text: &str) -> DmName {
    DmName::new(text).unwrap()
}

fn id(id: u64) -> ThinId {
    ThinId::new(id).unwrap()
}

fn sectors(count: u64) -> Sectors {
    Sectors::new(count)
}

fn errno<T: std::fmt::Debug>(result: Result<T, DmError>) -> Errno {
    result.unwrap_err().errno
}

/// A machine with one disk: 1024 blocks of metadata from sector 0 on, 16 chunks of data from sector 8192 on.
fn machine() -> SimKernel {
    let kernel = SimKernel::new();
    kernel.add_disk(DISK, sectors(1 << 20));
    kernel
}

fn make(kernel: &SimKernel, device: &str, line: TargetLine) -> DevNo {
    let dev = create(kernel, device);
    kernel.load(&name(device), &Table::single(line), false).unwrap();
    kernel.resume(&name(device), UdevEvent::default()).unwrap();
    dev
}

fn create(kernel: &SimKernel, device: &str) -> DevNo {
    kernel.create(&name(device), &DmUuid::new(&format!("LVM-{device}")).unwrap(), None).unwrap()
}

fn linear(kernel: &SimKernel, device: &str, start: u64, length: u64) -> DevNo {
    make(kernel, device, TargetLine::linear(sectors(0), sectors(length), DISK, sectors(start)))
}

fn pool_params(metadata: DevNo, data: DevNo) -> PoolParams {
    PoolParams {
        metadata,
        data,
        chunk_size: sectors(CHUNK),
        low_water: Chunks::new(0),
        skip_block_zeroing: false,
        ignore_discard: false,
        no_discard_passdown: true,
        error_if_no_space: true,
        read_only: false,
    }
}

/// The pool `tpool` over `tmeta` and `tdata`.
fn activate_pool(kernel: &SimKernel) -> DevNo {
    let metadata = linear(kernel, "tmeta", 0, 8192);
    let data = linear(kernel, "tdata", 8192, 16 * CHUNK);
    make(kernel, "tpool", TargetLine::thin_pool(sectors(16 * CHUNK), &pool_params(metadata, data)))
}

fn pool_machine() -> (SimKernel, DevNo) {
    let kernel = machine();
    let pool = activate_pool(&kernel);
    (kernel, pool)
}

fn thin(kernel: &SimKernel, device: &str, pool: DevNo, thin: u64) -> DevNo {
    make(kernel, device, TargetLine::thin(sectors(8 * CHUNK), pool, id(thin), None))
}

fn message(kernel: &SimKernel, text: &str) -> Result<(), DmError> {
    kernel.message(&name("tpool"), text)
}

fn pool_status(kernel: &SimKernel) -> PoolWorking {
    let (_, lines) = kernel.status(&name("tpool"), StatusFlush::NoFlush).unwrap();
    match PoolStatus::parse(&lines[0].params).unwrap() {
        PoolStatus::Working(working) => working,
        other => panic!("{other:?}"),
    }
}

fn suspend(kernel: &SimKernel, device: &str) {
    kernel.suspend(&name(device), Suspend::FlushAndFreeze).unwrap();
}

fn resume(kernel: &SimKernel, device: &str) -> Result<Uevent, DmError> {
    kernel.resume(&name(device), UdevEvent::default())
}

fn remove(kernel: &SimKernel, device: &str) -> Result<Uevent, DmError> {
    kernel.remove(&name(device), UdevEvent::default())
}
