//! What a supervisor does next: decided from what it hears and sees.
//!
//! Time is what has passed since the supervisor started; whoever calls looks at the clock and draws the lots.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::protocol::interface::message::SessionId;

/// Waits before the first tries to recover a session; later tries wait as long as the last.
///
/// The first is at once: most losses are short, and I/O waits. After that it is the target that is spared.
const WAITS_MS: [u64; 7] = [0, 100, 250, 500, 1000, 2000, 5000];

/// The wait after a failure that a repetition alone does not mend: the target refuses.
const REFUSED_WAIT: Duration = Duration::from_secs(30);

/// What is to be done about a session; the later ones are more.
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

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Care {
    task: Task,
    place: Place,
    /// Tries that failed.
    failures: u32,
    /// What is to be done after it.
    next: Option<Task>,
}

impl Care {
    /// A task to be started now.
    fn new(task: Task, now: Duration) -> Self {
        Self { task, place: Place::Waiting(now), failures: 0, next: None }
    }
}

/// The sessions that need something.
#[derive(Debug, Default)]
pub struct Watch {
    sessions: BTreeMap<SessionId, Care>,
}

impl Watch {
    /// Takes up a task for a session, at once. What is under way goes on; of what is planned, a lost connection comes
    /// before all else, and LUNs are looked for when there is a connection.
    pub fn take_up(&mut self, sid: SessionId, task: Task, now: Duration) {
        let care = self.sessions.entry(sid).or_insert(Care::new(task, now));
        let later = match care.place {
            Place::Working => task,
            Place::Waiting(_) => {
                let less = care.task.min(task);
                care.task = care.task.max(task);
                less
            }
        };
        let is_looking = care.place == Place::Working && care.task == Task::Rescan;
        // While a connection is replaced, what is heard of one is about the old one; LUNs are another matter.
        if is_looking || (later == Task::Rescan && care.task != Task::Rescan) {
            care.next = care.next.max(Some(later));
        }
    }

    /// Forgets a session that is gone.
    pub fn forget(&mut self, sid: SessionId) {
        self.sessions.remove(&sid);
    }

    /// The tasks whose time has come; they count as being worked on from now on.
    pub fn start_due(&mut self, now: Duration) -> Vec<(SessionId, Task)> {
        let mut due = Vec::new();
        for (sid, care) in &mut self.sessions {
            if matches!(care.place, Place::Waiting(at) if at <= now) {
                care.place = Place::Working;
                due.push((*sid, care.task));
            }
        }
        due
    }

    /// When the next task is due; `None` if none waits.
    pub fn next_due(&self) -> Option<Duration> {
        let at = |care: &Care| match care.place {
            Place::Waiting(at) => Some(at),
            Place::Working => None,
        };
        self.sessions.values().filter_map(at).min()
    }

    /// Whether anything is being worked on.
    pub fn is_working(&self) -> bool {
        self.sessions.values().any(|care| care.place == Place::Working)
    }

    /// Sessions without a connection.
    pub fn count(&self) -> usize {
        self.sessions.values().filter(|care| care.task != Task::Rescan).count()
    }

