//! PostgreSQL servers of the distribution's package, started as an ordinary user on sockets of
//! their own, and its PgBouncer.

use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::LazyLock;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use tempfile::TempDir;
use tokio_postgres::{Client, NoTls};
use voipbin_receiver::inbox::{PostgresInbox, PostgresInboxBuilder};

/// Who may run a server: it refuses root.
struct User {
    name: String,
    uid: u32,
    gid: u32,
}

fn user() -> Option<User> {
    let is_root =
        fs::metadata("/proc/self").is_ok_and(|of| std::os::unix::fs::MetadataExt::uid(&of) == 0);
    let passwd = fs::read_to_string("/etc/passwd").unwrap_or_default();
    let user = |name: &str| {
        let line = passwd
            .lines()
            .find(|line| line.starts_with(&format!("{name}:")))?;
        let mut ids = line.split(':').skip(2).map(str::parse);
        Some(User {
            name: name.to_owned(),
            uid: ids.next()?.ok()?,
            gid: ids.next()?.ok()?,
        })
    };
    is_root.then(|| {
        user("postgres")
            .or_else(|| user("nobody"))
            .expect("an ordinary user")
    })
}

/// A program of the package, which is not on the path.
fn program(name: &str) -> PathBuf {
    let versions = fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .flatten();
    let mut found: Vec<PathBuf> = versions
        .map(|of| of.path().join("bin").join(name))
        .collect();
    found.extend(["/usr/sbin", "/usr/bin", "/usr/local/bin"].map(|of| Path::new(of).join(name)));
    let found = found.into_iter().find(|of| of.exists());
    found.unwrap_or_else(|| panic!("there is no {name}: apt-get install postgresql pgbouncer"))
}

/// Runs it as an ordinary user, and for no longer than this process.
fn command(name: &str) -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "INT"]);
    if let Some(user) = user() {
        command.args([
            "--reuid",
            &user.name,
            "--regid",
            &user.gid.to_string(),
            "--clear-groups",
        ]);
    }
    command.arg("--").arg(program(name));
    command.stdin(Stdio::null());
    command
}

/// Starts it on a thread that does not end: the end of the one that started it would be its end
/// too.
fn spawn(mut command: Command) -> Child {
    let (started, child) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        started.send(command.spawn().unwrap()).unwrap();
        loop {
            std::thread::park();
        }
    });
    child.recv().unwrap()
}

/// Sends a signal. Some of them may have ended by themselves meanwhile.
fn signal(signal: &str, processes: &[u32]) {
    let mut kill = Command::new("kill");
    kill.stderr(Stdio::null());
    kill.arg(format!("-{signal}"))
        .args(processes.iter().map(u32::to_string));
    kill.status().unwrap();
}

fn run(command: &mut Command) {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}: {output:?}");
}

/// What the servers that all tests share leave behind: nobody is there at the end to remove it.
fn remove_stale() {
    for directory in fs::read_dir(std::env::temp_dir()).unwrap().flatten() {
        let owner = fs::read_to_string(directory.path().join("owner")).unwrap_or_default();
        let is_ours = directory.file_name().to_string_lossy().starts_with("vbpg");
        if is_ours && !owner.is_empty() && !Path::new("/proc").join(owner).exists() {
            let _ = fs::remove_dir_all(directory.path());
        }
    }
}

/// A server and where it lives.
pub(crate) struct Server {
    directory: TempDir,
    process: Option<Child>,
    port: u16,
}

/// The port of those that have nothing but a socket.
const PORT: u16 = 5432;

impl Server {
    /// A new one, with these settings beside those of the package.
    pub(crate) fn start(settings: &[&str]) -> Self {
        let mut server = Self::initialised();
        server.configure(settings);
        server.resume();
        server
    }

    /// One on a port of this machine, with this certificate and its key.
    pub(crate) fn start_on_tcp(tls: Option<(&Path, &Path)>) -> Self {
        let mut server = Self::initialised();
        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        server.port = free.local_addr().unwrap().port();
        drop(free);
        let port = format!("port = {}", server.port);
        let mut settings = vec!["listen_addresses = '127.0.0.1'", &port];
        if let Some((certificate, key)) = tls {
            for (file, name) in [(certificate, "server.crt"), (key, "server.key")] {
                let to = server.data().join(name);
                fs::copy(file, &to).unwrap();
                fs::set_permissions(&to, fs::Permissions::from_mode(0o600)).unwrap();
                if let Some(user) = user() {
                    chown(&to, Some(user.uid), Some(user.gid)).unwrap();
                }
            }
            settings.push("ssl = on");
        }
        server.configure(&settings);
        server.resume();
        server
    }

    fn initialised() -> Self {
        let server = Self::unborn();
        run(command("initdb")
            .args([
                "--auth=trust",
                "--username=postgres",
                "--encoding=UTF8",
                "--locale=C",
                "-D",
            ])
            .arg(server.data()));
        server
    }

    fn unborn() -> Self {
        remove_stale();
        let directory = tempfile::Builder::new().prefix("vbpg").tempdir().unwrap();
        if let Some(user) = user() {
            chown(directory.path(), Some(user.uid), Some(user.gid)).unwrap();
        }
        fs::write(
            directory.path().join("owner"),
            std::process::id().to_string(),
        )
        .unwrap();
        Self {
            directory,
            process: None,
            port: PORT,
        }
    }

    pub(crate) fn data(&self) -> PathBuf {
        self.directory.path().join("data")
    }

