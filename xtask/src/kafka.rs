//! `cargo xtask kafka`: Apache Kafka from its Maven jars, as the oracle that tests ask.
//!
//! One node, broker and controller in one process, on 127.0.0.1 only. Everything it needs and
//! writes lies under `target/kafka/`; it is stopped by the process id that it left there.

use std::env;
use std::fs;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use crate::workspace;

const VERSION: &str = "4.3.1";
const LOG4J_VERSION: &str = "2.25.1";
/// Where to take the jars from instead of fetching them.
pub(crate) const LIBS_VARIABLE: &str = "MILLSTREAM_KAFKA_LIBS";

/// A cold virtual machine on a busy computer takes its time; more than this is a failure.
const START_MAX: Duration = Duration::from_secs(60);
/// A clean stop flushes; what takes longer is killed.
const STOP_MAX: Duration = Duration::from_secs(30);
const POLL_INTERVAL: Duration = Duration::from_millis(20);

/// Logging of programs that speak for themselves.
const QUIET: &str = "rootLogger.level = ERROR\n";

const POM: &str = r#"<project xmlns="http://maven.apache.org/POM/4.0.0">
<modelVersion>4.0.0</modelVersion>
<groupId>millstream</groupId><artifactId>oracle</artifactId><version>1</version>
<dependencies>
<dependency><groupId>org.apache.kafka</groupId><artifactId>kafka_2.13</artifactId>
<version>KAFKA</version></dependency>
<dependency><groupId>org.apache.kafka</groupId><artifactId>kafka-tools</artifactId>
<version>KAFKA</version></dependency>
<dependency><groupId>org.apache.kafka</groupId><artifactId>kafka-streams</artifactId>
<version>KAFKA</version></dependency>
<dependency><groupId>org.apache.logging.log4j</groupId><artifactId>log4j-core</artifactId>
<version>LOG4J</version></dependency>
<dependency><groupId>org.apache.logging.log4j</groupId><artifactId>log4j-slf4j-impl</artifactId>
<version>LOG4J</version></dependency>
</dependencies>
</project>
"#;

/// What keeps the suites that need Apache Kafka from running on this machine.
pub(crate) fn missing() -> Option<&'static str> {
    if !workspace::is_installed("java") {
        return Some("no java");
    }
    if is_complete(&libs()) || workspace::is_installed("mvn") {
        return None;
    }
    Some("no mvn, and no jars in MILLSTREAM_KAFKA_LIBS")
}

/// Runs one of the subcommands.
pub(crate) fn run(words: &[&str]) -> Result<(), String> {
    if let Some(missing) = missing() {
        println!("skipped: {missing}");
        return Ok(());
    }
    match words {
        ["jars"] => {
            println!("{}", jars()?.display());
            Ok(())
        }
        ["start", rest @ ..] if rest.len() <= 2 => {
            let folder = rest.first().map_or_else(default_folder, PathBuf::from);
            let port = match rest.get(1) {
                Some(port) => port.parse().map_err(|_| format!("`{port}` is no port"))?,
                None => free_port()?,
            };
            println!("{}", start(&folder, port, "")?.describe());
            Ok(())
        }
        ["stop"] => stop(&default_folder()),
        ["stop", folder] => stop(Path::new(folder)),
        ["java", class, arguments @ ..] => {
            workspace::run(java()?.arg(class).args(arguments).stdin(Stdio::inherit()))
        }
        _ => Err("kafka start [DIR] [PORT] | stop [DIR] | jars | java CLASS [ARGUMENT..]".into()),
    }
}

fn home() -> PathBuf {
    workspace::target().join("kafka")
}

fn default_folder() -> PathBuf {
    home().join("node")
}

fn libs() -> PathBuf {
    let cached = || home().join(format!("libs-{VERSION}"));
    env::var_os(LIBS_VARIABLE).map_or_else(cached, PathBuf::from)
}

fn is_complete(libs: &Path) -> bool {
    let jars = ["kafka_2.13", "kafka-tools", "kafka-streams"];
    jars.iter().all(|jar| libs.join(format!("{jar}-{VERSION}.jar")).is_file())
}

