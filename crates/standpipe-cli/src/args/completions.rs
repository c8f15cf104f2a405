//! What does a shell need to complete a command line?
//!
//! Each script is made from the tables of flags and commands, so it cannot know less than the
//! parser. After `--` the words belong to programs: there only names of programs and files are
//! offered.

use super::{
    commands::{COMMANDS, names},
    doctor::FINDINGS,
    flag::{FLAGS, Flag, Values},
    help::TOPICS,
};

/// The shells there are scripts for.
pub(super) const SHELLS: [&str; 3] = ["bash", "zsh", "fish"];

/// Writes the script for a shell of [`SHELLS`].
pub(super) fn script(shell: &str) -> Option<String> {
    match shell {
        "bash" => Some(bash()),
        "zsh" => Some(zsh()),
        "fish" => Some(fish()),
        _ => None,
    }
}

fn topics() -> String {
    let topics = TOPICS.iter().map(|(topic, _)| *topic);
    names().chain(topics).collect::<Vec<_>>().join(" ")
}

/// The flags whose value is the next word.
fn valued() -> impl Iterator<Item = &'static Flag> {
    FLAGS.iter().filter(|flag| flag.value.is_some() && flag.values != Values::Glued)
}

const BASH: &str = r#"# bash completion for standpipe
_standpipe() {
  local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]} command= i
  COMPREPLY=()
  for ((i = 1; i < COMP_CWORD; i++)); do
    case ${COMP_WORDS[i]} in
      --)
        # a stage begins after `--` and after each `::`, which bash cuts in two
        if [[ $prev == -- || $prev == :* ]]; then
          mapfile -t COMPREPLY < <(compgen -c -- "$cur")
        else
          mapfile -t COMPREPLY < <(compgen -f -- "$cur")
        fi
        return
        ;;
      @COMMANDS@) [[ $command ]] || command=${COMP_WORDS[i]} ;;
    esac
  done
  # bash cuts `--view=plain` in three
  if [[ $cur == = ]]; then
    cur=
  elif [[ $prev == = ]]; then
    prev=${COMP_WORDS[COMP_CWORD-2]}
  fi
  case $prev in
    --allow) mapfile -t COMPREPLY < <(compgen -W '@FINDINGS@' -- "$cur"); return ;;
    --for) return ;;
@VALUES@  esac
  if [[ $cur == -* ]]; then
    case $command in
      completions) ;;
      help) mapfile -t COMPREPLY < <(compgen -W '--man --schema' -- "$cur") ;;
      doctor) mapfile -t COMPREPLY < <(compgen -W '--for --json --allow -c' -- "$cur") ;;
      *) mapfile -t COMPREPLY < <(compgen -W '@FLAGS@' -- "$cur") ;;
    esac
    return
  fi
  case $command in
    '') mapfile -t COMPREPLY < <(compgen -W '@WORDS@' -- "$cur") ;;
    check | doctor) mapfile -t COMPREPLY < <(compgen -f -- "$cur") ;;
    completions) mapfile -t COMPREPLY < <(compgen -W '@SHELLS@' -- "$cur") ;;
    help) mapfile -t COMPREPLY < <(compgen -W '@TOPICS@' -- "$cur") ;;
  esac
}
complete -o filenames -F _standpipe standpipe
"#;

fn bash() -> String {
    let mut values = String::new();
    for flag in valued() {
        let words = match flag.values {
            Values::Words(words) => format!("-W '{}'", words.join(" ")),
            Values::Files => "-f".to_owned(),
            Values::Any | Values::Glued => String::new(),
        };
        let reply = match words.as_str() {
            "" => "return".to_owned(),
            words => format!("mapfile -t COMPREPLY < <(compgen {words} -- \"$cur\"); return"),
        };
        values += &format!("    {}) {reply} ;;\n", flag.names().join(" | "));
    }
    let flags: Vec<String> = FLAGS.iter().flat_map(Flag::names).collect();
    BASH.replace("@COMMANDS@", &names().collect::<Vec<_>>().join(" | "))
        .replace("@VALUES@", &values)
        .replace("@FLAGS@", &flags.join(" "))
        .replace("@WORDS@", &names().collect::<Vec<_>>().join(" "))
        .replace("@SHELLS@", &SHELLS.join(" "))
        .replace("@FINDINGS@", &FINDINGS.join(" "))
        .replace("@TOPICS@", &topics())
}

const ZSH: &str = r"#compdef standpipe
# zsh completion for standpipe
_standpipe() {
  local -a flags tasks
  local dashes=${words[(i)--]} command= word
  if (( dashes < CURRENT )); then
    # the words after `--` belong to programs
    if [[ ${words[CURRENT-1]} == (--|::) ]]; then
      _command_names -e
    else
      _files
    fi
    return
  fi
  flags=(
@OPTIONS@  )
  tasks=(
@COMMANDS@  )
  for word in ${words[2,CURRENT-1]}; do
    if (( ${tasks[(I)$word:*]} )); then
      command=$word
      break
    fi
  done
  case $command in
    completions) _values shell @SHELLS@ ;;
    doctor)
      _arguments -s '--for=[How long to watch]:TIME: ' '--json[One object on stdout]' \
        '*--allow=[A finding that is known]:FINDING:(@FINDINGS@)' \
        '-c+[Start this pipeline and watch it]:CMD | CMD: ' '*:record:_files'
      ;;
    help) _values topic @TOPICS@ --man --schema ;;
    run) _arguments -s $flags '*: :(run)' ;;
    check) _arguments -s $flags '*:pipeline file:_files' ;;
    *) _arguments -s $flags '*: :{ _describe command tasks }' ;;
  esac
}
if [[ $zsh_eval_context[-1] == loadautofunc ]]; then
  _standpipe
