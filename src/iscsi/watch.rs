//! What a supervisor does next: decided from what it hears and sees.
//!
//! Time is what has passed since the supervisor started; the caller reads the clock and draws random numbers.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::protocol::interface::message::SessionId;

/// Waits before the first tries to recover a session; later tries wait as long as the last.
///
/// The first is at once, or when the target allows it: most losses are short, and I/O waits. After that it is the
/// target that is spared.
const WAITS_MS: [u64; 7] = [0, 100, 250, 500, 1000, 2000, 5000];

/// The wait after a failure that a repetition alone does not mend: the target refuses.
const REFUSED_WAIT: Duration = Duration::from_secs(30);

/// What is to be done about a session; of the last two, the later one is more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Task {
    /// Look for changes of its LUNs.
    Rescan,
    /// Say goodbye first: the target has asked for that. Then give it a new connection.
    Relogin,
    /// Give it a new connection.
    Recover,
}

/// How a task ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It is done, or there was nothing to do.
    Done,
    /// Goodbye was said: a new connection may be made after this.
    Parted(Duration),
    /// It may work next time.
    Failed,
    /// The target refuses.
    Refused,
}

/// A session's place in the work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// To be started at this time.
    Waiting(Duration),
    /// Being worked on.
    Working,
}

/// A session that needs a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct SessionWork {
    task: Task,
    place: Place,
    /// Tries that failed.
    failures: u32,
}

/// A session whose LUNs are to be looked at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Look {
    is_working: bool,
    /// There was more news while it was looked.
    again: bool,
}

/// The sessions that need something.
///
/// The connection of a session and its LUNs are worked on apart: a look at LUNs waits while the connection is lost, and
/// must not keep it from being replaced.
#[derive(Debug, Default)]
pub struct Watch {
    sessions: BTreeMap<SessionId, SessionWork>,
    looks: BTreeMap<SessionId, Look>,
    /// How long targets have asked to be left alone when their connections end.
    announced: BTreeMap<SessionId, Duration>,
}

impl Watch {
    /// Takes up a task for a session. A look at LUNs is begun when there is a connection. A lost connection is replaced
    /// after `wait`, or what the target has asked for; what is under way or planned already keeps its time.
    pub fn take_up(&mut self, sid: SessionId, task: Task, now: Duration, wait: Duration) {
        if task == Task::Rescan {
            let look = self.looks.entry(sid).or_default();
            look.again = look.is_working;
            return;
        }
        let wait = match task {
            Task::Recover => self.announced.remove(&sid).unwrap_or(wait),
            _ => Duration::ZERO,
        };
        match self.sessions.get_mut(&sid) {
            // While a connection is replaced, what is heard of one is about the old one.
            Some(SessionWork { place: Place::Working, .. }) => {}
            Some(work) if work.task < task => {
                *work = SessionWork { task, place: Place::Waiting(now + wait), failures: 0 };
            }
            Some(_) => {}
            None => {
                self.sessions
                    .insert(sid, SessionWork { task, place: Place::Waiting(now + wait), failures: 0 });
            }
        }
    }

    /// A target says that it is about to end a connection, and how long it wants to be left alone then.
    pub fn announce(&mut self, sid: SessionId, wait: Duration) {
        self.announced.insert(sid, wait);
    }

    /// Forgets a session that is gone.
    pub fn forget(&mut self, sid: SessionId) {
        self.sessions.remove(&sid);
        self.looks.remove(&sid);
        self.announced.remove(&sid);
    }

    /// The tasks whose time has come; they count as being worked on from now on.
    pub fn start_due(&mut self, now: Duration) -> Vec<(SessionId, Task)> {
        let mut due = Vec::new();
        for (sid, work) in &mut self.sessions {
            if matches!(work.place, Place::Waiting(at) if at <= now) {
                work.place = Place::Working;
                due.push((*sid, work.task));
            }
        }
        for (sid, look) in &mut self.looks {
            if !look.is_working && !self.sessions.contains_key(sid) {
                look.is_working = true;
                due.push((*sid, Task::Rescan));
            }
        }
        due
    }

    /// When the next task is due; `None` if none waits.
    pub fn next_due(&self) -> Option<Duration> {
        let at = |work: &SessionWork| match work.place {
            Place::Waiting(at) => Some(at),
            Place::Working => None,
        };
        self.sessions.values().filter_map(at).min()
    }

