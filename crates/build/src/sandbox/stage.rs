//! The surroundings of one sandbox, made by one thread for itself: a mount namespace with the bundle and the
//! workspace in it, and a network namespace with nothing but its loopback.
//!
//! Everything here belongs to the thread and ends with it; nothing is mounted where another process sees it.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io,
    net::{Ipv4Addr, SocketAddr, TcpListener},
    os::fd::{AsRawFd, OwnedFd},
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use nix::{
    fcntl::{OFlag, OpenHow, ResolveFlag, openat2},
    mount::{MsFlags, mount},
    sched::{CloneFlags, setns, unshare},
    sys::{
        socket::{AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, recv, sendto, socket},
        stat::Mode,
        statfs::{FsType, fstatfs},
    },
};

use super::{
    Phase, Rules, SandboxPlan,
    bundle::{self, Places},
    cgroup,
    execute::SandboxError,
};

/// Room for the bundle: a few small files.
const BUNDLE_SIZE: &str = "mode=0700,size=16m";
/// The magic number of the file system that namespaces are files of (linux/magic.h).
const NSFS_MAGIC: FsType = FsType(0x6e73_6673);

/// Something that listens in the sandbox's network namespace and is served from the host's.
pub(super) enum Listening {
    /// Connections go to the same address of the host.
    Relay(TcpListener, SocketAddr),
    /// Connections speak HTTP to a proxy.
    Proxy(TcpListener),
}

/// Takes the calling thread out of the host's mount and network namespaces and makes the sandbox's surroundings.
pub(super) fn set(plan: &SandboxPlan, rules: &Rules, id: &str) -> Result<(Places, Vec<Listening>), SandboxError> {
    let doing = |doing| move |source: io::Error| SandboxError::Prepare { doing, source };
    let netns = match &plan.phase {
        Phase::Network { netns } => Some(open_netns(netns)?),
        _ => None,
    };
    unshare(CloneFlags::CLONE_NEWNS).map_err(|e| doing("make a mount namespace")(e.into()))?;
    let (nothing, private) = (None::<&str>, MsFlags::MS_REC | MsFlags::MS_PRIVATE);
    mount(nothing, "/", nothing, private, nothing).map_err(|e| doing("separate the mounts")(e.into()))?;
    match netns {
        Some(netns) => {
            setns(netns, CloneFlags::CLONE_NEWNET).map_err(|e| doing("join the network namespace")(e.into()))?
        }
        None => {
            unshare(CloneFlags::CLONE_NEWNET).map_err(|e| doing("make a network namespace")(e.into()))?;
            loopback_up().map_err(doing("start the loopback"))?;
        }
    }
    let (listening, network) = match &plan.phase {
        Phase::Fetch { allow } => listen(allow).map_err(doing("listen for the fetch phase"))?,
        _ => (Vec::new(), BTreeMap::new()),
    };

    let bundle = rules.state.join(id);
    fs::create_dir_all(&bundle).map_err(doing("make the folder of the bundle"))?;
    let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV;
    mount(Some("tmpfs"), &bundle, Some("tmpfs"), flags, Some(BUNDLE_SIZE))
        .map_err(|e| doing("mount the bundle")(e.into()))?;
    for name in ["rootfs", "workspace", "runc"] {
        fs::create_dir(bundle.join(name)).map_err(doing("make the folders of the bundle"))?;
    }
    let workspace = bundle.join("workspace");
    mount_workspace(plan, rules, &workspace)?;
    let thread = nix::unistd::gettid();
    let places = Places {
        netns: PathBuf::from(format!("/proc/{}/task/{thread}/ns/net", std::process::id())),
        cgroup: cgroup::path(id),
        counts_swap: cgroup::counts_swap(),
        bundle,
        workspace,
        network,
    };
    bundle::write(plan, &places).map_err(doing("write the bundle"))?;
    Ok((places, listening))
}

/// Opens a path below the allowed folder without following any link on the way.
pub(super) fn open_below(root: &Path, path: &Path, flags: OFlag, mode: Mode) -> Result<OwnedFd, SandboxError> {
    let refused = |source: io::Error| SandboxError::Open { path: path.to_path_buf(), source };
    let below = path.strip_prefix(root).map_err(|e| refused(io::Error::other(e)))?;
    let root = File::open(root).map_err(refused)?;
    let resolve = ResolveFlag::RESOLVE_BENEATH | ResolveFlag::RESOLVE_NO_SYMLINKS | ResolveFlag::RESOLVE_NO_MAGICLINKS;
    let how = OpenHow::new().flags(flags | OFlag::O_CLOEXEC | OFlag::O_NOFOLLOW).mode(mode).resolve(resolve);
    openat2(&root, below, how).map_err(|e| refused(e.into()))
}

