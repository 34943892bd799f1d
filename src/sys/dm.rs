//! device-mapper ioctls that the `devicemapper` crate does not issue as LVM needs them: with a caller's own
//! `event_nr`, without waiting for udev inside, without retries; the list of devices with their uuids; and a
//! device with a minor number of the caller's.
//!
//! Source: Linux `include/uapi/linux/dm-ioctl.h`, `drivers/md/dm-ioctl.c`.

use std::mem::size_of;
use std::os::fd::{AsRawFd, BorrowedFd};

use devicemapper_sys as raw;
use nix::errno::Errno;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// Bytes of a name in the header, its NUL counted. Source: `DM_NAME_LEN`.
const NAME_LEN: usize = 128;
/// Bytes of a uuid in the header, its NUL counted. Source: `DM_UUID_LEN`.
const UUID_LEN: usize = 129;
/// Where the list of devices starts out; it doubles until the answer fits.
const LIST_BYTES: usize = 64 * 1024;
/// A list longer than this is refused: some 300,000 devices.
const LIST_BYTES_MAX: usize = 64 * 1024 * 1024;
/// Not in the headers of every machine that this is built on. Source: `DM_DEV_ARM_POLL_CMD`.
const DM_DEV_ARM_POLL_CMD: u32 = 16;
/// The largest minor number. Source: Linux `include/linux/kdev_t.h` (`MINORBITS`).
const MINOR_MAX: u32 = (1 << 20) - 1;

/// `struct dm_ioctl`, which starts every buffer given to device-mapper.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
struct Header {
    version: [u32; 3],
    data_size: u32,
    data_start: u32,
    target_count: u32,
    open_count: i32,
    flags: u32,
    event_nr: u32,
    padding: u32,
    dev: u64,
    name: [u8; NAME_LEN],
    uuid: [u8; UUID_LEN],
    data: [u8; 7],
}

const HEADER_LEN: usize = size_of::<Header>();
const _: () = assert!(HEADER_LEN == size_of::<raw::dm_ioctl>());

/// A verb that this module issues.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Command {
    List,
    Create,
    Remove,
    Rename,
    /// Suspends or resumes, as the flags say.
    Suspend,
    /// Asks for the state of one device.
    Info,
    /// Drops the table that waits.
    Clear,
    /// Has a poll of the control node wait for what happens from now on.
    ArmPoll,
}

impl Command {
    /// The request number: direction, size, device-mapper's magic and the command.
    fn request(self) -> libc::Ioctl {
        let number = match self {
            Self::List => raw::DM_LIST_DEVICES_CMD,
            Self::Create => raw::DM_DEV_CREATE_CMD,
            Self::Remove => raw::DM_DEV_REMOVE_CMD,
            Self::Rename => raw::DM_DEV_RENAME_CMD,
            Self::Suspend => raw::DM_DEV_SUSPEND_CMD,
            Self::Info => raw::DM_DEV_STATUS_CMD,
            Self::Clear => raw::DM_TABLE_CLEAR_CMD,
            Self::ArmPoll => DM_DEV_ARM_POLL_CMD,
        };
        nix::request_code_readwrite!(raw::DM_IOCTL, number, HEADER_LEN)
    }
}

impl Header {
    /// A header for a buffer of `data_size` bytes that asks for nothing yet.
    fn new(data_size: usize) -> Result<Self, Errno> {
        let small = |length: usize| u32::try_from(length).map_err(|_| Errno::EMSGSIZE);
        Ok(Self {
            // The oldest version that knows the verbs used here: the kernel refuses only newer ones than its
            // own.
            version: [raw::DM_VERSION_MAJOR, 0, 0],
            data_size: small(data_size)?,
            data_start: small(HEADER_LEN)?,
            target_count: 0,
            open_count: 0,
            flags: 0,
            event_nr: 0,
            padding: 0,
            dev: 0,
            name: [0; NAME_LEN],
            uuid: [0; UUID_LEN],
            data: [0; 7],
        })
    }

    /// A header for a verb on the device `name`.
    fn on(name: &str, data_size: usize) -> Result<Self, Errno> {
        let mut header = Self::new(data_size)?;
        put(&mut header.name, name)?;
        Ok(header)
    }
}

