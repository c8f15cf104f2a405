//! Does a run tell whoever looks at it from outside, and nobody else, and is it none the slower for it?

use std::io::{BufRead, BufReader, Read};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use rustix::process::{Pid, Signal, geteuid, kill_process};
use serde_json::Value;

use crate::record;
use crate::rig::{Live, Scratch, run, standpipe};

/// A compressor that would go on for ever.
const ENDLESS: &str = "cat /dev/urandom | gzip -6 | cat >/dev/null";

/// A place for sockets, and runs that know it.
struct House(Scratch);

impl House {
    fn new() -> Self {
        Self(Scratch::new())
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = standpipe(args);
        command.env("XDG_RUNTIME_DIR", self.0.path(""));
        command
    }

    fn socket(&self, pid: u32) -> PathBuf {
        self.0.path("standpipe").join(format!("{pid}.sock"))
    }

    /// Starts a run; back when its door is open.
    fn start(&self, args: &[&str]) -> Live {
        let running = Live::start(self.command(args));
        drop(self.knock(running.pid()));
        running
    }

    fn knock(&self, pid: u32) -> UnixStream {
        loop {
            match UnixStream::connect(self.socket(pid)) {
                Ok(stream) => return stream,
                Err(_) => std::thread::yield_now(),
            }
        }
    }

    /// What the doctor says of a process, as JSON.
    fn doctor(&self, pid: u32, time: &str) -> Value {
        let done = run(self.command(&["doctor", "--json", "--for", time, &pid.to_string()]));
        serde_json::from_str(&done.text()).expect(&done.err)
    }

    /// What it says when all buffers are full, and nothing has moved for most of a second.
    fn finding(&self, pid: u32) -> Value {
        loop {
            let said = self.doctor(pid, "700ms");
            if said["findings"] != serde_json::json!([]) {
                return said;
            }
        }
    }
}

/// The lines a guest hears.
fn hear(stream: UnixStream) -> impl Iterator<Item = Value> {
    BufReader::new(stream).lines().map(|line| {
        let line = line.expect("the run is there") + "\n";
        record::valid(&line).pop().expect("one event")
    })
}

#[test]
fn the_doctor_of_a_run_hears_it_from_the_run() {
    let house = House::new();
    let running = house.start(&["-q", "-c", ENDLESS]);
    let said = house.doctor(running.pid(), "500ms");
    assert_eq!(said["exact"], true, "{said}");
    assert_eq!(said["slowest"]["stage"], "2 gzip -6", "{said}");
    assert_eq!(said["findings"], serde_json::json!([]), "{said}");
    let why = said["slowest"]["because"].as_str().expect("evidence");
    assert!(why.contains("went through") && !why.contains("about"), "it has counted: {why}");
    // a stage of it leads to the same run
    let start = hear(house.knock(running.pid())).next().expect("it is greeted");
    assert_eq!(start["event"], "start");
    let gzip = start["stages"][1]["pid"].as_u64().and_then(|pid| u32::try_from(pid).ok());
    let said = house.doctor(gzip.expect("a process"), "500ms");
    assert_eq!((&said["exact"], &said["slowest"]["stage"]), (&true.into(), &"2 gzip -6".into()));
    running.signal(Signal::INT);
    running.end();
}

/// Asked in the moment of its start, a run had no door yet, and was looked at from outside.
#[test]
fn a_run_that_is_only_being_started_is_heard_too() {
    let house = House::new();
    let running = Live::start(house.command(&["-q", "-c", ENDLESS]));
    let said = house.doctor(running.pid(), "500ms");
    assert_eq!(said["exact"], true, "{said}");
    running.signal(Signal::INT);
    running.end();
}

/// A compressor was named that was busy for 16% of the time.
#[test]
fn the_doctor_of_a_run_with_a_limit_of_rate_names_the_limit() {
    let house = House::new();
    let text = "cat /dev/zero | gzip -1 >/dev/null";
    let running = house.start(&["-q", "--rate", "2MB/s", "-c", text]);
    let said = house.doctor(running.pid(), "500ms");
    assert_eq!((&said["exact"], &said["slowest"]["stage"]), (&true.into(), &Value::Null), "{said}");
    let why = said["slowest"]["because"].as_str().expect("evidence");
    assert_eq!(why, "the limit of `--rate`: it holds 1 cat /dev/zero back");
    assert_eq!((&said["ceiling"], &said["findings"]), (&Value::Null, &serde_json::json!([])));
    running.signal(Signal::INT);
    running.end();
}

