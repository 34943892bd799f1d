//! A double of the kernel's interface: it keeps sessions, shows them in a sysfs of its own, refuses what the kernel
//! refuses, and fails or falls silent when it is told to.

use std::collections::{BTreeMap, VecDeque};
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Instant;

use nix::errno::Errno;

use crate::host::netlink::control::{Control, ControlError, Heard};
use crate::protocol::interface::message::{Answer, Event, Request, SessionId};
use crate::protocol::interface::params::Param;
use crate::protocol::pdu::{LoginRequest, LoginResponse, LogoutResponse, Numbers, Stage, opcode};

/// The way a connection is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Conn {
    Made,
    Bound,
    Up,
    /// Stopped, or lost: `needs_stop` tells that the kernel refuses to bind before a stop.
    Down {
        needs_stop: bool,
    },
}

/// Which request fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// This one, counted from 1.
    At(usize),
    /// The process dies before this one.
    DiesBefore(usize),
    /// The process dies when this one is done, before it hears of that.
    DiesAfter(usize),
    /// All that would end this session.
    Keeps(u32),
}

#[derive(Default)]
struct KernelState {
    sessions: BTreeMap<u32, Option<Conn>>,
    made: u32,
    requests: usize,
    fault: Option<Fault>,
    events: VecDeque<Event>,
    said: Vec<String>,
    luns: Vec<FakeLun>,
}

/// A LUN that is there as soon as its session works: somebody else has had the kernel search for it.
#[derive(Clone, Copy, Debug, Default)]
pub struct FakeLun {
    /// Its number.
    pub number: u64,
    /// Its disk, if it has one.
    pub disk: Option<&'static str>,
    /// Its peripheral qualifier.
    pub qualifier: u8,
}

/// The double.
pub struct FakeKernel {
    sys: PathBuf,
    state: Mutex<KernelState>,
}

impl FakeKernel {
    /// A kernel without sessions, with its sysfs in `sys`.
    pub fn new(sys: &Path) -> Arc<Self> {
        for class in ["iscsi_session", "iscsi_connection", "scsi_host"] {
            fs::create_dir_all(sys.join("class").join(class)).unwrap();
        }
        Arc::new(Self { sys: sys.to_owned(), state: Mutex::default() })
    }