else
  compdef _standpipe standpipe
fi
";

fn zsh() -> String {
    let quoted =
        |text: &str| text.replace('\'', r"'\''").replace(['[', ']'], "").replace(':', r"\:");
    let mut options = String::new();
    for flag in &FLAGS {
        let value = match (flag.value, flag.values) {
            (None, _) => String::new(),
            (Some(name), Values::Words(words)) => {
                format!(":{}:({})", quoted(name), words.join(" "))
            }
            (Some(name), Values::Files) => format!(":{}:_files", quoted(name)),
            (Some(name), Values::Glued) => format!("::{}:_files", quoted(name)),
            (Some(name), Values::Any) => format!(":{}: ", quoted(name)),
        };
        let again = if flag.repeats() { "*" } else { "" };
        for name in flag.names() {
            // `+`: the value may be glued; `=`: behind an equals sign, too
            let glue = match (flag.value.is_some(), name.starts_with("--")) {
                (false, _) => "",
                (true, _) if flag.values == Values::Glued => "=-",
                (true, true) => "=",
                (true, false) => "+",
            };
            options += &format!("    '{again}{name}{glue}[{}]{value}'\n", quoted(flag.text));
        }
    }
    let mut commands = String::new();
    for command in &COMMANDS {
        commands += &format!("    '{}:{}'\n", command.name, quoted(command.text));
    }
    ZSH.replace("@OPTIONS@", &options)
        .replace("@COMMANDS@", &commands)
        .replace("@SHELLS@", &SHELLS.join(" "))
        .replace("@FINDINGS@", &FINDINGS.join(" "))
        .replace("@TOPICS@", &topics())
}

const FISH: &str = "\
# fish completion for standpipe
function __standpipe_in_stages
    contains -- -- (commandline -opc)
end
function __standpipe_needs_command
    __standpipe_in_stages; and return 1
    not __fish_seen_subcommand_from @WORDS@
end
function __standpipe_takes_options
    __standpipe_in_stages; and return 1
    not __fish_seen_subcommand_from completions doctor help
end
function __standpipe_has_command
    __standpipe_in_stages; and return 1
    __fish_seen_subcommand_from $argv
end
complete -c standpipe -f
complete -c standpipe -n __standpipe_in_stages -F
complete -c standpipe -n '__standpipe_has_command check' -F
complete -c standpipe -n '__standpipe_has_command completions' -a '@SHELLS@'
complete -c standpipe -n '__standpipe_has_command help' -a '@TOPICS@'
complete -c standpipe -n '__standpipe_has_command help' -l man -d 'The manual page'
complete -c standpipe -n '__standpipe_has_command help' -l schema -d 'The schema of the events'
complete -c standpipe -n '__standpipe_has_command doctor' -F
complete -c standpipe -n '__standpipe_has_command doctor' -l for -x -d 'How long to watch'
complete -c standpipe -n '__standpipe_has_command doctor' -l json -d 'One object on stdout'
complete -c standpipe -n '__standpipe_has_command doctor' -l allow -x -a '@FINDINGS@' -d 'A finding that is known'
complete -c standpipe -n '__standpipe_has_command doctor' -s c -x -d 'Start this pipeline and watch it'
";

fn fish() -> String {
    let quoted = |text: &str| text.replace('\\', r"\\").replace('\'', r"\'");
    let mut script = FISH
        .replace("@WORDS@", &names().collect::<Vec<_>>().join(" "))
        .replace("@SHELLS@", &SHELLS.join(" "))
        .replace("@FINDINGS@", &FINDINGS.join(" "))
        .replace("@TOPICS@", &topics());
    for command in &COMMANDS {
        script += &format!(
            "complete -c standpipe -n __standpipe_needs_command -a {} -d '{}'\n",
            command.name,
            quoted(command.text)
        );
    }
    for flag in &FLAGS {
        script += "complete -c standpipe -n __standpipe_takes_options";
        script += &flag.short.map_or_else(String::new, |short| format!(" -s {short}"));
        script += &flag.long.map_or_else(String::new, |long| format!(" -l {long}"));
        script += &match (flag.value, flag.values) {
            (None, _) | (Some(_), Values::Glued) => String::new(),
            (Some(_), Values::Words(words)) => format!(" -x -a '{}'", words.join(" ")),
            (Some(_), Values::Files) => " -r -F".to_owned(),
            (Some(_), Values::Any) => " -x".to_owned(),
        };
        script += &format!(" -d '{}'\n", quoted(flag.text));
    }
    script
}
