//! A tgtd of the test's own, on loopback.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::{Duration, Instant};

use iscsi::host::connection::{Connection, ConnectionError, Ended};
use iscsi::host::limit::Limit;
use iscsi::protocol::chap::Chap;
use iscsi::protocol::login::{LoggedIn, Numbering, SessionKind, Settings};
use iscsi::protocol::name::Isid;
use iscsi::protocol::params::Offer;
use iscsi::protocol::portal::Portal;
use tempfile::TempDir;

use crate::{INITIATOR, PLENTY, in_full};

/// Set where the tests may not be skipped.
const NEED: &str = "THINVOL_NEED_TGTD";

/// A running daemon. It ends when it is dropped.
pub struct Daemon {
    process: Child,
    folder: TempDir,
    programs: PathBuf,
    control: u16,
    port: u16,
}

/// Where tgtd and tgtadm are: unpacked by the harness, or installed.
fn programs() -> Option<PathBuf> {
    let unpacked = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/tgt/usr/sbin");
    [unpacked, PathBuf::from("/usr/sbin")].into_iter().find(|folder| folder.join("tgtd").exists())
}

fn free_port() -> u16 {
    let socket = TcpListener::bind("127.0.0.1:0").expect("loopback is there");
    socket.local_addr().expect("it is bound").port()
}

impl Daemon {
    /// Starts one; `None` if there is none to start.
    pub fn start() -> Option<Self> {
        let Some(programs) = programs() else {
            assert!(std::env::var_os(NEED).is_none(), "{NEED} is set and there is no tgtd");
            return None;
        };
        // Another process may take the port in between; the next one is tried then.
        let daemon = (0..5).find_map(|_| Self::try_start(&programs));
        Some(daemon.expect("tgtd starts on one of five ports"))
    }

    fn try_start(programs: &Path) -> Option<Self> {
        static CONTROL: AtomicU16 = AtomicU16::new(1);
        let folder = tempfile::tempdir().expect("a temporary folder");
        let control = CONTROL.fetch_add(1, Ordering::Relaxed);
        let port = free_port();
        let log = std::fs::File::create(folder.path().join("log")).expect("the log can be made");
        let process = Command::new(programs.join("tgtd"))
            .args(["-f", "-C", &control.to_string(), "--iscsi", &format!("portal=127.0.0.1:{port}")])
            .env("TGT_IPC_SOCKET", folder.path().join("control"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .expect("tgtd can be run");
        let mut daemon = Self { process, folder, programs: programs.to_owned(), control, port };
        daemon.is_ready().then_some(daemon)
    }

    /// Waits until it takes commands and connections; false if it ended.
    fn is_ready(&mut self) -> bool {
        let started = Instant::now();
        while started.elapsed() < PLENTY {
            if self.process.try_wait().expect("it is our child").is_some() {
                return false;
            }
            let is_listening = std::net::TcpStream::connect(("127.0.0.1", self.port)).is_ok();
            if is_listening && self.admin(&["--mode", "system", "--op", "show"]).status.success() {
                return true;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        panic!("tgtd is not ready: {}", self.log());
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }

    fn admin(&self, arguments: &[&str]) -> Output {
        Command::new(self.programs.join("tgtadm"))
            .args(["-C", &self.control.to_string(), "--lld", "iscsi"])
            .args(arguments)
            .env("TGT_IPC_SOCKET", self.folder.path().join("control"))
            .output()
            .expect("tgtadm is where tgtd is")
    }

    /// Has it do something.
    fn tell(&self, command: &str) {
        let output = self.admin(&command.split(' ').collect::<Vec<_>>());
        let text = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "tgtadm {command}: {text}\n{}", self.log());
    }

    /// Where it listens.
    pub fn portal(&self) -> Portal {
        format!("127.0.0.1:{}", self.port).parse().expect("it is a portal")
    }

    /// Has it listen on `::1` too.
    pub fn listen_on_v6(&self) -> Portal {
        let portal = format!("[::1]:{}", self.port);
        self.tell(&format!("--mode portal --op new --param portal={portal}"));
        portal.parse().expect("it is a portal")
    }

    /// Makes a target that every initiator may use.
    pub fn target(&self, tid: u32, name: &str) {
        self.tell(&format!("--mode target --op new --tid {tid} -T {name}"));
        self.tell(&format!("--mode target --op bind --tid {tid} -I ALL"));
    }

    /// Makes an account.
    pub fn account(&self, user: &str, secret: &str) {
        self.tell(&format!("--mode account --op new --user {user} --password {secret}"));
    }

    /// Has a target demand an account, or prove itself with it.
    pub fn bind_account(&self, tid: u32, user: &str, is_outgoing: bool) {
        let outgoing = if is_outgoing { " --outgoing" } else { "" };
        self.tell(&format!("--mode account --op bind --tid {tid} --user {user}{outgoing}"));
    }

    /// Has a target send everybody elsewhere.
    pub fn redirect(&self, tid: u32, address: &str, port: u16, reason: &str) {
        for (name, value) in
            [("RedirectAddress", address), ("RedirectPort", &port.to_string()), ("RedirectReason", reason)]
        {
            self.tell(&format!("--mode target --op update --tid {tid} --name {name} --value {value}"));
        }
    }

    /// Logs in to a target: the session, or the error in full with its hint.
    pub fn log_in(&self, target: &str, chap: Option<Chap>) -> Result<LoggedIn, String> {
        let mut connection =
            Connection::open(&self.portal(), None, &Limit::new(PLENTY)).map_err(|error| in_full(&error))?;
        let ended = connection.log_in(Settings {
            initiator: INITIATOR.parse().expect("it is a name"),
            kind: SessionKind::Normal(target.parse().expect("it is a name")),
            isid: Isid::random([1, 2, 3, 4, 5]),
            numbering: Numbering::Ours { itt: 1, cmd_sn: 1 },
            exp_stat_sn: 0,
            chap,
            offer: Offer::default(),
        });
        match ended {
            Ok(Ended::LoggedIn(session)) => Ok(*session),
            Ok(Ended::Redirect(to)) => Err(format!("moved to {}, for good: {}", to.portal, to.is_permanent)),
            Err(error) => {
                let hint = match &error {
                    ConnectionError::Login { source, .. } => source.hint(),
                    _ => None,
                };
                Err(format!("{} hint: {}", in_full(&error), hint.unwrap_or_default()))
            }
        }
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // It does not heed SIGTERM while it has targets.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
