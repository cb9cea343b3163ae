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
        let port = free_port();
        let config = format!(
            "ListenAddress 127.0.0.1\nPort {port}\nHostKey {0}/host_key\nAuthorizedKeysFile {0}/authorized_keys\n\
             PidFile none\nStrictModes no\nUsePAM no\nPasswordAuthentication no\nPermitRootLogin yes\n\
             SetEnv HOME={0}\n{more}\n",
            dir.path().display()
        );
        put(&dir.path().join("config"), config.as_bytes());
        // sshd run by root wants it, and on a machine without a running sshd nobody made it.
        let _ = std::fs::create_dir_all("/run/sshd");
        let child = Command::new("/usr/sbin/sshd")
            .args(["-D", "-e", "-f"])
            .arg(dir.path().join("config"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(std::fs::File::create(dir.path().join("log")).unwrap())
            .spawn()
            .expect("/usr/sbin/sshd (package openssh-server) is needed");
        let sshd = Self {
            child,
            port,
            dir,
            host_key,
            user_key,
        };
        let deadline = Instant::now() + Duration::from_secs(10);
        while std::net::TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(
                Instant::now() < deadline,
                "sshd does not listen: {}",
                sshd.log()
            );
            std::thread::sleep(Duration::from_millis(10));
        }
        sshd
    }

    /// What the login shell runs first: the user's own start-up files are elsewhere.
    pub(super) fn start_up(&self, script: &str) {
        put(&self.dir.path().join(".bashrc"), script.as_bytes());
    }

    pub(super) fn log(&self) -> String {
        std::fs::read_to_string(self.dir.path().join("log")).unwrap_or_default()
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
    let dir = TempDir::new().unwrap();
    let runtime: PathBuf = dir.path().join("run");
    let book = Book(Arc::new(Mutex::new(host)));
    let mut settings = WorldSettings::new(runtime);
    settings.connect_timeout = Duration::from_secs(2);
    let world = RealWorld::new(Arc::new(book.clone()), settings)
        .await
        .unwrap();
    TestWorld {
        world,
        book,
        _dir: dir,
    }
}