    fn state(&self) -> MutexGuard<'_, KernelState> {
        self.state.lock().unwrap()
    }

    /// Sets a fault, counting from here; none clears it.
    pub fn set_fault(&self, fault: Option<Fault>) {
        let mut state = self.state();
        state.fault = fault;
        state.requests = 0;
    }

    /// How many requests there were since the last fault was set.
    pub fn requests(&self) -> usize {
        self.state().requests
    }

    /// What was asked, in order.
    pub fn said(&self) -> Vec<String> {
        std::mem::take(&mut self.state().said)
    }

    /// The sessions there are.
    pub fn sessions(&self) -> Vec<u32> {
        self.state().sessions.keys().copied().collect()
    }

    /// Sessions have these LUNs from now on.
    pub fn show_luns(&self, luns: &[FakeLun]) {
        self.state().luns = luns.to_vec();
    }

    /// The device of a LUN goes.
    pub fn remove_lun(&self, sid: u32, number: u64) {
        fs::remove_dir_all(self.lun_folder(sid, number)).unwrap();
    }

    /// Where sysfs has the device of a LUN.
    pub fn lun_folder(&self, sid: u32, number: u64) -> PathBuf {
        self.sys.join(format!("devices/host{sid}/session{sid}/target{sid}:0:0/{sid}:0:0:{number}"))
    }

    fn add_lun(&self, sid: u32, lun: FakeLun) {
        let folder = self.lun_folder(sid, lun.number);
        fs::create_dir_all(&folder).unwrap();
        let link = self.sys.join(format!("bus/scsi/devices/{sid}:0:0:{}", lun.number));
        fs::create_dir_all(link.parent().unwrap()).unwrap();
        symlink(&folder, link).unwrap();
        let wwid = format!("naa.{:016x}\n", lun.number + 1);
        for (name, value) in
            [("type", "0\n"), ("state", "running\n"), ("wwid", &wwid), ("delete", ""), ("rescan", "")]
        {
            fs::write(folder.join(name), value).unwrap();
        }
        fs::write(folder.join("inquiry"), [lun.qualifier << 5, 0, 6]).unwrap();
        let Some(disk) = lun.disk else { return };
        fs::create_dir_all(folder.join("block").join(disk)).unwrap();
        fs::create_dir_all(folder.join("driver")).unwrap();
        let block = self.sys.join("class/block").join(disk);
        fs::create_dir_all(&block).unwrap();
        // A number that no device has, on whatever machine this runs.
        fs::write(block.join("dev"), format!("4000:{}\n", lun.number)).unwrap();
        fs::write(block.join("size"), "2048\n").unwrap();
    }

    /// The connection of a session is lost.
    pub fn lose(&self, sid: u32) {
        self.state().sessions.insert(sid, Some(Conn::Down { needs_stop: true }));
        self.show(sid, "state", "FAILED");
    }

    fn session_folder(&self, sid: u32) -> PathBuf {
        self.sys.join(format!("devices/host{sid}/session{sid}/iscsi_session/session{sid}"))
    }

    fn show(&self, sid: u32, attribute: &str, value: &str) {
        fs::write(self.session_folder(sid).join(attribute), format!("{value}\n")).unwrap();
    }

    fn connection_folder(&self, sid: u32) -> PathBuf {
        self.sys.join(format!("class/iscsi_connection/connection{sid}:0"))
    }

    fn add_session(&self, sid: u32) {
        let folder = self.session_folder(sid);
        fs::create_dir_all(&folder).unwrap();
        symlink(&folder, self.sys.join(format!("class/iscsi_session/session{sid}"))).unwrap();
        symlink(self.sys.join(format!("devices/host{sid}/session{sid}")), folder.join("device")).unwrap();
        fs::create_dir_all(self.sys.join(format!("class/iscsi_host/host{sid}"))).unwrap();
        let host = self.sys.join(format!("class/scsi_host/host{sid}"));
        fs::create_dir_all(&host).unwrap();
        fs::write(host.join("proc_name"), "iscsi_tcp\n").unwrap();
        fs::write(host.join("scan"), "").unwrap();
        for (attribute, value) in
            [("state", "FREE"), ("creator", "-1"), ("targetname", "(null)"), ("target_id", "0")]
        {
            self.show(sid, attribute, value);
        }
    }

    fn remove_session(&self, sid: u32) {
        fs::remove_file(self.sys.join(format!("class/iscsi_session/session{sid}"))).unwrap();
        fs::remove_dir_all(self.sys.join(format!("devices/host{sid}"))).unwrap();
        for link in fs::read_dir(self.sys.join("bus/scsi/devices")).into_iter().flatten().flatten() {
            if link.file_name().to_string_lossy().starts_with(&format!("{sid}:")) {
                fs::remove_file(link.path()).unwrap();
            }
        }
        for class in ["scsi_host", "iscsi_host"] {
            fs::remove_dir_all(self.sys.join(format!("class/{class}/host{sid}"))).unwrap();
        }
    }

    fn carry_out(&self, request: &Request) -> Result<Answer, Errno> {
        let mut state = self.state();
        let done = Ok(Answer::of_a_double([0; 4]));
        let Some(SessionId(sid)) = request.sid() else {
            state.made += 1;
            let sid = state.made;
            state.sessions.insert(sid, None);
            self.add_session(sid);
            return Ok(Answer::of_a_double([sid, sid, 0, 0]));
        };
        let conn = *state.sessions.get(&sid).ok_or(Errno::EINVAL)?;
        let set = |state: &mut KernelState, conn| state.sessions.insert(sid, conn);
        match (request, conn) {
            (Request::SetNetInterface { host, name, .. }, _) => {
                fs::write(self.sys.join(format!("class/iscsi_host/host{host}/netdev")), name).unwrap();
            }
            (Request::DestroySession(_), None) => {
                state.sessions.remove(&sid);
                self.remove_session(sid);
            }
            (Request::DestroySession(_), Some(_)) => return Err(Errno::EBUSY),
            (Request::CreateConn(_), None) => {
                set(&mut state, Some(Conn::Made));
                fs::create_dir_all(self.connection_folder(sid)).unwrap();
            }
            (Request::CreateConn(_), Some(_)) => return Err(Errno::ENOMEM),
            (_, None) => return Err(Errno::EINVAL),
            (Request::DestroyConn(_), Some(_)) => {
                set(&mut state, None);
                fs::remove_dir_all(self.connection_folder(sid)).unwrap();
            }
            (Request::BindConn { .. }, Some(Conn::Down { needs_stop: true })) => return Err(Errno::ENOTCONN),
            (Request::BindConn { .. }, Some(_)) => drop(set(&mut state, Some(Conn::Bound))),
            (Request::SetParam { param, value, .. }, Some(Conn::Bound | Conn::Up)) => {
                self.told(sid, *param, value)
            }
            (Request::StartConn(_), Some(Conn::Bound)) => {
                set(&mut state, Some(Conn::Up));
                self.show(sid, "state", "LOGGED_IN");
                for lun in state.luns.clone() {
                    if !self.lun_folder(sid, lun.number).exists() {
                        self.add_lun(sid, lun);
                    }
                }
            }
            (Request::StopConn(..), Some(_)) => {
                set(&mut state, Some(Conn::Down { needs_stop: false }));
                self.show(sid, "state", "FAILED");
            }
            (Request::SendPdu { pdu, .. }, Some(Conn::Bound | Conn::Up)) => {
                let answer = answer(pdu);
                state.events.push_back(Event::Pdu { sid: SessionId(sid), pdu: answer });
            }
            (Request::UnbindSession(_), Some(_)) => state.events.push_back(Event::Unbound(SessionId(sid))),
            _ => return Err(Errno::ENOTCONN),
        }
        done
    }

    fn told(&self, sid: u32, param: Param, value: &str) {
        let connection = self.connection_folder(sid);
        match param {
            Param::TargetName => self.show(sid, "targetname", value),
            Param::InterfaceName => self.show(sid, "ifacename", value),
            Param::InitiatorName => self.show(sid, "initiatorname", value),
            Param::PersistentAddress => fs::write(connection.join("persistent_address"), value).unwrap(),
            Param::PersistentPort => fs::write(connection.join("persistent_port"), value).unwrap(),
            _ => {}
        }
    }
}

