//! A disk shown to QEMU by the network block device protocol, over a socket of this machine: the fixed newstyle
//! handshake, and reads, writes, flushes, trims.
//!
//! Source: `doc/proto.md` of the NBD project (github.com/NetworkBlockDevice/nbd).

use std::io::{self, Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use crate::lossy::{LossyDisk, SECTOR};

const GREETING: &[u8; 16] = b"NBDMAGICIHAVEOPT";
const OPTION_MAGIC: u64 = u64::from_be_bytes(*b"IHAVEOPT");
const OPTION_REPLY: u64 = 0x0003_e889_0455_65a9;
const REQUEST: u32 = 0x2560_9513;
const REPLY: u32 = 0x6744_6698;

/// Handshake flags: fixed newstyle, and no zeroes after an export's name.
const HANDSHAKE: u16 = 1 | 2;

/// Transmission flags: there are flags; flush, FUA, trim and write-zeroes are understood.
const TRANSMISSION: u16 = 1 | 1 << 2 | 1 << 3 | 1 << 5 | 1 << 6;

const OPT_EXPORT_NAME: u32 = 1;
const OPT_ABORT: u32 = 2;
const OPT_GO: u32 = 7;
const REP_ACK: u32 = 1;
const REP_INFO: u32 = 3;
const REP_ERR_UNSUP: u32 = 1 << 31 | 1;
const INFO_EXPORT: u16 = 0;
const INFO_BLOCK_SIZE: u16 = 3;

const CMD_READ: u16 = 0;
const CMD_WRITE: u16 = 1;
const CMD_DISC: u16 = 2;
const CMD_FLUSH: u16 = 3;
const CMD_TRIM: u16 = 4;
const CMD_WRITE_ZEROES: u16 = 6;
const FLAG_FUA: u16 = 1;

/// The most that one request may move, in bytes.
const LARGEST: u32 = 32 << 20;

/// The longest option that is read, in bytes.
const LONGEST_OPTION: u32 = 64 << 10;

/// A disk that is shown until this is dropped.
pub struct Server {
    path: PathBuf,
    is_over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    /// Shows a disk on the socket `path`, to one client after the other.
    ///
    /// # Errors
    /// If there can be no such socket.
    pub fn start(disk: Arc<LossyDisk>, path: &Path) -> io::Result<Self> {
        let listener = UnixListener::bind(path)?;
        let is_over = Arc::new(AtomicBool::new(false));
        let told = Arc::clone(&is_over);
        let serve_all = move || {
            for client in listener.incoming().flatten() {
                if told.load(Ordering::SeqCst) {
                    return;
                }
                // A client that is killed ends in the middle of anything.
                let _ = serve(&disk, client);
            }
        };
        let thread = std::thread::Builder::new().name("nbd".into()).spawn(serve_all)?;
        Ok(Self { path: path.to_owned(), is_over, thread: Some(thread) })
    }

    /// The socket.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::SeqCst);
        // Whoever waits for a client gets one.
        if UnixStream::connect(&self.path).is_ok()
            && let Some(thread) = self.thread.take()
        {
            let _ = thread.join();
        }
        let _ = std::fs::remove_file(&self.path);
    }
}

/// Serves one client until it ends.
///
/// # Errors
/// The socket's, or words that are not of the protocol.
pub fn serve(disk: &LossyDisk, mut client: UnixStream) -> io::Result<()> {
    if !shake_hands(disk, &mut client)? {
        return Ok(());
    }
    loop {
        let mut request = [0; 28];
        client.read_exact(&mut request)?;
        let mut words = &request[..];
        if u32_of(&mut words)? != REQUEST {
            return Err(io::ErrorKind::InvalidData.into());
        }
        let (flags, command, handle) = (u16_of(&mut words)?, u16_of(&mut words)?, u64_of(&mut words)?);
        let (offset, length) = (u64_of(&mut words)?, u32_of(&mut words)?);
        if command == CMD_DISC {
            return Ok(());
        }
        let mut data = Vec::new();
        if command == CMD_WRITE {
            data = room_for(length)?;
            client.read_exact(&mut data)?;
        }
        let done = carry_out(disk, (command, flags & FLAG_FUA != 0), (offset, length), &mut data);
        let error = done.as_ref().map_or_else(errno_of, |()| 0);
        let mut reply = REPLY.to_be_bytes().to_vec();
        reply.extend(error.to_be_bytes());
        reply.extend(handle.to_be_bytes());
        if command == CMD_READ && done.is_ok() {
            reply.append(&mut data);
        }
        client.write_all(&reply)?;
    }
}

