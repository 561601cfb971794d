//! Confinement for real: each test forks a child, confines it, and lets it try what it must not.
//!
//! A fork, because only the forking thread goes on in the child, so that it is as alone there as `main` is, and because
//! the test's own process must stay free.

use std::{
    fs,
    io::{self, Read as _, Write as _},
    net::{Ipv4Addr, TcpListener, TcpStream, UdpSocket},
    os::unix::fs::PermissionsExt as _,
    process::{Command, Stdio},
};

use nix::{
    errno::Errno,
    fcntl::AT_FDCWD,
    libc,
    mount::{MsFlags, mount},
    sched::{CloneFlags, setns, unshare},
    sys::{
        socket::{AddressFamily, SockFlag, SockType, socket, socketpair},
        wait::{WaitStatus, waitpid},
    },
    unistd::{ForkResult, Uid, fork, setgid, setgroups, setuid},
};

mod child;

use child::{DENIED, Tree, assert_root, in_child, kind, put, raw};

use super::{ConfineError, Confinement, Coverage, Enforced, OPEN_FILES, Sockets};
use crate::identity::{COMPONENT_BASE, ROLES_GROUP, RoleUser, User};

/// Somebody without a role, and without files.
fn nobody() -> User {
    User { uid: COMPONENT_BASE + 7, gid: COMPONENT_BASE + 7, groups: Vec::new() }
}

/// What must hold in every confined child of a [`Tree`].
fn assert_confined(tree: &Tree, enforced: &Enforced) {
    assert_eq!(fs::read(tree.path("notes")).unwrap(), b"words");
    put(&tree.path("own/new")).unwrap();
    nix::fcntl::renameat(AT_FDCWD, &tree.path("own/new"), AT_FDCWD, &tree.path("own/newer")).unwrap();
    fs::remove_file(tree.path("own/newer")).unwrap();

    // Landlock, which the kernels of Debian 12 and Ubuntu 24.04 have (`lsm=` may have switched it off).
    assert_ne!(enforced.files, Coverage::No, "this kernel has no Landlock: {enforced}");
    assert_eq!(kind(fs::read(tree.path("other/key"))), DENIED);
    assert_eq!(kind(put(&tree.path("other/new"))), DENIED);
    assert_eq!(kind(put(&tree.path("notes"))), DENIED);
    assert_eq!(kind(fs::read_dir("/")), DENIED);
    assert_eq!(kind(fs::read("/etc/passwd")), DENIED);
    let linked = tree.path("own/link");
    std::os::unix::fs::symlink(tree.path("other/key"), &linked).unwrap();
    assert_eq!(kind(fs::read(&linked)), DENIED);
    fs::remove_file(linked).unwrap();
    // Another error than "permission denied" (across devices), for both folders have other rights.
    fs::hard_link(tree.path("other/key"), tree.path("own/hard")).unwrap_err();

    // Privileges.
    assert_eq!(setuid(Uid::from_raw(0)), Err(Errno::EPERM));
    let status = fs::read_to_string("/proc/self/status");
    assert_eq!(kind(status), DENIED, "`/proc` is not in the lists");

    // System calls.
    let no_path: Option<&str> = None;
    assert_eq!(mount(Some("none"), "/", Some("tmpfs"), MsFlags::empty(), no_path), Err(Errno::EPERM));
    assert_eq!(unshare(CloneFlags::CLONE_NEWUSER), Err(Errno::EPERM));
    assert_eq!(setns(io::stdin(), CloneFlags::CLONE_NEWNET), Err(Errno::EPERM));
    assert_eq!(raw(libc::SYS_clone, [i64::from(libc::CLONE_NEWUSER | libc::SIGCHLD), 0, 0]), Err(Errno::EPERM));
    assert_eq!(raw(libc::SYS_clone3, [0, 0, 0]), Err(Errno::ENOSYS));
    for call in [libc::SYS_bpf, libc::SYS_keyctl, libc::SYS_io_uring_setup, libc::SYS_perf_event_open, libc::SYS_reboot]
    {
        assert_eq!(raw(call, [0, 0, 0]), Err(Errno::EPERM), "system call {call}");
    }
    assert_eq!(raw(libc::SYS_ioctl, [0, libc::TIOCSTI.cast_signed(), 0]), Err(Errno::EPERM));
    assert_eq!(raw(libc::SYS_personality, [0x0400_0000, 0, 0]), Err(Errno::EPERM));
    #[cfg(target_arch = "x86_64")]
    for call in [libc::SYS_mount, libc::SYS_clone, libc::SYS_socket, 520, 521] {
        assert_eq!(raw(0x4000_0000 | call, [0, 0, 0]), Err(Errno::EPERM), "system call {call} in the x32 form");
    }
    assert_eq!(kind(Command::new("/bin/true").status()), DENIED);

    // What a role needs still works.
    std::thread::spawn(|| 1).join().unwrap();
    socketpair(AddressFamily::Unix, SockType::Stream, None, SockFlag::SOCK_CLOEXEC).unwrap();
}

