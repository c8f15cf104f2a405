//! How is a real terminal driven and looked at?
//!
//! A server of `tmux` for each test, with a shell in it that controls its terminal, as a person's does.

use std::process::{Command, Output};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::sync_channel;
use std::time::Duration;

use crate::rig::BIN;

static NEXT: AtomicU32 = AtomicU32::new(0);

/// A terminal with a shell in it; `$S` is the command.
pub(crate) struct Tmux {
    socket: String,
}

impl Tmux {
    /// Opens one of so many columns and rows.
    pub(crate) fn open(size: [u16; 2]) -> Self {
        Self::open_with(size, &[])
    }

    /// The same with these variables in its environment.
    pub(crate) fn open_with([columns, rows]: [u16; 2], variables: &[(&str, &str)]) -> Self {
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let socket = format!("standpipe-{}-{number}", std::process::id());
        let tmux = Self { socket };
        let mut command = tmux.command(&["-f", "/dev/null", "new-session", "-d"]);
        command.args(["-x", &columns.to_string(), "-y", &rows.to_string(), "exec sh"]);
        for name in ["NO_COLOR", "FORCE_COLOR", "CLICOLOR_FORCE", "TMUX", "LANG", "LC_CTYPE"] {
            command.env_remove(name);
        }
        command.env("LC_ALL", "C.UTF-8").env("S", BIN).env("RUST_BACKTRACE", "0");
        command.envs(variables.iter().copied());
        let output = command.output().expect("tmux is there");
        assert!(output.status.success(), "{output:?}");
        tmux.until("the shell is there", |screen| screen.starts_with(['$', '#']));
        tmux
    }

    fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new("tmux");
        command.args(["-u", "-L", &self.socket]).args(words);
        command
    }

    fn ask(&self, words: &[&str]) -> String {
        let output: Output = self.command(words).output().expect("tmux is there");
        assert!(output.status.success(), "{words:?}: {output:?}");
        String::from_utf8(output.stdout).expect("it writes UTF-8")
    }

    /// Presses keys, by the names that tmux has for them.
    pub(crate) fn press(&self, keys: &[&str]) {
        self.ask(&[&["send-keys"], keys].concat());
    }

    /// Types a line and ends it.
    pub(crate) fn enter(&self, line: &str) {
        self.ask(&["send-keys", "-l", line]);
        self.press(&["Enter"]);
    }

    /// Makes it another size.
    pub(crate) fn resize(&self, [columns, rows]: [u16; 2]) {
        self.ask(&["resize-window", "-x", &columns.to_string(), "-y", &rows.to_string()]);
    }

    /// What is on the screen.
    pub(crate) fn screen(&self) -> String {
        self.ask(&["capture-pane", "-p"])
    }

    /// The same with what has left it at the top.
    pub(crate) fn scrolled(&self) -> String {
        self.ask(&["capture-pane", "-p", "-S", "-"])
    }

    /// The same with colours.
    pub(crate) fn painted(&self) -> String {
        self.ask(&["capture-pane", "-pe"])
    }

    /// Looks at the screen until it is so; gives it.
    #[track_caller]
    pub(crate) fn until(&self, what: &str, so: impl Fn(&str) -> bool) -> String {
        let (_sender, receiver) = sync_channel::<()>(0);
        let found = (0..1000).find_map(|_| {
            let screen = self.screen();
            if so(&screen) {
                return Some(screen);
            }
            receiver.recv_timeout(Duration::from_millis(20)).expect_err("nobody sends");
            None
        });
        assert!(found.is_some(), "never seen: {what}; the screen is\n{}", self.screen());
        found.expect("as asserted")
    }

    /// Says whether it shows its main screen and its cursor.
    pub(crate) fn is_plain(&self) -> bool {
        self.ask(&["display-message", "-p", "#{alternate_on} #{cursor_flag}"]) == "0 1\n"
    }

    /// The modes of the terminal, as the shell sees them between two commands.
    pub(crate) fn modes(&self, mark: &str) -> String {
        // what is typed before the shell asks for it is echoed twice
        self.until("the prompt", |screen| screen.trim_end().ends_with(['$', '#']));
        self.enter(&format!("echo {mark}$(stty -g | cksum)"));
        let found = |screen: &str| {
            let line = screen.lines().find_map(|line| line.strip_prefix(mark)).map(str::to_owned);
            line.filter(|modes| modes.contains(' '))
        };
        found(&self.until("its modes", |screen| found(screen).is_some())).expect("as looked for")
    }
}

impl Drop for Tmux {
    fn drop(&mut self) {
        // one that is gone needs nothing
        self.command(&["kill-server"]).output().ok();
    }
}
