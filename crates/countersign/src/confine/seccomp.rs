//! System calls that no role needs, refused by a seccomp filter (seccomp(2)) with `EPERM`.
//!
//! A list of what is refused, not of what is allowed: roles run a runtime, SQLite and `git`, whose calls change with
//! every version of the C library, and a list of allowed ones that is one short fails in production, at an hour of its
//! own choosing. So this narrows the kernel (mounts, namespaces, tracing, modules, rings, odd sockets); files are
//! Landlock's matter and privileges those of the user. It refuses to know which role it is for, and writes nothing.

use std::collections::BTreeMap;

use nix::libc;
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule,
};

use super::{ConfineError, Sockets};

/// Refused whatever the arguments.
const REFUSED: &[i64] = &[
    // Mounting and moving the root: what is seen under a path stays what it is.
    libc::SYS_mount,
    libc::SYS_umount2,
    libc::SYS_pivot_root,
    libc::SYS_chroot,
    libc::SYS_move_mount,
    libc::SYS_open_tree,
    libc::SYS_fsopen,
    libc::SYS_fsconfig,
    libc::SYS_fsmount,
    libc::SYS_fspick,
    libc::SYS_mount_setattr,
    // Opens a file by number, past every folder.
    libc::SYS_open_by_handle_at,
    // Other processes' memory and files.
    libc::SYS_ptrace,
    libc::SYS_process_vm_readv,
    libc::SYS_process_vm_writev,
    libc::SYS_process_madvise,
    libc::SYS_kcmp,
    libc::SYS_pidfd_getfd,
    // New namespaces, in which a user is root and meets much more of the kernel.
    libc::SYS_unshare,
    libc::SYS_setns,
    // Large parts of the kernel with a history of holes, and io_uring passes by this filter.
    libc::SYS_bpf,
    libc::SYS_perf_event_open,
    libc::SYS_userfaultfd,
    libc::SYS_io_uring_setup,
    libc::SYS_io_uring_enter,
    libc::SYS_io_uring_register,
    libc::SYS_fanotify_init,
    // Keys in the kernel are shared by all processes of a user.
    libc::SYS_add_key,
    libc::SYS_keyctl,
    libc::SYS_request_key,
    // The machine itself.
    libc::SYS_kexec_load,
    libc::SYS_init_module,
    libc::SYS_finit_module,
    libc::SYS_delete_module,
    libc::SYS_reboot,
    libc::SYS_swapon,
    libc::SYS_swapoff,
    libc::SYS_acct,
    libc::SYS_quotactl,
    libc::SYS_sethostname,
    libc::SYS_setdomainname,
    libc::SYS_syslog,
    libc::SYS_vhangup,
    libc::SYS_settimeofday,
    libc::SYS_clock_settime,
    libc::SYS_clock_adjtime,
    libc::SYS_adjtimex,
    libc::SYS_move_pages,
    libc::SYS_migrate_pages,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_kexec_file_load,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_iopl,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_ioperm,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_modify_ldt,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_uselib,
    #[cfg(target_arch = "x86_64")]
    libc::SYS__sysctl,
];

/// Calls judged by their arguments below. In the x32 form they are refused altogether.
const JUDGED: &[i64] = &[
    libc::SYS_clone,
    libc::SYS_clone3,
    libc::SYS_socket,
    libc::SYS_socketpair,
    libc::SYS_ioctl,
    libc::SYS_personality,
];

/// Starting programs.
const PROGRAMS: &[i64] = &[libc::SYS_execve, libc::SYS_execveat];

/// Flags of `clone` that make a namespace (clone(2)). `CLONE_NEWTIME` can not be given to it.
const NAMESPACES: &[i32] = &[
    libc::CLONE_NEWNS,
    libc::CLONE_NEWCGROUP,
    libc::CLONE_NEWUTS,
    libc::CLONE_NEWIPC,
    libc::CLONE_NEWUSER,
    libc::CLONE_NEWPID,
    libc::CLONE_NEWNET,
];

/// Typing into the terminal that the process was started from (ioctl_tty(2)).
const TERMINAL: &[u64] = &[libc::TIOCSTI, libc::TIOCLINUX];

/// The low bits of a socket's type are the type, the rest are flags (socket(2)).
const TYPE_MASK: u64 = 0xf;
/// `SOCK_PACKET` of socket(2), obsolete and still there.
const PACKET_TYPE: i32 = 10;
/// Socket types other than stream and datagram.
const ODD_TYPES: &[i32] = &[libc::SOCK_RAW, libc::SOCK_RDM, libc::SOCK_SEQPACKET, libc::SOCK_DCCP, PACKET_TYPE];

/// `personality(0xffffffff)` asks and changes nothing.
const PERSONALITY_QUERY: u64 = 0xffff_ffff;

/// The bit of system calls in the x32 form (syscall(2)), which have the same filter architecture as those of x86-64 and
/// would pass it under other numbers. Kernels of distributions have them switched off; this does not rely on it.
#[cfg(target_arch = "x86_64")]
const X32_BIT: i64 = 0x4000_0000;
/// Calls that only the x32 form has (`syscall_64.tbl` of the kernel): `execve`, `ptrace`, `ioctl` and others again.
#[cfg(target_arch = "x86_64")]
const X32_ONLY: std::ops::RangeInclusive<i64> = 512..=547;