#[test]
fn the_socket_is_private_and_goes_with_the_run() {
    let house = House::new();
    let running = house.start(&["-q", "-c", ENDLESS]);
    let mode = |path: PathBuf| {
        std::fs::symlink_metadata(path).expect("it is there").permissions().mode() & 0o777
    };
    assert_eq!(mode(house.0.path("standpipe")), 0o700);
    let socket = house.socket(running.pid());
    assert_eq!(mode(socket.clone()), 0o600);
    running.signal(Signal::TERM);
    running.end();
    assert!(!socket.exists(), "it went with the run");
}

#[test]
fn what_a_killed_run_left_is_removed_by_the_next() {
    let house = House::new();
    let killed = house.start(&["-q", "-c", ENDLESS]);
    let socket = house.socket(killed.pid());
    killed.signal(Signal::KILL);
    killed.end();
    assert!(socket.exists(), "nobody could remove it");
    let next = house.start(&["-q", "-c", ENDLESS]);
    assert!(!socket.exists());
    next.signal(Signal::INT);
    next.end();
}

#[test]
fn a_directory_of_others_is_left_alone() {
    let house = House::new();
    std::fs::create_dir(house.0.path("standpipe")).expect("it is new");
    let open = std::fs::Permissions::from_mode(0o777);
    std::fs::set_permissions(house.0.path("standpipe"), open).expect("it is ours");
    let done = run(house.command(&["-q", "-c", "ls \"$XDG_RUNTIME_DIR/standpipe\" | cat"]));
    assert_eq!((done.code(), done.text().as_str()), (0, ""), "no socket, and a good run");
}

/// With no descriptor left a guest could not be let in, and was found at the door again and again, by a thread that
/// took a whole core.
#[test]
fn who_cannot_be_let_in_is_looked_for_again_after_a_while() {
    let house = House::new();
    let [fifo, calls] = ["fifo", "calls"].map(|name| house.0.arg(name));
    assert!(Command::new("mkfifo").arg(&fifo).status().expect("it is there").success());
    let text = format!("cat {fifo} | cat");
    let command = house.command(&["run", "--json", "-c", &text]);
    let mut traced = Command::new("strace");
    traced.args(["-f", "-o", &calls, "-e", "trace=accept4", "-e", "inject=accept4:error=EMFILE"]);
    traced.arg(command.get_program()).args(command.get_args());
    traced.env("XDG_RUNTIME_DIR", house.0.path(""));
    traced.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut running = Live::start(traced);
    running.hear("\"start\"");
    let knock = || {
        let sockets = std::fs::read_dir(house.0.path("standpipe")).into_iter().flatten().flatten();
        sockets.filter_map(|socket| UnixStream::connect(socket.path()).ok()).next()
    };
    let _guest = loop {
        match knock() {
            Some(guest) => break guest,
            None => std::thread::yield_now(),
        }
    };
    running.hear("\"sample\"");
    running.hear("\"sample\""); // so a second has passed
    std::fs::write(&fifo, "").expect("it is read"); // which ends the run
    assert_eq!(running.end().code(), 0);
    let looks = String::from_utf8(house.0.read("calls")).expect("it is text");
    let looks = looks.lines().filter(|line| line.contains("EMFILE")).count();
    assert!((1..10).contains(&looks), "it looked {looks} times");
}

/// Another user gets as far as the socket only if somebody has opened the way; even then nothing is told.
#[test]
fn another_user_is_told_nothing() {
    let house = House::new();
    let running = house.start(&["-q", "-c", ENDLESS]);
    let socket = house.socket(running.pid());
    let open = || std::fs::Permissions::from_mode(0o777);
    for way in [&socket, &house.0.path("standpipe"), &house.0.path("")] {
        std::fs::set_permissions(way, open()).expect("it is ours");
    }
    let heard_by = |user: &[&str]| {
        const LISTEN: &str = "use IO::Socket::UNIX; \
            my $run = IO::Socket::UNIX->new(Peer => $ARGV[0]) or die \"no way: $!\"; \
            my $line = <$run>; print defined $line ? $line : 'nothing'";
        let words = [user, &["perl", "-e", LISTEN]].concat();
        let done = Command::new(words[0])
            .args(&words[1..])
            .arg(&socket)
            .output()
            .expect("setpriv and perl are there");
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
        String::from_utf8(done.stdout).expect("JSON is text")
    };
    assert!(heard_by(&["env"]).contains("\"event\":\"start\""), "its own user is");
    if geteuid().is_root() {
        let nobody = ["setpriv", "--reuid", "65534", "--clear-groups"];
        assert_eq!(heard_by(&nobody), "nothing");
    }
    running.signal(Signal::INT);
    running.end();
}

