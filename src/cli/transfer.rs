//! What `export` and `import` have in common: their options, who watches them, and their errors.

use std::fs::File;
use std::io::{self, IsTerminal};
use std::num::NonZeroU64;
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use clap::Args;

use super::errors::CliError;
use super::progress;
use base::error_kind::ErrorKind;
use base::units::Bytes;
use base::units::size::{Rounded, Unit, parse_size};
use sys::signals::take_stop;
use thin::internals::transfer::{Choices, TransferError, Watch};

/// The one format of volumes in thin pools that Proxmox VE moves. Source: pve-storage `PVE/Storage/LVMPlugin.pm`
/// (`volume_import_formats`).
pub const FORMAT: &str = "raw+size";

/// The tag of a volume that an import is filling.
pub const IMPORTING: &str = "thinvol.importing";

/// What standard input and output are called.
pub const STANDARD: &str = "-";

/// Options of a transfer.
#[derive(Clone, Debug, Args)]
pub struct TransferOptions {
    /// Not more than so many KiB in a second, or so much with a unit: 10M. Holes in files do not count
    #[arg(long, value_name = "RATE", display_order = 10)]
    pub bwlimit: Option<String>,

    /// Tell the SHA-256 of the stream, its header included: what 'sha256sum' says of the file
    #[arg(long, display_order = 11)]
    pub checksum: bool,

    /// A line of progress on standard error every so many seconds, also where that is no terminal
    #[arg(long, value_name = "SECONDS", display_order = 12)]
    pub progress: Option<u32>,
}

impl TransferOptions {
    /// What the engine is to be told.
    ///
    /// # Errors
    /// If the limit is none.
    pub fn choices(&self) -> Result<Choices, CliError> {
        let limit = self.bwlimit.as_deref().map(rate).transpose()?;
        Ok(Choices { limit, checksum: self.checksum })
    }
}

/// Bytes in a second: a number of KiB, or with a unit.
///
/// # Errors
/// If it is none.
pub fn rate(text: &str) -> Result<NonZeroU64, CliError> {
    let bytes = parse_size(text, Unit::Kibi)
        .map_err(|error| CliError::usage(error.to_string()).hint(error.hint.clone()))?;
    NonZeroU64::new(bytes.get())
        .ok_or_else(|| CliError::usage(format!("'{text}' is no rate: nothing would go through")))
}

/// Checks the format of a stream.
///
/// # Errors
/// If it is another one than volumes of thin pools have.
pub fn check_format(format: &str) -> Result<(), CliError> {
    if format == FORMAT {
        return Ok(());
    }
    let known = ["tar+size", "qcow2+size", "vmdk+size", "zfs", "btrfs"].contains(&format);
    let kind = if known { ErrorKind::Unsupported } else { ErrorKind::Usage };
    Err(CliError::new(kind, format!("unsupported format '{format}'"))
        .hint(format!("volumes of thin pools are exported and imported as '{FORMAT}'")))
}

/// Another descriptor of standard input or output, without a buffer between.
///
/// # Errors
/// If it is a terminal, or not open.
pub fn standard(stream: impl AsFd + IsTerminal, what: &str) -> Result<File, CliError> {
    if stream.is_terminal() {
        return Err(CliError::usage(format!("{what} is a terminal"))
            .hint("name a file, or redirect it to one or to a pipe"));
    }
    let copy = stream.as_fd().try_clone_to_owned();
    copy.map(File::from).map_err(|error| {
        CliError::new(ErrorKind::Refused, format!("{what} cannot be used")).caused_by(Some(&error))
    })
}

/// Watches a transfer: looks for signals, and shows how far it is.
#[derive(Debug)]
pub struct Watcher {
    size: u64,
    start: Instant,
    /// When the next line is shown, and how often; nothing if none is.
    lines: Option<(Instant, Duration)>,
    /// When the line on the terminal changes next.
    terminal: Option<Instant>,
    is_shown: bool,
}

/// How often the line on a terminal changes.
const REDRAW: Duration = Duration::from_millis(500);

impl Watcher {
    /// Watches the transfer of so many bytes.
    pub fn new(size: u64, options: &TransferOptions, quiet: bool) -> Self {
        let start = Instant::now();
        let every =
            options.progress.filter(|seconds| *seconds > 0).map(|every| Duration::from_secs(every.into()));
        let on_terminal = every.is_none() && !quiet && io::stderr().is_terminal();
        Self {
            size,
            start,
            lines: every.map(|every| (start + every, every)),
            terminal: on_terminal.then_some(start + REDRAW),
            is_shown: false,
        }
    }