fn family(family: AddressFamily, kind: SockType) -> Result<(), Errno> {
    socket(family, kind, SockFlag::SOCK_CLOEXEC, None).map(drop)
}

#[test]
fn root_gives_up_everything() {
    assert_root();
    let tree = Tree::new();
    in_child(|| {
        let user = RoleUser::Gate.user();
        let enforced = Confinement { user: Some(user), open_files: 50, ..tree.confinement() }.apply().unwrap();
        // By the kernel's version, as landlock(7) has it.
        let since = |abi| if enforced.landlock_abi >= abi { Coverage::Full } else { Coverage::No };
        let expected = Enforced {
            uid: RoleUser::Gate.uid(),
            files: if enforced.landlock_abi >= 5 { Coverage::Full } else { Coverage::Partial },
            tcp: since(4),
            scopes: since(6),
            landlock_abi: enforced.landlock_abi,
        };
        assert_eq!(enforced, expected);
        assert_confined(&tree, &enforced);
        assert_eq!(rustix::process::getrlimit(rustix::process::Resource::Nofile).maximum, Some(50));
        assert_eq!(rustix::process::getrlimit(rustix::process::Resource::Core).maximum, Some(0));
    });
    assert_eq!(fs::read(tree.path("own/key")).unwrap(), b"words");
}

#[test]
fn root_without_another_user_is_harmless_too() {
    assert_root();
    let tree = Tree::new();
    in_child(|| {
        let enforced = tree.confinement().apply().unwrap();
        assert_eq!(enforced.uid, 0);
        assert_eq!(setgroups(&[]), Err(Errno::EPERM));
        assert_eq!(kind(fs::set_permissions(tree.path("other"), fs::Permissions::from_mode(0o700))), None);
        assert_eq!(kind(fs::read(tree.path("other/key"))), DENIED);
    });
}

#[test]
fn root_is_not_needed() {
    assert_root();
    let tree = Tree::new();
    in_child(|| {
        // As an ordinary user would start it: no capability to drop the bounding set with.
        let user = nobody();
        setgroups(&[]).unwrap();
        setgid(user.gid.into()).unwrap();
        setuid(user.uid.into()).unwrap();
        let enforced = tree.confinement().apply().unwrap();
        assert_eq!(enforced.uid, user.uid);
        assert_confined(&tree, &enforced);
    });
    in_child(|| {
        setuid(Uid::from_raw(nobody().uid)).unwrap();
        let error = Confinement { user: Some(RoleUser::Gate.user()), ..tree.confinement() }.apply().unwrap_err();
        assert_eq!(error.to_string(), "can not become user 2200002 as user 2210007: only root can");
    });
}

#[test]
fn root_child_can_not_touch_its_sibling() {
    assert_root();
    // Killed when its input is closed, so nothing is left whatever happens.
    let mut sibling = Command::new("cat").stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
    let pid = sibling.id();
    in_child(|| {
        let confinement = Confinement { read: vec!["/proc".into()], ..Confinement::nothing() };
        let enforced = confinement.apply().unwrap();
        let pid = i32::try_from(pid).unwrap();
        assert_eq!(raw(libc::SYS_ptrace, [i64::from(libc::PTRACE_ATTACH), i64::from(pid), 0]), Err(Errno::EPERM));
        assert_eq!(raw(libc::SYS_process_vm_readv, [i64::from(pid), 0, 0]), Err(Errno::EPERM));
        assert_eq!(kind(fs::read(format!("/proc/{pid}/mem"))), DENIED);
        assert_eq!(kind(fs::read(format!("/proc/{pid}/environ"))), DENIED);
        if enforced.scopes == Coverage::Full {
            let signal = nix::sys::signal::Signal::SIGKILL;
            assert_eq!(nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), signal), Err(Errno::EPERM));
        }
    });
    assert_eq!(sibling.try_wait().unwrap(), None);
    drop(sibling.stdin.take());
    assert!(sibling.wait().unwrap().success());
}