/// A target that agrees to everything.
fn answer(pdu: &crate::protocol::pdu::Pdu) -> crate::protocol::pdu::Pdu {
    let numbers = Numbers { stat_sn: 1, exp_cmd_sn: 2, max_cmd_sn: 33 };
    if pdu.opcode() == opcode::LOGOUT_REQUEST {
        return LogoutResponse { response: 0, itt: 0, numbers, time2wait: 2, time2retain: 0 }.encode();
    }
    let request = LoginRequest::decode(pdu).unwrap();
    LoginResponse {
        transit: Some(Stage::FullFeature),
        more: false,
        stage: request.stage,
        version_active: 0,
        isid: request.isid,
        tsih: 7,
        itt: 0x1234,
        stat_sn: 1,
        exp_cmd_sn: 2,
        max_cmd_sn: 33,
        status: (0, 0),
    }
    .encode(b"TargetPortalGroupTag=1\0".to_vec())
}

fn ends(request: &Request, sid: u32) -> bool {
    let sid = SessionId(sid);
    matches!(request, Request::StopConn(of, _) | Request::DestroyConn(of) | Request::DestroySession(of) if *of == sid)
}

/// A conversation with the double.
pub struct FakeControl(pub Arc<FakeKernel>);

impl Control for FakeControl {
    fn request(&mut self, request: &Request) -> Result<Answer, ControlError> {
        let (number, fault) = {
            let mut state = self.0.state();
            state.requests += 1;
            state.said.push(match request {
                Request::SetParam { param, value, .. } => format!("{param:?}={value}"),
                other => other.name().to_owned(),
            });
            (state.requests, state.fault)
        };
        match fault {
            Some(Fault::At(at)) if at == number => return Err(ControlError::refused(request, Errno::EIO)),
            Some(Fault::Keeps(sid)) if ends(request, sid) => {
                return Err(ControlError::refused(request, Errno::EBUSY));
            }
            Some(Fault::DiesBefore(at)) if at == number => panic!("the process dies, as it should"),
            _ => {}
        }
        let answer = self.0.carry_out(request).map_err(|errno| ControlError::refused(request, errno));
        assert!(fault != Some(Fault::DiesAfter(number)), "the process dies, as it should");
        answer
    }

    fn next_event(&mut self, _deadline: Instant) -> Result<Heard, ControlError> {
        Ok(self.0.state().events.pop_front().map_or(Heard::Nothing, Heard::Event))
    }
}
