//! Do shells understand the completions, and does a reader of manual pages understand ours?

use std::process::{Command, Stdio};

use crate::rig::{BIN, Done, Scratch, feed, run, standpipe};

/// Runs a shell on a script, with the completions of that shell as `$C` and nothing of the user's.
fn in_shell(scratch: &Scratch, shell: &[&str], script: &str) -> Done {
    let name = shell.first().expect("the shell has a name");
    let completions = run(standpipe(&["completions", name]));
    assert_eq!(completions.code(), 0, "{}", completions.err);
    let mut command = Command::new(name);
    command
        .args(&shell[1..])
        .args(["-c", script])
        .env("C", scratch.file("completions", &completions.out))
        .env("S", BIN)
        .env("HOME", scratch.arg(""))
        .env("XDG_CONFIG_HOME", scratch.arg(""))
        .env("XDG_DATA_HOME", scratch.arg(""))
        .env("LC_ALL", "C.UTF-8")
        .current_dir(scratch.arg(""))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    run(command)
}

#[test]
fn bash_completes_words() {
    let scratch = Scratch::new();
    scratch.file("nightly.toml", b"");
    // what readline does, without a terminal: the words as bash cuts them, then the function
    let complete = |words: &[&str], expected: &[&str]| {
        let quoted: Vec<String> = words.iter().map(|word| format!("'{word}'")).collect();
        let script = format!(
            "source \"$C\"; complete -p standpipe >&2; COMP_WORDS=(standpipe {}); COMP_CWORD={}; \
             _standpipe; printf '%s\\n' \"${{COMPREPLY[@]}}\"",
            quoted.join(" "),
            words.len()
        );
        let done = in_shell(&scratch, &["bash", "--norc", "--noprofile"], &script);
        assert_eq!(done.err.trim(), "complete -o filenames -F _standpipe standpipe", "{words:?}");
        let text = done.text();
        let mut replies: Vec<&str> = text.lines().filter(|line| !line.is_empty()).collect();
        replies.sort_unstable();
        replies.dedup(); // a program may lie in two directories
        assert_eq!(replies, expected, "{words:?}");
    };
    complete(&["ch"], &["check"]);
    complete(&["--st"], &["--stall", "--strict"]);
    complete(&["--view", ""], &["auto", "full", "line", "none", "plain", "tanks"]);
    complete(&["--view", "=", "pl"], &["plain"]);
    complete(&["--view", "="], &["auto", "full", "line", "none", "plain", "tanks"]);
    complete(&["--fast", "n"], &["never"]);
    complete(&["-f", "ni"], &["nightly.toml"]);
    complete(&["--from", "ni"], &["nightly.toml"]);
    complete(&["--tank", ""], &[]);
    complete(&["check", "n"], &["nightly.toml"]);
    complete(&["check", "--ove"], &["--overwrite"]);
    complete(&["completions", ""], &["bash", "fish", "zsh"]);
    complete(&["help", "s"], &["sizes"]);
    complete(&["help", "--"], &["--man", "--schema"]);
    complete(&["doctor", "--"], &["--allow", "--for", "--json"]);
    complete(&["doctor", "--allow", "st"], &["stalled", "stopped-early"]);
    complete(&["doctor", "ni"], &["nightly.toml"]);
    // after the dashes a stage begins with a program, and `--st` is none of our words
    complete(&["--", "nightly.t"], &[]);
    complete(&["--", "cat", "ni"], &["nightly.toml"]);
    complete(&["--", "cat", "--st"], &[]);
    complete(&["--", "cat", "::", "gunzi"], &["gunzip"]);
}

