//! Runs a program and passes its output on while it runs.

use std::io::Read;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use crate::protocol::{Report, TIME_LIMIT_STATUS};
use anyhow::{Context, Result};
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;

/// How long to read on after the program has ended: a daemon that it started may keep the pipe open forever.
const LAST_WORDS: Duration = Duration::from_millis(200);

/// Runs `argv`; every piece of output and the end are passed to `send`.
pub fn run(argv: &[String], limit_s: u64, mut send: impl FnMut(Report) -> Result<()>) -> Result<()> {
    let (program, arguments) = argv.split_first().context("an empty command")?;
    let (reader, writer) = std::io::pipe()?;
    let started = Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(writer.try_clone()?)
        .stderr(writer)
        .process_group(0)
        .spawn();
    let mut child = match started {
        Ok(child) => child,
        Err(error) => {
            send(Report::Output { text: format!("cannot start {program}: {error}\n") })?;
            return send(Report::Exit { code: 127 });
        }
    };
    let pieces = read_pieces(reader);
    let mut text = Utf8Pieces::default();
    let deadline = Instant::now() + Duration::from_secs(limit_s);
    let code = loop {
        if let Ok(piece) = pieces.recv_timeout(Duration::from_millis(20)) {
            send(Report::Output { text: text.push(&piece) })?;
            continue;
        }
        if let Some(status) = child.try_wait()? {
            break exit_code(status);
        }
        if Instant::now() >= deadline {
            killpg(Pid::from_raw(i32::try_from(child.id())?), Signal::SIGKILL)?;
            send(Report::Output { text: format!("\nkilled after {limit_s} s\n") })?;
            break TIME_LIMIT_STATUS;
        }
    };
    while let Ok(piece) = pieces.recv_timeout(LAST_WORDS) {
        send(Report::Output { text: text.push(&piece) })?;
    }
    send(Report::Exit { code })
}

fn exit_code(status: ExitStatus) -> i32 {
    status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or(0))
}

fn read_pieces(mut from: std::io::PipeReader) -> Receiver<Vec<u8>> {
    let (sender, receiver) = channel();
    std::thread::spawn(move || {
        let mut buffer = vec![0; 16 << 10];
        while let Ok(count) = from.read(&mut buffer) {
            let piece = buffer.get(..count).unwrap_or_default().to_vec();
            if count == 0 || sender.send(piece).is_err() {
                return;
            }
        }
    });
    receiver
}

/// Joins characters that a read has cut in two.
#[derive(Default)]
struct Utf8Pieces {
    rest: Vec<u8>,
}

impl Utf8Pieces {
    fn push(&mut self, piece: &[u8]) -> String {
        self.rest.extend_from_slice(piece);
        let whole = match std::str::from_utf8(&self.rest) {
            // Only the end of the input is missing: keep it for the next piece.
            Err(error) if error.error_len().is_none() => error.valid_up_to(),
            _ => self.rest.len(),
        };
        let rest = self.rest.split_off(whole);
        let text = String::from_utf8_lossy(&self.rest).into_owned();
        self.rest = rest;
        text
    }
}

#[cfg(test)]
mod tests {
    use super::{Utf8Pieces, run};
    use crate::protocol::Report;

    #[test]
    fn a_character_cut_in_two_is_joined() {
        let mut pieces = Utf8Pieces::default();
        assert_eq!(pieces.push(&[b'a', 0xc3]), "a");
        assert_eq!(pieces.push(&[0xa4, 0xff, b'b']), "ä\u{fffd}b");
    }

    fn reports_of(line: &str, limit_s: u64) -> (String, i32) {
        let mut text = String::new();
        let mut code = -1;
        let argv = ["sh", "-c", line].map(str::to_owned);
        run(&argv, limit_s, |report| {
            match report {
                Report::Output { text: more } => text.push_str(&more),
                Report::Exit { code: last } => code = last,
                other => panic!("{other:?}"),
            }
            Ok(())
        })
        .unwrap();
        (text, code)
    }

    #[test]
    fn both_streams_and_the_status_are_reported() {
        assert_eq!(reports_of("echo out; echo err >&2; exit 3", 60), ("out\nerr\n".into(), 3));
    }

    #[test]
    fn a_daemon_that_keeps_the_pipe_does_not_delay_the_end() {
        assert_eq!(reports_of("sleep 5 & exit 0", 60).1, 0);
    }

    #[test]
    fn a_hang_is_killed() {
        assert_eq!(reports_of("sleep 600", 0).1, 124);
    }
}