    /// A task ended. `lot` is any number: with it the next try is moved by up to a quarter, so that many sessions that
    /// were lost together do not come back together. Gives the number of failures so far.
    pub fn ended(&mut self, sid: SessionId, outcome: Outcome, now: Duration, lot: u64) -> u32 {
        let Some(care) = self.sessions.get_mut(&sid) else { return 0 };
        if outcome == Outcome::Done || care.task == Task::Rescan {
            match care.next.take() {
                Some(task) => *care = Care::new(task, now),
                None => drop(self.sessions.remove(&sid)),
            }
            return 0;
        }
        care.failures = care.failures.saturating_add(1);
        care.task = Task::Recover;
        let wait = match outcome {
            Outcome::Refused => REFUSED_WAIT,
            _ => wait(care.failures),
        };
        care.place = Place::Waiting(now + jittered(wait, lot));
        care.failures
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

    #[test]
    fn what_is_heard_while_something_is_done_is_done_after_it() {
        let started = |first: Task| {
            let mut watch = Watch::default();
            watch.take_up(ONE, first, ms(0));
            assert_eq!(watch.start_due(ms(0)), [(ONE, first)]);
            watch
        };
        for (first, heard, then) in [
            (Task::Rescan, vec![Task::Relogin], Some(Task::Relogin)),
            (Task::Rescan, vec![Task::Recover, Task::Rescan], Some(Task::Recover)),
            (Task::Rescan, vec![Task::Rescan], Some(Task::Rescan)),
            (Task::Recover, vec![Task::Rescan], Some(Task::Rescan)),
            (Task::Relogin, vec![Task::Recover, Task::Rescan], Some(Task::Rescan)),
            (Task::Relogin, vec![Task::Relogin, Task::Recover], None),
        ] {
            let mut watch = started(first);
            heard.iter().for_each(|task| watch.take_up(ONE, *task, ms(1)));
            assert!(watch.start_due(ms(1)).is_empty(), "one at a time");
            watch.ended(ONE, Outcome::Done, ms(2), 0);
            let due: Vec<Task> = watch.start_due(ms(2)).into_iter().map(|(_, task)| task).collect();
            assert_eq!(due, Vec::from_iter(then), "{first:?}, then {heard:?}");
        }
        // A look that waits is not lost when the connection is, and comes when there is one.
        let mut watch = Watch::default();
        watch.take_up(ONE, Task::Rescan, ms(0));
        watch.take_up(ONE, Task::Recover, ms(0));
        assert_eq!(watch.start_due(ms(0)), [(ONE, Task::Recover)]);
        watch.ended(ONE, Outcome::Failed, ms(1), 0);
        assert_eq!(watch.start_due(ms(5000)), [(ONE, Task::Recover)]);
        watch.ended(ONE, Outcome::Done, ms(5001), 0);
        assert_eq!(watch.start_due(ms(5001)), [(ONE, Task::Rescan)]);
    }

    #[test]
    fn a_lost_session_is_recovered_at_once_and_then_with_longer_and_longer_waits() {
        let mut watch = Watch::default();
        let mut now = ms(1000);
        watch.take_up(ONE, Task::Recover, now);
        let mut waits = Vec::new();
        for failures in 1..=9 {
            assert_eq!(watch.start_due(now), [(ONE, Task::Recover)]);
            assert!(watch.is_working() && watch.start_due(now).is_empty() && watch.next_due().is_none());
            // A lot of 250 moves nothing.
            assert_eq!(watch.ended(ONE, Outcome::Failed, now, 250), failures);
            let next = watch.next_due().unwrap();
            waits.push((next - now).as_millis());
            assert!(watch.start_due(next - ms(1)).is_empty());
            now = next;
        }
        assert_eq!(waits, [100, 250, 500, 1000, 2000, 5000, 5000, 5000, 5000]);
        watch.start_due(now);
        watch.ended(ONE, Outcome::Done, now, 0);
        assert_eq!((watch.next_due(), watch.count()), (None, 0));
    }

    #[test]
    fn a_target_that_refuses_is_asked_seldom() {
        let mut watch = Watch::default();
        watch.take_up(ONE, Task::Recover, ms(0));
        watch.start_due(ms(0));
        watch.ended(ONE, Outcome::Refused, ms(0), 250);
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
        watch.take_up(ONE, Task::Rescan, ms(0));
        watch.take_up(ONE, Task::Relogin, ms(0));
        watch.take_up(ONE, Task::Recover, ms(0));
        watch.take_up(ONE, Task::Rescan, ms(0));
        watch.take_up(TWO, Task::Rescan, ms(0));
        assert_eq!(watch.start_due(ms(0)), [(ONE, Task::Recover), (TWO, Task::Rescan)]);
        watch.take_up(ONE, Task::Recover, ms(1));
        assert!(watch.start_due(ms(1)).is_empty());
        // A rescan is not tried again: the next change is told of.
        watch.ended(TWO, Outcome::Failed, ms(1), 0);
        assert_eq!((watch.count(), watch.next_due()), (1, None));
        watch.forget(ONE);
        assert_eq!(watch.ended(ONE, Outcome::Failed, ms(2), 0), 0);
        assert!(watch.next_due().is_none());
    }
}
