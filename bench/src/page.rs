//! Where were the figures taken, and with what?
//!
//! Writes `docs/performance.md`: what stands above the line `<!-- measured -->` is kept, the rest is this run.

use std::path::Path;
use std::process::Command;

const LINE: &str = "<!-- measured -->\n";

/// The tables of a run.
#[derive(Default)]
pub(crate) struct Page(String);

impl Page {
    pub(crate) fn add(&mut self, table: &str) {
        self.0.push_str(table);
    }

    pub(crate) fn write(&self) {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/performance.md");
        let old = std::fs::read_to_string(&path).unwrap_or_default();
        let head = old.split_once(LINE).map_or("# Performance\n\n", |(head, _)| head);
        let page = format!("{head}{LINE}\n{}{}", machine(), self.0);
        std::fs::write(path, page).expect("docs can be written");
    }
}

/// The load of the last minute.
pub(crate) fn load() -> String {
    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    load.split(' ').next().unwrap_or("unknown").to_owned()
}

fn machine() -> String {
    let cpus = std::thread::available_parallelism().map_or(0, usize::from);
    let info = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = info.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    let model = model.map_or("unknown processor", |(_, model)| model);
    let lines = |command: &str| -> String {
        let output = Command::new("sh").arg("-c").arg(command).output();
        let text = output
            .map_or(String::new(), |output| String::from_utf8_lossy(&output.stdout).into_owned());
        text.trim().to_owned()
    };
    let pinned: Vec<&str> = include_str!("../Cargo.toml")
        .lines()
        .filter_map(|line| {
            Some((line.split_once(' ')?.0, line.split_once("\"=")?.1.split_once('"')?.0))
        })
        .flat_map(|(name, version)| [name, version])
        .collect();
    let pinned: Vec<String> = pinned.chunks(2).map(|pair| pair.join(" ")).collect();
    // a program's name and the first version it tells, nothing of what else it says of itself
    let tools = ["pv", "mbuffer", "pigz", "gzip", "zstd", "node", "valgrind"]
        .map(|tool| (tool, "--version"));
    let tools: Vec<String> = tools
        .into_iter()
        .chain([("socat", "-V")])
        .map(|(tool, flag)| {
            let version = lines(&format!(
                "{tool} {flag} 2>&1 | grep -oE '[0-9]+([.][0-9]+)+|[0-9]{{8}}' | head -1"
            ));
            format!("{tool} {}", if version.is_empty() { "absent" } else { &version })
        })
        .collect();
    format!(
        "Taken at {}, commit {}, load {} at the end; {cpus} CPUs ({model}), Linux {}, {}.\nPeers: {}; {}.\n",
        lines("date -u '+%Y-%m-%d %H:%M UTC'"),
        lines("git rev-parse --short HEAD"),
        load(),
        lines("uname -r"),
        lines("rustc --version"),
        pinned.join(", "),
        tools.join(", "),
    )
}
