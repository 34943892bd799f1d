//! Asks dmeventd, which watches pools for lvm2 and has them extended, whether it watches one: over its two pipes.
//! Source: lvm2 `daemons/dmeventd/libdevmapper-event.c` (`daemon_talk`, `init_fifos`), `daemons/dmeventd/dmeventd.h`.

use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::format::monitoring::Registration;
use dm::name::DmUuid;
use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg, OFlag};

/// Where dmeventd has its pipes.
const RUN_DIR: &str = "/run";

/// How long it may take to answer, and others to be done with it.
const LIMIT: Duration = Duration::from_secs(3);

/// How often to look for an answer.
const PAUSE: Duration = Duration::from_millis(5);

/// No answer is longer.
const ANSWER_MAX: usize = 4096;

/// `DM_EVENT_CMD_REGISTER_FOR_EVENT`.
const REGISTER: u32 = 2;

/// `DM_EVENT_CMD_UNREGISTER_FOR_EVENT`.
const UNREGISTER: u32 = 3;

/// `DM_EVENT_CMD_GET_TIMEOUT`.
const GET_TIMEOUT: u32 = 7;

/// `DM_EVENT_CMD_GET_REGISTERED_DEVICE`.
const GET_REGISTERED: u32 = 4;

/// `DM_EVENT_ERROR_MASK`: what lvm2 asks for.
const ALL_ERRORS: u32 = 0xff00;

/// dmeventd's pipes.
#[derive(Debug)]
pub struct Dmeventd {
    client: PathBuf,
    server: PathBuf,
    limit: Duration,
}

impl Default for Dmeventd {
    fn default() -> Self {
        Self::at(Path::new(RUN_DIR), LIMIT)
    }
}

impl Dmeventd {
    fn at(dir: &Path, limit: Duration) -> Self {
        Self { client: dir.join("dmeventd-client"), server: dir.join("dmeventd-server"), limit }
    }

    /// Whether a device is watched. Where dmeventd does not run, none is.
    ///
    /// # Errors
    /// If it does not answer in time, or as it should, or its pipes are not to be trusted.
    pub fn watches(&self, device: &DmUuid) -> io::Result<bool> {
        Ok(self.registered(device)?.is_some())
    }

    /// How a device is watched, if it is. Where dmeventd does not run, none is.
    ///
    /// # Errors
    /// As for [`Self::watches`].
    pub fn registered(&self, device: &DmUuid) -> io::Result<Option<Registration>> {
        let any = Registration { library: "-".into(), events: ALL_ERRORS, timeout_s: 0 };
        let Some(text) = self.ask(GET_REGISTERED, device, &any)? else { return Ok(None) };
        let unclear = || io::Error::other(format!("it answers '{text}'"));
        // Its id, the library, the device, the events.
        let words: Vec<&str> = text.split_whitespace().collect();
        let [_, library, _, events, ..] = words.as_slice() else { return Err(unclear()) };
        let events = events.parse().map_err(|_| unclear())?;
        let timeout = self.ask(GET_TIMEOUT, device, &any)?;
        let timeout_s = timeout.and_then(|text| text.split_whitespace().nth(1)?.parse().ok()).unwrap_or(0);
        Ok(Some(Registration { library: (*library).to_owned(), events, timeout_s }))
    }

    /// Has a device watched. Where dmeventd does not run nothing is done, and it is not started.
    ///
    /// # Errors
    /// As for [`Self::watches`].
    pub fn register(&self, device: &DmUuid, how: &Registration) -> io::Result<()> {
        self.ask(REGISTER, device, how).map(drop)
    }

    /// Unregisters a device. It is no error if it is not registered, or dmeventd does not run.
    ///
    /// # Errors
    /// As for [`Self::watches`].
    pub fn unregister(&self, device: &DmUuid, how: &Registration) -> io::Result<()> {
        self.ask(UNREGISTER, device, how).map(drop)
    }

