//! Changing verbs of the configuration: read, edit and replace under one lock; or only show the difference.

use std::io::{self, Write};
use std::time::Duration;

use clap::Args;
use serde::Serialize;

use super::context::Context;
use super::diff;
use super::errors::CliError;
use super::output::Answer;
use super::properties::own_in_words;
use base::error_kind::ErrorKind;
use config::document::StorageCfg;
use config::edit::EditError;
use config::names::StorageId;

/// Options of every command that changes the configuration.
#[derive(Clone, Debug, Args)]
pub struct ConfigOptions {
    /// Print what would change in the file, as a diff, and change nothing
    #[arg(long, display_order = 50)]
    pub dry_run: bool,

    /// How many seconds to wait for the lock of the configuration
    #[arg(long, display_order = 52, value_name = "SECONDS", default_value_t = 10)]
    pub lock_timeout: u32,
}

/// The examples of a verb that changes the configuration, followed by the JSON form they all answer in.
macro_rules! configuring {
    ($examples:literal) => {
        concat!(
            "Examples:\n",
            $examples,
            "\n\nJSON:\n",
            "  {\"executed\": boolean (false with --dry-run), \"file\", \"storage\", \"type\",\n",
            "   \"changed\": boolean (whether the file is or would be), \"digest\": text (SHA-1 of the file now),\n",
            "   \"diff\": text or null, \"notes\": [text], \"warnings\": [text]}"
        )
    };
}

pub(crate) use configuring;

#[derive(Debug, Serialize)]
struct Configured {
    executed: bool,
    file: String,
    storage: StorageId,
    r#type: String,
    changed: bool,
    digest: String,
    diff: Option<String>,
    notes: Vec<String>,
    warnings: Vec<String>,
}

impl Answer for Configured {
    /// Silent as pvesm is, unless nothing is done.
    fn text(&self, out: &mut dyn Write) -> io::Result<()> {
        if self.executed {
            Ok(())
        } else {
            out.write_all(self.diff.as_deref().unwrap_or_default().as_bytes())
        }
    }

    fn notes(&self) -> &[String] {
        &self.notes
    }

    fn warnings(&self) -> &[String] {
        &self.warnings
    }

    fn tells_of_changes(&self) -> bool {
        self.executed && self.changed
    }
}

/// Changes the configuration of one storage. `failed` is how Proxmox VE starts its message when that fails.
///
/// # Errors
/// Those of `edit`, and if the file cannot be locked, read or written.
pub fn configure(
    context: &Context,
    options: &ConfigOptions,
    id: &StorageId,
    failed: &str,
    edit: impl FnOnce(&StorageCfg) -> Result<Vec<u8>, CliError>,
) -> Result<(), CliError> {
    let file = context.resolver.file();
    let mut answer = None;
    let work = |config: &StorageCfg| -> Result<Vec<u8>, CliError> {
        let text = edit_with_prefix(config, failed, edit)?;
        answer = Some(outcome(config, &text, id, options.dry_run));
        Ok(if options.dry_run { config.lines().text().to_vec() } else { text })
    };
    if options.dry_run {
        work(context.resolver.config()?)?;
    } else {
        file.update(Duration::from_secs(options.lock_timeout.into()), work)?;
    }
    answer.map_or(Ok(()), |answer| context.print(&answer))
}

fn edit_with_prefix(
    config: &StorageCfg,
    failed: &str,
    edit: impl FnOnce(&StorageCfg) -> Result<Vec<u8>, CliError>,
) -> Result<Vec<u8>, CliError> {
    edit(config).map_err(|error| {
        let message = format!("{failed}: {}", error.message);
        CliError { message, ..error }
    })
}

fn outcome(config: &StorageCfg, text: &[u8], id: &StorageId, dry_run: bool) -> Configured {
    let old = config.lines().text();
    let new = StorageCfg::parse(config.file(), text);
    let section = new.section(id.as_str()).or_else(|_| config.section(id.as_str()));
    let changed = old != text;
    Configured {
        executed: !dry_run,
        file: config.file().to_owned(),
        storage: id.clone(),
        r#type: section.map(|section| section.raw.kind.clone()).unwrap_or_default(),
        changed,
        digest: if dry_run { config.digest() } else { new.digest() },
        diff: changed.then(|| diff::unified(config.file(), old, text)),
        notes: vec![],
        warnings: new.issues_of(id.as_str()).map(ToString::to_string).collect(),
    }
}

impl From<EditError> for CliError {
    fn from(error: EditError) -> Self {
        let (code, hint) = match &error {
            EditError::Lookup(lookup) => return lookup.clone().into(),
            EditError::Defined { .. } => {
                (ErrorKind::Refused, "choose another id, or change it by 'thinvol set'")
            }
            EditError::Property { .. } => (ErrorKind::Usage, "'thinvol add --help' shows what each takes"),
            EditError::Missing(_) => {
                return Self::from_error(ErrorKind::Usage, &error).hint(own_in_words());
            }
            EditError::Fixed(_) => {
                (ErrorKind::Usage, "remove the storage and add it anew; volumes stay as they are")
            }
            EditError::NoSuchOption(_) | EditError::Required(_) => {
                (ErrorKind::Usage, "content, nodes, disable and bwlimit can be deleted")
            }
            EditError::SetAndDelete(_) => (ErrorKind::Usage, "do one of them"),
            EditError::Modified => (ErrorKind::Refused, "look at the file again; its digest is its SHA-1"),
            EditError::Foreign { .. } => (ErrorKind::Unsupported, "use pvesm, or edit the file"),
            EditError::Swallowed { .. } => (ErrorKind::Refused, "put an empty line before it"),
            EditError::UsedAsBase { by } => {
                let hint = format!("storage '{by}' is built on it");
                return Self::from_error(ErrorKind::Refused, &error).hint(hint);
            }
            EditError::Unsound(_) => (ErrorKind::Refused, "nothing was written; edit the file by hand"),
        };
        Self::from_error(code, &error).hint(hint)
    }
}
