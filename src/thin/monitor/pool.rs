//! One pool that is watched.

use std::time::{Duration, Instant};

use super::MonitorOptions;
use super::hook::{Event, Hook, What};
use crate::changes::{ExtendPool, Storage};
use crate::condition::Condition;
use crate::engine::{Engine, Options, ReadMetadata, Settings};
use crate::error::EngineError;
use crate::request::Space;
use crate::view::Detail;
use crate::watch::{Extension, News, Said, Sizes, Wanted};
use base::error_chain::in_words;
use base::error_kind::ErrorKind;
use base::ids::{LvName, VgName};
use base::units::{Extents, Sectors};
use dm::ioctl::LinuxDm;
use dm::kernel::{Kernel, ListedDevice, StatusFlush};
use dm::name::DmUuid;
use dm::status::PoolStatus;
use lvm2::format::model::ERROR_WHEN_FULL;
use lvm2::host::dmeventd::Dmeventd;

/// How long it takes after a failed extension until the next try, at first and at most: a pool that is full holds its
/// writers back for 60 seconds by default, in which there are four tries. Source: Linux `drivers/md/dm-thin.c`
/// (`NO_SPACE_TIMEOUT_SECS`).
const RETRY: Duration = Duration::from_secs(5);
const RETRY_MAX: Duration = Duration::from_secs(20);

/// After so many looks its text is read again, though nothing was heard: its rules may be other ones, and dmeventd may
/// have come or gone.
const READ_AGAIN: u32 = 6;

/// A pool, and what is known of it.
pub(super) struct Watched {
    vg: VgName,
    name: LvName,
    /// Number of events of its target when it was looked at last.
    pub(super) event_nr: u32,
    /// Whether its text is to be read again.
    is_stale: bool,
    /// How often it was looked at.
    looks: u32,
    text: Option<Text>,
    said: Said,
    retry: Option<Retry>,
    /// Why it was not extended last time: said once.
    not_extended: Option<String>,
    /// Why its text could not be read last time, likewise.
    unread: Option<String>,
}

/// What a look needs.
#[derive(Clone, Copy)]
pub(super) struct Surroundings<'a> {
    pub(super) kernel: &'a LinuxDm,
    pub(super) settings: &'a Settings,
    pub(super) options: &'a MonitorOptions,
    pub(super) hook: &'a Hook,
}

/// What its text and lvm.conf say.
#[derive(Clone, Copy)]
struct Text {
    sizes: Sizes,
    extension: Extension,
    fails_when_full: bool,
    is_dmeventds: bool,
}

struct Retry {
    at: Instant,
    after: Duration,
}

impl Watched {
    pub(super) fn new(vg: VgName, name: LvName) -> Self {
        Self {
            vg,
            name,
            event_nr: 0,
            is_stale: true,
            looks: 0,
            text: None,
            said: Said::default(),
            retry: None,
            not_extended: None,
            unread: None,
        }
    }

    fn shown(&self) -> String {
        format!("{}/{}", self.vg, self.name)
    }

    /// Looks at the pool, extends it if it is time, and tells what is new. Says whether a signal asked to stop
    /// meanwhile.
    pub(super) fn look(
        &mut self,
        device: &ListedDevice,
        uuid: &DmUuid,
        happened: bool,
        with: &Surroundings<'_>,
    ) -> bool {
        let Surroundings { kernel, settings, options, hook } = *with;
        let Some(mut status) = status(kernel, device) else { return false };
        self.looks = self.looks.wrapping_add(1);
        if happened {
            self.retry = None;
        }
        if happened || self.is_stale || self.text.is_none() || self.looks.is_multiple_of(READ_AGAIN) {
            self.read(uuid, settings, options);
        }
        let mut stopped = false;
        if self.is_due(&status) {
            stopped = self.extend(uuid, settings, options, hook);
            status = self::status(kernel, device).unwrap_or(status);
        }
        let fails_when_full = self.text.is_some_and(|text| text.fails_when_full);
        let (working, condition) = match &status {
            PoolStatus::Working(working) => (Some(working), Condition::of_working(working, fails_when_full)),
            PoolStatus::Failed => (None, Condition::Failed),
            PoolStatus::Error => (None, Condition::Unreadable),
        };
        for news in self.said.news(working, &condition) {
            self.tell(&news, hook);
        }
        stopped
    }

