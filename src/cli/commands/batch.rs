//! `thinvol batch`: many requests as one transaction.

use std::fs::File;
use std::io::{self, Read};
use std::path::PathBuf;

use clap::Args;

use crate::context::Context;
use crate::errors::CliError;
use crate::help::changing;
use crate::options::PromiseOptions;
use crate::transaction::lines::Lines;
use crate::transaction::transact_lines;

const HELP: &str = changing!(
    "\
  thinvol batch requests.jsonl
  echo '{\"request\": \"remove\", \"volume\": \"pve/vm-100-disk-0\"}' | thinvol batch -
  thinvol batch --dry-run requests.jsonl           what would be done
  thinvol batch --keep-going requests.jsonl        without the lines that are refused

Requests, one JSON object on each line (empty lines are skipped; [default]):
  {\"request\": \"create\", \"pool\": \"<vg>/<pool>\", \"name\": \"<lv>\", \"size\": \"8G\" or bytes,
   \"activate\": [true], \"autoactivate\": [false], \"tags\": [none]}
  {\"request\": \"snapshot\", \"snapshot\": \"<vg>/<lv>@<snapshot>\", \"writable\": [false],
   \"fsfreeze\": [true]}
  {\"request\": \"clone\", \"source\": \"<vg>/<lv>\" or \"<vg>/<lv>@<snapshot>\", \"name\": \"<lv>\",
   \"activate\": [true]}
  {\"request\": \"remove\", \"volume\": \"<vg>/<lv>\" or \"<vg>/<lv>@<snapshot>\",
   \"snapshots\": [as 'thinvol free'], \"force\": [false]}
  {\"request\": \"resize\", \"volume\": \"<vg>/<lv>\", \"size\": \"64G\", \"+8G\" or bytes,
   \"shrink\": [false]}
  {\"request\": \"rename\", \"volume\": \"<vg>/<lv>\", \"name\": \"<lv>\"}
  {\"request\": \"modify\", \"volume\": \"<vg>/<lv>\", \"read_only\", \"skip_activation\", \"autoactivate\":
   [as it is], \"add_tags\", \"remove_tags\": [none]}
  {\"request\": \"rollback\", \"snapshot\": \"<vg>/<lv>@<snapshot>\"}
  {\"request\": \"template\", \"volume\": \"<vg>/<lv>\"}
  {\"request\": \"activate\" or \"deactivate\", \"volume\": \"<vg>/<lv>\" or \"<vg>/<lv>@<snapshot>\"}
  {\"request\": \"pool_create\", \"pool\": \"<vg>/<pool>\", \"size\": \"100G\", \"80%FREE\" or bytes,
   \"metadata_size\", \"chunk_size\", \"stripe_size\", \"discards\", \"zero\", \"when_full\": [as lvm.conf
   says], \"stripes\": [1], \"pv\": [\"/dev/sda\", ...], \"activate\": [true]}
  {\"request\": \"pool_extend\", \"pool\": \"<vg>/<pool>\", \"size\": \"+50G\", \"metadata_size\": \"1G\",
   \"pv\": [\"/dev/sda\", ...]}
  {\"request\": \"pool_set\", \"pool\": \"<vg>/<pool>\", \"discards\": \"passdown\", \"zero\": true,
   \"when_full\": \"error\", \"overcommit\": 1.5, \"reserve\": \"20G\", \"extend_at\": 80, \"extend_by\": 20}
  {\"request\": \"pool_repair\", \"pool\": \"<vg>/<pool>\", \"force\": [false], \"pv\": [\"/dev/sda\", ...]}
  {\"request\": \"pool_remove\", \"pool\": \"<vg>/<pool>\", \"with_volumes\": [false]}

Requests take effect in their order: a name means the volume that has it by then. A volume may be changed,
renamed, snapshotted and rolled back once each in one batch, but not changed and removed.

A change of a pool is a transaction of its own: it ends the one before it, and what follows is another.",
    by line
);

/// Carry out many requests as one transaction
///
/// Carries out many requests as one transaction: all requests for a volume group or none, in the order given,
/// with at most two metadata commits. Changes of pools themselves, which are transactions of their own, cut a batch up:
/// all of it is planned before anything is begun, and runs under one lock, but what was done before a failure
/// stays (exit code 5), and is reported. Volumes may have any legal LV name. The snapshots of a batch all show one
/// instant. A volume to be removed must exist; its snapshots go with it if it is named by a storage id, as with
/// 'thinvol free'.
///
/// If lines are wrong or refused, all of them are reported with their numbers, and nothing is changed. With
/// --keep-going the other lines are carried out, one transaction for each volume group, and the exit code is 5. A
/// line about the same volume as an earlier line that was left out is left out, too. If a transaction fails half
/// way, all of it is undone.
#[derive(Debug, Args)]
#[command(after_long_help = HELP)]
pub struct BatchArgs {
    /// The file with the requests, '-' for standard input
    pub file: PathBuf,

    /// Leave out refused lines and carry out the others
    #[arg(long)]
    pub keep_going: bool,

    /// Options of changes that may promise more of a pool.
    #[command(flatten)]
    pub change: PromiseOptions,
}

/// The largest input that is read.
const INPUT_MAX_BYTES: u64 = 64 << 20;

impl BatchArgs {
    /// Carries the requests out.
    ///
    /// # Errors
    /// If the input cannot be read or is wrong, or the engine refuses or fails.
    pub fn run(&self, context: &Context) -> Result<(), CliError> {
        let lines = Lines::read(&self.read()?, &context.resolver);
        transact_lines(context, &self.change.options(), lines, self.keep_going)
    }

    fn read(&self) -> Result<String, CliError> {
        let failed = |error: io::Error| {
            CliError::usage(format!("cannot read requests from '{}'", self.file.display()))
                .caused_by(Some(&error))
        };
        let input: Box<dyn Read> = match self.file.to_str() {
            Some("-") => Box::new(io::stdin().lock()),
            _ => Box::new(File::open(&self.file).map_err(failed)?),
        };
        let mut text = String::new();
        let length = input.take(INPUT_MAX_BYTES + 1).read_to_string(&mut text).map_err(failed)?;
        if u64::try_from(length).is_ok_and(|length| length > INPUT_MAX_BYTES) {
            return Err(CliError::usage(format!("the requests are longer than {INPUT_MAX_BYTES} bytes"))
                .hint("split them into several batches"));
        }
        Ok(text)
    }
}