    /// Sends a command and waits for its answer; nothing if dmeventd does not run or does not know the device.
    fn ask(&self, command: u32, device: &DmUuid, how: &Registration) -> io::Result<Option<String>> {
        let deadline = Instant::now() + self.limit;
        let client = match open(&self.client, false) {
            // Without a reader the pipe is one that a dmeventd of before has left.
            Err(error)
                if [Some(Errno::ENXIO as i32), Some(Errno::ENOENT as i32)]
                    .contains(&error.raw_os_error()) =>
            {
                return Ok(None);
            }
            client => client?,
        };
        let mut server = lock(open(&self.server, true)?, deadline)?;
        // Discards an answer that another client has not read.
        while server.read(&mut [0; 128]).is_ok_and(|read| read > 0) {}
        let id = format!("{}:0", std::process::id());
        let Registration { library, events, timeout_s } = how;
        send(&client, command, &format!("{id} {library} {device} {events} {timeout_s}\0"))?;
        loop {
            let (said, text) = answer(&mut server, deadline)?;
            let text = text.trim_end_matches('\0');
            if text.split_whitespace().next() != Some(&id) {
                continue;
            }
            return match said {
                0 => Ok(Some(text.to_owned())),
                said if said == -(Errno::ENOENT as i32) => Ok(None),
                _ => Err(io::Error::other(format!("it answers '{text}'"))),
            };
        }
    }
}

/// Opens one of the pipes, which must be its owner's alone.
fn open(path: &Path, read: bool) -> io::Result<File> {
    let flags = (OFlag::O_NONBLOCK | OFlag::O_NOFOLLOW).bits();
    let file = OpenOptions::new().read(read).write(true).custom_flags(flags).open(path)?;
    let found = file.metadata()?;
    if !found.file_type().is_fifo()
        || found.uid() != nix::unistd::geteuid().as_raw()
        || found.mode() & 0o177 != 0
    {
        return Err(io::Error::other(format!("{} is not a pipe of root's alone", path.display())));
    }
    Ok(file)
}

/// One client at a time: the answers of all come through the same pipe.
fn lock(file: File, deadline: Instant) -> io::Result<Flock<File>> {
    let mut file = file;
    loop {
        match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
            Ok(locked) => return Ok(locked),
            Err((back, Errno::EWOULDBLOCK)) => file = back,
            Err((_, errno)) => return Err(errno.into()),
        }
        wait(deadline)?;
    }
}

fn wait(deadline: Instant) -> io::Result<()> {
    if Instant::now() >= deadline {
        return Err(io::Error::new(ErrorKind::TimedOut, "it does not answer"));
    }
    std::thread::sleep(PAUSE);
    Ok(())
}

/// Sends a command. It is short enough that the pipe takes it whole or not at all.
fn send(mut client: &File, command: u32, text: &str) -> io::Result<()> {
    let length = u32::try_from(text.len()).map_err(io::Error::other)?;
    let message = [&command.to_be_bytes(), &length.to_be_bytes(), text.as_bytes()].concat();
    client.write_all(&message)
}

/// An answer: 0 or a negated errno, and a text.
fn answer(server: &mut File, deadline: Instant) -> io::Result<(i32, String)> {
    let (mut said, mut length) = ([0; 4], [0; 4]);
    fill(server, &mut said, deadline)?;
    fill(server, &mut length, deadline)?;
    let length = usize::try_from(u32::from_be_bytes(length)).map_err(io::Error::other)?;
    if length > ANSWER_MAX {
        return Err(io::Error::other("its answer is too long"));
    }
    let mut text = vec![0; length];
    fill(server, &mut text, deadline)?;
    Ok((i32::from_be_bytes(said), String::from_utf8_lossy(&text).into_owned()))
}