    fn wanted(&self, status: &PoolStatus) -> Wanted {
        match (status, self.text) {
            (PoolStatus::Working(working), Some(text)) if !text.is_dmeventds => {
                text.extension.wanted(working, text.sizes)
            }
            _ => Wanted::default(),
        }
    }

    /// Whether it is to be extended, and did not fail to be just now.
    fn is_due(&self, status: &PoolStatus) -> bool {
        let waits = self.retry.as_ref().is_some_and(|retry| Instant::now() < retry.at);
        !waits && !self.wanted(status).is_nothing()
    }

    /// Reads what the text says of the pool, and who watches it.
    fn read(&mut self, uuid: &DmUuid, settings: &Settings, options: &MonitorOptions) {
        let read = Engine::open(settings.clone()).and_then(|engine| self.text(&engine, uuid, options));
        match read {
            Ok(text) => {
                let before = self.text.replace(text);
                (self.is_stale, self.unread) = (false, None);
                if text.is_dmeventds && before.is_none_or(|before| !before.is_dmeventds) {
                    let pool = self.shown();
                    tracing::warn!(%pool, "dmeventd watches the pool, and it is left to it (--take-over)");
                }
            }
            Err(error) => {
                let (pool, error) = (self.shown(), in_words(&error));
                if self.unread.as_ref() != Some(&error) {
                    tracing::warn!(%pool, %error, "what is to be done for the pool is not known: it is tried again");
                    self.unread = Some(error);
                }
            }
        }
    }

    fn text(&self, engine: &Engine, uuid: &DmUuid, options: &MonitorOptions) -> Result<Text, EngineError> {
        let vg = engine.metadata(&self.vg)?;
        let gone = || EngineError::new(ErrorKind::NotFound, format!("{} has no such pool", self.vg));
        let lv = vg.lv(&self.name).ok_or_else(gone)?;
        let pool = lv.thin_pool().ok_or_else(gone)?;
        let extents = |name: &LvName| vg.lv(name).and_then(|lv| lv.extents()).unwrap_or(Extents::ZERO);
        Ok(Text {
            sizes: Sizes {
                data: extents(&pool.data),
                metadata: extents(&pool.metadata),
                extent: vg.extent_size,
            },
            extension: engine.extension(&vg, lv),
            fails_when_full: lv.has_flag(ERROR_WHEN_FULL),
            is_dmeventds: self.is_dmeventds(uuid, options),
        })
    }

    /// Whether dmeventd watches it, and goes on to.
    fn is_dmeventds(&self, uuid: &DmUuid, options: &MonitorOptions) -> bool {
        let pool = self.shown();
        let dmeventd = Dmeventd::default();
        match dmeventd.registered(uuid) {
            Ok(None) => false,
            Ok(Some(_)) if !options.take_over => true,
            Ok(Some(how)) => match dmeventd.unregister(uuid, &how) {
                Ok(()) => {
                    tracing::info!(%pool, "the pool is taken over from dmeventd");
                    false
                }
                Err(error) => {
                    tracing::warn!(%pool, %error, "dmeventd does not let go of the pool");
                    true
                }
            },
            // Whoever of the two comes second finds it extended.
            Err(error) => {
                tracing::warn!(%pool, %error, "dmeventd does not say whether it watches the pool");
                false
            }
        }
    }

    /// Extends the pool, by what its text and the kernel say now. Says whether a signal asked to stop meanwhile.
    fn extend(&mut self, uuid: &DmUuid, settings: &Settings, options: &MonitorOptions, hook: &Hook) -> bool {
        let engine = match Engine::open(settings.clone()) {
            Ok(engine) => engine,
            Err(error) => {
                self.failed(&in_words(&error), hook);
                return false;
            }
        };
        match self.extend_by(&engine, uuid, options) {
            Ok(done) => {
                (self.retry, self.not_extended) = (None, None);
                if let Some(done) = done {
                    let pool = self.shown();
                    tracing::info!(%pool, "{done}");
                    hook.tell(&self.event(What::Extended { how: done }));
                }
            }
            Err(error) => {
                let hint = error.hint().map(|hint| format!(" ({hint})")).unwrap_or_default();
                self.failed(&format!("{}{hint}", in_words(&error)), hook);
            }
        }
        self.is_stale = true;
        engine.stop_asked().is_some()
    }