    /// How far it is, in words.
    fn words(&self, done: u64, now: Instant) -> String {
        let percent = u128::from(done) * 100 / u128::from(self.size.max(1));
        let milliseconds = now.saturating_duration_since(self.start).as_millis().max(1);
        let rate = u64::try_from(u128::from(done) * 1000 / milliseconds).unwrap_or(u64::MAX);
        let [done, size, rate] = [done, self.size, rate].map(|bytes| Rounded(Bytes::new(bytes)));
        format!("{done} of {size} ({percent} %), {rate}/s")
    }

    /// The line that is due, if one is.
    fn line(&mut self, done: u64, now: Instant) -> Option<String> {
        if let Some((next, every)) = &mut self.lines
            && now >= *next
        {
            *next = now + *every;
            return Some(format!("{}\n", self.words(done, now)));
        }
        if self.terminal.is_some_and(|next| now >= next) {
            self.terminal = Some(now + REDRAW);
            self.is_shown = true;
            return Some(format!("\r{}\x1b[K", self.words(done, now)));
        }
        None
    }
}

impl Watch for Watcher {
    fn heed(&mut self, done: u64) -> Result<(), String> {
        if let Some(line) = self.line(done, Instant::now()) {
            progress::show(&line);
        }
        take_stop().map_or(Ok(()), |signal| Err(format!("stopped by {signal}")))
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        if self.is_shown {
            progress::show("\r\x1b[K");
        }
    }
}

impl From<TransferError> for CliError {
    fn from(error: TransferError) -> Self {
        let full = |source: &io::Error| source.kind() == io::ErrorKind::StorageFull;
        let kind = match &error {
            TransferError::Short { .. } | TransferError::Long { .. } => ErrorKind::Usage,
            _ => ErrorKind::Refused,
        };
        let shown = Self::from_error(kind, &error);
        match &error {
            TransferError::Sink { source, .. } if source.kind() == io::ErrorKind::BrokenPipe => {
                shown.hint("whoever reads the stream went away: what it said tells why")
            }
            TransferError::Write { source, .. } if full(source) => {
                shown.hint("the pool is full: 'thinvol status' shows it")
            }
            _ => shown,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(bwlimit: Option<&str>, progress: Option<u32>) -> TransferOptions {
        TransferOptions { bwlimit: bwlimit.map(ToOwned::to_owned), checksum: false, progress }
    }

    #[test]
    fn a_limit_is_in_kib_as_in_proxmox_ve() {
        let limit =
            |text| options(Some(text), None).choices().map(|choices| choices.limit.map(NonZeroU64::get));
        assert_eq!(limit("100"), Ok(Some(102_400)));
        assert_eq!(limit("10M"), Ok(Some(10 << 20)));
        assert_eq!(options(None, None).choices().unwrap().limit, None);
        assert_eq!(limit("0").unwrap_err().message, "'0' is no rate: nothing would go through");
        assert_eq!(limit("fast").unwrap_err().code, ErrorKind::Usage);
    }

    #[test]
    fn formats_of_other_storages_are_known_and_not_supported() {
        let code = |format| check_format(format).map_err(|error| error.code);
        assert_eq!(code("raw+size"), Ok(()));
        assert_eq!(code("qcow2+size"), Err(ErrorKind::Unsupported));
        assert_eq!(code("raw"), Err(ErrorKind::Usage));
    }

    #[test]
    fn progress_comes_as_often_as_was_asked() {
        let mut watcher = Watcher::new(4 << 30, &options(None, Some(10)), true);
        let after = |watcher: &Watcher, ms| watcher.start + Duration::from_millis(ms);
        let at = after(&watcher, 9_999);
        assert_eq!(watcher.line(1, at), None);
        let at = after(&watcher, 10_000);
        assert_eq!(watcher.line(1 << 30, at).as_deref(), Some("1 GiB of 4 GiB (25 %), 102.39 MiB/s\n"));
        let at = after(&watcher, 19_000);
        assert_eq!(watcher.line(2 << 30, at), None);
        let mut quiet = Watcher::new(1, &options(None, None), true);
        let at = after(&quiet, 60_000);
        assert_eq!(quiet.line(1, at), None);
    }
}