    pub(crate) fn configure(&self, settings: &[&str]) {
        let path = self.data().join("postgresql.conf");
        let mut all = fs::read_to_string(&path).unwrap();
        let sockets = self.directory.path().display();
        all += &format!(
            "\nlisten_addresses = ''\nunix_socket_directories = '{sockets}'\nfsync = on\nmax_connections = 200\n"
        );
        for setting in settings {
            all += &format!("{setting}\n");
        }
        fs::write(path, all).unwrap();
    }

    /// Starts it, again where it ran before.
    pub(crate) fn resume(&mut self) {
        let mut start = command("postgres");
        let log = fs::File::options()
            .create(true)
            .append(true)
            .open(self.directory.path().join("log"))
            .unwrap();
        start
            .arg("-D")
            .arg(self.data())
            .stdout(log.try_clone().unwrap())
            .stderr(log);
        self.process = Some(spawn(start));
        self.wait_for(&self.url());
    }

    fn wait_for(&self, address: &str) {
        let patience = Instant::now() + Duration::from_secs(60);
        let answers = || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap();
            runtime.block_on(async { tokio_postgres::connect(address, NoTls).await.is_ok() })
        };
        // On a thread of its own, as this one may be a runtime's.
        while !std::thread::scope(|scope| scope.spawn(answers).join().unwrap()) {
            let log = fs::read_to_string(self.directory.path().join("log")).unwrap_or_default();
            assert!(Instant::now() < patience, "no server: {log}");
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// A standby of this one, which has all that this one has.
    pub(crate) fn standby(&self) -> Self {
        let mut standby = Self::unborn();
        standby.follow(self);
        standby
    }

    /// Makes a standby of the other one of it.
    pub(crate) fn follow(&mut self, primary: &Self) {
        self.kill();
        let _ = fs::remove_dir_all(self.data());
        let mut copy = command("pg_basebackup");
        copy.args([
            "--write-recovery-conf",
            "--checkpoint=fast",
            "--username=postgres",
            "--host",
        ]);
        run(copy.arg(primary.host()).arg("--pgdata").arg(self.data()));
        // When it is the primary it has none.
        self.configure(&["synchronous_standby_names = ''"]);
        self.resume();
    }

    /// Makes a primary of a standby.
    pub(crate) fn promote(&self) {
        run(command("pg_ctl").args(["promote", "-D"]).arg(self.data()));
    }

    /// Ends it at once, as if it had crashed.
    pub(crate) fn die(&mut self) {
        if let Some(mut process) = self.process.take() {
            signal("QUIT", &[process.id()]);
            process.wait().unwrap();
        }
    }

    /// Stops all of its processes.
    pub(crate) fn freeze(&self) {
        signal("STOP", &self.processes());
    }

    /// Ends all of its processes, those that are stopped too.
    pub(crate) fn kill(&mut self) {
        if self.process.is_some() {
            signal("KILL", &self.processes());
        }
        if let Some(mut process) = self.process.take() {
            let _ = process.wait();
        }
    }

    fn processes(&self) -> Vec<u32> {
        let main = self.process.as_ref().map(Child::id).unwrap();
        let children = fs::read_to_string(format!("/proc/{main}/task/{main}/children")).unwrap();
        let children = children.split_whitespace().map(|id| id.parse().unwrap());
        children.chain([main]).collect()
    }

    pub(crate) fn host(&self) -> String {
        self.directory.path().display().to_string()
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    pub(crate) fn url(&self) -> String {
        let (host, port) = (self.host(), self.port);
        format!("host={host} port={port} user=postgres dbname=postgres")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
    }
}

/// The one that most tests share, each with a schema of its own, and a pooler before it.
static SHARED: LazyLock<(Server, Server)> = LazyLock::new(|| {
    let server = Server::start(&[]);
    let pooler = pooler(&server);
    (server, pooler)
});

/// PgBouncer in transaction mode, before a server.
fn pooler(server: &Server) -> Server {
    let mut pooler = Server::unborn();
    let (here, there) = (pooler.directory.path(), server.directory.path());
    let settings = here.join("pgbouncer.ini");
    let text = format!(
        "[databases]\n* = host={} user=postgres\n[pgbouncer]\npool_mode = transaction\nauth_type = any\n\
         listen_addr =\nunix_socket_dir = {}\nlisten_port = 5432\nmax_client_conn = 1000\ndefault_pool_size = 20\n",
        there.display(),
        here.display()
    );
    fs::write(&settings, text).unwrap();
    let mut start = command("pgbouncer");
    let log = fs::File::create(here.join("log")).unwrap();
    start
        .arg("-q")
        .arg(settings)
        .stdout(log.try_clone().unwrap())
        .stderr(log);
    pooler.process = Some(spawn(start));
    pooler.wait_for(&pooler.url());
    pooler
}

pub(crate) fn url() -> String {
    SHARED.0.url()
}

/// The directory of its socket.
pub(crate) fn host() -> String {
    SHARED.0.host()
}

pub(crate) fn pooled_url() -> String {
    SHARED.1.url()
}

/// The name of a schema that no other test has.
pub(crate) fn schema() -> String {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    format!("inbox_{}", NEXT.fetch_add(1, Ordering::Relaxed))
}

/// An inbox of its own on the shared server.
pub(crate) async fn inbox() -> PostgresInbox {
    builder(schema()).connect().await.unwrap()
}

pub(crate) fn builder(schema: String) -> PostgresInboxBuilder {
    // However slow the machine is.
    let builder = PostgresInbox::builder(url()).schema(schema);
    builder.keep_timeout(crate::PATIENCE)
}

/// A connection to look and meddle by.
pub(crate) async fn client(url: &str) -> Client {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await.unwrap();
    tokio::spawn(connection);
    client
}

/// The value of one column of one row.
pub(crate) async fn count(client: &Client, sql: &str) -> i64 {
    client.query_one(sql, &[]).await.unwrap().get(0)
}
