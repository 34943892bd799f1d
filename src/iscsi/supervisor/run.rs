//! The supervisor's loop.
//!
//! One thread listens and decides; each task has a thread of its own, so that a target that does not answer holds up
//! nobody else. Nothing is kept that a restart would miss: the registry says which sessions are ours, sysfs which of
//! them have lost their connections.

use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use thiserror::Error;

use super::notify::Notifier;
use super::work::work;
use crate::host::limit::Limit;
use crate::host::netlink::control::{Control, ControlError, Heard};
use crate::host::netlink::socket::Netlink;
use crate::host::registry::{Lock, LockName, Phase, RegistryError};
use crate::host::sysfs::{self, State};
use crate::protocol::interface::message::{Event, SessionId, conn_error};
use crate::protocol::pdu::{Pdu, opcode};
use crate::session::env::Env;
use crate::session::error::SessionError;
use crate::session::sweep::sweep;
use crate::watch::{Outcome, Task, Watch};

/// How often sysfs is looked at, whatever is heard: events can be lost.
const LOOK: Duration = Duration::from_secs(2);

/// How often it is looked whether a task has ended.
const TASKS: Duration = Duration::from_millis(50);

/// Stacks stay in memory, all of them.
const WORKER_STACK: usize = 512 << 10;

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
        /// What was tried.
        doing: &'static str,
        /// What the system said.
        source: Errno,
    },
}

/// How long the lock is waited for. Logins take it for an instant to see whether there is a supervisor.
const PROBE_WAIT: Duration = Duration::from_secs(2);

/// A task of a session that has ended.
type Ended = (SessionId, Outcome);

/// A supervisor that has begun.
pub struct Supervisor {
    env: Arc<Env<'static>>,
    kernel: Netlink,
    signals: SignalFd,
    notifier: Notifier,
    watch: Watch,
    started: Instant,
    results: Receiver<Ended>,
    to_results: Sender<Ended>,
    _lock: Lock,
}

impl Supervisor {
    /// Becomes the supervisor. Signals that end it are held off from here on, and taken by [`Supervisor::run`].
    ///
    /// # Errors
    /// If there is one already, or the kernel cannot be listened to.
    pub fn start(env: Arc<Env<'static>>, kernel: Netlink) -> Result<Self, SupervisorError> {
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
        Ok(Self {
            env,
            kernel,
            signals,
            notifier: Notifier::from_environment(),
            watch: Watch::default(),
            started: Instant::now(),
            results,
            to_results,
            _lock: lock,
        })
    }

    /// Supervises until a signal comes. Work under way ends with the process then: whoever comes next goes on with
    /// it, as after a crash.
    ///
    /// # Errors
    /// If the kernel cannot be listened to any more.
    pub fn run(mut self) -> Result<(), SupervisorError> {
        // Each one is told of in the log. What cannot be removed is no reason to leave the others alone.
        if let Err(error) = sweep(&self.env) {
            tracing::warn!(%error, "not all that was left half done could be cleared away");
        }
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
                self.begin(sid, task);
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

    fn begin(&mut self, sid: SessionId, task: Task) {
        let (env, sender) = (Arc::clone(&self.env), self.to_results.clone());
        let worker = move || {
            // Nobody listens any more when the supervisor ends.
            let _ = sender.send((sid, work(&env, sid, task)));
        };
        if let Err(error) =
            std::thread::Builder::new().name(format!("session-{sid}")).stack_size(WORKER_STACK).spawn(worker)
        {
            tracing::warn!(%error, "no thread for a task");
            self.watch.ended(sid, Outcome::Failed, self.now(), lot());
        }
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
                    if session.state != State::LoggedIn {
                        self.watch.take_up(record.sid, Task::Recover, self.now());
                    }
                }
                Some(_) => {}
                None => self.watch.forget(record.sid),
            }
        }
        let status =
            format!("STATUS={count} sessions, {} without a connection\nWATCHDOG=1", self.watch.count());
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
        while let Ok((sid, outcome)) = self.results.try_recv() {
            let failures = self.watch.ended(sid, outcome, self.now(), lot());
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
        let is_up = |sid| self.env.registry.record(sid).is_some_and(|record| record.phase == Phase::Up);
        match event {
            Event::ConnError { sid, code } if is_up(sid) => {
                tracing::warn!(%sid, code, "the connection is lost: {}", conn_error(code));
                self.watch.take_up(sid, Task::Recover, self.now());
            }
            Event::Pdu { sid, pdu } if pdu.opcode() == opcode::ASYNC_MESSAGE && is_up(sid) => {
                if let Some(task) = asked(sid, &pdu) {
                    self.watch.take_up(sid, task, self.now());
                }
            }
            Event::Destroyed(sid) => self.watch.forget(sid),
            _ => {}
        }
    }
}

/// What an Asynchronous Message asks for. Source: RFC 7143 section 11.9.1.
fn asked(sid: SessionId, message: &Pdu) -> Option<Task> {
    // AsyncEvent, and Parameter3: seconds.
    let (event, seconds) = (message.header[36], u16::from_be_bytes([message.header[42], message.header[43]]));
    match event {
        // SCSI sense data: most likely that the list of LUNs has changed.
        0 => Some(Task::Rescan),
        1 => {
            tracing::info!(%sid, seconds, "the target asks to be logged out of");
            Some(Task::Relogin)
        }
        // The connection, or all of them, will be dropped: then there is an event of that.
        2 | 3 => {
            tracing::info!(%sid, "the target is about to drop the connection");
            None
        }
        4 => {
            tracing::info!(%sid, seconds, "the target asks for a new negotiation");
            Some(Task::Relogin)
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
