//! `thinvol import`: a new volume with the content of a stream.

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::Path;
use std::sync::Arc;

use clap::Args;
use serde::Serialize;

use crate::context::Context;
use crate::errors::CliError;
use crate::options::ChangeOptions;
use crate::output::Answer;
use crate::resolve::{Storage, Volume, VolumeOrSnapshot};
use crate::transaction::transact;
use crate::transfer::{IMPORTING, STANDARD, TransferOptions, Watcher, check_format, standard};
use base::error_kind::ErrorKind;
use base::ids::LvName;
use base::units::Bytes;
use config::names;
use sys::io::direct::{Access, DirectFile};
use sys::signals::take_stop;
use thin::changes::{Change, CreateVolume, MakeTemplate, ModifyVolume, NewName, RemoveVolume};
use thin::internals::engine::ReadMetadata;
use thin::internals::lookup;
use thin::internals::request::Attributes;
use thin::internals::transfer::input::{Input, Pipe, SparseFile};
use thin::internals::transfer::{self, Choices, Layout, Received, header};
use thin::{Engine, Options};

const HELP: &str = "\
Examples:
  thinvol import local-lvm:vm-100-disk-0 raw+size disk.raw
  ssh node1 pvesm export local-lvm:vm-100-disk-0 raw+size - | thinvol import local-lvm:vm-100-disk-0 raw+size -
  thinvol import pve/data:vm-100-disk-0 raw+size disk.raw --allow-rename
  thinvol import local-lvm:base-9000-disk-0 raw+size template.raw --checksum

