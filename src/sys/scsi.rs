//! SCSI commands to a device by the SG_IO ioctl.

use std::os::fd::{AsFd, AsRawFd};
use std::time::Duration;

use nix::errno::Errno;
use thiserror::Error;

/// `struct sg_io_hdr`. Source: Linux `include/scsi/sg.h`.
#[repr(C)]
struct SgIoHdr {
    interface_id: libc::c_int,
    dxfer_direction: libc::c_int,
    cmd_len: libc::c_uchar,
    mx_sb_len: libc::c_uchar,
    iovec_count: libc::c_ushort,
    dxfer_len: libc::c_uint,
    dxferp: *mut libc::c_void,
    cmdp: *const libc::c_uchar,
    sbp: *mut libc::c_uchar,
    timeout: libc::c_uint,
    flags: libc::c_uint,
    pack_id: libc::c_int,
    usr_ptr: *mut libc::c_void,
    status: libc::c_uchar,
    masked_status: libc::c_uchar,
    msg_status: libc::c_uchar,
    sb_len_wr: libc::c_uchar,
    host_status: libc::c_ushort,
    driver_status: libc::c_ushort,
    resid: libc::c_int,
    duration: libc::c_uint,
    info: libc::c_uint,
}

#[cfg(target_pointer_width = "64")]
const _: () = assert!(size_of::<SgIoHdr>() == 88);

/// `SG_IO`.
const SG_IO: libc::c_ulong = 0x2285;

/// `SG_DXFER_FROM_DEV`.
const FROM_DEVICE: libc::c_int = -3;

/// `SG_INFO_OK_MASK`: set if anything went wrong.
const NOT_OK: libc::c_uint = 1;

/// Why a command did not do what it should.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ScsiError {
    /// The device takes no commands.
    #[error("the device takes no SCSI command: {0}")]
    Ioctl(#[from] Errno),
    /// The command failed.
    #[error("SCSI status {status:#x}, host status {host_status:#x}, sense {sense}")]
    Failed {
        /// The target's status.
        status: u8,
        /// The verdict of the transport.
        host_status: u16,
        /// Key, code and qualifier.
        sense: String,
    },
}

/// Sends a command that reads into `data`; returns how many bytes came.
///
/// # Errors
/// If the device takes no commands, or the command fails or is not done in time.
pub fn read(device: impl AsFd, command: &[u8], data: &mut [u8], limit: Duration) -> Result<usize, ScsiError> {
    let mut sense = [0_u8; 32];
    let length = libc::c_uint::try_from(data.len()).map_err(|_| Errno::EINVAL)?;
    let mut header = SgIoHdr {
        interface_id: libc::c_int::from(b'S'),
        dxfer_direction: FROM_DEVICE,
        cmd_len: libc::c_uchar::try_from(command.len()).map_err(|_| Errno::EINVAL)?,
        mx_sb_len: 32,
        iovec_count: 0,
        dxfer_len: length,
        dxferp: data.as_mut_ptr().cast(),
        cmdp: command.as_ptr(),
        sbp: sense.as_mut_ptr(),
        timeout: libc::c_uint::try_from(limit.as_millis()).unwrap_or(libc::c_uint::MAX),
        flags: 0,
        pack_id: 0,
        usr_ptr: std::ptr::null_mut(),
        status: 0,
        masked_status: 0,
        msg_status: 0,
        sb_len_wr: 0,
        host_status: 0,
        driver_status: 0,
        resid: 0,
        duration: 0,
        info: 0,
    };
    // SAFETY: the descriptor is open, and the header is the structure SG_IO reads and writes; its pointers are to the
    // command, the data and the sense buffer, whose lengths it gives and which live during the call.
    Errno::result(unsafe { libc::ioctl(device.as_fd().as_raw_fd(), SG_IO, &raw mut header) })?;
    if header.info & NOT_OK != 0 {
        return Err(ScsiError::Failed {
            status: header.status,
            host_status: header.host_status,
            sense: shown(&sense[..usize::from(header.sb_len_wr).min(sense.len())]),
        });
    }
    let missing = usize::try_from(header.resid).unwrap_or(0);
    Ok(data.len().saturating_sub(missing))
}

/// Sense key, additional code and qualifier, in the fixed or the descriptor format. Source: SPC-4 section 4.5.
fn shown(sense: &[u8]) -> String {
    let byte = |at: usize| sense.get(at).copied().unwrap_or(0);
    match byte(0) & 0x7f {
        0x70 | 0x71 => format!("{:x}/{:02x}/{:02x}", byte(2) & 0x0f, byte(12), byte(13)),
        0x72 | 0x73 => format!("{:x}/{:02x}/{:02x}", byte(1) & 0x0f, byte(2), byte(3)),
        _ => "none".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sense_is_read_in_both_formats() {
        let mut fixed = [0_u8; 18];
        (fixed[0], fixed[2], fixed[12], fixed[13]) = (0x70, 0x05, 0x25, 0x00);
        assert_eq!(shown(&fixed), "5/25/00");
        assert_eq!(shown(&[0x72, 0x06, 0x3f, 0x0e]), "6/3f/0e");
        assert_eq!(shown(&[]), "none");
    }

    #[test]
    fn what_is_no_device_takes_no_command() {
        let file = tempfile::tempfile().unwrap();
        let mut data = [0; 16];
        let error = read(&file, &[0; 6], &mut data, Duration::from_secs(1)).unwrap_err();
        assert!(matches!(error, ScsiError::Ioctl(_)), "{error}");
    }
}