#[test]
fn root_memory_is_closed_to_others_of_the_same_user() {
    assert_root();
    let (mut ready, tell) = io::pipe().unwrap();
    in_child(|| {
        let user = nobody();
        let me = std::process::id();
        #[expect(unsafe_code, reason = "a second child, the one that looks")]
        // SAFETY: as in `in_child`; this process has one thread.
        match unsafe { fork() }.unwrap() {
            ForkResult::Child => {
                drop(tell);
                setgroups(&[]).unwrap();
                setgid(user.gid.into()).unwrap();
                setuid(user.uid.into()).unwrap();
                let mut one = [0];
                let looked = ready.read_exact(&mut one).is_ok()
                    && kind(fs::read(format!("/proc/{me}/environ"))) == DENIED
                    && kind(fs::File::open(format!("/proc/{me}/mem"))) == DENIED;
                #[expect(unsafe_code, reason = "as in `in_child`")]
                // SAFETY: `_exit` ends the process and touches no memory.
                unsafe {
                    libc::_exit(i32::from(!looked))
                }
            }
            ForkResult::Parent { child } => {
                drop(ready);
                Confinement { user: Some(user), ..Confinement::nothing() }.apply().unwrap();
                (&tell).write_all(&[1]).unwrap();
                // It looks while this process waits here, confined.
                assert_eq!(waitpid(child, None), Ok(WaitStatus::Exited(child, 0)));
            }
        }
    });
}

#[test]
fn another_thread_is_refused() {
    // The harness's own.
    let error = Confinement::nothing().apply().unwrap_err();
    assert!(matches!(error, ConfineError::Threads { count: 2.. }), "{error}");
}

#[test]
fn a_missing_path_is_named_and_nothing_given_up() {
    in_child(|| {
        let error = Confinement { read: vec!["/no/such".into()], ..Confinement::nothing() }.apply().unwrap_err();
        assert_eq!(error.to_string(), "can not open `/no/such`, which the process is to be confined to");
        fs::read_dir("/").unwrap();
    });
}

#[test]
fn ports_are_limited() {
    let allowed = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let other = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let [allowed, other] = [&allowed, &other].map(|listener| listener.local_addr().unwrap());
    in_child(|| {
        let limits = Confinement {
            connect_tcp: Some(vec![allowed.port()]),
            bind_tcp: Some(vec![0]),
            sockets: Sockets::Tcp,
            ..Confinement::nothing()
        };
        let enforced = limits.apply().unwrap();
        TcpStream::connect(allowed).unwrap();
        TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        // Kernels before 6.7 have no such limits, and then that is what is reported.
        let (connect, bind) = match enforced.tcp {
            Coverage::Full => (DENIED, DENIED),
            _ => (None, Some(io::ErrorKind::AddrInUse)),
        };
        assert_eq!(kind(TcpStream::connect(other)), connect);
        assert_eq!(kind(TcpListener::bind(other)), bind);
    });
    in_child(|| {
        let limits = Confinement { connect_tcp: None, bind_tcp: None, sockets: Sockets::Tcp, ..Confinement::nothing() };
        assert_eq!(limits.apply().unwrap().tcp, Coverage::NotAsked);
        TcpStream::connect(other).unwrap();
    });
}