    /// Whether anything is being worked on.
    pub fn is_working(&self) -> bool {
        self.sessions.values().any(|work| work.place == Place::Working)
            || self.looks.values().any(|look| look.is_working)
    }

    /// Sessions without a connection.
    pub fn count(&self) -> usize {
        self.sessions.len()
    }

    /// A task ended. `lot` is any number: with it the next try is moved by up to a quarter, so that many sessions that
    /// were lost together do not come back together. Gives the number of failures so far.
    pub fn ended(&mut self, sid: SessionId, task: Task, outcome: Outcome, now: Duration, lot: u64) -> u32 {
        if task == Task::Rescan {
            match self.looks.get_mut(&sid) {
                Some(look) if look.again => *look = Look::default(),
                // A look that failed is not repeated: the next change brings an event.
                _ => drop(self.looks.remove(&sid)),
            }
            return 0;
        }
        let Some(work) = self.sessions.get_mut(&sid) else { return 0 };
        let wait = match outcome {
            Outcome::Done => {
                self.sessions.remove(&sid);
                return 0;
            }
            Outcome::Parted(wait) => {
                *work = SessionWork { task: Task::Recover, place: Place::Waiting(now + wait), failures: 0 };
                return 0;
            }
            Outcome::Refused => REFUSED_WAIT,
            Outcome::Failed => wait(work.failures.saturating_add(1)),
        };
        work.failures = work.failures.saturating_add(1);
        work.task = Task::Recover;
        work.place = Place::Waiting(now + jittered(wait, lot));
        work.failures
    }
}

/// The wait before the try after so many failures.
fn wait(failures: u32) -> Duration {
    let last = WAITS_MS.len() - 1;
    let index = usize::try_from(failures).map_or(last, |index| index.min(last));
    Duration::from_millis(WAITS_MS[index])
}

