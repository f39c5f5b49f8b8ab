//! Runs the services of `docs/guides` with the real client packages: what a guide installs is installed, its service is
//! started and gets its traffic, ferula scrapes it with the guide's configuration, and each query of the guide must have
//! an answer.
//!
//! | fence | meaning |
//! | --- | --- |
//! | `sh install` | packages, by `pip`, `npm` or `go` |
//! | `python FILE`, `js FILE`, `go FILE` | a file of the service |
//! | `sh service` | starts the service, which does not end |
//! | `sh traffic` | requests; repeated until all queries have an answer |
//! | `promql` | a query |

use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::blocks::{Block, blocks};
use crate::run::{Bench, has_program};

/// For an installation, a start, or the first answer of all queries. `go run` compiles first.
const PATIENCE: Duration = Duration::from_secs(300);
/// A free port can be taken by another program between its choice and the start of the service.
const STARTS_MAX: usize = 3;

/// A service of a guide.
struct Service {
    name: String,
    all: Vec<Block>,
}

/// Why a guide was not run, or what failed.
enum NotRun {
    LeftOut(String),
    Failed(String),
}

impl Service {
    /// Reads a guide; `None` if it has no service that can be started.
    fn read(path: &Path) -> Option<Self> {
        let name = path.file_name()?.to_string_lossy().into_owned();
        let all = blocks(&name, &std::fs::read_to_string(path).expect("the guide can be read"));
        let service = Service { name, all };
        service.block("service").is_some().then_some(service)
    }

    /// The block of commands with this attribute.
    fn block(&self, attribute: &str) -> Option<&Block> {
        self.all
            .iter()
            .find(|block| block.language == "sh" && block.left_out.is_none() && block.has(attribute))
    }

    fn of(&self, language: &str) -> impl Iterator<Item = &Block> {
        self.all.iter().filter(move |block| block.language == language && block.left_out.is_none())
    }

    /// Installs the packages in a directory that is kept for the next run.
    fn install(&self, bench: &Bench) -> Result<PathBuf, NotRun> {
        let script = &self.block("install").expect("a service needs packages").text;
        let tool = script.split_whitespace().next().unwrap_or_default();
        let programs: &[&str] = match tool {
            "pip" => &["python3", "curl"],
            "npm" => &["npm", "node", "curl"],
            "go" => &["go", "curl"],
            other => panic!("{}: how does `{other}` install?", self.name),
        };
        if let Some(missing) = programs.iter().find(|program| !has_program(program)) {
            return Err(NotRun::LeftOut(format!("{missing} is not installed here")));
        }
        let kept = Path::new(env!("CARGO_TARGET_TMPDIR")).join("guides").join(&self.name);
        let marker = kept.join("installed");
        if std::fs::read_to_string(&marker).is_ok_and(|text| text == *script) {
            return Ok(kept);
        }
        // What a former run left half done.
        let _ = std::fs::remove_dir_all(&kept);
        std::fs::create_dir_all(&kept).expect("created");
        let script = script
            .replace(
                "pip install",
                "python3 -m pip install --quiet --no-input --disable-pip-version-check --target .",
            )
            .replace("npm install", "npm install --no-audit --no-fund --loglevel=error --cache .npm");
        let (is_good, output) = bench.shell_in(&kept, &script, PATIENCE);
        if !is_good {
            let last = output.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or("no output");
            return Err(NotRun::LeftOut(format!("its packages could not be installed here: {last}")));
        }
        std::fs::write(marker, &self.block("install").expect("it was just read").text).expect("written");
        Ok(kept)
    }

    /// Installs, starts, sends traffic and asks; returns the number of queries that had an answer.
    fn run(&self) -> Result<usize, NotRun> {
        let mut bench = Bench::new(&self.name);
        let packages = self.install(&bench)?;
        for starts in 1.. {
            let deployment = Deployment::new(self, &bench, &packages);
            match deployment.serve(self, &mut bench) {
                Err(why) if starts == STARTS_MAX => return Err(NotRun::Failed(why)),
                Err(_) => bench = Bench::new(&self.name),
                Ok(_running) => return self.ask(&mut bench, &deployment).map_err(NotRun::Failed),
            }
        }
        unreachable!("the loop returns")
    }