    fn extend_by(
        &mut self,
        engine: &Engine,
        uuid: &DmUuid,
        options: &MonitorOptions,
    ) -> Result<Option<String>, EngineError> {
        self.text = Some(self.text(engine, uuid, options)?);
        let view = engine.inspect(&self.vg, Detail::Pools)?;
        let status =
            view.pools.iter().find(|pool| pool.name == self.name).and_then(|pool| pool.status.clone());
        let wanted = status.map(|status| self.wanted(&status)).unwrap_or_default();
        if wanted.is_nothing() {
            return Ok(None);
        }
        match self.grow(engine, wanted.data.map(Space::To), wanted.metadata) {
            // What is there is better than nothing; metadata comes first.
            Err(error) if error.kind() == ErrorKind::Refused => {
                let metadata = wanted.metadata.map(|to| self.grow(engine, None, Some(to)));
                let data = wanted.data.map(|_| self.grow(engine, Some(Space::FreePercent(100)), None));
                let done: Vec<String> = [metadata, data].into_iter().flatten().flatten().collect();
                if done.is_empty() { Err(error) } else { Ok(Some(done.join(", "))) }
            }
            result => result.map(Some),
        }
    }

    fn grow(
        &self,
        engine: &Engine,
        data: Option<Space>,
        metadata: Option<Sectors>,
    ) -> Result<String, EngineError> {
        let storage = Storage { vg: self.vg.clone(), pool: self.name.clone(), id: None };
        let change = ExtendPool::new(storage, data, metadata.map(Space::To));
        let report = engine.apply(&self.vg, &[change.into()], &Options::default())?;
        report.warnings.iter().for_each(|warning| tracing::warn!(%warning, "while the pool was extended"));
        let done: Vec<String> = report.done.iter().map(|done| done.effect.to_string()).collect();
        Ok(done.join(", "))
    }

    fn failed(&mut self, why: &str, hook: &Hook) {
        let after = self.retry.as_ref().map_or(RETRY, |retry| (retry.after * 2).min(RETRY_MAX));
        self.retry = Some(Retry { at: Instant::now() + after, after });
        if self.not_extended.as_deref() != Some(why) {
            let pool = self.shown();
            tracing::error!(%pool, "the pool could not be extended: {why}");
            hook.tell(&self.event(What::NotExtended { why: why.to_owned() }));
            self.not_extended = Some(why.to_owned());
        }
    }

    fn tell(&self, news: &News, hook: &Hook) {
        let pool = self.shown();
        let what = match news {
            News::Filled { what, percent } => {
                tracing::warn!(%pool, "{percent} % of the pool's {what} is taken");
                What::Filled { what, percent: *percent }
            }
            News::Condition(condition) => {
                let (words, way_out) = (condition.words(), condition.way_out(&pool));
                let hint = way_out.as_ref().map(|way_out| format!(": {way_out}")).unwrap_or_default();
                tracing::warn!(%pool, "the pool {words}{hint}");
                What::Condition { condition: condition.word(), words, way_out }
            }
        };
        hook.tell(&self.event(what));
    }

    fn event(&self, what: What) -> Event {
        Event { vg: self.vg.to_string(), pool: self.name.to_string(), what }
    }
}

/// What the kernel says of a pool; nothing if it is gone by now, or does not say it in words that are known.
fn status(kernel: &LinuxDm, device: &ListedDevice) -> Option<PoolStatus> {
    match kernel.status(&device.name, StatusFlush::NoFlush) {
        Ok((_, lines)) => PoolStatus::parse(&lines.first()?.params).ok(),
        Err(error) => {
            tracing::debug!(%error, "the pool is gone");
            None
        }
    }
}