/// Between three and five quarters of a wait.
fn jittered(wait: Duration, lot: u64) -> Duration {
    let thousandths = u32::try_from(lot % 501).unwrap_or(0);
    wait * (750 + thousandths) / 1000
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: SessionId = SessionId(1);
    const TWO: SessionId = SessionId(2);

    fn ms(count: u64) -> Duration {
        Duration::from_millis(count)
    }

    const NONE: Duration = Duration::ZERO;

    #[test]
    fn a_look_at_luns_holds_up_no_connection_and_waits_for_one() {
        let mut watch = Watch::default();
        watch.take_up(ONE, Task::Rescan, ms(0), NONE);
        assert_eq!(watch.start_due(ms(0)), [(ONE, Task::Rescan)]);
        // The connection is lost while it is looked: it is replaced at once.
        watch.take_up(ONE, Task::Recover, ms(1), NONE);
        assert_eq!(watch.start_due(ms(1)), [(ONE, Task::Recover)]);
        // More news, which is looked at when the first look has ended and there is a connection.
        watch.take_up(ONE, Task::Rescan, ms(2), NONE);
        assert!(watch.start_due(ms(2)).is_empty());
        watch.ended(ONE, Task::Rescan, Outcome::Failed, ms(3), 0);
        assert!(watch.start_due(ms(3)).is_empty() && watch.is_working());
        watch.ended(ONE, Task::Recover, Outcome::Done, ms(4), 0);
        assert_eq!(watch.start_due(ms(4)), [(ONE, Task::Rescan)]);
        watch.ended(ONE, Task::Rescan, Outcome::Done, ms(5), 0);
        assert!(watch.start_due(ms(5)).is_empty() && !watch.is_working());
    }

    #[test]
    fn a_target_is_left_alone_for_as_long_as_it_asks() {
        let mut watch = Watch::default();
        watch.take_up(ONE, Task::Recover, ms(100), ms(2000));
        assert_eq!(watch.next_due(), Some(ms(2100)));
        // Looking again does not move it.
        watch.take_up(ONE, Task::Recover, ms(1900), ms(2000));
        assert!(watch.start_due(ms(2099)).is_empty());
        assert_eq!(watch.start_due(ms(2100)), [(ONE, Task::Recover)]);
        watch.ended(ONE, Task::Recover, Outcome::Done, ms(2200), 0);
        // What it announces counts more than what was agreed on, once.
        watch.announce(ONE, ms(7000));
        watch.take_up(ONE, Task::Recover, ms(3000), ms(2000));
        assert_eq!(watch.next_due(), Some(ms(10_000)));
        watch.start_due(ms(10_000));
        watch.ended(ONE, Task::Recover, Outcome::Done, ms(10_000), 0);
        watch.take_up(ONE, Task::Recover, ms(20_000), NONE);
        assert_eq!(watch.start_due(ms(20_000)), [(ONE, Task::Recover)]);
        watch.ended(ONE, Task::Recover, Outcome::Done, ms(20_000), 0);
        // Goodbye is said at once, and the answer says how long to stay away.
        watch.take_up(ONE, Task::Relogin, ms(30_000), ms(2000));
        assert_eq!(watch.start_due(ms(30_000)), [(ONE, Task::Relogin)]);
        assert_eq!(watch.ended(ONE, Task::Relogin, Outcome::Parted(ms(3000)), ms(30_100), 0), 0);
        watch.take_up(ONE, Task::Recover, ms(30_200), NONE);
        assert_eq!(watch.next_due(), Some(ms(33_100)));
        assert_eq!(watch.start_due(ms(33_100)), [(ONE, Task::Recover)]);
    }

    #[test]
    fn a_lost_session_is_recovered_at_once_and_then_with_longer_and_longer_waits() {
        let mut watch = Watch::default();
        let mut now = ms(1000);
        watch.take_up(ONE, Task::Recover, now, NONE);
        let mut waits = Vec::new();
        for failures in 1..=9 {
            assert_eq!(watch.start_due(now), [(ONE, Task::Recover)]);
            assert!(watch.is_working() && watch.start_due(now).is_empty() && watch.next_due().is_none());
            // A lot of 250 moves nothing.
            assert_eq!(watch.ended(ONE, Task::Recover, Outcome::Failed, now, 250), failures);
            let next = watch.next_due().unwrap();
            waits.push((next - now).as_millis());
            assert!(watch.start_due(next - ms(1)).is_empty());
            now = next;
        }
        assert_eq!(waits, [100, 250, 500, 1000, 2000, 5000, 5000, 5000, 5000]);
        watch.start_due(now);
        watch.ended(ONE, Task::Recover, Outcome::Done, now, 0);
        assert_eq!((watch.next_due(), watch.count()), (None, 0));
    }

    #[test]
    fn a_target_that_refuses_is_asked_seldom() {
        let mut watch = Watch::default();
        watch.take_up(ONE, Task::Recover, ms(0), NONE);
        watch.start_due(ms(0));
        watch.ended(ONE, Task::Recover, Outcome::Refused, ms(0), 250);
        assert_eq!(watch.next_due(), Some(REFUSED_WAIT));
    }

    #[test]
    fn lots_move_a_wait_by_a_quarter_at_most() {
        for lot in [0, 1, 250, 500, 501, u64::MAX] {
            let wait = jittered(ms(1000), lot);
            assert!(wait >= ms(750) && wait <= ms(1250), "{wait:?}");
        }
    }

    #[test]
    fn a_lost_connection_outdoes_other_tasks_and_work_under_way_is_not_disturbed() {
        let mut watch = Watch::default();
        watch.take_up(ONE, Task::Relogin, ms(0), NONE);
        watch.take_up(ONE, Task::Recover, ms(0), NONE);
        watch.take_up(ONE, Task::Rescan, ms(0), NONE);
        watch.take_up(TWO, Task::Rescan, ms(0), NONE);
        assert_eq!(watch.start_due(ms(0)), [(ONE, Task::Recover), (TWO, Task::Rescan)]);
        watch.take_up(ONE, Task::Recover, ms(1), NONE);
        assert!(watch.start_due(ms(1)).is_empty());
        watch.ended(TWO, Task::Rescan, Outcome::Failed, ms(1), 0);
        assert_eq!((watch.count(), watch.next_due()), (1, None));
        watch.forget(ONE);
        assert_eq!(watch.ended(ONE, Task::Recover, Outcome::Failed, ms(2), 0), 0);
        assert!(watch.next_due().is_none() && watch.start_due(ms(2)).is_empty());
    }
}