#[test]
fn a_guest_that_does_not_read_slows_nothing_and_the_others_hear_the_end() {
    let house = House::new();
    let text = "sh -c 'read go; exec head -c 300000000 /dev/zero' | cat | wc -c";
    let mut command = house.command(&["-q", "-vv", "-c", text]);
    let (read, write) = rustix::pipe::pipe().expect("there are pipes");
    command.stdin(Stdio::from(read));
    let running = Live::start(command);
    let deaf: Vec<UnixStream> = (0..3).map(|_| house.knock(running.pid())).collect();
    let guest = hear(house.knock(running.pid()));
    let mut refused = house.knock(running.pid());
    assert_eq!(refused.read(&mut [0]).expect("it is closed"), 0, "four seats are all");
    rustix::io::write(&write, b"go\n").expect("it is read");
    let heard: Vec<Value> = guest.collect();
    let done = running.end();
    assert_eq!((done.code(), done.text().trim()), (0, "300000000"));
    let names = |event: &Value| event["event"].as_str().unwrap_or_default().to_owned();
    let heard: Vec<String> = heard.iter().map(names).collect();
    assert_eq!(heard.first().map(String::as_str), Some("start"));
    assert_eq!(heard.last().map(String::as_str), Some("end"));
    assert!(heard.iter().any(|name| name == "sample"), "{heard:?}");
    drop(deaf);
}

/// Bug 11 of the twelve: a program that was stopped.
#[test]
fn a_stopped_command_of_a_run_is_named_within_a_second() {
    let house = House::new();
    let running =
        house.start(&["-q", "--", "yes", "::", "cat", "::", "cp", "/dev/stdin", "/dev/null"]);
    let start = hear(house.knock(running.pid())).next().expect("it is greeted");
    let stage = start["stages"][1]["pid"].as_i64().and_then(|pid| i32::try_from(pid).ok());
    let stage = stage.and_then(Pid::from_raw).expect("a process");
    kill_process(stage, Signal::STOP).expect("it is ours");
    let said = house.finding(running.pid());
    let finding = &said["findings"][0];
    assert_eq!(finding["name"], "stalled", "{said}");
    let says = finding["says"].as_str().expect("words");
    assert!(says.contains("2 cat is stopped by a signal"), "{says}");
    kill_process(stage, Signal::CONT).expect("it is ours");
    running.signal(Signal::INT);
    running.end();
}

/// Bug 11, the other half: a program that does not read.
#[test]
fn a_command_that_does_not_read_is_named_within_a_second() {
    let house = House::new();
    let running = house.start(&["-q", "-c", "yes | cat | sleep 60"]);
    let said = house.finding(running.pid());
    let says = said["findings"][0]["says"].as_str().unwrap_or_default();
    assert!(says.contains("3 sleep 60 does not read"), "{said}");
    running.signal(Signal::INT);
    running.end();
}

/// Bug 12: a peer that never opens its window.
#[test]
fn a_peer_that_takes_nothing_is_named_within_a_second() {
    let house = House::new();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let to = format!("tcp://{}", listener.local_addr().expect("it is bound"));
    let running = house.start(&["-q", "--to", &to, "-c", "cat /dev/zero"]);
    let _peer = listener.accept().expect("it is connected");
    let said = house.finding(running.pid());
    let finding = &said["findings"][0];
    let says = finding["says"].as_str().expect("words");
    assert_eq!(finding["name"], "stalled", "{said}");
    assert!(says.contains("2 tcp://127.0.0.1:") && says.contains("does not read"), "{says}");
    running.signal(Signal::INT);
    running.end();
}