/// The folder of Kafka's jars, fetched by Maven the first time.
///
/// # Errors
/// What Maven said, or that there is no Maven.
pub(crate) fn jars() -> Result<PathBuf, String> {
    let libs = libs();
    if is_complete(&libs) {
        return Ok(libs);
    }
    if env::var_os(LIBS_VARIABLE).is_some() {
        return Err(format!("{} lacks the jars of Kafka {VERSION}", libs.display()));
    }
    let pom = home().join("pom.xml");
    let text = POM.replace("KAFKA", VERSION).replace("LOG4J", LOG4J_VERSION);
    write(&pom, &text)?;
    eprintln!("fetching Apache Kafka {VERSION} with Maven");
    let mut maven = workspace::command("mvn");
    let maven = maven.args(["-q", "-B", "-f"]).arg(&pom).arg("dependency:copy-dependencies");
    workspace::output_of(maven.arg(format!("-DoutputDirectory={}", libs.display())))?;
    Ok(libs)
}

/// Java with Kafka's jars, quiet logs and a small heap.
///
/// # Errors
/// Those of [`jars`].
pub(crate) fn java() -> Result<Command, String> {
    java_with_path(jars()?.join("*").display().to_string())
}

/// The same, with a folder of classes of our own.
///
/// # Errors
/// Those of [`jars`].
pub(crate) fn java_with(classes: &Path) -> Result<Command, String> {
    java_with_path(format!("{}:{}", classes.display(), jars()?.join("*").display()))
}