#[test]
fn kinds_of_sockets() {
    use {AddressFamily as F, SockType as T};
    let rows = [
        // family, type, allowed with Unix, Tcp, TcpAndUdp
        (F::Unix, T::Stream, [true, true, true]),
        (F::Unix, T::Datagram, [true, true, true]),
        (F::Inet, T::Stream, [false, true, true]),
        (F::Inet6, T::Stream, [false, true, true]),
        (F::Inet, T::Datagram, [false, false, true]),
        (F::Inet6, T::Datagram, [false, false, true]),
        (F::Inet, T::Raw, [false; 3]),
        (F::Netlink, T::Raw, [false; 3]),
        (F::Packet, T::Raw, [false; 3]),
        (F::Vsock, T::Stream, [false; 3]),
        (F::Alg, T::SeqPacket, [false; 3]),
    ];
    for (column, sockets) in [Sockets::Unix, Sockets::Tcp, Sockets::TcpAndUdp].into_iter().enumerate() {
        in_child(|| {
            Confinement { sockets, ..Confinement::nothing() }.apply().unwrap();
            for (domain, kind, allowed) in rows {
                let expected = if allowed[column] { Ok(()) } else { Err(Errno::EPERM) };
                assert_eq!(family(domain, kind), expected, "{domain:?} {kind:?} with {sockets:?}");
            }
            let stream = i64::from(libc::SOCK_STREAM);
            for protocol in [libc::IPPROTO_MPTCP, libc::IPPROTO_SCTP] {
                assert_eq!(
                    raw(libc::SYS_socket, [i64::from(libc::AF_INET), stream, i64::from(protocol)]),
                    Err(Errno::EPERM),
                    "protocol {protocol} with {sockets:?}"
                );
            }
            if sockets == Sockets::TcpAndUdp {
                UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
            }
        });
    }
}

#[test]
fn programs_inherit_the_limits() {
    let tree = Tree::new();
    in_child(|| {
        tree.confinement().with_programs().apply().unwrap();
        let output = Command::new("/bin/sh")
            .args(["-c", "cat \"$0/notes\"; cat \"$0/other/key\"; cat /etc/shadow; : > \"$0/own/by-child\""])
            .arg(tree.path(""))
            .stdin(Stdio::null())
            .output()
            .unwrap();
        assert_eq!(String::from_utf8_lossy(&output.stdout), "words");
        let told = String::from_utf8_lossy(&output.stderr).matches("Permission denied").count();
        assert_eq!(told, 2, "{}", String::from_utf8_lossy(&output.stderr));
        // A program that others may change is none.
        fs::copy("/bin/true", tree.path("own/program")).unwrap();
        fs::set_permissions(tree.path("own/program"), fs::Permissions::from_mode(0o755)).unwrap();
        assert_eq!(kind(Command::new(tree.path("own/program")).status()), DENIED);
    });
    assert!(tree.path("own/by-child").exists());
}

#[test]
fn root_git_works_for_a_user_without_an_account() {
    assert_root();
    let tree = Tree::new();
    in_child(|| {
        let user = RoleUser::Builder.user();
        Confinement { user: Some(user), ..tree.confinement() }.with_programs().apply().unwrap();
        let own = tree.path("own");
        let git = |arguments: &[&str]| {
            let mut command = Command::new("git");
            command.args(["-c", "user.name=a", "-c", "user.email=a@b", "-c", "protocol.file.allow=always", "-C"]);
            command.arg(&own).args(arguments).env_clear().env("PATH", "/usr/bin:/bin").env("HOME", &own);
            command.env("GIT_CONFIG_NOSYSTEM", "1");
            let output = command.stdin(Stdio::null()).output().unwrap();
            assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        };
        git(&["init", "--quiet", "from"]);
        git(&["-C", "from", "commit", "--quiet", "--allow-empty", "--message=first"]);
        git(&["clone", "--quiet", "from", "to"]);
        git(&["-C", "to", "fetch", "--quiet"]);
        git(&["-C", "to", "fsck", "--strict"]);
    });
    assert!(tree.path("own/to/.git").exists());
}

#[test]
fn files_are_for_the_group_at_most() {
    let tree = Tree::new();
    in_child(|| {
        tree.confinement().apply().unwrap();
        put(&tree.path("own/made")).unwrap();
    });
    let mode = fs::metadata(tree.path("own/made")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o640);
}

#[test]
fn words_for_status() {
    let mut enforced = Enforced {
        uid: 2_200_002,
        files: Coverage::Full,
        tcp: Coverage::Full,
        scopes: Coverage::Full,
        landlock_abi: 7,
    };
    assert_eq!(enforced.to_string(), "user 2200002, files full, tcp ports full, signals full (Landlock ABI 7)");
    enforced = Enforced {
        files: Coverage::Partial,
        tcp: Coverage::NotAsked,
        scopes: Coverage::No,
        landlock_abi: 2,
        ..enforced
    };
    assert_eq!(
        enforced.to_string(),
        "user 2200002, files partial, tcp ports not asked, signals not enforced (Landlock ABI 2)"
    );
    assert!(OPEN_FILES > 0 && RoleUser::Gate.user().groups == [ROLES_GROUP]);
}