/// Writes a text into a field of the header. One byte stays zero: the kernel wants a NUL.
fn put(field: &mut [u8], text: &str) -> Result<(), Errno> {
    let room = field.len().saturating_sub(1);
    let place = field.get_mut(..text.len()).filter(|_| text.len() <= room).ok_or(Errno::ENAMETOOLONG)?;
    place.copy_from_slice(text.as_bytes());
    Ok(())
}

/// Issues one ioctl on a buffer that starts with a header.
///
/// Calls nothing but `ioctl`, so it may run between `fork` and `_exit`.
fn issue(control: BorrowedFd<'_>, command: Command, buffer: &mut [u8]) -> Result<(), Errno> {
    let told = buffer
        .get(..HEADER_LEN)
        .and_then(|bytes| Header::read_from_bytes(bytes).ok())
        .map(|header| header.data_size);
    if told.and_then(|size| usize::try_from(size).ok()) != Some(buffer.len()) {
        return Err(Errno::EINVAL);
    }
    // SAFETY: the descriptor is open for the borrow's life. Every command of `Command` reads a `dm_ioctl`
    // from the pointer and reads or writes at most `data_size` bytes there, which is the buffer's length as
    // checked above; the kernel copies, so alignment does not matter.
    let result = unsafe { libc::ioctl(control.as_raw_fd(), command.request(), buffer.as_mut_ptr()) };
    Errno::result(result).map(drop)
}

/// Issues one ioctl and reads the header of the answer.
fn ask(control: BorrowedFd<'_>, command: Command, buffer: &mut [u8]) -> Result<Header, Errno> {
    issue(control, command, buffer)?;
    Header::read_from_prefix(buffer).map(|(header, _)| header).map_err(|_| Errno::EPROTO)
}

/// Whether the kernel sent a uevent for the verb.
fn uevent_sent(answer: &Header) -> bool {
    answer.flags & raw::DM_UEVENT_GENERATED_FLAG != 0
}

/// Swaps a loaded table in and lets I/O go on; true if a uevent was sent.
///
/// Where a table waits and the device is not suspended, the kernel suspends it for the swap within the same ioctl: as
/// the flags say without waiting for I/O under way, which it takes up again with the new table, and without freezing a
/// file system. Source: `do_resume`.
///
/// # Errors
/// The kernel's. A table that it refuses to swap in is dropped, and the device stays suspended.
pub fn resume(control: BorrowedFd<'_>, name: &str, event_nr: u32) -> Result<bool, Errno> {
    let flags = raw::DM_NOFLUSH_FLAG | raw::DM_SKIP_LOCKFS_FLAG;
    let header = Header { event_nr, flags, ..Header::on(name, HEADER_LEN)? };
    ask(control, Command::Suspend, &mut header.as_bytes().to_vec()).map(|answer| uevent_sent(&answer))
}

/// Creates a device without a table, with that minor number; its number, in the kernel's encoding.
///
/// # Errors
/// The kernel's; EBUSY if the name or the uuid is taken, ENXIO if the number is, EINVAL if it is larger than any.
pub fn create(control: BorrowedFd<'_>, name: &str, uuid: &str, minor: u32) -> Result<u64, Errno> {
    if minor > MINOR_MAX {
        return Err(Errno::EINVAL);
    }
    // The kernel's encoding of a device number, `huge_encode_dev`; the major is its own.
    let dev = u64::from((minor & 0xff) | (minor & !0xff) << 12);
    let mut header = Header { flags: raw::DM_PERSISTENT_DEV_FLAG, dev, ..Header::on(name, HEADER_LEN)? };
    put(&mut header.uuid, uuid)?;
    ask(control, Command::Create, &mut header.as_bytes().to_vec()).map(|answer| answer.dev)
}

/// Removes a device, once; true if a uevent was sent.
///
/// # Errors
/// The kernel's; EBUSY if the device is open.
pub fn remove(control: BorrowedFd<'_>, name: &str, event_nr: u32) -> Result<bool, Errno> {
    let header = Header { event_nr, ..Header::on(name, HEADER_LEN)? };
    ask(control, Command::Remove, &mut header.as_bytes().to_vec()).map(|answer| uevent_sent(&answer))
}