    /// Sends the traffic until each query has an answer.
    fn ask(&self, bench: &mut Bench, deployment: &Deployment) -> Result<usize, String> {
        let configuration = self.of("yaml").next().expect("a guide has a configuration");
        let configuration =
            bench.with_ports(&configuration.text).replace("scrape_interval: 15s", "scrape_interval: 1s");
        std::fs::write(bench.work().join("prometheus.yml"), configuration).expect("written");
        bench.start("ferula --config.file=prometheus.yml")?;
        let traffic =
            deployment.script(&bench.with_ports(&self.block("traffic").expect("a guide has traffic").text));
        let mut waiting: Vec<&str> = self.of("promql").map(|block| block.text.trim()).collect();
        let count = waiting.len();
        let began = Instant::now();
        while !waiting.is_empty() {
            let (is_good, output) = bench.shell(&traffic);
            if !is_good && began.elapsed() > PATIENCE {
                return Err(format!("the traffic fails:\n{output}"));
            }
            waiting.retain(|query| {
                let script = format!("ferula query instant http://localhost:9090 '{query}'");
                let (is_good, answer) = bench.shell(&bench.with_ports(&script));
                !is_good || answer.trim().is_empty() || answer.contains("NaN")
            });
            if began.elapsed() > PATIENCE {
                return Err(format!("queries without an answer: {waiting:#?}\n{output}"));
            }
        }
        Ok(count)
    }
}

/// Where a service runs.
struct Deployment {
    directory: PathBuf,
    /// Commands that make the packages known, with a newline.
    environment: String,
}

impl Deployment {
    /// Writes the files of the service, with free ports.
    fn new(service: &Service, bench: &Bench, packages: &Path) -> Self {
        let is_python = packages.join("prometheus_client").is_dir();
        let directory = if is_python { bench.work() } else { packages.to_owned() };
        for language in ["python", "js", "go"] {
            for block in service.of(language) {
                let file = directory.join(block.attributes.first().expect("code says its file"));
                std::fs::write(file, bench.with_bare_ports(&block.text)).expect("written");
            }
        }
        let shown = packages.display();
        let environment = format!(
            "export PYTHONPATH='{shown}' PATH=\"{shown}/bin:$PATH\"\npython() {{ python3 \"$@\"; }}\ncd '{}'\n",
            directory.display()
        );
        Deployment { directory, environment }
    }

    fn script(&self, commands: &str) -> String {
        format!("{}{commands}", self.environment)
    }

    /// Starts the service and waits until it answers.
    fn serve(&self, service: &Service, bench: &mut Bench) -> Result<Running, String> {
        let command = bench.with_bare_ports(&service.block("service").expect("it was found").text);
        let log = self.directory.join("service.log");
        let file = std::fs::File::create(&log).expect("created");
        let child = Command::new("/bin/sh")
            .args(["-euc", &self.script(&command)])
            .stdin(Stdio::null())
            .stdout(file.try_clone().expect("the same file"))
            .stderr(file)
            .process_group(0)
            .spawn()
            .expect("the shell starts");
        let mut running = Running(child);
        let began = Instant::now();
        loop {
            let (is_good, _) =
                bench.shell(&bench.with_ports("curl -fs http://localhost:8000/metrics > metrics.txt"));
            if is_good {
                return Ok(running);
            }
            let has_ended = running.0.try_wait().expect("it can be asked").is_some();
            if has_ended || began.elapsed() > PATIENCE {
                let said = std::fs::read_to_string(&log).unwrap_or_default();
                return Err(format!("the service did not start:\n{said}"));
            }
            std::thread::sleep(Duration::from_millis(100));
        }
    }
}

/// A service that is ended, with its children, when dropped.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        // SAFETY: `kill` only takes two numbers; the group is that of the child, which was not waited for yet unless it
        // ended, and then the signal reaches nobody.
        unsafe { libc::kill(-(self.0.id() as i32), libc::SIGKILL) };
        let _ = self.0.wait();
    }
}

#[test]
fn services_of_the_guides_answer_their_queries() {
    let only = std::env::var("FERULA_DOCUMENT").unwrap_or_default();
    let mut services: Vec<Service> =
        crate::documents().iter().filter_map(|path| Service::read(path)).collect();
    assert!(services.len() >= 7, "guides with a service were not found: {}", services.len());
    services.retain(|service| service.name.contains(&only));
    let mut failures = Vec::new();
    for service in &services {
        match service.run() {
            Ok(count) => println!("{}: {count} queries answered", service.name),
            Err(NotRun::LeftOut(why)) => eprintln!("LEFT OUT: docs/guides/{}: {why}", service.name),
            Err(NotRun::Failed(why)) => failures.push(format!("docs/guides/{}: {why}", service.name)),
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}