fn fill(server: &mut File, mut into: &mut [u8], deadline: Instant) -> io::Result<()> {
    while !into.is_empty() {
        match server.read(into) {
            Ok(read) if read > 0 => into = into.split_at_mut(read).1,
            Err(error) if !matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {
                return Err(error);
            }
            _ => wait(deadline)?,
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use nix::sys::stat::Mode;
    use nix::unistd::mkfifo;

    fn device() -> DmUuid {
        DmUuid::new("LVM-x-tpool").unwrap()
    }

    /// A command, what comes with it, and the answers to it.
    type Question<'a> = (u32, &'a str, &'a [(i32, &'a str)]);

    /// What comes of a question to a dmeventd that is asked these questions, and gives these answers to them.
    fn asked<T: Send>(
        questions: &[Question<'_>],
        ask: impl FnOnce(&Dmeventd) -> io::Result<T> + Send,
    ) -> io::Result<T> {
        let dir = tempfile::tempdir().unwrap();
        let dmeventd = Dmeventd::at(dir.path(), Duration::from_secs(20));
        let mode = Mode::S_IRUSR | Mode::S_IWUSR;
        mkfifo(&dmeventd.client, mode).unwrap();
        mkfifo(&dmeventd.server, mode).unwrap();
        // It never sees the end of its pipe, for it may write to it itself.
        let both = |path: &Path| OpenOptions::new().read(true).write(true).open(path).unwrap();
        let (mut client, mut server) = (both(&dmeventd.client), both(&dmeventd.server));
        server.write_all(b"left by another").unwrap();
        std::thread::scope(|scope| {
            scope.spawn(move || {
                for (command, wanted, answers) in questions {
                    let mut head = [0; 8];
                    client.read_exact(&mut head).unwrap();
                    assert_eq!(head[..4], command.to_be_bytes());
                    let mut text = vec![0; usize::from(head[7])];
                    client.read_exact(&mut text).unwrap();
                    let id = format!("{}:0", std::process::id());
                    assert_eq!(text, format!("{id} {wanted}\0").into_bytes());
                    for (said, text) in *answers {
                        let text = text.replace("ID", &id);
                        let length = u32::try_from(text.len()).unwrap().to_be_bytes();
                        server.write_all(&[&said.to_be_bytes(), &length, text.as_bytes()].concat()).unwrap();
                    }
                }
            });
            ask(&dmeventd)
        })
    }

    const ANY: &str = "- LVM-x-tpool 65280 0";
    const TEN: Question<'_> = (GET_TIMEOUT, ANY, &[(0, "ID 10\0")]);

    fn known(answers: &[(i32, &str)]) -> io::Result<Option<Registration>> {
        asked(&[(GET_REGISTERED, ANY, answers), TEN], |dmeventd| dmeventd.registered(&device()))
    }

    fn unknown(answers: &[(i32, &str)]) -> io::Result<Option<Registration>> {
        asked(&[(GET_REGISTERED, ANY, answers)], |dmeventd| dmeventd.registered(&device()))
    }

    #[test]
    fn it_says_how_it_watches() {
        let library = "libdevmapper-event-lvm2thin.so".to_owned();
        let all = Registration { library, events: 196_352, timeout_s: 10 };
        let said = "ID libdevmapper-event-lvm2thin.so LVM-x-tpool 196352\0";
        assert_eq!(known(&[(0, said)]).unwrap(), Some(all.clone()));
        assert_eq!(known(&[(-2, "1:0 another's\0"), (0, said)]).unwrap(), Some(all.clone()));
        assert_eq!(unknown(&[(-2, "ID No such file or directory\0")]).unwrap(), None);
        let error = unknown(&[(-22, "ID Invalid argument\0")]).unwrap_err();
        assert!(error.to_string().contains("Invalid argument"));
        let wanted = "libdevmapper-event-lvm2thin.so LVM-x-tpool 196352 10";
        asked(&[(REGISTER, wanted, &[(0, "ID\0")])], |dmeventd| dmeventd.register(&device(), &all)).unwrap();
        asked(&[(UNREGISTER, wanted, &[(0, "ID\0")])], |dmeventd| dmeventd.unregister(&device(), &all))
            .unwrap();
    }

    #[test]
    fn where_it_does_not_run_nothing_is_watched_and_where_it_hangs_nothing_waits() {
        let dir = tempfile::tempdir().unwrap();
        let dmeventd = Dmeventd::at(dir.path(), Duration::from_millis(20));
        assert!(!dmeventd.watches(&device()).unwrap());
        let mode = Mode::S_IRUSR | Mode::S_IWUSR;
        mkfifo(&dmeventd.client, mode).unwrap();
        mkfifo(&dmeventd.server, mode).unwrap();
        assert!(!dmeventd.watches(&device()).unwrap(), "nobody reads");
        let _reader = OpenOptions::new().read(true).write(true).open(&dmeventd.client).unwrap();
        assert_eq!(dmeventd.watches(&device()).unwrap_err().kind(), ErrorKind::TimedOut);
        std::fs::remove_file(&dmeventd.server).unwrap();
        std::fs::write(&dmeventd.server, "").unwrap();
        assert!(dmeventd.watches(&device()).unwrap_err().to_string().contains("not a pipe"));
    }
}