#[test]
fn fish_completes_words() {
    let scratch = Scratch::new();
    scratch.file("nightly.toml", b"");
    let complete = |line: &str, expected: &[&str]| {
        let script = format!("source $C; complete -C 'standpipe {line}'");
        let done = in_shell(&scratch, &["fish", "--no-config"], &script);
        assert_eq!(done.err, "", "{line}");
        let text = done.text();
        let mut replies: Vec<&str> =
            text.lines().map(|line| line.split('\t').next().unwrap_or_default()).collect();
        replies.sort_unstable();
        assert_eq!(replies, expected, "{line}");
    };
    complete("ch", &["check"]);
    complete("--st", &["--stall", "--strict"]);
    complete("--view ", &["auto", "full", "line", "none", "plain", "tanks"]);
    complete("--view=pl", &["--view=plain"]);
    complete("-f ni", &["nightly.toml"]);
    complete("check ni", &["nightly.toml"]);
    complete("completions ", &["bash", "fish", "zsh"]);
    complete("help s", &["sizes"]);
    complete("help --m", &["--man"]);
    complete("doctor --f", &["--for"]);
    complete("doctor --allow stal", &["stalled"]);
    complete("-- cat --st", &[]);
    complete("-- cat ni", &["nightly.toml"]);
}

#[test]
fn zsh_completes_words() {
    let scratch = Scratch::new();
    scratch.file("nightly.toml", b"");
    let syntax = in_shell(&scratch, &["zsh", "-f"], "zsh -n \"$C\"");
    assert_eq!((syntax.code(), syntax.err.as_str()), (0, ""));
    // a terminal of its own, in which the tab key is pressed
    let complete = |line: &str, expected: &str| {
        let script = format!(
            r#"zmodload zsh/zpty
            zpty z zsh -f -i
            zpty -w z 'PS1=; PROMPT_EOL_MARK=; unsetopt zle_bracketed_paste; autoload -U compinit; compinit -u -D; source $C'
            zpty -w z 'bindkey "^I" complete-word; standpipe() {{ print -r -- "<${{(j:,:)@}}>" }}; print rea""dy'
            zpty -r z answer $'*ready\r\n*'
            zpty -w -n z $'standpipe {line}\t\n'
            zpty -r z answer $'*<*>\r\n*'
            print -r -- ${{${{answer##*<}}%%>*}}
            zpty -d z"#
        );
        let done = in_shell(&scratch, &["zsh", "-f"], &script);
        assert_eq!(done.text().trim(), expected, "{line}: {}", done.err);
    };
    complete("chec", "check");
    complete("--stri", "--strict");
    complete("--view=pl", "--view=plain");
    complete("--view pl", "--view,plain");
    complete("check nigh", "check,nightly.toml");
    complete("completions fi", "completions,fish");
    complete("help siz", "help,sizes");
    complete("doctor --allow stal", "doctor,--allow,stalled");
    complete("-- cat nigh", "--,cat,nightly.toml");
    complete("-- gunzi", "--,gunzip");
}

#[test]
fn the_manual_page_is_well_formed_and_complete() {
    let page = run(standpipe(&["help", "--man"]));
    assert_eq!(page.code(), 0, "{}", page.err);
    let mandoc = |args: &[&str]| {
        let mut command = Command::new("mandoc");
        command.args(args).stdout(Stdio::piped()).stderr(Stdio::piped());
        feed(command, page.out.clone())
    };
    let lint = mandoc(&["-T", "lint", "-W", "warning"]);
    assert_eq!((lint.code(), lint.text().as_str()), (0, ""), "{}", lint.err);
    let text = mandoc(&["-T", "ascii", "-O", "width=100"]).text();
    let plain: String = strip_overstrikes(&text);
    let help = run(standpipe(&["--help"])).text();
    let flags = help.split_whitespace().filter(|word| word.starts_with("--"));
    for flag in flags.filter(|flag| flag.len() > 2) {
        let flag = flag.trim_matches(|letter: char| !letter.is_alphanumeric() && letter != '-');
        let flag = flag.split(['.', '=', '[']).next().expect("a split has a first part");
        assert!(plain.contains(flag), "{flag} is missing in\n{plain}");
    }
    for part in
        ["EXIT STATUS", "[[stage]]", "\\::", "tcp-listen://", "NO_COLOR", "standpipe -c 'pg"]
    {
        assert!(plain.contains(part), "{part} is missing in\n{plain}");
    }
}

/// Removes `x\x08x`, by which bold is written.
fn strip_overstrikes(text: &str) -> String {
    let mut plain = String::new();
    for letter in text.chars() {
        if letter == '\u{8}' {
            plain.pop();
        } else {
            plain.push(letter);
        }
    }
    plain
}
