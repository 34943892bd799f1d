//! `thinvol export`: what a volume holds, as a stream.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::Args;
use serde::Serialize;

use crate::backends::{self, Address};
use crate::context::Context;
use crate::errors::CliError;
use crate::options::{ChangeOptions, DEFAULT_LOCK_TIMEOUT_SECONDS};
use crate::output::{self, Answer};
use crate::resolve::{NamedObject, Resolver, VolumeOrSnapshot};
use crate::transfer::{STANDARD, TransferOptions, Watcher, check_format, standard};
use base::error_kind::ErrorKind;
use base::ids::{LvName, VgName};
use base::units::Bytes;
use base::units::size::Rounded;
use sys::io::block::BlockDev;
use sys::io::direct::{Access, DirectFile};
use sys::signals::SignalsHeldOff;
use thin::changes::{Activate, Change, Deactivate};
use thin::internals::engine::ReadMetadata;
use thin::internals::engine::mapped::ActiveVolume;
use thin::internals::lineage::Lineage;
use thin::internals::lookup;
use thin::internals::transfer::sink::{Pipe, Sink, SparseFile};
use thin::internals::transfer::{self, Sent, Window, all_of};
use thin::{Engine, Options};

const HELP: &str = "\
Examples:
  thinvol export local-lvm:vm-100-disk-0 raw+size disk.raw
  thinvol export pve/vm-100-disk-0@daily raw+size - | ssh node2 pvesm import local-lvm:vm-100-disk-0 raw+size -
  thinvol export local-lvm:vm-100-disk-0 raw+size - --bwlimit 51200 --checksum > /backup/disk
  thinvol export san:0.0.1.scsi-36001405ab raw+size lun.raw