JSON:
  {\"volume\", \"path\", \"format\", \"file\": text or null (standard input), \"size\": number (bytes, of the stream),
   \"written\": number (bytes, to the device), \"checksum\": text or null (SHA-256), \"notes\": [text],
   \"warnings\": [text]}";

/// Create a volume from a file or a pipe
///
/// Creates a volume with the content of a stream as 'pvesm export' and 'thinvol export' send it: its size in 8 bytes,
/// then all it holds. Chunks of zeros are not written, so that holes stay holes. The stream must be as long as it says.
///
/// An import that fails or is stopped leaves no volume behind. One that is killed, or cut by a power failure, leaves a
/// volume with the LVM tag 'thinvol.importing': 'thinvol free' removes it. A name 'base-<VMID>-…' makes a template.
#[derive(Debug, Args)]
#[command(after_long_help = HELP)]
pub struct ImportArgs {
    /// The volume to be made: <storage>:<name>, the storage being an id or <vg>/<pool>
    pub volume: String,

    /// The format of the stream: raw+size
    pub format: String,

    /// The file; '-' is standard input
    pub file: String,

    /// Take the next free 'vm-<VMID>-disk-<n>' if the name is taken
    #[arg(long)]
    pub allow_rename: bool,

    /// Options of every transfer.
    #[command(flatten)]
    pub transfer: TransferOptions,

    /// Options of every change.
    #[command(flatten)]
    pub change: ChangeOptions,
}

/// What was imported.
#[derive(Debug, Serialize)]
struct Imported {
    volume: String,
    path: String,
    format: String,
    file: Option<String>,
    size: u64,
    written: u64,
    checksum: Option<String>,
    notes: Vec<String>,
    warnings: Vec<String>,
}

impl Answer for Imported {
    fn text(&self, out: &mut dyn Write) -> io::Result<()> {
        writeln!(out, "successfully imported '{}'", self.volume)?;
        self.checksum.as_ref().map_or(Ok(()), |sum| writeln!(out, "sha256 {sum}"))
    }

    fn notes(&self) -> &[String] {
        &self.notes
    }

    fn warnings(&self) -> &[String] {
        &self.warnings
    }

    fn tells_of_changes(&self) -> bool {
        true
    }

    /// Who started the export waits for this line.
    fn is_report(&self) -> bool {
        false
    }
}

impl ImportArgs {
    /// Creates the volume and fills it.
    ///
    /// # Errors
    /// If an argument is wrong, the volume cannot be made, or the stream is not what it says; then there is no volume.
    pub fn run(&self, context: &Context) -> Result<(), CliError> {
        check_format(&self.format)?;
        let choices = self.transfer.choices()?;
        let (storage, name) = self.target(context)?;
        let mut stream = self.stream()?;
        let size = self.size(&mut stream)?;
        let engine = context.open(&self.change)?;
        let (layout, name, is_template) = self.place(&engine, &storage, name, context)?;
        let create = CreateVolume {
            tags: vec![IMPORTING.to_owned()],
            ..CreateVolume::new(storage.clone(), name, size.to_sectors_ceil())
        };
        if self.change.dry_run {
            return transact(context, &self.change, [create.into()]);
        }
        let report = engine.apply(&storage.vg, &[create.into()], &Options::default())?;
        let mut warnings = report.warnings;
        let made = report.done.first().map(|done| storage.volume(done.name.clone()));
        let made = made.ok_or_else(|| CliError::new(ErrorKind::Partial, "no volume was made"))?;
        let received = self.receive(&engine, &made, stream, size, layout, choices, context.style.quiet);
        let received = received.map_err(|error| self.taken_back(context, &made, error))?;
        let name = complete(&engine, &made, is_template, &mut warnings)?;
        let volume = storage.volume(name);
        let notes = Vec::new();
        warnings.extend(context.warnings());
        context.print(&Imported {
            path: format!("/dev/{}/{}", volume.vg, volume.lv),
            volume: volume.to_string(),
            format: self.format.clone(),
            file: (self.file != STANDARD).then(|| self.file.clone()),
            size: size.get(),
            written: received.written,
            checksum: received.checksum,
            notes,
            warnings,
        })
    }

    /// Which volume is to be made.
    fn target(&self, context: &Context) -> Result<(Storage, LvName), CliError> {
        let (storage, name) = self.volume.split_once(':').ok_or_else(|| {
            CliError::usage(format!("'{}' does not say in which storage", self.volume))
                .hint("write it as <storage>:<name>, the storage being an id or <vg>/<pool>")
        })?;
        Ok((context.resolver.storage(storage)?, names::lvm_volname(name)?))
    }

    fn stream(&self) -> Result<File, CliError> {
        if self.file == STANDARD {
            return standard(io::stdin(), "standard input");
        }
        File::open(Path::new(&self.file)).map_err(|error| {
            let missing = error.kind() == io::ErrorKind::NotFound;
            let kind = if missing { ErrorKind::NotFound } else { ErrorKind::Refused };
            CliError::new(kind, format!("'{}' cannot be read", self.file)).caused_by(Some(&error))
        })
    }

    /// Reads the header.
    fn size(&self, stream: &mut File) -> Result<Bytes, CliError> {
        let mut bytes = [0; header::LENGTH];
        stream.read_exact(&mut bytes).map_err(|error| match error.kind() {
            io::ErrorKind::UnexpectedEof => {
                CliError::usage("the stream has no header: it ends before its size")
            }
            _ => CliError::new(ErrorKind::Refused, "the stream cannot be read").caused_by(Some(&error)),
        })?;
        let size = header::size(bytes);
        if size == 0 {
            return Err(CliError::usage("the stream says that its volume has no bytes"));
        }
        Ok(Bytes::new(size))
    }

    /// How the pool keeps what is written, under which name the volume is made, and whether it becomes a template.
    fn place(
        &self,
        engine: &Engine,
        storage: &Storage,
        name: LvName,
        context: &Context,
    ) -> Result<(Layout, NewName, bool), CliError> {
        let vg = engine.metadata(&storage.vg)?;
        let pool =
            vg.lv(&storage.pool).and_then(|lv| lv.thin_pool()).ok_or_else(|| lookup::no_pool(storage))?;
        let overflow = || CliError::new(ErrorKind::Corrupt, "the chunk size of the pool overflows");
        let chunk = pool.chunk_size.to_bytes().filter(|chunk| chunk.get() > 0).ok_or_else(overflow)?;
        let layout = Layout { chunk, zeroes: pool.zero_new_blocks };
        let first = name.as_str().strip_prefix("base-").map(|rest| format!("vm-{rest}"));
        let first = first.map(|text| names::lvm_volname(&text)).transpose()?;
        let is_template = first.is_some();
        let taken = std::iter::once(&name).chain(&first).find_map(|name| vg.lv(name));
        let Some(taken) = taken else {
            return Ok((layout, NewName::Given(first.unwrap_or(name)), is_template));
        };
        let exists = format!("volume {}/{} already exists", vg.name, taken.name);
        if !self.allow_rename {
            let broken_off = taken.tags.iter().any(|tag| tag == IMPORTING);
            let hint = if broken_off {
                format!(
                    "an import of it is under way or broke off: 'thinvol free {}' removes it",
                    self.volume
                )
            } else {
                "--allow-rename takes the next free name".to_owned()
            };
            return Err(CliError::new(ErrorKind::Refused, exists).hint(hint));
        }
        context.warn(Some(format!("{exists} - importing with a different name")));
        let vmid = names::owner(&name).and_then(|vmid| u32::try_from(vmid).ok());
        let vmid = vmid.ok_or_else(|| CliError::usage(format!("'{name}' names no guest")))?;
        Ok((layout, NewName::NextDisk(vmid), is_template))
    }

    #[expect(clippy::too_many_arguments, reason = "what is known of the stream, the volume and the specs")]
    fn receive(
        &self,
        engine: &Engine,
        made: &Volume,
        stream: File,
        size: Bytes,
        layout: Layout,
        choices: Choices,
        quiet: bool,
    ) -> Result<Received, CliError> {
        let active = engine.active_volume(&made.vg, &made.lv)?;
        let active = active.ok_or_else(|| {
            CliError::new(ErrorKind::Busy, format!("'{made}' was deactivated by somebody else"))
        })?;
        let failed =
            |what: String, error: io::Error| CliError::new(ErrorKind::Refused, what).caused_by(Some(&error));
        let device = DirectFile::open(&active.path, Access::ReadWrite)
            .map_err(|error| failed(format!("{} cannot be written", active.path.display()), error))?;
        let is_file = stream.metadata().is_ok_and(|metadata| metadata.is_file());
        let input: Box<dyn Input> = if is_file {
            Box::new(
                SparseFile::new(stream).map_err(|error| failed("the stream cannot be read".into(), error))?,
            )
        } else {
            Box::new(Pipe(stream))
        };
        let mut watcher = Watcher::new(size.get(), &self.transfer, quiet);
        Ok(transfer::receive(input, size.get(), Arc::new(device), layout, choices, &mut watcher)?)
    }

    /// Removes what was begun. More signals do not keep it from that: each try has an engine that has heard of none.
    fn taken_back(&self, context: &Context, made: &Volume, error: CliError) -> CliError {
        const TRIES: usize = 5;
        let remove = RemoveVolume::new(VolumeOrSnapshot::Volume(made.clone()));
        let remove: [Change; 1] = [remove.into()];
        let mut left = None;
        for _ in 0..TRIES {
            while take_stop().is_some() {}
            let removed = context
                .open(&self.change)
                .and_then(|engine| Ok(engine.apply(&made.vg, &remove, &Options::default())?));
            match removed {
                Ok(_) => return error,
                Err(why) => left = Some(why),
            }
        }
        let error =
            error.within(ErrorKind::Partial, format!("'{made}' is incomplete and could not be removed"));
        let error = left.into_iter().fold(error, CliError::along_with);
        error.hint(format!("'thinvol free {made}' removes it"))
    }
}

/// Takes the mark from a volume that is complete, and makes it a template if it is to be one: one transaction. Returns
/// its name.
fn complete(
    engine: &Engine,
    made: &Volume,
    is_template: bool,
    warnings: &mut Vec<String>,
) -> Result<LvName, CliError> {
    let attributes = Attributes { remove_tags: vec![IMPORTING.to_owned()], ..Attributes::default() };
    let mut changes: Vec<Change> = vec![ModifyVolume::new(made.clone(), attributes).into()];
    if is_template {
        changes.push(MakeTemplate::new(made.clone()).into());
    }
    let report = engine.apply(&made.vg, &changes, &Options::default()).map_err(|error| {
        let error = CliError::from(error);
        let hint = format!("it is complete; 'lvchange --deltag {IMPORTING} {}/{}' says so", made.vg, made.lv);
        error
            .within(ErrorKind::Partial, format!("'{made}' is filled, but still marked as incomplete"))
            .hint(hint)
    })?;
    warnings.extend(report.warnings);
    let renamed = report.done.into_iter().find(|done| done.change == 1).map(|done| done.name);
    Ok(renamed.unwrap_or_else(|| made.lv.clone()))
}
