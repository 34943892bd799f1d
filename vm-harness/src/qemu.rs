//! The QEMU command line.

use std::path::{Path, PathBuf};
use std::process::Command;

use vm_harness::protocol::{PORT_NAME, Tier};

use crate::accel::Accel;
use crate::image::Image;

/// Where the serial console goes.
pub enum Console<'a> {
    /// Into a file; standard input and output are the agent's channel.
    File(&'a Path),
    /// To the terminal.
    Terminal,
}

/// The disks of a guest beside that of its tier, and what is its first program.
#[derive(Clone, Copy, Default)]
pub struct Disks<'a> {
    /// One shown on this socket by the network block device protocol: a flush by the guest is one there.
    pub served: Option<&'a Path>,
    /// Files, whose changes outlive the machine.
    pub files: &'a [PathBuf],
    /// The first file has what the root file system differs from the image in, and systemd is the first program.
    pub is_booted_from: bool,
}

/// What one guest is started from.
pub struct Machine<'a> {
    /// Kernel and disk.
    pub image: &'a Image,
    /// Which tier.
    pub tier: Tier,
    /// Emulation or KVM.
    pub accel: Accel,
    /// Virtual processors.
    pub processors: usize,
    /// The initramfs of the tier.
    pub initramfs: &'a Path,
    /// The folder seen as /payload.
    pub payload: &'a Path,
    /// The source tree, seen as /src.
    pub source: &'a Path,
    /// The folder seen as /out.
    pub out: &'a Path,
    /// More disks.
    pub disks: Disks<'a>,
    /// The console.
    pub console: Console<'a>,
}

impl Machine<'_> {
    /// The command that runs the machine. It listens nowhere, so any number may run at once.
    pub fn command(&self) -> Command {
        // setpriv: a guest must not outlive a harness that was killed.
        let mut qemu = Command::new("setpriv");
        qemu.args(["--pdeathsig", "KILL", "qemu-system-x86_64"]);
        qemu.args(["-nodefaults", "-no-user-config", "-display", "none", "-no-reboot", "-machine", "q35"]);
        match self.accel {
            Accel::Kvm => qemu.args(["-accel", "kvm", "-cpu", "host"]),
            Accel::Tcg => {
                // One processor needs no atomic instructions: a fifth faster.
                let threads = if self.processors == 1 { "single" } else { "multi" };
                let tcg = format!("tcg,thread={threads},tb-size=512");
                qemu.args(["-accel", &tcg, "-cpu", "max,la57=off"])
            }
            // Nothing is idled away. A processor that moves strings fast (ERMS, FSRM) does so in one instruction, which
            // the emulator counts once for each byte: without, the kernel and the libraries move them as words.
            Accel::Counting => qemu
                .args(["-accel", "tcg,thread=single,tb-size=512", "-cpu", "max,la57=off,erms=off,fsrm=off"])
                .args(["-icount", "shift=0,sleep=off"]),
        };
        let memory = match self.tier {
            Tier::Fast => "1536",
            Tier::Full => "3072",
        };
        qemu.args(["-smp", &self.processors.to_string(), "-m", memory, "-device", "virtio-rng-pci"]);
        qemu.arg("-kernel").arg(self.image.vmlinuz()).arg("-initrd").arg(self.initramfs);
        qemu.args(["-append", &self.kernel_command_line()]);
        if self.tier == Tier::Full {
            qemu.arg("-drive").arg(join("if=virtio,format=raw,readonly=on,file=", &self.image.disk()));
            qemu.args(["-virtfs", &share("src", self.source, ",readonly=on")]);
        }
        for file in self.disks.files {
            qemu.arg("-drive").arg(join("if=virtio,format=raw,cache=writeback,file=", file));
        }
        if let Some(disk) = self.disks.served {
            let nbd = "if=virtio,format=raw,cache=writeback,file.driver=nbd,file.server.type=unix,file.server.path=";
            qemu.arg("-drive").arg(join(nbd, disk));
        }
        qemu.args(["-virtfs", &share("payload", self.payload, ",readonly=on")]);
        qemu.args(["-virtfs", &share("out", self.out, "")]);
        match self.console {
            Console::File(path) => {
                qemu.arg("-serial").arg(join("file:", path));
                qemu.args(["-device", "virtio-serial-pci", "-chardev", "stdio,id=agent,signal=off"]);
                qemu.args(["-device", &format!("virtserialport,chardev=agent,name={PORT_NAME}")]);
            }
            Console::Terminal => {
                qemu.args(["-chardev", "stdio,id=console,signal=off,mux=on", "-serial", "chardev:console"]);
            }
        }
        qemu
    }

    fn kernel_command_line(&self) -> String {
        let mode = match self.console {
            Console::File(_) => "agent",
            Console::Terminal => "shell",
        };
        // An emulator finds translated code again by its virtual address: where each process gets addresses of its
        // own (norandmaps is off), it translates every program anew at each start, four times the work of running
        // it. Clearing pages twice, mitigations, reading an emulated clock and checking it only cost time here, too.
        // A panic ends the machine.
        format!(
            "console=ttyS0 panic=-1 loglevel=4 norandmaps nokaslr mitigations=off init_on_alloc=0 \
             clocksource=tsc tsc=reliable no_timer_check nowatchdog audit=0 net.ifnames=0 thinvol.tier={} \
             thinvol.mode={mode} thinvol.init={}",
            self.tier.name(),
            if self.disks.is_booted_from { "systemd" } else { "own" }
        )
    }
}

fn join(prefix: &str, path: &Path) -> std::ffi::OsString {
    let mut text = std::ffi::OsString::from(prefix);
    text.push(path);
    text
}

fn share(tag: &str, path: &Path, more: &str) -> String {
    // QEMU doubles commas inside values.
    let path = path.display().to_string().replace(',', ",,");
    format!("local,path={path},mount_tag={tag},security_model=none,multidevs=remap{more}")
}