fn java_with_path(class_path: String) -> Result<Command, String> {
    let quiet = home().join("quiet.properties");
    write(&quiet, QUIET)?;
    let mut java = workspace::command("java");
    // Short-lived tools start faster without the optimising compiler.
    java.args(["-Xmx512M", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC"])
        .arg(format!("-Dlog4j2.configurationFile={}", quiet.display()))
        .args(["-cp", &class_path]);
    Ok(java)
}

/// Java as a program that runs for long starts it: with the optimising compiler and its usual
/// collector, for what is to be measured.
///
/// # Errors
/// Those of [`jars`].
pub(crate) fn fast_java_with(classes: &Path) -> Result<Command, String> {
    let class_path = format!("{}:{}", classes.display(), jars()?.join("*").display());
    let quiet = home().join("quiet.properties");
    write(&quiet, QUIET)?;
    let mut java = workspace::command("java");
    java.arg("-Xmx1G").arg(format!("-Dlog4j2.configurationFile={}", quiet.display()));
    java.args(["-cp", &class_path]);
    Ok(java)
}

/// A running node.
#[derive(Debug)]
pub(crate) struct Node {
    folder: PathBuf,
    pid: u32,
    port: u16,
}

impl Node {
    /// Where clients connect.
    pub(crate) fn bootstrap(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// Its process.
    pub(crate) const fn pid(&self) -> u32 {
        self.pid
    }

    /// Stops it, by its process id.
    pub(crate) fn stop(&self) -> Result<(), String> {
        stop(&self.folder)
    }

    fn describe(&self) -> String {
        let bootstrap = self.bootstrap();
        format!("{{\"pid\":{},\"bootstrap\":\"{bootstrap}\"}}", self.pid)
    }
}

/// Starts a fresh node on a free port; the data of an earlier one in the folder is deleted.
pub(crate) fn start_fresh(folder: &Path) -> Result<Node, String> {
    stop(folder)?;
    if folder.is_dir() {
        fs::remove_dir_all(folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    }
    start(folder, free_port()?, "")
}

/// Starts a node on a free port with further settings, a line each; data in the folder is kept.
pub(crate) fn start_with(folder: &Path, settings: &str) -> Result<Node, String> {
    start(folder, free_port()?, settings)
}

/// Starts a node and waits until it listens; data in the folder is kept.
fn start(folder: &Path, port: u16, further: &str) -> Result<Node, String> {
    if let Some(pid) = running(folder) {
        return Err(format!("a node runs in {} already (pid {pid})", folder.display()));
    }
    let libs = jars()?;
    fs::create_dir_all(folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    let folder = folder.canonicalize().map_err(|error| error.to_string())?;
    write_settings(&folder, (port, free_port()?), further)?;
    if !folder.join("data/meta.properties").is_file() {
        format_storage(&folder, &libs)?;
    }
    let output = fs::File::create(folder.join("stdout.log")).map_err(|error| error.to_string())?;
    let errors = output.try_clone().map_err(|error| error.to_string())?;
    let mut child = java_of(&folder, &libs)
        .args(["-Xmx1G", "-Xms256M", "-XX:+UseG1GC", "-XX:MaxGCPauseMillis=20", "kafka.Kafka"])
        .arg(folder.join("server.properties"))
        .stdout(output)
        .stderr(errors)
        // A Ctrl-C in the terminal is for us; the node is stopped in its own way.
        .process_group(0)
        .spawn()
        .map_err(|error| format!("java cannot be started: {error}"))?;
    write(&folder.join("pid"), &child.id().to_string())?;
    wait_for_port(&mut child, port, &folder)?;
    Ok(Node { folder, pid: child.id(), port })
}

fn java_of(folder: &Path, libs: &Path) -> Command {
    let mut java = workspace::command("java");
    let logging = folder.join("log4j2.properties");
    java.arg(format!("-Dlog4j2.configurationFile={}", logging.display()))
        .arg("-cp")
        .arg(libs.join("*"));
    java
}

fn write_settings(
    folder: &Path,
    (port, controller_port): (u16, u16),
    further: &str,
) -> Result<(), String> {
    let here = folder.display();
    let listeners =
        format!("PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller_port}");
    let settings = format!(
        "process.roles=broker,controller\n\
         node.id=1\n\
         controller.quorum.bootstrap.servers=127.0.0.1:{controller_port}\n\
         listeners={listeners}\n\
         advertised.listeners={listeners}\n\
         controller.listener.names=CONTROLLER\n\
         listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT\n\
         log.dirs={here}/data\n\
         offsets.topic.replication.factor=1\n\
         transaction.state.log.replication.factor=1\n\
         transaction.state.log.min.isr=1\n\
         share.coordinator.state.topic.replication.factor=1\n\
         share.coordinator.state.topic.min.isr=1\n\
         group.initial.rebalance.delay.ms=0\n\
         {further}"
    );
    let logging = format!(
        "appender.f.type = File\n\
         appender.f.name = F\n\
         appender.f.fileName = {here}/server.log\n\
         appender.f.layout.type = PatternLayout\n\
         appender.f.layout.pattern = [%d] %p %m (%c)%n\n\
         rootLogger.level = INFO\n\
         rootLogger.appenderRef.f.ref = F\n"
    );
    write(&folder.join("server.properties"), &settings)?;
    write(&folder.join("log4j2.properties"), &logging)
}

fn format_storage(folder: &Path, libs: &Path) -> Result<(), String> {
    let tool = "kafka.tools.StorageTool";
    let id = workspace::output_of(java_of(folder, libs).args([tool, "random-uuid"]))?;
    // The id must not look like an option.
    let id = id.trim().replace('-', "A");
    let mut format = java_of(folder, libs);
    let format = format.args([tool, "format", "--standalone", "-t", &id, "-c"]);
    workspace::output_of(format.arg(folder.join("server.properties"))).map(drop)
}

fn wait_for_port(child: &mut Child, port: u16, folder: &Path) -> Result<(), String> {
    let address = SocketAddr::from(([127, 0, 0, 1], port));
    let begin = Instant::now();
    while begin.elapsed() < START_MAX {
        if TcpStream::connect_timeout(&address, POLL_INTERVAL).is_ok() {
            return Ok(());
        }
        if let Ok(Some(status)) = child.try_wait() {
            let log = folder.join("server.log");
            return Err(format!("Kafka ended with {status}, see {}", log.display()));
        }
        thread::sleep(POLL_INTERVAL);
    }
    stop(folder)?;
    Err(format!("Kafka did not listen within {} s", START_MAX.as_secs()))
}

/// The process id of the node in the folder, when it runs.
fn running(folder: &Path) -> Option<String> {
    let pid = fs::read_to_string(folder.join("pid")).ok()?.trim().to_owned();
    let line = fs::read_to_string(format!("/proc/{pid}/cmdline")).ok()?;
    // The id may belong to another program by now.
    line.contains("kafka.Kafka").then_some(pid)
}

/// Stops the node in the folder; it is no error when none runs.
pub(crate) fn stop(folder: &Path) -> Result<(), String> {
    let Some(pid) = running(folder) else { return Ok(()) };
    workspace::run(workspace::command("kill").arg(&pid))?;
    let begin = Instant::now();
    while running(folder).is_some() {
        if begin.elapsed() > STOP_MAX {
            workspace::run(workspace::command("kill").args(["-9", &pid]))?;
            break;
        }
        thread::sleep(POLL_INTERVAL);
    }
    fs::remove_file(folder.join("pid")).map_err(|error| error.to_string())
}

/// A port that is free now; whoever is given it must be quick.
pub(crate) fn free_port() -> Result<u16, String> {
    let listener = TcpListener::bind("127.0.0.1:0").map_err(|error| error.to_string())?;
    listener.local_addr().map(|address| address.port()).map_err(|error| error.to_string())
}

fn write(path: &Path, text: &str) -> Result<(), String> {
    let told = |error: std::io::Error| format!("{}: {error}", path.display());
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).map_err(told)?;
    }
    fs::write(path, text).map_err(told)
}
