//! Threads for the work on sessions, made before they are needed.
//!
//! When a connection is lost, the memory and the files of this machine may be on the very disk that has to be brought
//! back. So there are threads in advance, with their stacks in memory. A thread that hangs in the kernel is noticed and
//! passed over, and another one takes its place: it keeps nobody else from working.

use std::collections::{BTreeMap, VecDeque};
use std::sync::mpsc::Sender;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::protocol::interface::message::SessionId;
use crate::watch::{Outcome, Task};

/// Stacks stay in memory, all of them.
const STACK: usize = 512 << 10;

/// How much of a stack is written to in advance. The frames of the thread's start are below it.
const TOUCHED: usize = 384 << 10;

/// Threads there are at least, and at most those that wait for work: more sessions than these take turns.
const LEAST: usize = 2;
const MOST: usize = 32;

/// Work that takes longer than this hangs: every step of it has a limit of its own, all together far less.
const HANGS: Duration = Duration::from_secs(90);

/// A task of a session.
pub type Job = (SessionId, Task);

/// How a task of a session ended.
pub type Ended = (SessionId, Task, Outcome);

/// What a thread does with a task.
pub type Work = dyn Fn(SessionId, Task) -> Outcome + Send + Sync;

#[derive(Default)]
struct WorkersState {
    queue: VecDeque<Job>,
    /// What is under way, by the number of the thread.
    busy: BTreeMap<u64, (Job, Instant)>,
    /// Threads that are there and do not hang.
    threads: usize,
    made: u64,
}

struct Shared {
    state: Mutex<WorkersState>,
    news: Condvar,
    work: Box<Work>,
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, WorkersState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The threads. They end with the process.
pub struct Workers {
    shared: Arc<Shared>,
    results: Sender<Ended>,
}

impl Workers {
    /// Makes the first threads.
    pub fn new(work: Box<Work>, results: Sender<Ended>) -> Self {
        let pool = Self {
            shared: Arc::new(Shared { state: Mutex::default(), news: Condvar::new(), work }),
            results,
        };
        pool.prepare(LEAST);
        pool
    }

    /// Makes threads for as many sessions as there are, while all is well.
    pub fn prepare(&self, sessions: usize) {
        let wanted = sessions.clamp(LEAST, MOST);
        while self.shared.state().threads < wanted {
            let mut state = self.shared.state();
            let number = state.made;
            state.made += 1;
            state.threads += 1;
            drop(state);
            let (shared, results) = (Arc::clone(&self.shared), self.results.clone());
            let thread = std::thread::Builder::new().name(format!("worker-{number}")).stack_size(STACK);
            if let Err(error) = thread.spawn(move || serve(number, &shared, &results)) {
                self.shared.state().threads -= 1;
                tracing::warn!(%error, "no thread for the work on sessions");
                return;
            }
        }
    }

    /// Has a task done.
    pub fn begin(&self, sid: SessionId, task: Task) {
        self.shared.state().queue.push_back((sid, task));
        self.shared.news.notify_one();
    }

    /// The tasks that hang, each told once; another thread stands in for each.
    pub fn hanging(&self) -> Vec<Job> {
        self.hanging_for(HANGS)
    }

    fn hanging_for(&self, limit: Duration) -> Vec<Job> {
        let mut state = self.shared.state();
        let hangs = |(_, since): &(Job, Instant)| since.elapsed() >= limit;
        let numbers: Vec<u64> =
            state.busy.iter().filter(|(_, busy)| hangs(busy)).map(|(number, _)| *number).collect();
        // What is not in this list any more has no result that counts, and its thread ends with it.
        let jobs: Vec<Job> =
            numbers.iter().filter_map(|number| state.busy.remove(number)).map(|(job, _)| job).collect();
        let wanted = state.threads;
        state.threads -= jobs.len();
        drop(state);
        if !jobs.is_empty() {
            self.prepare(wanted);
        }
        jobs
    }
}

fn serve(number: u64, shared: &Shared, results: &Sender<Ended>) {
    touch_stack();
    loop {
        let mut state = shared.state();
        let job = loop {
            match state.queue.pop_front() {
                Some(job) => break job,
                None => state = shared.news.wait(state).unwrap_or_else(PoisonError::into_inner),
            }
        };
        state.busy.insert(number, (job, Instant::now()));
        drop(state);
        let (sid, task) = job;
        let outcome = (shared.work)(sid, task);
        if shared.state().busy.remove(&number).is_none() {
            tracing::warn!(%sid, ?task, ?outcome, "work that hung has come to an end");
            return;
        }
        // Nobody listens any more when the supervisor ends.
        let _ = results.send((sid, task, outcome));
    }
}

/// Has the kernel give this thread's stack its memory.
#[inline(never)]
fn touch_stack() {
    let mut stack = [0_u8; TOUCHED];
    std::hint::black_box(&mut stack);
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc::channel;

    const WAIT: Duration = Duration::from_secs(60);

    #[test]
    fn work_is_done_by_threads_that_are_there_already() {
        let (sender, results) = channel();
        let work = |sid: SessionId, _| if sid.0 == 3 { Outcome::Failed } else { Outcome::Done };
        let pool = Workers::new(Box::new(work), sender);
        pool.prepare(4);
        pool.prepare(1);
        assert_eq!(pool.shared.state().threads, 4);
        for sid in 0..20 {
            pool.begin(SessionId(sid), Task::Recover);
        }
        let mut ended: Vec<Ended> = (0..20).map(|_| results.recv_timeout(WAIT).unwrap()).collect();
        ended.sort_by_key(|(sid, ..)| *sid);
        assert_eq!(ended[3], (SessionId(3), Task::Recover, Outcome::Failed));
        assert_eq!(ended[4], (SessionId(4), Task::Recover, Outcome::Done));
        assert!(pool.hanging_for(Duration::ZERO).is_empty());
        assert_eq!(pool.shared.state().made, 4);
    }

    #[test]
    fn a_thread_that_hangs_is_told_of_once_and_replaced() {
        let (sender, results) = channel();
        let (release, hangs) = channel::<()>();
        let hangs = Mutex::new(hangs);
        let work = move |sid: SessionId, _| {
            if sid.0 == 1 {
                let _ = hangs.lock().unwrap().recv();
            }
            Outcome::Done
        };
        let pool = Workers::new(Box::new(work), sender);
        pool.begin(SessionId(1), Task::Recover);
        let mut hanging = Vec::new();
        while hanging.is_empty() {
            hanging = pool.hanging_for(Duration::ZERO);
        }
        assert_eq!(hanging, [(SessionId(1), Task::Recover)]);
        assert!(pool.hanging_for(Duration::ZERO).is_empty());
        assert_eq!(pool.shared.state().threads, LEAST);
        // Others are served, and its late result does not count.
        release.send(()).unwrap();
        pool.begin(SessionId(2), Task::Rescan);
        assert_eq!(results.recv_timeout(WAIT).unwrap(), (SessionId(2), Task::Rescan, Outcome::Done));
        assert!(results.try_recv().is_err());
    }
}
