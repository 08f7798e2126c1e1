//! What the path of a control group says of it: which runtime made it, the container's ID or name, the
//! pod. Nothing is read here; a path is all there is to go by.

/// Who made a control group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Runtime {
    Docker,
    Podman,
    /// containerd without Kubernetes, as nerdctl uses it.
    Containerd,
    CriO,
    /// A container of a pod whose path does not tell the runtime.
    Kubernetes,
    /// LXC and LXD.
    Lxc,
    /// systemd-nspawn, libvirt: what systemd's machines are.
    Machine,
    /// A pod itself.
    Pod,
}

/// What a path says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Identity {
    pub(super) runtime: Runtime,
    /// The container's ID, or its name where that is all it has, or a pod's UID.
    pub(super) id: String,
}

/// The identity of the control group at `path`, such as `/system.slice/docker-<64 digits>.scope`. `None` for
/// slices, services and all others that no runtime made.
pub(super) fn identify(path: &str) -> Option<Identity> {
    let (parent, name) = path.rsplit_once('/')?;
    let found = |runtime, id: &str| Some(Identity { runtime, id: id.to_owned() });
    if let Some(uid) = pod_uid(name) {
        return Some(Identity { runtime: Runtime::Pod, id: uid });
    }
    let bare = name.strip_suffix(".scope").unwrap_or(name);
    let (prefix, id) = bare.rsplit_once('-').unwrap_or(("", bare));
    if is_container_id(id) {
        let in_pod = parent.contains("kubepods");
        return match prefix {
            "docker" => found(Runtime::Docker, id),
            "libpod" | "podman" => found(Runtime::Podman, id),
            "crio" => found(Runtime::CriO, id),
            "cri-containerd" | "nerdctl" | "containerd" => found(Runtime::Containerd, id),
            "" if in_pod => found(Runtime::Kubernetes, id),
            "" if parent.split('/').any(|part| part == "docker") => found(Runtime::Docker, id),
            "" => found(Runtime::Containerd, id),
            // The monitors of CRI-O and Podman (`crio-conmon-…`) are no containers.
            _ => None,
        };
    }
    let lxc = name.strip_prefix("lxc.payload.").or_else(|| {
        let folder = parent.rsplit('/').next()?;
        (folder == "lxc" || folder == "lxc.payload").then_some(name)
    });
    if let Some(name) = lxc.filter(|name| !name.is_empty()) {
        return found(Runtime::Lxc, name);
    }
    let machine = name.strip_prefix("machine-").and_then(|name| name.strip_suffix(".scope"));
    let nspawn = name.strip_prefix("systemd-nspawn@").and_then(|name| name.strip_suffix(".service"));
    let name = machine.or(nspawn).filter(|name| !name.is_empty())?;
    Some(Identity { runtime: Runtime::Machine, id: unescape(name) })
}

/// The UID in `pod<uid>` or `kubepods-burstable-pod<uid>.slice`; systemd's form has underscores for dashes.
fn pod_uid(name: &str) -> Option<String> {
    if let Some(slice) = name.strip_suffix(".slice") {
        let (kubepods, uid) = slice.rsplit_once("-pod")?;
        let is_uid = uid.bytes().all(|b| b.is_ascii_hexdigit() || b == b'_') && uid.len() >= 32;
        return (kubepods.contains("kubepods") && is_uid).then(|| uid.replace('_', "-"));
    }
    let uid = name.strip_prefix("pod")?;
    (uid.bytes().all(|b| b.is_ascii_hexdigit() || b == b'-') && uid.len() >= 32).then(|| uid.to_owned())
}

fn is_container_id(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
}

/// systemd writes what may not stand in a unit's name as `\x2d`.
fn unescape(name: &str) -> String {
    let mut plain = Vec::with_capacity(name.len());
    let mut rest = name.as_bytes();
    while let Some((first, tail)) = rest.split_first() {
        if let (b'\\', [b'x', high, low, after @ ..]) = (*first, tail) {
            let digit = |b: &u8| char::from(*b).to_digit(16);
            if let (Some(high), Some(low)) = (digit(high), digit(low)) {
                plain.push((high * 16 + low) as u8);
                rest = after;
                continue;
            }
        }
        plain.push(*first);
        rest = tail;
    }
    String::from_utf8_lossy(&plain).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const ID: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
    const UID: &str = "7c6d9b5e-6f1c-4d9f-8c38-5f0d1b8f3a77";

    fn check(path: &str, expected: Option<(Runtime, &str)>) {
        let path = path.replace("UUID", UID).replace("UNDER", &UID.replace('-', "_")).replace("ID", ID);
        let found = identify(&path);
        let found = found.as_ref().map(|found| (found.runtime, found.id.as_str()));
        assert_eq!(found, expected, "{path}");
    }

    #[test]
    fn paths_of_runtimes() {
        for (path, runtime) in [
            ("/docker/ID", Runtime::Docker),
            ("/system.slice/docker-ID.scope", Runtime::Docker),
            ("/machine.slice/libpod-ID.scope", Runtime::Podman),
            ("/libpod_parent/libpod-ID", Runtime::Podman),
            ("/user.slice/user-1000.slice/user@1000.service/user.slice/libpod-ID.scope", Runtime::Podman),
            ("/system.slice/nerdctl-ID.scope", Runtime::Containerd),
            ("/default/ID", Runtime::Containerd),
            ("/kubepods/burstable/podUUID/ID", Runtime::Kubernetes),
            ("/kubepods.slice/x.slice/cri-containerd-ID.scope", Runtime::Containerd),
            ("/kubepods.slice/x.slice/crio-ID.scope", Runtime::CriO),
        ] {
            check(path, Some((runtime, ID)));
        }
        for (path, runtime, name) in [
            ("/kubepods/besteffort/podUUID", Runtime::Pod, UID),
            ("/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-podUNDER.slice", Runtime::Pod, UID),
            ("/lxc/web", Runtime::Lxc, "web"),
            ("/lxc.payload.web", Runtime::Lxc, "web"),
            ("/lxc.payload/web", Runtime::Lxc, "web"),
            ("/machine.slice/machine-qemu\\x2d1\\x2dvm.scope", Runtime::Machine, "qemu-1-vm"),
            ("/machine.slice/systemd-nspawn@box.service", Runtime::Machine, "box"),
        ] {
            check(path, Some((runtime, name)));
        }
    }

    #[test]
    fn paths_of_none() {
        for path in [
            "",
            "/system.slice",
            "/system.slice/ssh.service",
            "/user.slice/user-0.slice/session-1.scope",
            "/kubepods.slice/kubepods-burstable.slice",
            "/machine.slice/libpod-conmon-ID.scope",
            "/kubepods.slice/x.slice/crio-conmon-ID.scope",
            "/machine.slice/libpod-ID.scope/container",
            "/lxc.monitor.web",
            "/podium",
            "/docker/0123",
        ] {
            check(path, None);
        }
    }

    proptest! {
        #[test]
        fn any_path_is_read_without_panic(path in "[/a-f0-9_.\\\\x@-]{0,90}|.{0,40}") {
            identify(&path);
            unescape(&path);
        }
    }
}