/// Gives a device another name; true if a uevent was sent.
///
/// # Errors
/// The kernel's; EBUSY if the name is taken.
pub fn rename(control: BorrowedFd<'_>, name: &str, new: &str, event_nr: u32) -> Result<bool, Errno> {
    let length = HEADER_LEN.checked_add(new.len()).and_then(|n| n.checked_add(1)).ok_or(Errno::EMSGSIZE)?;
    let header = Header { event_nr, ..Header::on(name, length)? };
    let mut buffer = header.as_bytes().to_vec();
    buffer.extend_from_slice(new.as_bytes());
    buffer.push(0);
    ask(control, Command::Rename, &mut buffer).map(|answer| uevent_sent(&answer))
}

/// Has a poll of this control node wait for what happens to any device from now on: an event of a target, a table that
/// is replaced, a name that changes. Kernels since 4.13 know it.
///
/// # Errors
/// The kernel's; ENOTTY from an older one.
pub fn arm(control: BorrowedFd<'_>) -> Result<(), Errno> {
    issue(control, Command::ArmPoll, &mut Header::new(HEADER_LEN)?.as_bytes().to_vec())
}

/// A resume of one device with its buffers built beforehand, for a place where nothing may be allocated.
#[derive(Clone, Debug)]
pub(super) struct PreparedResume {
    info: [u8; HEADER_LEN],
    resume: [u8; HEADER_LEN],
}

impl PreparedResume {
    pub(super) fn new(name: &str, event_nr: u32) -> Result<Self, Errno> {
        let info = Header::on(name, HEADER_LEN)?;
        let resume = Header { event_nr, ..info };
        let bytes = |header: &Header| header.as_bytes().try_into().map_err(|_| Errno::EPROTO);
        Ok(Self { info: bytes(&info)?, resume: bytes(&resume)? })
    }

    /// Resumes the device if it is suspended, with the table it has: one that waits is dropped. Calls nothing but
    /// `ioctl`. Can be repeated: the kernel writes its answers, which it would not take for questions, into copies.
    pub(super) fn run(&self, control: BorrowedFd<'_>) -> Result<(), Errno> {
        let (mut info, mut clear, mut resume) = (self.info, self.info, self.resume);
        let state = ask(control, Command::Info, &mut info)?;
        if state.flags & raw::DM_SUSPEND_FLAG == 0 {
            return Ok(());
        }
        if state.flags & raw::DM_INACTIVE_PRESENT_FLAG != 0 {
            issue(control, Command::Clear, &mut clear)?;
        }
        issue(control, Command::Suspend, &mut resume)
    }
}

/// One device of the kernel's list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// Its name.
    pub name: Vec<u8>,
    /// Its number, in the kernel's encoding.
    pub dev: u64,
    /// Number of events so far; 0 from kernels before 4.13.
    pub event_nr: u32,
    /// What the list says of its uuid.
    pub uuid: ListedUuid,
}

/// What the list says of a device's uuid.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ListedUuid {
    /// It has this one.
    Is(Vec<u8>),
    /// It has none.
    None,
    /// The kernel is older than 5.13 and does not say.
    Unknown,
}

/// Lists all devices.
///
/// # Errors
/// The kernel's; EPROTO if the answer makes no sense, EMSGSIZE if it is longer than 64 MiB.
pub fn list(control: BorrowedFd<'_>) -> Result<Vec<Listed>, Errno> {
    let mut length = LIST_BYTES;
    while length <= LIST_BYTES_MAX {
        // The flag asks for uuids; kernels that do not know it leave it alone.
        let header = Header { flags: raw::DM_UUID_FLAG, ..Header::new(length)? };
        let mut buffer = header.as_bytes().to_vec();
        buffer.resize(length, 0);
        let answer = ask(control, Command::List, &mut buffer)?;
        if answer.flags & raw::DM_BUFFER_FULL_FLAG == 0 {
            let place = |offset: u32| usize::try_from(offset).map_err(|_| Errno::EPROTO);
            let (start, end) = (place(answer.data_start)?, place(answer.data_size)?);
            // Without any device the kernel reports a size that ends at or before the start.
            let entries = if end <= start { Some(&[][..]) } else { buffer.get(start..end) };
            let events = answer.version >= [4, 37, 0];
            return entries.and_then(|entries| list::parse(entries, events)).ok_or(Errno::EPROTO);
        }
        length *= 2;
    }
    Err(Errno::EMSGSIZE)
}

mod list;