/// Mounts the workspace into the bundle from an open folder, so that exchanging a part of its path for a link
/// between the check and the mount changes nothing.
fn mount_workspace(plan: &SandboxPlan, rules: &Rules, target: &Path) -> Result<(), SandboxError> {
    let fd = open_below(&rules.root, &plan.workspace, OFlag::O_PATH | OFlag::O_DIRECTORY, Mode::empty())?;
    let opened = PathBuf::from(format!("/proc/self/fd/{}", fd.as_raw_fd()));
    let failed = |source: io::Error| SandboxError::Open { path: plan.workspace.clone(), source };
    let owner = fs::metadata(&opened).map_err(failed)?.uid();
    if owner != plan.uid {
        return Err(SandboxError::Owner { path: plan.workspace.clone(), owner, uid: plan.uid });
    }
    let nothing = None::<&str>;
    mount(Some(&opened), target, nothing, MsFlags::MS_BIND, nothing).map_err(|e| failed(e.into()))
}

fn open_netns(path: &Path) -> Result<File, SandboxError> {
    let refused = |source: io::Error| SandboxError::Open { path: path.to_path_buf(), source };
    let file = File::open(path).map_err(refused)?;
    let kind = fstatfs(&file).map_err(|e| refused(e.into()))?.filesystem_type();
    let own = fs::metadata("/proc/self/ns/net").map_err(refused)?;
    let found = file.metadata().map_err(refused)?;
    let is_host = (own.dev(), own.ino()) == (found.dev(), found.ino());
    if kind != NSFS_MAGIC || is_host {
        return Err(SandboxError::Netns(path.to_path_buf()));
    }
    Ok(file)
}

/// Listens at the loopback registries' own addresses, and as a proxy for all others.
fn listen(allow: &[super::Endpoint]) -> io::Result<(Vec<Listening>, BTreeMap<String, String>)> {
    let mut listening = Vec::new();
    let mut network = BTreeMap::new();
    for address in allow.iter().filter_map(super::Endpoint::loopback) {
        listening.push(Listening::Relay(TcpListener::bind(address)?, address));
    }
    let proxy = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let url = format!("http://{}", proxy.local_addr()?);
    for name in ["http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY", "npm_config_proxy", "npm_config_https_proxy"]
    {
        network.insert(name.to_owned(), url.clone());
    }
    // A loopback address that is not declared must reach nobody, not the proxy's host.
    for name in ["no_proxy", "NO_PROXY"] {
        network.insert(name.to_owned(), "127.0.0.1,localhost,::1".to_owned());
    }
    listening.push(Listening::Proxy(proxy));
    Ok((listening, network))
}

/// Sets IFF_UP on interface 1 of the current namespace: one RTM_NEWLINK message (rtnetlink(7)) and its answer.
fn loopback_up() -> io::Result<()> {
    const LENGTH: u32 = 32;
    const RTM_NEWLINK: u16 = 16;
    const REQUEST_AND_ACKNOWLEDGE: u16 = 1 | 4;
    const IFF_UP: u32 = 1;
    let mut message = Vec::new();
    message.extend(LENGTH.to_ne_bytes());
    message.extend(RTM_NEWLINK.to_ne_bytes());
    message.extend(REQUEST_AND_ACKNOWLEDGE.to_ne_bytes());
    message.extend([0; 8]); // sequence number and port
    message.extend([0; 4]); // family, padding and type: any
    message.extend(1_i32.to_ne_bytes()); // the loopback is the first interface of every namespace
    message.extend(IFF_UP.to_ne_bytes());
    message.extend(IFF_UP.to_ne_bytes());
    let socket = socket(AddressFamily::Netlink, SockType::Raw, SockFlag::SOCK_CLOEXEC, SockProtocol::NetlinkRoute)?;
    sendto(socket.as_raw_fd(), &message, &NetlinkAddr::new(0, 0), MsgFlags::empty())?;
    let mut answer = [0; 256];
    let length = recv(socket.as_raw_fd(), &mut answer, MsgFlags::empty())?;
    // struct nlmsghdr (16 bytes), then the negative error number.
    let code = answer.get(16..20).filter(|_| length >= 20).and_then(|b| <[u8; 4]>::try_from(b).ok());
    match code.map(i32::from_ne_bytes) {
        Some(0) => Ok(()),
        Some(code) => Err(io::Error::from_raw_os_error(-code)),
        None => Err(io::Error::new(io::ErrorKind::InvalidData, "a short answer from rtnetlink")),
    }
}
