//! The supervisor's loop.
//!
//! One thread listens and decides; tasks are done by threads that are there already ([`super::workers`]), so that a
//! target that does not answer delays no other session. A restart loses nothing: the registry says which sessions are
//! ours, sysfs which of them have lost their connections, and secrets are read from their files again.

use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use thiserror::Error;

use super::secrets::Secrets;
use super::work::work;
use super::workers::{Ended, Workers};
use crate::host::limit::Limit;
use crate::host::netlink::control::{Control, ControlError, Heard};
use crate::host::netlink::socket::Netlink;
use crate::host::registry::{Lock, LockName, Phase, Record, RegistryError};
use crate::host::sysfs::{self, SessionState};
use crate::protocol::interface::message::{Event, SessionId, conn_error};
use crate::protocol::pdu::{Pdu, opcode};
use crate::session::env::Env;
use crate::session::error::SessionError;
use crate::session::sweep::sweep_if_possible;
use crate::watch::{Outcome, Task, Watch};
use sys::memory::Protected;
use sys::notify::Notifier;

/// How often sysfs is looked at, whatever is heard: events can be lost.
const LOOK: Duration = Duration::from_secs(2);

/// How often to check whether a task has ended.
const TASKS: Duration = Duration::from_millis(50);

/// Why supervision ended, other than by a signal.
#[derive(Debug, Error)]
pub enum SupervisorError {
    /// There is one already.
    #[error("iscsi sessions are supervised already{holders}")]
    Running {
        /// By whom.
        holders: String,
    },
    /// The registry.
    #[error(transparent)]
    Registry(#[from] RegistryError),
    /// The kernel's interface.
    #[error(transparent)]
    Control(#[from] ControlError),
    /// Sessions.
    #[error(transparent)]
    Session(#[from] SessionError),
    /// The system.
    #[error("cannot {doing}")]
    System {
        /// The operation.
        doing: &'static str,
        /// The system's error.
        source: Errno,
    },
}

/// How long the lock is waited for. Logins take it for an instant to see whether there is a supervisor.
const PROBE_WAIT: Duration = Duration::from_secs(2);

/// A supervisor that has begun.
pub struct Supervisor {
    env: Arc<Env<'static>>,
    kernel: Netlink,
    signals: SignalFd,
    notifier: Notifier,
    watch: Watch,
    /// How often work hung.
    hanging: usize,
    started: Instant,
    pool: Workers,
    results: Receiver<Ended>,
    secrets: Arc<Secrets>,
    /// Its own memory may be on a disk that it has to bring back.
    _protected: Protected,
    _lock: Lock,
}

impl Supervisor {
    /// Becomes the supervisor. Signals that end it are held off from here on, and taken by [`Supervisor::run`].
    ///
    /// # Errors
    /// If there is one already, or the kernel cannot be listened to.
    pub fn start(mut env: Env<'static>, kernel: Netlink) -> Result<Self, SupervisorError> {
        let protected = Protected::new(&env.roots.proc);
        let limit = Limit::new(PROBE_WAIT);
        let lock = env.registry.lock(&LockName::Supervisor, &limit).map_err(|error| match error {
            RegistryError::Locked { holders, .. } => SupervisorError::Running { holders },
            error => SupervisorError::Registry(error),
        })?;
        let ends: SigSet =
            [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP, Signal::SIGQUIT].into_iter().collect();
        let system = |doing| move |source| SupervisorError::System { doing, source };
        ends.thread_block().map_err(system("hold signals off"))?;
        let flags = SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK;
        let signals = SignalFd::with_flags(&ends, flags).map_err(system("listen to signals"))?;
        let (to_results, results) = channel();
        let no_thread = |error: std::io::Error| SupervisorError::System {
            doing: "make a thread",
            source: Errno::from_raw(error.raw_os_error().unwrap_or(0)),
        };
        let secrets = Arc::new(Secrets::new().map_err(no_thread)?);
        let kept = Arc::clone(&secrets);
        env.secrets = Arc::new(move |path| kept.get(path));
        let env = Arc::new(env);
        let for_work = Arc::clone(&env);
        let pool = Workers::new(Box::new(move |sid, task| work(&for_work, sid, task)), to_results);
        Ok(Self {
            env,
            kernel,
            signals,
            notifier: Notifier::from_environment(),
            watch: Watch::default(),
            hanging: 0,
            started: Instant::now(),
            pool,
            results,
            secrets,
            _protected: protected,
            _lock: lock,
        })
    }

    /// Supervises until a signal comes. Work under way ends with the process then: whoever comes next goes on with
    /// it, as after a crash.
    ///
    /// # Errors
    /// If the kernel cannot be listened to any more.
    pub fn run(mut self) -> Result<(), SupervisorError> {
        sweep_if_possible(&self.env);
        self.notifier.say("READY=1");
        let mut next_look = Duration::ZERO;
        loop {
            if self.signals.read_signal().ok().flatten().is_some() {
                self.notifier.say("STOPPING=1");
                return Ok(());
            }
            if self.now() >= next_look {
                self.look()?;
                next_look = self.now() + self.look_interval();
            }
            for (sid, task) in self.watch.start_due(self.now()) {
                self.pool.begin(sid, task);
            }
            self.wait(next_look)?;
            self.take_results();
            self.take_events()?;
        }
    }

    /// Looking is what the watchdog hears of.
    fn look_interval(&self) -> Duration {
        self.notifier.watchdog_interval().map_or(LOOK, |interval| interval.min(LOOK))
    }

    /// Time since the start.
    fn now(&self) -> Duration {
        self.started.elapsed()
    }

    /// Looks at all our sessions.
    fn look(&mut self) -> Result<(), SupervisorError> {
        let mut count = 0;
        for record in self.env.registry.records()? {
            let session = sysfs::session(&self.env.roots, record.sid).filter(|session| record.is_of(session));
            match session {
                Some(session) if record.phase == Phase::Up => {
                    count += 1;
                    if session.state == SessionState::LoggedIn {
                        record.credentials.iter().for_each(|path| self.secrets.refresh(path));
                    } else {
                        self.watch.take_up(record.sid, Task::Recover, self.now(), agreed_wait(&record));
                    }
                }
                Some(_) => {}
                None => self.watch.forget(record.sid),
            }
        }
        self.pool.prepare(count);
        for (sid, task) in self.pool.hanging() {
            self.hanging += 1;
            tracing::error!(%sid, ?task, "work on the session hangs; others are not held up, and it is tried again");
            self.watch.ended(sid, task, Outcome::Failed, self.now(), lot());
        }
        let hanging = match self.hanging {
            0 => String::new(),
            count => format!(", {count} times work hung"),
        };
        let status = format!(
            "STATUS={count} sessions, {} without a connection{hanging}\nWATCHDOG=1",
            self.watch.count()
        );
        self.notifier.say(&status);
        Ok(())
    }

    /// Waits until something happens, or something is due.
    fn wait(&self, next_look: Duration) -> Result<(), SupervisorError> {
        let mut until = self.watch.next_due().map_or(next_look, |due| due.min(next_look));
        if self.watch.is_working() {
            until = until.min(self.now() + TASKS);
        }
        let left = until.saturating_sub(self.now()) + Duration::from_millis(1);
        let limit = PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX);
        let kernel = self.kernel.readable();
        let mut sources = [
            PollFd::new(kernel.as_fd(), PollFlags::POLLIN),
            PollFd::new(self.signals.as_fd(), PollFlags::POLLIN),
        ];
        match poll(&mut sources, limit) {
            Ok(_) | Err(Errno::EINTR) => Ok(()),
            Err(source) => Err(SupervisorError::System { doing: "wait for events", source }),
        }
    }

    fn take_results(&mut self) {
        while let Ok((sid, task, outcome)) = self.results.try_recv() {
            if outcome == Outcome::Refused
                && let Some(path) = self.env.registry.record(sid).and_then(|record| record.credentials)
            {
                // They may be others by now.
                self.secrets.read_again(&path);
            }
            let failures = self.watch.ended(sid, task, outcome, self.now(), lot());
            if failures > 0 && failures.is_multiple_of(20) {
                tracing::error!(%sid, failures, "the session still has no connection");
            }
        }
    }

    fn take_events(&mut self) -> Result<(), SupervisorError> {
        loop {
            match self.kernel.next_event(Instant::now())? {
                Heard::Nothing => return Ok(()),
                Heard::Lost => {
                    tracing::warn!("events were lost; looking at all sessions");
                    self.look()?;
                }
                Heard::Event(event) => self.hear(event),
            }
        }
    }

    /// One event. Those of sessions that are not ours are for others.
    fn hear(&mut self, event: Event) {
        let up = |sid| self.env.registry.record(sid).filter(|record| record.phase == Phase::Up);
        match event {
            Event::ConnError { sid, code } => {
                if let Some(record) = up(sid) {
                    tracing::warn!(%sid, code, "the connection is lost: {}", conn_error(code));
                    self.watch.take_up(sid, Task::Recover, self.now(), agreed_wait(&record));
                }
            }
            Event::Pdu { sid, pdu } if pdu.opcode() == opcode::ASYNC_MESSAGE && up(sid).is_some() => {
                match asked(sid, &pdu) {
                    Some(Asked::For(task)) => self.watch.take_up(sid, task, self.now(), Duration::ZERO),
                    Some(Asked::ToBeLeftAlone(wait)) => self.watch.announce(sid, wait),
                    None => {}
                }
            }
            Event::Destroyed(sid) => self.watch.forget(sid),
            _ => {}
        }
    }
}

/// How long the target wants to be left alone when a connection is lost, as was agreed on at the login.
fn agreed_wait(record: &Record) -> Duration {
    Duration::from_secs(record.time2wait.into())
}

/// What a target says by an Asynchronous Message.
#[derive(Debug, PartialEq, Eq)]
enum Asked {
    /// Something is to be done now.
    For(Task),
    /// The connection will be dropped, and is not to be replaced before this is over.
    ToBeLeftAlone(Duration),
}

/// What an Asynchronous Message asks for. Source: RFC 7143 section 11.9.1.
fn asked(sid: SessionId, message: &Pdu) -> Option<Asked> {
    // AsyncEvent, Parameter2 and Parameter3: seconds.
    let number = |at: usize| u16::from_be_bytes([message.header[at], message.header[at + 1]]);
    let (event, wait, seconds) = (message.header[36], number(40), number(42));
    match event {
        // SCSI sense data: most likely that the list of LUNs has changed.
        0 => Some(Asked::For(Task::Rescan)),
        1 => {
            tracing::info!(%sid, seconds, "the target asks to be logged out of");
            Some(Asked::For(Task::Relogin))
        }
        // The connection, or all of them, will be dropped: then there is an event of that. Parameter2 is Time2Wait.
        2 | 3 => {
            tracing::info!(%sid, wait, "the target is about to drop the connection");
            Some(Asked::ToBeLeftAlone(Duration::from_secs(wait.into())))
        }
        4 => {
            tracing::info!(%sid, seconds, "the target asks for a new negotiation");
            Some(Asked::For(Task::Relogin))
        }
        event => {
            tracing::debug!(%sid, event, "an asynchronous message of no known meaning");
            None
        }
    }
}

/// A number that nobody foresees.
fn lot() -> u64 {
    getrandom::u64().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_says_what_is_to_be_done_and_how_long_to_stay_away() {
        let said = |event: u8, two: u16, three: u16| {
            let mut header = [0; 48];
            (header[0], header[36]) = (opcode::ASYNC_MESSAGE, event);
            header[40..42].copy_from_slice(&two.to_be_bytes());
            header[42..44].copy_from_slice(&three.to_be_bytes());
            asked(SessionId(1), &Pdu { header, data: Vec::new() })
        };
        assert_eq!(said(0, 0, 0), Some(Asked::For(Task::Rescan)));
        assert_eq!(said(1, 9, 3), Some(Asked::For(Task::Relogin)));
        assert_eq!(said(4, 0, 3), Some(Asked::For(Task::Relogin)));
        for event in [2, 3] {
            assert_eq!(said(event, 300, 7), Some(Asked::ToBeLeftAlone(Duration::from_secs(300))));
        }
        assert_eq!(said(250, 1, 1), None);
    }
}
