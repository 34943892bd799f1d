//! From the arguments to the exit code.

use std::ffi::OsString;
use std::io::{self, Write};
use std::process::ExitCode;

use clap::error::ErrorKind as ParseError;
use clap::{CommandFactory, Parser};
use nix::sys::stat::Mode;

use super::args::{Cli, Command, quick};
use super::context::Context;
use super::errors::CliError;
use super::log;
use super::output::Style;
use super::plain;
use super::version::Version;
use base::error_kind::ErrorKind;
use config::types::PoolVerb;
use sys::io::events::Subscribe;

/// Runs the command with these arguments, the program's name first. `events` is how it hears of block devices, if it
/// does.
pub fn run(arguments: impl Iterator<Item = OsString>, events: Option<Subscribe>) -> ExitCode {
    let arguments: Vec<OsString> = arguments.collect();
    let cli = match quick::parse(&arguments).map_or_else(|| Cli::try_parse_from(&arguments), Ok) {
        Ok(cli) => cli,
        Err(error) => return not_parsed(&error, &arguments),
    };
    set_umask();
    log::start(cli.global.verbose, cli.command.as_ref().is_some_and(is_service));
    let verb = cli.command.as_ref().and_then(pool_verb);
    let style = Style { json: cli.global.json, quiet: cli.global.quiet };
    let config = match &cli.command {
        Some(Command::Complete(args)) => args.config(),
        _ => cli.global.config.as_deref(),
    };
    let context = Context::new(style, config, verb, &arguments, events);
    let result = match &cli.command {
        _ if cli.version => context.print(&Version::of_this_build(events.is_some())),
        Some(command) => dispatch(command, &context),
        None => Err(CliError::usage("no command is given").hint("'thinvol --help' lists the commands")),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => failed(&error.warned(context.untold_warnings()), cli.global.json),
    }
}

/// What a command wants thin pools for, if it is for their volumes alone.
const fn pool_verb(command: &Command) -> Option<PoolVerb> {
    match command {
        Command::Alloc(_) | Command::Import(_) => Some(PoolVerb::Alloc),
        Command::Free(_) => Some(PoolVerb::Free),
        Command::Clone(_) => Some(PoolVerb::Clone),
        Command::Template(_) => Some(PoolVerb::Template),
        Command::Resize(_) => Some(PoolVerb::Resize),
        Command::Snapshot(_) | Command::DeleteSnapshot(_) | Command::Rollback(_) => Some(PoolVerb::Snapshot),
        _ => None,
    }
}

/// Whether a command runs until it is told to stop.
const fn is_service(command: &Command) -> bool {
    match command {
        Command::Iscsi(args) => args.is_service(),
        Command::Pool(args) => args.is_service(),
        _ => false,
    }
}

fn dispatch(command: &Command, context: &Context) -> Result<(), CliError> {
    match command {
        Command::Scan(args) => args.run(context),
        Command::Status(args) => args.run(context),
        Command::Add(args) => args.run(context),
        Command::Set(args) => args.run(context),
        Command::Remove(args) => args.run(context),
        Command::List(args) => args.run(context),
        Command::Path(args) => args.run(context),
        Command::Info(args) => args.run(context),
        Command::Alloc(args) => args.run(context),
        Command::Free(args) => args.run(context),
        Command::Resize(args) => args.run(context),
        Command::Rename(args) => args.run(context),
        Command::Snapshot(args) => args.run(context),
        Command::DeleteSnapshot(args) => args.run(context),
        Command::Rollback(args) => args.run(context),
        Command::Clone(args) => args.run(context),
        Command::Template(args) => args.run(context),
        Command::Activate(args) => args.run(context),
        Command::Deactivate(args) => args.run(context),
        Command::Export(args) => args.run(context),
        Command::Import(args) => args.run(context),
        Command::Batch(args) => args.run(context),
        Command::Audit(args) => args.run(context),
        Command::Recover(args) => args.run(context),
        Command::Pool(args) => args.run(context),
        Command::Metrics(args) => args.run(context),
        Command::Iscsi(args) => args.run(context),
        Command::Completions(args) => args.run(Cli::command()),
        Command::Complete(args) => {
            args.run(context, &Cli::command());
            Ok(())
        }
    }
}

/// Help goes to standard output and is no error; anything else is one of usage.
fn not_parsed(error: &clap::Error, arguments: &[OsString]) -> ExitCode {
    let is_help = matches!(error.kind(), ParseError::DisplayHelp | ParseError::DisplayVersion);
    let json = arguments.iter().skip(1).take_while(|argument| *argument != "--").any(|a| a == "--json");
    if json && !is_help {
        return failed(&usage_error(error), true);
    }
    // A reader that went away does not change the outcome.
    let _ = if is_help { error.print() } else { tell_usage(error) };
    if is_help { ExitCode::SUCCESS } else { ExitCode::from(ErrorKind::Usage.exit_code()) }
}

/// The parser's own words, in colour only if they hold nothing of what was typed that a terminal would obey.
fn tell_usage(error: &clap::Error) -> io::Result<()> {
    let said = error.render().to_string();
    let safe = plain::lines(said.clone().into_bytes());
    if safe == said { error.print() } else { io::stderr().write_all(safe.as_bytes()) }
}

/// The parser's error in our form: its first paragraph is the message, its tip the hint.
fn usage_error(error: &clap::Error) -> CliError {
    let text = error.render().to_string();
    let message = match error.kind() {
        ParseError::DisplayHelpOnMissingArgumentOrSubcommand => "no command is given",
        _ => text.split("\n\n").next().unwrap_or_default().trim_start_matches("error: "),
    };
    let message: Vec<&str> = message.split_whitespace().collect();
    let tip = text.lines().find_map(|line| line.trim().strip_prefix("tip: "));
    CliError::usage(message.join(" ")).hint(tip.unwrap_or("'thinvol --help' shows how it is written"))
}

/// What is made has the rights that it is made with, whatever the caller's umask: nobody but root may write to it, and
/// the directories of device nodes stay open to all.
fn set_umask() {
    nix::sys::stat::umask(Mode::S_IWGRP | Mode::S_IWOTH);
}

fn failed(error: &CliError, json: bool) -> ExitCode {
    // Nobody is left to be told if standard error is closed.
    let _ = error.show(json, &mut anstream::stderr());
    ExitCode::from(error.code.exit_code())
}
