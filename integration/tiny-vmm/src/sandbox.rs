//! What the vCPU's thread may ask of the host's kernel (seccomp).

use anyhow::Result;
use seccompiler::{BpfProgram, SeccompAction, SeccompFilter};

/// The system calls of [`crb_interface::frontend::Frontend::read`] and `write`: to wake the TPM process and wait for it,
/// to send it a request that nobody waits for, and to take a lock. Time and processor need a call only where there is no
/// vDSO.
const TPM: &[i64] = &[
    libc::SYS_clock_gettime,
    libc::SYS_futex,
    libc::SYS_getcpu,
    libc::SYS_ppoll,
    libc::SYS_read,
    libc::SYS_sendmsg,
    libc::SYS_write,
];

/// Those of the rest: KVM, memory, and the end of the thread.
const OTHERS: &[i64] = &[
    libc::SYS_brk,
    libc::SYS_exit,
    libc::SYS_ioctl,
    libc::SYS_madvise,
    libc::SYS_mmap,
    libc::SYS_mprotect,
    libc::SYS_munmap,
    libc::SYS_rt_sigprocmask,
    libc::SYS_rt_sigreturn,
    libc::SYS_sigaltstack,
];

/// Lets the calling thread make these calls from now on; any other ends the process.
///
/// # Errors
/// The kernel has no seccomp.
pub fn enter() -> Result<()> {
    let rules = TPM.iter().chain(OTHERS).map(|number| (*number, Vec::new())).collect();
    let architecture = std::env::consts::ARCH.try_into()?;
    let filter = SeccompFilter::new(rules, SeccompAction::KillProcess, SeccompAction::Allow, architecture)?;
    let program: BpfProgram = filter.try_into()?;
    Ok(seccompiler::apply_filter(&program)?)
}