fn carry_out(
    disk: &LossyDisk,
    (command, is_fua): (u16, bool),
    (offset, length): (u64, u32),
    data: &mut Vec<u8>,
) -> io::Result<()> {
    match command {
        CMD_READ => {
            *data = room_for(length)?;
            return disk.read(offset, data);
        }
        CMD_WRITE => disk.write(offset, data)?,
        CMD_FLUSH => return disk.flush(),
        // What is trimmed may read as anything: as zeros, once that is flushed.
        CMD_TRIM | CMD_WRITE_ZEROES => {
            const PIECE: u32 = 1 << 20;
            let mut at = 0;
            while at < length {
                let piece = PIECE.min(length - at);
                disk.write(offset + u64::from(at), &room_for(piece)?)?;
                at += piece;
            }
        }
        _ => return Err(io::ErrorKind::InvalidInput.into()),
    }
    if is_fua { disk.flush_range(offset, length.into()) } else { Ok(()) }
}

/// Agrees on the one disk there is. Says whether requests follow.
fn shake_hands(disk: &LossyDisk, client: &mut UnixStream) -> io::Result<bool> {
    client.write_all(GREETING)?;
    client.write_all(&HANDSHAKE.to_be_bytes())?;
    let mut flags = [0; 4];
    client.read_exact(&mut flags)?;
    let no_zeroes = u32::from_be_bytes(flags) & 2 != 0;
    loop {
        let mut header = [0; 16];
        client.read_exact(&mut header)?;
        let mut words = &header[..];
        if u64_of(&mut words)? != OPTION_MAGIC {
            return Err(io::ErrorKind::InvalidData.into());
        }
        let (option, length) = (u32_of(&mut words)?, u32_of(&mut words)?);
        if length > LONGEST_OPTION {
            return Err(io::ErrorKind::InvalidData.into());
        }
        client.read_exact(&mut room_for(length)?)?;
        let reply = |kind: u32, data: &[u8]| {
            let mut reply = OPTION_REPLY.to_be_bytes().to_vec();
            reply.extend(option.to_be_bytes());
            reply.extend(kind.to_be_bytes());
            reply.extend(u32::try_from(data.len()).unwrap_or(0).to_be_bytes());
            reply.extend(data);
            reply
        };
        match option {
            OPT_EXPORT_NAME => {
                client.write_all(&export(disk))?;
                if !no_zeroes {
                    client.write_all(&[0; 124])?;
                }
                return Ok(true);
            }
            OPT_GO => {
                let export = [&INFO_EXPORT.to_be_bytes()[..], &export(disk)].concat();
                client.write_all(&reply(REP_INFO, &export))?;
                let sector = u32::try_from(SECTOR).unwrap_or(1);
                let sizes = [sector, 4096, LARGEST].map(u32::to_be_bytes).concat();
                let sizes = [&INFO_BLOCK_SIZE.to_be_bytes()[..], &sizes].concat();
                client.write_all(&reply(REP_INFO, &sizes))?;
                client.write_all(&reply(REP_ACK, &[]))?;
                return Ok(true);
            }
            OPT_ABORT => {
                client.write_all(&reply(REP_ACK, &[]))?;
                return Ok(false);
            }
            _ => client.write_all(&reply(REP_ERR_UNSUP, &[]))?,
        }
    }
}

/// The size of the disk and what may be asked of it.
fn export(disk: &LossyDisk) -> Vec<u8> {
    [&disk.size().to_be_bytes()[..], &TRANSMISSION.to_be_bytes()].concat()
}

fn room_for(length: u32) -> io::Result<Vec<u8>> {
    if length > LARGEST {
        return Err(io::ErrorKind::InvalidData.into());
    }
    Ok(vec![0; usize::try_from(length).map_err(io::Error::other)?])
}

/// The protocol's numbers of errors are Linux's.
fn errno_of(error: &io::Error) -> u32 {
    let errno = match error.kind() {
        io::ErrorKind::InvalidInput => libc::EINVAL,
        _ => error.raw_os_error().unwrap_or(libc::EIO),
    };
    errno.unsigned_abs()
}

macro_rules! number_of {
    ($($name:ident: $number:ty),*) => { $(
        fn $name(from: &mut &[u8]) -> io::Result<$number> {
            let mut bytes = [0; size_of::<$number>()];
            from.read_exact(&mut bytes)?;
            Ok(<$number>::from_be_bytes(bytes))
        }
    )* };
}

number_of!(u16_of: u16, u32_of: u32, u64_of: u64);

#[cfg(test)]
mod tests {
    use super::*;

    const FILL: [u8; 512] = [5; 512];