/// The compiled filters.
pub(super) struct Filters {
    refuse: BpfProgram,
    unknown: BpfProgram,
}

impl Filters {
    /// For a process that makes these sockets, and starts programs or not.
    pub(super) fn new(sockets: Sockets, programs: bool) -> Result<Self, ConfineError> {
        let failed = |source: seccompiler::BackendError| ConfineError::Seccomp { source: source.into() };
        Ok(Self {
            refuse: compile(refused(sockets, programs).map_err(failed)?, libc::EPERM).map_err(failed)?,
            // The flags of `clone3` are in memory, where no filter sees them; told that the kernel does not know it,
            // the C library takes `clone`.
            unknown: compile(BTreeMap::from([(libc::SYS_clone3, Vec::new())]), libc::ENOSYS).map_err(failed)?,
        })
    }

    /// Binds the calling thread, and all that it starts.
    pub(super) fn install(&self) -> Result<(), ConfineError> {
        for program in [&self.unknown, &self.refuse] {
            seccompiler::apply_filter(program).map_err(|source| ConfineError::Seccomp { source })?;
        }
        Ok(())
    }
}

type Rules = BTreeMap<i64, Vec<SeccompRule>>;

fn compile(rules: Rules, errno: i32) -> Result<BpfProgram, seccompiler::BackendError> {
    SeccompFilter::new(
        rules,
        SeccompAction::Allow,
        SeccompAction::Errno(errno.cast_unsigned()),
        std::env::consts::ARCH.try_into()?,
    )?
    .try_into()
}

/// All refusals. An empty list refuses always, otherwise one rule of the list must match.
fn refused(sockets: Sockets, programs: bool) -> Result<Rules, seccompiler::BackendError> {
    let mut rules: Rules = REFUSED.iter().map(|number| (*number, Vec::new())).collect();
    if !programs {
        rules.extend(PROGRAMS.iter().map(|number| (*number, Vec::new())));
    }
    let mut namespaces = Vec::new();
    for flag in NAMESPACES {
        let flag = u64::from(flag.cast_unsigned());
        namespaces.push(SeccompRule::new(vec![when(0, SeccompCmpOp::MaskedEq(flag), flag)?])?);
    }
    rules.insert(libc::SYS_clone, namespaces);
    rules.insert(libc::SYS_socket, odd_sockets(sockets)?);
    rules.insert(libc::SYS_socketpair, vec![SeccompRule::new(vec![when(0, SeccompCmpOp::Ne, word(libc::AF_UNIX))?])?]);
    let mut terminal = Vec::new();
    for request in TERMINAL {
        terminal.push(SeccompRule::new(vec![when(1, SeccompCmpOp::Eq, *request)?])?);
    }
    rules.insert(libc::SYS_ioctl, terminal);
    rules.insert(
        libc::SYS_personality,
        vec![SeccompRule::new(vec![when(0, SeccompCmpOp::Ne, 0)?, when(0, SeccompCmpOp::Ne, PERSONALITY_QUERY)?])?],
    );
    #[cfg(target_arch = "x86_64")]
    {
        let listed = REFUSED.iter().chain(JUDGED).chain(PROGRAMS).copied();
        rules.extend(listed.chain(X32_ONLY).map(|number| (number | X32_BIT, Vec::new())));
    }
    Ok(rules)
}

/// Rules that match every socket but the allowed ones.
fn odd_sockets(sockets: Sockets) -> Result<Vec<SeccompRule>, seccompiler::BackendError> {
    let mut families = vec![when(0, SeccompCmpOp::Ne, word(libc::AF_UNIX))?];
    if sockets == Sockets::Unix {
        return Ok(vec![SeccompRule::new(families)?]);
    }
    let mut rules = Vec::new();
    for family in [libc::AF_INET, libc::AF_INET6] {
        families.push(when(0, SeccompCmpOp::Ne, word(family))?);
        let family = when(0, SeccompCmpOp::Eq, word(family))?;
        // MPTCP, SCTP and SMC are streams to addresses too, and Landlock's limits on TCP ports do not hold for them.
        rules.push(SeccompRule::new(vec![
            family.clone(),
            when(2, SeccompCmpOp::Ne, 0)?,
            when(2, SeccompCmpOp::Ne, word(libc::IPPROTO_TCP))?,
            when(2, SeccompCmpOp::Ne, word(libc::IPPROTO_UDP))?,
        ])?);
        let datagrams = (sockets == Sockets::Tcp).then_some(&libc::SOCK_DGRAM);
        for kind in ODD_TYPES.iter().chain(datagrams) {
            rules.push(SeccompRule::new(vec![
                family.clone(),
                when(1, SeccompCmpOp::MaskedEq(TYPE_MASK), word(*kind))?,
            ])?);
        }
    }
    rules.push(SeccompRule::new(families)?);
    Ok(rules)
}

fn when(argument: u8, operation: SeccompCmpOp, value: u64) -> Result<SeccompCondition, seccompiler::BackendError> {
    // All these arguments are 32 bits wide; the kernel ignores the rest, so must the filter.
    SeccompCondition::new(argument, SeccompCmpArgLen::Dword, operation, value)
}

/// A constant of the C library as an argument; none is negative.
fn word(constant: i32) -> u64 {
    u64::from(constant.cast_unsigned())
}
