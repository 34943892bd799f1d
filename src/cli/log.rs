//! The log on standard error.

mod unwaiting;

use std::io::{self, Write};
use std::sync::Arc;

use tracing::Subscriber;
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::fmt::MakeWriter;

use self::unwaiting::Unwaiting;
use super::plain;

/// Starts the log: warnings, and more the more often `-v` was given. A command that runs for ever (`is_service`) never
/// waits for who reads its log.
pub fn start(verbose: u8, is_service: bool) {
    // Fails only where a log is running already: a second run in one process, in tests.
    let _ = if is_service {
        let log = Arc::new(Unwaiting::default());
        tracing::subscriber::set_global_default(to(verbose, move || LogLines(Service(Arc::clone(&log)))))
    } else {
        tracing::subscriber::set_global_default(to(verbose, || LogLines(io::stderr())))
    };
}

/// The log of a service; each write is a line.
struct Service(Arc<Unwaiting>);

impl Write for Service {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.0.line(line);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn to<W>(verbose: u8, writer: W) -> impl Subscriber + Send + Sync
where
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    let level = match verbose {
        0 => LevelFilter::WARN,
        1 => LevelFilter::INFO,
        2 => LevelFilter::DEBUG,
        _ => LevelFilter::TRACE,
    };
    let log = tracing_subscriber::fmt().with_max_level(level).with_writer(writer);
    log.with_ansi(false).without_time().with_target(false).finish()
}

/// What the log says: an event, which it writes at once, is one line, whatever names it holds. The log itself lets
/// pass what is in its fields.
struct LogLines<W>(W);

impl<W: Write> Write for LogLines<W> {
    fn write(&mut self, event: &[u8]) -> io::Result<usize> {
        let text = String::from_utf8_lossy(event);
        let line = plain::within_line(text.strip_suffix('\n').unwrap_or(&text));
        self.0.write_all(format!("{line}\n").as_bytes())?;
        Ok(event.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    #[derive(Clone, Default)]
    struct Shared(Arc<Mutex<Vec<u8>>>);

    impl Write for Shared {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().expect("nobody panics").write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn an_event_is_a_line_whatever_it_holds() {
        let written = Shared::default();
        let copy = written.clone();
        tracing::subscriber::with_default(to(0, move || LogLines(copy.clone())), || {
            let mount = "/mnt/a\u{1b}]0;owned\u{7}\u{9b}2J\nhint: rm -rf /";
            tracing::warn!(error = %mount, "in use: {mount}");
            tracing::info!("nobody has asked for this");
        });
        let said = String::from_utf8(written.0.lock().unwrap().clone()).unwrap();
        assert!(said.chars().all(|c| !c.is_control() || c == '\n'), "{said:?}");
        assert_eq!(said.lines().count(), 1, "{said}");
        assert!(said.contains("\\u{1b}]0;owned") && said.contains("\\nhint: rm"), "{said}");
    }
}