    fn read(client: &mut UnixStream, length: usize) -> Vec<u8> {
        let mut bytes = vec![0; length];
        client.read_exact(&mut bytes).unwrap();
        bytes
    }

    /// Asks for something; the error, and the data of so many bytes that comes with it.
    fn ask(
        client: &mut UnixStream,
        (command, flags): (u16, u16),
        offset: u64,
        data: &[u8],
        answer: usize,
    ) -> (u32, Vec<u8>) {
        let length = u32::try_from(data.len().max(answer)).unwrap();
        let mut request = REQUEST.to_be_bytes().to_vec();
        request.extend([flags.to_be_bytes(), command.to_be_bytes()].concat());
        request.extend([77_u64.to_be_bytes(), offset.to_be_bytes()].concat());
        request.extend(length.to_be_bytes());
        if command == CMD_WRITE {
            request.extend(data);
        }
        client.write_all(&request).unwrap();
        let reply = read(client, 16);
        assert_eq!((&reply[..4], &reply[8..]), (&REPLY.to_be_bytes()[..], &77_u64.to_be_bytes()[..]));
        let error = u32::from_be_bytes(reply[4..8].try_into().unwrap());
        let data = if error == 0 && command == CMD_READ { read(client, answer) } else { Vec::new() };
        (error, data)
    }

    /// A client of the disk that has shaken hands, as QEMU does.
    fn client(server: &Server, size: u64) -> UnixStream {
        let mut client = UnixStream::connect(server.path()).unwrap();
        assert_eq!(read(&mut client, 18), [&GREETING[..], &HANDSHAKE.to_be_bytes()].concat());
        client.write_all(&3_u32.to_be_bytes()).unwrap();
        // Structured replies are not known here; the one disk is.
        for (option, replies) in
            [(8_u32, [REP_ERR_UNSUP].as_slice()), (OPT_GO, &[REP_INFO, REP_INFO, REP_ACK])]
        {
            let header =
                [&OPTION_MAGIC.to_be_bytes()[..], &option.to_be_bytes(), &6_u32.to_be_bytes()].concat();
            client.write_all(&[header, vec![0; 6]].concat()).unwrap();
            for kind in replies {
                let reply = read(&mut client, 20);
                assert_eq!(&reply[8..16], [option.to_be_bytes(), kind.to_be_bytes()].concat());
                let length = u32::from_be_bytes(reply[16..].try_into().unwrap());
                let data = read(&mut client, usize::try_from(length).unwrap());
                if data.starts_with(&INFO_EXPORT.to_be_bytes()) {
                    assert_eq!(&data[2..10], size.to_be_bytes());
                }
            }
        }
        client
    }

    #[test]
    fn what_a_client_writes_lasts_once_it_is_flushed() {
        let folder = tempfile::tempdir().unwrap();
        let size = 8 * SECTOR;
        let disk = Arc::new(LossyDisk::new(tempfile::tempfile().unwrap(), size).unwrap());
        let server = Server::start(Arc::clone(&disk), &folder.path().join("disk")).unwrap();
        // What is done, and whether it lasts without a flush of its own.
        for (command, flags, is_flushed) in [
            (CMD_WRITE, 0, true),
            (CMD_WRITE, FLAG_FUA, false),
            (CMD_WRITE, 0, false),
            (CMD_TRIM, FLAG_FUA, false),
        ] {
            let mut client = client(&server, size);
            assert_eq!(ask(&mut client, (command, flags), SECTOR, &FILL, 0).0, 0);
            if is_flushed {
                assert_eq!(ask(&mut client, (CMD_FLUSH, 0), 0, &[], 0).0, 0);
            }
            let lasts = is_flushed || flags == FLAG_FUA;
            let expected = if command == CMD_TRIM { [0; 512] } else { FILL };
            assert_eq!(ask(&mut client, (CMD_READ, 0), SECTOR, &[], 512), (0, expected.to_vec()));
            drop(client);
            let left = disk.cut(1).unwrap();
            assert_eq!(left.kept + left.lost == 0, lasts, "{command} {flags}");
        }
        let mut client = client(&server, size);
        assert_eq!(ask(&mut client, (CMD_READ, 0), 7, &[], 512).0, libc::EINVAL.unsigned_abs());
        assert_eq!(ask(&mut client, (CMD_WRITE, 0), size, &FILL, 0).0, libc::EINVAL.unsigned_abs());
        assert_eq!(ask(&mut client, (99, 0), 0, &[], 0).0, libc::EINVAL.unsigned_abs());
        drop(client);
        let path = server.path().to_owned();
        drop(server);
        assert!(!path.exists());
    }
}