JSON:
  {\"volume\", \"format\", \"file\": text or null (standard output), \"size\": number (bytes),
   \"read\": number (bytes, from the device), \"checksum\": text or null (SHA-256), \"notes\": [text],
   \"warnings\": [text]}

If the stream is on standard output, all else that is said is on standard error, the JSON document, too.";

/// Write what a volume holds to a file or a pipe
///
/// Sends a volume or a snapshot as 'pvesm export' does: its size in 8 bytes, then all it holds, so that 'pvesm import'
/// and 'thinvol import' of any node take it. Only what is mapped is read, and the rest sent as zeros; a file gets
/// holes there. What is mapped is looked up piece by piece under the lock of the volume group, a fraction of a second
/// each time; where it cannot be known, all is read, and a note says why.
///
/// An inactive volume or snapshot is active meanwhile. A volume that is being written to has no one state: export a
/// snapshot of it. A file appears under its name when it is complete, with permissions for root alone, and replaces
/// one of that name.
#[derive(Debug, Args)]
#[command(after_long_help = HELP)]
pub struct ExportArgs {
    /// The volume or snapshot, or a LUN of a storage of type iscsi
    #[arg(value_name = "VOLUME[@SNAPSHOT]")]
    pub volume: String,

    /// The format of the stream: raw+size
    pub format: String,

    /// The file; '-' is standard output
    pub file: String,

    /// Options of every transfer.
    #[command(flatten)]
    pub transfer: TransferOptions,
}

/// What was exported.
#[derive(Debug, Serialize)]
struct Exported {
    volume: String,
    format: String,
    file: Option<String>,
    size: u64,
    read: u64,
    checksum: Option<String>,
    notes: Vec<String>,
    warnings: Vec<String>,
}

impl Answer for Exported {
    fn text(&self, out: &mut dyn Write) -> io::Result<()> {
        let [size, read] = [self.size, self.read].map(|bytes| Rounded(Bytes::new(bytes)));
        writeln!(out, "exported '{}': {size}, of which {read} were read", self.volume)?;
        self.checksum.as_ref().map_or(Ok(()), |sum| writeln!(out, "sha256 {sum}"))
    }

    fn notes(&self) -> &[String] {
        &self.notes
    }

    fn warnings(&self) -> &[String] {
        &self.warnings
    }

    fn is_report(&self) -> bool {
        self.checksum.is_none()
    }
}

impl ExportArgs {
    /// Sends the volume.
    ///
    /// # Errors
    /// If an argument is wrong, the volume cannot be read, or the stream is not taken. A file that was begun is gone.
    pub fn run(&self, context: &Context) -> Result<(), CliError> {
        check_format(&self.format)?;
        let choices = self.transfer.choices()?;
        let source = match backends::apart(&context.resolver, &self.volume, Resolver::enabled)? {
            Some(address) => Source::Apart(self.path(&address)?),
            None => Source::of_pool(self.opened(context)?, context.resolver.source(&self.volume)?)?,
        };
        let target = Target::open(&self.file)?;
        let _signals = SignalsHeldOff::new().map_err(|errno| {
            CliError::new(ErrorKind::Refused, format!("signals cannot be held off: {errno}"))
        })?;
        let mut notes = Vec::new();
        let sent = source.ready(context).and_then(|ready| {
            let sent = ready.send(
                &target,
                choices,
                |size| Watcher::new(size, &self.transfer, context.style.quiet),
                &mut notes,
            );
            ready.done(context, sent)
        });
        let sent = sent.and_then(|(size, sent)| target.complete().map(|()| (size, sent)));
        let (size, Sent { read, checksum }) = sent.inspect_err(|_| target.forget())?;
        let answer = Exported {
            volume: self.volume.clone(),
            format: self.format.clone(),
            file: (self.file != STANDARD).then(|| self.file.clone()),
            size,
            read,
            checksum,
            notes,
            warnings: context.warnings(),
        };
        if self.file == STANDARD {
            output::print_beside(&answer, context.style)
        } else {
            context.print(&answer)
        }
    }

    /// The device of a volume that is not the engine's.
    fn path(&self, address: &Address) -> Result<PathBuf, CliError> {
        let path =
            address.volname.as_ref().zip(address.backend.apart()).map(|(name, apart)| apart.path(name));
        let is_storage = || CliError::usage(format!("'{}' is a storage, not a volume", self.volume));
        Ok(PathBuf::from(path.ok_or_else(is_storage)??))
    }

    fn opened(&self, context: &Context) -> Result<Engine, CliError> {
        context.open(&ChangeOptions {
            beyond_rules: false,
            dry_run: false,
            no_udev_sync: false,
            lock_timeout: DEFAULT_LOCK_TIMEOUT_SECONDS,
        })
    }
}

/// What is sent.
enum Source {
    /// By the device of a volume that is there or not.
    Apart(PathBuf),
    Thin {
        engine: Box<Engine>,
        what: VolumeOrSnapshot,
        vg: VgName,
        lv: LvName,
    },
}

impl Source {
    fn of_pool(engine: Engine, what: VolumeOrSnapshot) -> Result<Self, CliError> {
        let vg = engine.metadata(&what.volume().vg)?;
        let lv = lookup::source(&vg, &Lineage::of(&vg), &what)?;
        if lv.thin().is_none() {
            return Err(lookup::not_thin(&vg.name, &lv.name).into());
        }
        let (vg, lv) = (vg.name.clone(), lv.name.clone());
        Ok(Self::Thin { engine: Box::new(engine), what, vg, lv })
    }

    /// Makes sure that it has a device.
    fn ready(self, context: &Context) -> Result<Ready, CliError> {
        let (engine, what, vg, lv) = match self {
            Self::Apart(path) => return Ok(Ready { path, thin: None }),
            Self::Thin { engine, what, vg, lv } => (engine, what, vg, lv),
        };
        let found = engine.active_volume(&vg, &lv)?;
        let was_active = found.is_some();
        let volume = match found {
            Some(volume) => volume,
            None => {
                let report =
                    engine.apply(&vg, &[Activate::new(object(&what)).into()], &Options::default())?;
                report.warnings.into_iter().for_each(|warning| context.warn(Some(warning)));
                engine.active_volume(&vg, &lv)?.ok_or_else(|| {
                    CliError::new(ErrorKind::Busy, format!("'{what}' was deactivated by somebody else"))
                })?
            }
        };
        if volume.open_count > 0 {
            context.warn(Some(format!(
                "'{what}' is in use: if it is written to meanwhile, what is exported is of no one moment"
            )));
        }
        let path = volume.path.clone();
        Ok(Ready { path, thin: Some(ReadyThin { engine, what, vg, volume, was_active }) })
    }
}

fn object(what: &VolumeOrSnapshot) -> NamedObject {
    match what.clone() {
        VolumeOrSnapshot::Volume(volume) => NamedObject::Volume(volume),
        VolumeOrSnapshot::Snapshot(snapshot) => NamedObject::Snapshot(snapshot),
    }
}

/// What is sent, with its device.
struct Ready {
    path: PathBuf,
    thin: Option<ReadyThin>,
}

struct ReadyThin {
    engine: Box<Engine>,
    what: VolumeOrSnapshot,
    vg: VgName,
    volume: ActiveVolume,
    was_active: bool,
}

impl Ready {
    /// Sends it. What others wrote is brought to the device before the pool is asked what is mapped: what only the page
    /// cache holds is not.
    fn send(
        &self,
        target: &Target,
        choices: transfer::Choices,
        watcher: impl FnOnce(u64) -> Watcher,
        notes: &mut Vec<String>,
    ) -> Result<(u64, Sent), CliError> {
        let unread = |error: io::Error| {
            CliError::new(ErrorKind::Refused, format!("{} cannot be read", self.path.display()))
                .caused_by(Some(&error))
        };
        let device = DirectFile::open(&self.path, Access::ReadOnly).map_err(unread)?;
        device.write_back().map_err(unread)?;
        let size = device.size();
        let mut window = |from: u64| -> Window {
            let Some(thin) = self.thin.as_ref().filter(|_| notes.is_empty()) else { return all_of(size) };
            thin.engine.mapped_from(&thin.vg, &thin.volume, from).unwrap_or_else(|why| {
                notes.push(format!("all of it is read, for what is mapped is not known: {why}"));
                all_of(size)
            })
        };
        let sink = target.sink()?;
        let mut watcher = watcher(size.get());
        let sent = transfer::send(Arc::new(device), size.get(), &mut window, sink, choices, &mut watcher)?;
        Ok((size.get(), sent))
    }

    /// Leaves the volume as it was found.
    fn done<T>(self, context: &Context, sent: Result<T, CliError>) -> Result<T, CliError> {
        let Some(ReadyThin { engine, what, vg, was_active: false, .. }) = self.thin else { return sent };
        let change: Change = Deactivate::new(object(&what)).into();
        if let Err(error) = engine.apply(&vg, &[change], &Options::default()) {
            let error = CliError::from(error).one_line();
            context.warn(Some(format!("'{what}' was inactive and stays active: {error}")));
        }
        sent
    }
}

/// Where the stream goes.
enum Target {
    /// Standard output.
    Standard(File),
    /// A pipe or a character device that is there.
    There(File),
    /// A file under another name until it is complete.
    File { file: File, path: PathBuf, while_incomplete: PathBuf },
}

impl Target {
    fn open(name: &str) -> Result<Self, CliError> {
        if name == STANDARD {
            return standard(io::stdout(), "standard output").map(Self::Standard);
        }
        let failed = |error: io::Error| {
            CliError::new(ErrorKind::Refused, format!("'{name}' cannot be written")).caused_by(Some(&error))
        };
        let path = PathBuf::from(name);
        match fs::metadata(&path).map(|metadata| metadata.file_type()) {
            Ok(kind) if kind.is_block_device() => {
                return Err(CliError::new(ErrorKind::Refused, format!("'{name}' is a block device")).hint(
                    "what it holds would be overwritten; 'thinvol import' makes a volume of a stream",
                ));
            }
            Ok(kind) if kind.is_dir() => return Err(CliError::usage(format!("'{name}' is a directory"))),
            Ok(kind) if !kind.is_file() => {
                return OpenOptions::new().write(true).open(&path).map(Self::There).map_err(failed);
            }
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(error)),
            // Behind links, so that they stay.
            Ok(_) => return Self::beside(fs::canonicalize(&path).map_err(failed)?).map_err(failed),
            Err(_) => {}
        }
        Self::beside(path).map_err(failed)
    }

    /// A file beside the one that it becomes.
    fn beside(path: PathBuf) -> io::Result<Self> {
        let name = path.file_name().ok_or(io::ErrorKind::InvalidInput)?.to_string_lossy().into_owned();
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let while_incomplete = folder.join(format!(".{name}.{}.incomplete", std::process::id()));
        let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&while_incomplete)?;
        Ok(Self::File { file, path, while_incomplete })
    }

    fn sink(&self) -> Result<Box<dyn Sink>, CliError> {
        let copied = |file: &File| {
            file.try_clone().map_err(|error| {
                CliError::new(ErrorKind::Refused, "the stream cannot be opened").caused_by(Some(&error))
            })
        };
        Ok(match self {
            Self::Standard(file) | Self::There(file) => Box::new(Pipe(copied(file)?)),
            Self::File { file, .. } => Box::new(SparseFile::new(copied(file)?)),
        })
    }

    /// Gives the file its name. Its content is on the disk by now: a crash leaves the old file or the new one.
    fn complete(&self) -> Result<(), CliError> {
        let Self::File { path, while_incomplete, .. } = self else { return Ok(()) };
        fs::rename(while_incomplete, path).map_err(|error| {
            CliError::new(ErrorKind::Refused, format!("'{}' cannot get its name", path.display()))
                .caused_by(Some(&error))
        })
    }

    /// Takes away what is incomplete.
    fn forget(&self) {
        if let Self::File { while_incomplete, .. } = self {
            // There is an error to be told already.
            let _ = fs::remove_file(while_incomplete);
        }
    }
}
