//! An sshd of the test's own with keys of its own, and a world that knows it as host 1.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use coxswain_wire::HostId;
use tempfile::TempDir;

use crate::world::keys::{self, KeyPair};
use crate::world::{HostBook, HostConnection, RealWorld, Result, WorldSettings};

pub(super) const HOST: HostId = HostId(1);

/// Killed when dropped.
pub(super) struct Sshd {
    child: Child,
    pub(super) port: u16,
    pub(super) dir: TempDir,
    pub(super) host_key: KeyPair,
    pub(super) user_key: KeyPair,
}

impl Drop for Sshd {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn put(path: &Path, content: &[u8]) {
    use std::os::unix::fs::PermissionsExt;
    std::fs::write(path, content).unwrap();
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).unwrap();
}

pub(super) fn user() -> String {
    let output = Command::new("id").arg("-un").output().unwrap();
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port()
}

/// What sshd says.
fn log(dir: &Path) -> String {
    std::fs::read_to_string(dir.join("log")).unwrap_or_default()
}

/// Without PAM sshd refuses an account without a password by which one could sign in, as root's where only sudo
/// is used; with PAM it must be run by root.
fn pam() -> &'static str {
    let shadow = std::fs::read_to_string("/etc/shadow").unwrap_or_default();
    let locked = format!("{}:!", user());
    if shadow.lines().any(|line| line.starts_with(&locked)) {
        "yes"
    } else {
        "no"
    }
}

/// One that listens on this port, or none if it ended.
fn listening(dir: &Path, port: u16, more: &str) -> Option<Child> {
    let config = format!(
        "ListenAddress 127.0.0.1\nPort {port}\nHostKey {0}/host_key\nAuthorizedKeysFile {0}/authorized_keys\n\
         PidFile none\nStrictModes no\nUsePAM {1}\nPasswordAuthentication no\nPermitRootLogin yes\n\
         SetEnv HOME={0}\n{more}\n",
        dir.display(),
        pam(),
    );
    put(&dir.join("config"), config.as_bytes());
    let mut child = Command::new("/usr/sbin/sshd")
        .args(["-D", "-e", "-f"])
        .arg(dir.join("config"))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(std::fs::File::create(dir.join("log")).unwrap())
        .spawn()
        .expect("/usr/sbin/sshd (package openssh-server) is needed");
    let deadline = Instant::now() + Duration::from_secs(30);
    // Somebody else may answer on the port.
    while !log(dir).contains("Server listening on") {
        if child.try_wait().unwrap().is_some() {
            return None;
        }
        if Instant::now() >= deadline {
            let _ = child.kill();
            let _ = child.wait();
            return None;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    Some(child)
}

impl Sshd {
    /// Starts one and waits until it listens.
    pub(super) fn start(more: &str) -> Self {
        let dir = TempDir::new().unwrap();
        let host_key = keys::generate_key("host").unwrap();
        let user_key = keys::generate_key("user").unwrap();
        put(&dir.path().join("host_key"), host_key.private_key.expose());
        put(
            &dir.path().join("authorized_keys"),
            user_key.public_key.as_bytes(),
        );
        // sshd run by root wants it, and on a machine without a running sshd nobody made it.
        let _ = std::fs::create_dir_all("/run/sshd");
        // A port that was free may be somebody else's by the time sshd wants it.
        let (child, port) = (0..5)
            .find_map(|_| {
                let port = free_port();
                listening(dir.path(), port, more).map(|child| (child, port))
            })
            .unwrap_or_else(|| panic!("sshd does not listen: {}", log(dir.path())));
        Self {
            child,
            port,
            dir,
            host_key,
            user_key,
        }
    }

    /// What the login shell runs first: the user's own start-up files are elsewhere.
    pub(super) fn start_up(&self, script: &str) {
        put(&self.dir.path().join(".bashrc"), script.as_bytes());
    }

    /// A program in a folder that start-up files may put first.
    pub(super) fn tool(&self, name: &str, script: &str) {
        use std::os::unix::fs::PermissionsExt;
        let folder = self.dir.path().join("bin");
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join(name), script).unwrap();
        let mode = std::fs::Permissions::from_mode(0o755);
        std::fs::set_permissions(folder.join(name), mode).unwrap();
    }

    pub(super) fn log(&self) -> String {
        log(self.dir.path())
    }

    /// Ends the processes of open connections, not the listener.
    pub(super) fn cut_connections(&self) {
        let children = format!("/proc/{0}/task/{0}/children", self.child.id());
        for pid in std::fs::read_to_string(children)
            .unwrap()
            .split_whitespace()
        {
            Command::new("kill").args(["-9", pid]).status().unwrap();
        }
    }

    pub(super) fn connection(&self) -> HostConnection {
        HostConnection {
            id: HOST,
            name: "node1".to_owned(),
            address: "127.0.0.1".to_owned(),
            port: self.port,
            user: user(),
            pinned: vec![self.host_key.public_key.clone()],
            private_key: self.user_key.private_key.clone(),
            generation: 1,
        }
    }
}

/// An inventory of one host, which tests change.
#[derive(Clone)]
pub(super) struct Book(Arc<Mutex<HostConnection>>);

impl Book {
    pub(super) fn change(&self, change: impl FnOnce(&mut HostConnection)) {
        let mut host = self.0.lock().unwrap();
        change(&mut host);
        host.generation += 1;
    }
}

#[async_trait]
impl HostBook for Book {
    async fn host(&self, id: HostId) -> Result<Option<HostConnection>> {
        Ok((id == HOST).then(|| self.0.lock().unwrap().clone()))
    }
}

/// A world with its folder; field order: connections close before the folder goes.
pub(super) struct TestWorld {
    pub(super) world: RealWorld,
    pub(super) book: Book,
    _dir: TempDir,
}

pub(super) async fn world(host: HostConnection) -> TestWorld {
    // Long: a machine that runs many tests is slow.
    world_waiting(host, Duration::from_secs(10)).await
}

/// The same, with the longest time that connecting may take.
pub(super) async fn world_waiting(host: HostConnection, connect_timeout: Duration) -> TestWorld {
    let dir = TempDir::new().unwrap();
    let runtime: PathBuf = dir.path().join("run");
    let book = Book(Arc::new(Mutex::new(host)));
    let mut settings = WorldSettings::new(runtime);
    settings.connect_timeout = connect_timeout;
    let world = RealWorld::new(Arc::new(book.clone()), settings)
        .await
        .unwrap();
    TestWorld {
        world,
        book,
        _dir: dir,
    }
}
